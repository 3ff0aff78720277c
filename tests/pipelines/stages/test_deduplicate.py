"""Removals become drops that name their survivor."""

import pyarrow as pa

from pipelines.contract.batch import born, documents_from
from pipelines.contract.schema import CLUSTERS, document_id
from pipelines.stages import deduplicate

IDS = [document_id("s", str(i)) for i in range(4)]


def batch():
    return born("read", documents_from({"id": IDS, "work": IDS, "source": ["s"] * 4, "snapshot": ["1"] * 4,
                                        "origin": ["o"] * 4, "text": ["a", "bb", "ccc", "dddd"]}))  # fmt: skip


def removals(*rows):
    columns = ("id", "cluster", "survivor", "similarity", "grain", "corpus")
    return pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows], schema=CLUSTERS)


def test_copies_are_dropped_with_the_survivor_named():
    elsewhere = document_id("t", "x")
    table = removals((IDS[2], IDS[0], IDS[0], 0.9285714, "near", None), (IDS[1], elsewhere, elsewhere, 1.0, "exact", None))
    out = deduplicate.dropping(table)(batch())
    assert out.documents["id"].to_pylist() == [IDS[0], IDS[3]]
    drops = out.drops[0].select(["id", "stage", "reason", "detail", "text"]).to_pylist()
    assert drops == [
        {"id": IDS[1], "stage": "deduplicate", "reason": "exact_duplicate", "text": "bb",
         "detail": f"of {elsewhere.hex()}, similarity 1.00"},
        {"id": IDS[2], "stage": "deduplicate", "reason": "near_duplicate", "text": "ccc",
         "detail": f"of {IDS[0].hex()}, similarity 0.93"},
    ]  # fmt: skip
    line = out.ledger.lines["deduplicate"]
    assert (line.documents_in, line.documents_out, line.characters_out) == (4, 2, 5)
    assert dict(line.characters_dropped) == {"exact_duplicate": 2, "near_duplicate": 3}


def test_the_reason_is_what_they_share_and_an_earlier_corpus_is_named():
    table = removals(
        (IDS[0], IDS[0], IDS[3], 0.25, "url", None),
        (IDS[1], IDS[1], IDS[1], 1.0, "exact", "news-2025"),
        (IDS[2], IDS[2], IDS[3], 0.75, "near", "news-2025"),
    )
    drops = deduplicate.dropping(table)(batch()).drops[0]
    assert drops["reason"].to_pylist() == ["same_url", "already_published", "already_published"]
    assert drops["detail"].to_pylist() == [
        f"of {IDS[3].hex()}, similarity 0.25",
        f"of {IDS[1].hex()} in corpus news-2025, similarity 1.00",
        f"of {IDS[3].hex()} in corpus news-2025, similarity 0.75",
    ]


def test_a_sliced_table_names_the_right_survivors():
    rows = [(id_, id_, survivor, 0.8, "near", None) for id_, survivor in zip(IDS, reversed(IDS), strict=True)]
    out = deduplicate.dropping(removals(*rows).slice(1, 1))(batch())
    assert out.drops[0]["detail"].to_pylist() == [f"of {IDS[2].hex()}, similarity 0.80"]


def test_without_removals_every_document_stays_and_the_ledger_has_its_line():
    out = deduplicate.dropping(CLUSTERS.empty_table())(batch())
    assert out.documents.num_rows == 4
    assert out.drops == ()
    assert out.ledger.lines["deduplicate"].documents_out == 4
