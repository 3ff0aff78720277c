"""What repeats is cut, each kind under its own name, and a document of which nothing is left is dropped whole."""

import numpy as np
import pyarrow as pa

from pipelines.contract import schema
from pipelines.contract.batch import born, documents_from
from pipelines.contract.schema import document_id
from pipelines.stages import repeats
from pipelines.text.characters.word_spans import words
from pipelines.text.copies import repeats as science

TEXTS = [
    "Home News Contact\nA bridge was opened.\n\nAll rights are reserved.",
    "home  news, contact",
    "no word of it",
    "★ ★",
    "HOME NEWS CONTACT\n\nall rights are reserved",
]
IDS = [document_id("s", str(i)) for i in range(len(TEXTS))]


def batch(texts=TEXTS):
    rows = len(texts)
    return born("read", documents_from({"id": IDS[:rows], "work": IDS[:rows], "source": ["s"] * rows, "snapshot": ["1"] * rows,
                                        "origin": ["o"] * rows, "text": texts}))  # fmt: skip


def hashes(*texts):
    array = pa.array(texts)
    return [science.Repeated(np.sort(science.lines(array, words(array)).hashes))]


def runs(*rows):
    return pa.Table.from_pylist(
        [dict(zip(("id", "first", "behind"), row, strict=True)) for row in rows], schema=schema.REPEATED_RUNS
    )


def test_lines_and_paragraphs_are_cut_under_their_names():
    found = repeats.RepeatedText(3, lines=hashes("home news contact"), paragraphs=hashes("all rights are reserved"))
    out = repeats.cutting(found)(batch())
    assert out.documents["text"].to_pylist() == ["A bridge was opened.", "no word of it", "★ ★"]
    assert out.documents["id"].to_pylist() == [IDS[0], IDS[2], IDS[3]]
    line = out.ledger.lines["repeats"]
    assert (line.documents_in, line.documents_out) == (5, 3)
    assert dict(line.documents_dropped) == {"empty": 2}
    assert dict(line.characters_dropped) == {"empty": len(TEXTS[1]) + len(TEXTS[4])}
    removed = {"repeated_lines": len("Home News Contact\n"), "repeated_paragraphs": len("\n\nAll rights are reserved.")}
    assert dict(line.characters_removed) == removed
    assert out.drops[0].select(["id", "stage", "reason", "text"]).to_pylist() == [
        {"id": IDS[1], "stage": "repeats", "reason": "empty", "text": TEXTS[1]},
        {"id": IDS[4], "stage": "repeats", "reason": "empty", "text": TEXTS[4]},
    ]
    out.ledger.check()


def test_the_owner_keeps_a_line_as_often_as_it_has_it():
    texts = ["Home News Contact\nA bridge.\nHOME NEWS CONTACT", "home  news, contact\nA bridge.", "all rights are reserved"]
    array = pa.array(["home news contact", "all rights are reserved"])
    found = science.lines(array, words(array)).hashes
    order = np.argsort(found)
    owners = np.array([int.from_bytes(IDS[0][:8], "big"), int.from_bytes(IDS[1][:8], "big")], np.uint64)[order]
    known = [science.Repeated(found[order], owners)]
    out = repeats.cutting(repeats.RepeatedText(3, lines=known))(batch(texts))
    assert out.documents["text"].to_pylist() == [texts[0], "A bridge."]
    assert [row["id"] for row in out.drops[0].to_pylist()] == [IDS[2]]


def test_short_lines_stay_though_they_are_known():
    found = repeats.RepeatedText(4, lines=hashes("home news contact"))
    out = repeats.cutting(found)(batch())
    assert out.documents["text"].to_pylist() == TEXTS
    assert out.drops == ()
    assert out.ledger.lines["repeats"].documents_out == 5


def test_runs_are_counted_in_the_text_as_it_was_before_any_other_cut():
    text = "one two three\nfour five six seven\neight nine"
    found = repeats.RepeatedText(3, lines=hashes("one two three"), runs=runs((IDS[0], 4, 6), (IDS[0], 7, 8), (IDS[4], 0, 9)))
    out = repeats.cutting(found)(batch([text, "one two"]))
    assert out.documents["text"].to_pylist() == ["four seven\nnine", "one two"]
    removed = {"repeated_lines": len("one two three\n"), "repeated_substrings": len("five six eight ")}
    assert dict(out.ledger.lines["repeats"].characters_removed) == removed


def test_without_lines_only_documents_with_runs_are_looked_at():
    out = repeats.cutting(repeats.RepeatedText(3, runs=runs((IDS[2], 1, 3), (IDS[3], 0, 0), (IDS[1], 0, 3))))(batch())
    assert out.documents["text"].to_pylist() == [TEXTS[0], "no it", TEXTS[3], TEXTS[4]]
    assert [row["id"] for row in out.drops[0].to_pylist()] == [IDS[1]]
    assert dict(out.ledger.lines["repeats"].characters_removed) == {"repeated_substrings": len("word of ")}


def test_with_nothing_to_cut_the_texts_are_the_same_and_the_ledger_has_its_line():
    for found in (
        repeats.RepeatedText(3),
        repeats.RepeatedText(3, runs=schema.REPEATED_RUNS.empty_table()),
        repeats.RepeatedText(1, lines=[]),
    ):
        out = repeats.cutting(found)(batch())
        assert out.documents["text"].to_pylist() == TEXTS
        assert out.ledger.lines["repeats"].characters_out == sum(map(len, TEXTS))


def test_a_batch_without_documents_goes_through():
    found = repeats.RepeatedText(1, lines=hashes("a b c"), paragraphs=hashes("a b c"), runs=runs((IDS[0], 0, 3)))
    assert repeats.cutting(found)(batch([])).documents.num_rows == 0
