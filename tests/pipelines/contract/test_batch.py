import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.batch import Batch, as_drops, born, characters, documents_from, rewrite, sift, split
from pipelines.contract.ledger import ConservationError, Ledger
from pipelines.contract.reasons import Change, DropReason, SkipReason
from pipelines.contract.schema import DOCUMENTS, DROPS, document_id


def documents(*texts: str) -> pa.RecordBatch:
    ids = [document_id("s", str(i)) for i in range(len(texts))]
    constant = {"source": "s", "snapshot": "1", "origin": "o"}
    return documents_from({"id": ids, "work": ids, "text": list(texts)} | {k: [v] * len(texts) for k, v in constant.items()})


def test_sift_moves_rows_and_counts_documents_and_characters() -> None:
    batch = sift(born("read", documents("héllo", "xy", "z")), "quality", pa.array([None, "low_quality", None]))
    assert batch.documents["text"].to_pylist() == ["héllo", "z"]
    assert batch.drops[0].schema == DROPS
    assert [(d["text"], d["stage"], d["reason"]) for d in batch.drops[0].to_pylist()] == [("xy", "quality", "low_quality")]
    line = batch.ledger.lines["quality"]
    assert (line.documents_in, line.documents_out, dict(line.documents_dropped)) == (3, 2, {"low_quality": 1})
    assert (line.characters_in, line.characters_out, dict(line.characters_dropped)) == (8, 6, {"low_quality": 2})


def test_sift_refuses_a_reason_outside_the_closed_list_and_a_wrong_length() -> None:
    with pytest.raises(ValueError, match="because"):
        sift(born("read", documents("a")), "quality", pa.array(["because"]))
    with pytest.raises(ValueError, match="stage quality: 2 reasons for 1 documents"):
        sift(born("read", documents("a")), "quality", pa.array([None, None], pa.string()))


def test_sift_keeps_the_tables_beside_the_documents_in_step() -> None:
    batch = Batch(documents("a", "b"), Ledger(), tables={"signatures": pa.RecordBatch.from_pydict({"n": [1, 2]})})
    assert sift(batch, "language", pa.array(["language_unwanted", None])).tables["signatures"].to_pydict() == {"n": [2]}


def test_rewrite_counts_what_was_added_and_what_was_removed_row_by_row() -> None:
    batch = rewrite(born("read", documents("abc", "d")), "normalize", Change.CONTROL, pa.array(["a", "ddd"]))
    line = batch.ledger.lines["normalize"]
    assert (dict(line.characters_added), dict(line.characters_removed)) == ({"control": 2}, {"control": 2})
    assert (line.characters_in, line.characters_out) == (4, 4)


def test_a_second_step_of_a_stage_goes_on_with_its_line() -> None:
    batch = rewrite(born("read", documents("ab ", "")), "normalize", Change.WHITESPACE, pa.array(["ab", ""]))
    batch = sift(batch, "normalize", pa.array([None, "empty"]))
    line = batch.ledger.lines["normalize"]
    assert (line.documents_in, line.documents_out, line.characters_in, line.characters_out) == (2, 1, 3, 2)
    batch.ledger.check()


def test_split_counts_the_pieces() -> None:
    batch = born("read", documents("aabb", "c"))
    pieces = documents("aa", "bb", "c")
    after = split(batch, "split", pa.array([0, 0, 1]), pieces)
    line = after.ledger.lines["split"]
    assert (line.documents_in, line.documents_split, line.documents_out) == (2, 1, 3)
    with pytest.raises(ValueError, match="no piece"):
        split(batch, "split", pa.array([0, 0]), documents("aa", "bb"))
    with pytest.raises(ConservationError, match="characters"):
        split(batch, "split", pa.array([0, 1]), documents("aab", "c"))


def test_born_counts_drops_and_skips_of_the_reader() -> None:
    drops = as_drops(documents("", "ab"), "read", pa.array(["empty", "unreadable"]))
    batch = born("read", documents("abc"), Ledger(skipped={SkipReason.REDIRECT: 7}, bytes_read=9), drops)
    line = batch.ledger.lines["read"]
    assert (line.documents_in, line.documents_out, line.characters_in, line.characters_out) == (3, 1, 5, 3)
    assert batch.ledger.skipped == {"redirect": 7}
    assert batch.ledger.bytes_read == 9


def test_documents_from_fills_what_is_not_known_with_null_and_refuses_what_is_no_column() -> None:
    rows = documents("a")
    assert rows.schema == DOCUMENTS
    assert rows["language"].to_pylist() == [None]
    with pytest.raises(ValueError, match="txet"):
        documents_from({"txet": ["a"]})


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from([None, *DropReason]))))
def test_nothing_is_lost(rows: list[tuple[str, DropReason | None]]) -> None:
    texts, reasons = [text for text, _ in rows], [reason and reason.value for _, reason in rows]
    before = born("read", documents(*texts)) if texts else born("read", pa.RecordBatch.from_pylist([], schema=DOCUMENTS))
    after = sift(before, "quality", pa.array(reasons, pa.string()))
    after.ledger.check()
    assert characters(after.documents) + sum(map(characters, after.drops)) == sum(map(len, texts))
    assert after.documents.num_rows + sum(d.num_rows for d in after.drops) == len(texts)
