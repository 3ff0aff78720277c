import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipelines.contract.manifest import DatasetError
from pipelines.contract.shards import Run
from training.data.row_batch import RowBatch
from training.data.rows import Layout, RowIndex, open_rows
from training.data.shards import TokenDataset, open_dataset, open_runs

END = 0


def joined(runs: Sequence[Run], end: int | None) -> list[int]:
    """The definition: every document, then one separator."""
    after = [] if end is None else [end]
    return [
        int(t) for run in runs for d in range(run.documents) for t in [*run.tokens[run.offsets[d] : run.offsets[d + 1]], *after]
    ]


def cut(stream: list[int], tokens: int, overlap: int) -> list[list[int]]:
    """The definition: a row every `tokens - overlap` tokens, as long as it holds more than the overlap."""
    return [stream[at : at + tokens] for at in range(0, len(stream), tokens - overlap) if at + overlap < len(stream)]


def as_lists(batch: RowBatch) -> list[list[int]]:
    return [batch.ids[first:last].tolist() for first, last in zip(batch.rows[:-1], batch.rows[1:], strict=True)]


def _layout(dataset: TokenDataset, tokens: int = 17) -> Layout:
    return Layout("concatenate", tokens=tokens, overlap=1, separator=dataset.end_of_text())


def _open(dataset: TokenDataset, folder: Path, tokens: int = 17, seed: int = 1) -> RowIndex:
    return open_rows(dataset, "train", folder, _layout(dataset, tokens), seed=seed)


@pytest.mark.parametrize(("tokens", "overlap", "separated"), [(33, 1, True), (32, 0, True), (50, 7, False), (7, 0, False)])
def test_a_dataset_is_cut_source_by_source(
    dataset_folder: Path, tmp_path: Path, tokens: int, overlap: int, separated: bool
) -> None:
    dataset = open_dataset(str(dataset_folder))
    layout = Layout("concatenate", tokens, overlap, dataset.end_of_text() if separated else None)
    index = open_rows(dataset, "train", tmp_path, layout, seed=1)
    expected = []
    for stream in index.streams:
        source = cut(joined(open_runs(dataset, "train", stream.source), layout.separator), tokens, overlap)
        assert (stream.first, stream.rows) == (len(expected), len(source))
        expected += source
    assert [stream.source for stream in index.streams] == ["books", "wiki"]
    order = np.random.default_rng(1).permutation(len(expected))
    assert as_lists(index.gather(order)) == [expected[n] for n in order]
    total = index.figures()[-1]
    assert total.rows == len(index) == len(expected) and total.tokens_in_rows == sum(map(len, expected))
    assert total.tokens_in_rows - overlap * (total.rows - 2) == total.tokens  # nothing is lost
    assert {path.name for path in tmp_path.rglob("*.npy")} == {"runs.npy"}  # concatenated rows are not stored


def test_an_index_is_built_once_for_what_it_is_made_of(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    first = _open(dataset, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert _open(dataset, tmp_path).fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == written
    others = {_open(dataset, tmp_path, tokens=9).fingerprint, _open(dataset, tmp_path, seed=2).fingerprint, first.fingerprint}
    assert len(others) == 3
    assert len(list(tmp_path.iterdir())) == 3  # nothing temporary is left


def test_an_index_travels_to_another_process(dataset_folder: Path, tmp_path: Path) -> None:
    index = _open(open_dataset(str(dataset_folder)), tmp_path)
    numbers = np.array([5, 0, 7])
    assert pickle.loads(pickle.dumps(index)).gather(numbers).ids.tolist() == index.gather(numbers).ids.tolist()


def test_a_row_outside_is_refused(dataset_folder: Path, tmp_path: Path) -> None:
    index = _open(open_dataset(str(dataset_folder)), tmp_path)
    for number in (-1, len(index)):
        with pytest.raises(IndexError, match="were asked of an index of"):
            index.gather(np.array([number]))
    empty = index.gather(np.empty(0, np.int64))
    assert len(empty) == 0 and empty.ids.dtype == np.int32


def test_an_empty_split_says_so(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    with pytest.raises(DatasetError, match=r"the split 'test' is empty; the dataset has \['train', 'validation'\]"):
        open_rows(dataset, "test", tmp_path, _layout(dataset), seed=1)


def test_a_source_without_a_row_is_left_out(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    documents = {("train", "big", "en"): [["the old house stood near the river " * 40]], ("train", "tiny", "en"): [[""]]}
    dataset = open_dataset(str(make_dataset(tmp_path / "tokens", documents, vocabulary=280)))
    index = _open(dataset, tmp_path / "rows")
    assert [(stream.source, stream.rows) for stream in index.streams][1] == ("tiny", 0)
    assert index.figures()[1].cropped == 1  # its separator stands in no row
    alone = make_dataset(tmp_path / "alone", {("train", "tiny", "en"): [["", ""]], **_unseen()}, vocabulary=280)
    with pytest.raises(DatasetError, match=r"the split 'train' has 2 tokens, too few for one row"):
        open_rows(open_dataset(str(alone)), "train", tmp_path / "rows", Layout("document", 17, 1, END), seed=1)


def _unseen() -> dict[tuple[str, str, str], list[list[str]]]:
    return {("other", "big", "en"): [["the old house stood near the river " * 40]]}
