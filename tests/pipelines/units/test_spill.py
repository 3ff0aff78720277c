"""Spilled columns: what is written by key is read back; rows of many batches are one array."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.contract import files
from pipelines.units import spill
from pipelines.units.spill import Rows


def batch(first: int, rows: int) -> pa.RecordBatch:
    numbers = np.arange(first, first + rows, dtype=np.uint32)
    pairs = pa.FixedSizeListArray.from_arrays(pa.array(np.repeat(numbers, 2)), 2)
    words = pa.array([[int(n)] * (int(n) % 4) for n in numbers], pa.list_(pa.uint32()))
    return pa.RecordBatch.from_arrays([pa.array(numbers), pairs, words], names=["number", "pair", "words"])


def test_rows_by_key(tmp_path):
    keys, values = np.array([7, 2, 7, 2, 5]), np.array([1, 2, 3, 4, 5], np.uint64)
    written = spill.write_by_key(str(tmp_path / "asked"), "00003", keys, value=values)
    assert [key for key, _ in written] == [2, 5, 7]
    assert {key: spill.read_columns(uri)["value"].tolist() for key, uri in written} == {2: [2, 4], 5: [5], 7: [1, 3]}
    assert written[0][1] == spill.keyed(str(tmp_path / "asked"), 2, "00003")
    assert spill.number_of(written[0][1]) == 3
    assert spill.read_all([uri for _, uri in written], value=np.uint64)["value"].tolist() == [2, 4, 5, 1, 3]
    assert spill.write_by_key(str(tmp_path), "none", keys[:0], value=values[:0]) == []


@pytest.mark.parametrize("sizes", [[40], [10, 0, 20, 10]])
def test_rows_of_batches_are_one_array(sizes):
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    rows = Rows([batch(int(first), size) for first, size in zip(starts, sizes, strict=True)])
    numbers = np.random.default_rng(0).integers(0, 40, 100)
    assert len(rows) == 40
    assert rows.take(numbers).to_pydict() == batch(0, 40).take(pa.array(numbers)).to_pydict()
    assert rows.take(numbers[:0]).num_rows == 0


def test_chunks_take_no_more_than_the_limit():
    rows = Rows([batch(0, 40)])  # 12 bytes a row, and 4 for each word
    numbers = np.random.default_rng(0).integers(0, 40, 100)
    chunks = list(rows.chunks(numbers, 100))
    assert np.concatenate([numbers[chunk] for chunk in chunks]).tolist() == numbers.tolist()
    sizes = [int((12 + numbers[chunk] % 4 * 4).sum()) for chunk in chunks]
    assert max(sizes) <= 100
    assert min(sizes[:-1]) > 100 - 24
    assert len(list(rows.chunks(numbers, 1))) == 100


def test_a_file_is_whole_or_not_there(tmp_path):
    def breaks_off():
        yield batch(0, 3)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        spill.write_batches(str(tmp_path / "a.arrow"), batch(0, 1).schema, breaks_off())
    assert list(tmp_path.iterdir()) == []


def test_notes(tmp_path):
    for number in (2, 1):
        spill.write_note(files.join(str(tmp_path), f"{number:05}.json"), number=number)
    assert [note["number"] for note in spill.read_notes(str(tmp_path))] == [1, 2]
    assert spill.total(spill.read_notes(str(tmp_path)), "number") == 3
    assert spill.read_notes(str(Path(tmp_path) / "none")) == []
