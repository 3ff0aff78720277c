from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.contract.manifest import DatasetError
from training.data import rows as rows_module
from training.data.rows import ROW, RowIndex, Stream, open_rows
from training.data.shards import Run, ShardError, TokenDataset, open_dataset, open_runs

END = 0


def joined(runs: list[Run], end: int) -> list[int]:
    """The definition: every document, then one end-of-text."""
    return [int(t) for run in runs for d in range(run.documents) for t in [*run.tokens[run.offsets[d] : run.offsets[d + 1]], end]]


def cut(stream: list[int], length: int) -> list[list[int]]:
    """The definition: a row of length + 1 tokens every `length` tokens."""
    return [stream[at : at + length + 1] for at in range(0, len(stream), length) if at + length + 1 <= len(stream)]


def index_of(batches: list[list[int]], length: int, folder: Path) -> tuple[RowIndex, list[Run]]:
    """An index over record batches of documents of these lengths; tokens count up from 1."""
    runs, token = [], 1
    for lengths in batches:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32) + 2  # a batch need not begin at 0
        tokens = np.arange(token - 2, token + sum(lengths), dtype=np.int64).clip(0).astype(np.uint16)
        runs.append(Run("memory", tokens, offsets))
        token += sum(lengths)
    total = sum(run.joined for run in runs)
    stream = Stream("only", 0, max(total - 1, 0) // length, total)
    rows_module._write_rows(folder / "rows.npy", [stream], [runs], length)
    placed = np.load(folder / "rows.npy", mmap_mode="r")
    return RowIndex("f", length, END, 60_000, (stream,), tuple(runs), placed), runs


def test_the_example_of_the_docstring(tmp_path: Path) -> None:
    runs = [Run("memory", np.array([5, 6, 7, 8, 9], np.uint16), np.array([0, 3, 5], np.int32))]
    stream = Stream("only", 0, 2, 7)
    rows_module._write_rows(tmp_path / "rows.npy", [stream], [runs], 3)
    placed = np.load(tmp_path / "rows.npy")
    assert placed.tolist() == [(0, 0, 0, 4), (0, 0, 3, 4)]  # the second row starts with the end of document 0
    index = RowIndex("f", 3, 0, 10, (stream,), tuple(runs), placed)
    assert index.gather(np.array([0, 1])).tolist() == [[5, 6, 7, 0], [0, 8, 9, 0]]


@given(
    st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=6), min_size=1, max_size=5),
    st.integers(1, 15),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_the_stream_cut(tmp_path: Path, batches: list[list[int]], length: int) -> None:
    index, runs = index_of(batches, length, tmp_path)
    expected = cut(joined(runs, END), length)
    assert len(index) == len(expected)
    if expected:
        order = np.random.default_rng(1).permutation(len(expected))
        assert index.gather(order).tolist() == [expected[n] for n in order]


def test_a_real_dataset_is_cut_source_by_source(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    index = open_rows(dataset, "train", tmp_path, length=32, seed=1)
    expected = []
    for stream in index.streams:
        source = cut(joined(open_runs(dataset, "train", stream.source), dataset.end_of_text()), 32)
        assert (stream.first, stream.rows) == (len(expected), len(source))
        expected += source
    assert [stream.source for stream in index.streams] == ["books", "wiki"]
    assert index.gather(np.arange(len(index))).tolist() == expected
    assert index.rows.dtype == ROW and isinstance(index.rows, np.memmap)


def _open(dataset: TokenDataset, folder: Path, length: int = 16, seed: int = 1) -> RowIndex:
    return open_rows(dataset, "train", folder, length=length, seed=seed)


def test_an_index_is_built_once_for_what_it_is_made_of(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    first = _open(dataset, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert _open(dataset, tmp_path).fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == written
    others = {_open(dataset, tmp_path, length=8).fingerprint, _open(dataset, tmp_path, seed=2).fingerprint, first.fingerprint}
    assert len(others) == 3
    assert len(list(tmp_path.iterdir())) == 3  # nothing temporary is left


def test_a_crash_while_building_leaves_no_index(dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    dataset = open_dataset(str(dataset_folder))
    with monkeypatch.context() as patched:
        patched.setattr(rows_module, "_place", crash)
        with pytest.raises(KeyboardInterrupt):
            _open(dataset, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(_open(dataset, tmp_path)) > 0


def test_an_index_of_another_size_is_refused(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    _open(dataset, tmp_path)
    path = next(tmp_path.rglob("rows.npy"))
    np.save(path, np.load(path)[:-1])
    with pytest.raises(DatasetError, match=r"is no row index of .* remove this folder"):
        _open(dataset, tmp_path)


def test_an_empty_split_and_a_short_one_say_so(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    with pytest.raises(DatasetError, match=r"the split 'test' is empty; the dataset has \['train', 'validation'\]"):
        open_rows(dataset, "test", tmp_path, length=16, seed=1)
    with pytest.raises(DatasetError, match=r"has [\d,]+ tokens, too few for one row of 1000001; lower model\.length"):
        _open(dataset, tmp_path, length=1_000_000)


def test_a_source_too_small_for_a_row_is_left_out(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    documents = {("train", "big", "en"): [["the old house stood near the river " * 40]], ("train", "tiny", "en"): [["the"]]}
    index = _open(open_dataset(str(make_dataset(tmp_path / "tokens", documents, vocabulary=280))), tmp_path / "rows")
    assert [(stream.source, stream.rows) for stream in index.streams][1] == ("tiny", 0)
    assert index.gather(np.arange(len(index))).shape == (len(index), 17)


def test_an_id_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    index, _ = index_of([[30]], 4, tmp_path)
    small = RowIndex("f", 4, END, 10, index.streams, index.runs, index.rows)
    with pytest.raises(ShardError, match="memory: has the id 29, but the vocabulary has 10 pieces"):
        small.gather(np.arange(len(index)))
