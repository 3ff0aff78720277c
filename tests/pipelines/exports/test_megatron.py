"""The files of Megatron's IndexedDataset, byte by byte and through its own reader where it is installed."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.exports.export import export


def test_layout(tokens: str, tmp_path: Path) -> None:
    export(tokens, None, "megatron", str(tmp_path / "out"))
    assert (tmp_path / "out/train/wiki.bin").read_bytes() == struct.pack("<5H", 10, 0, 11, 12, 0)
    expected = b"MMIDIDX\x00\x00" + struct.pack("<Q", 1) + struct.pack("<B", 8) + struct.pack("<Q", 2) + struct.pack("<Q", 3)
    expected += struct.pack("<2i", 2, 3) + struct.pack("<2q", 0, 4) + struct.pack("<3q", 0, 1, 2)
    assert (tmp_path / "out/train/wiki.idx").read_bytes() == expected


def test_places_go_on_over_batches_and_parts(tokens: str, tmp_path: Path) -> None:
    export(tokens, None, "megatron", str(tmp_path / "out"))
    index = (tmp_path / "out/train/books.idx").read_bytes()
    assert struct.unpack("<QQ", index[18:34]) == (6, 7)
    assert np.frombuffer(index, "<i4", 6, 34).tolist() == [4, 4, 1, 2, 3, 301]
    assert np.frombuffer(index, "<i8", 6, 58).tolist() == [0, 8, 16, 18, 22, 28]
    assert np.frombuffer(index, "<i8", 7, 106).tolist() == list(range(7))
    assert len(index) == 106 + 7 * 8
    assert (tmp_path / "out/train/books.bin").stat().st_size == 28 + 2 * 301


def test_large_vocabularies_are_int32(write_tokens: Callable[..., Path], tmp_path: Path) -> None:
    export(str(write_tokens(tmp_path / "tokens", size=70_000)), None, "megatron", str(tmp_path / "out"))
    assert (tmp_path / "out/train/wiki.bin").read_bytes() == struct.pack("<5i", 10, 0, 11, 12, 0)
    assert (tmp_path / "out/train/wiki.idx").read_bytes()[17] == 4


@pytest.mark.parametrize("size", [300, 70_000])
@pytest.mark.filterwarnings("ignore")  # of what megatron and torch import
def test_its_own_reader(
    write_tokens: Callable[..., Path], train_documents: list[tuple[str, str, list[int]]], tmp_path: Path, size: int
) -> None:
    indexed_dataset = pytest.importorskip("megatron.core.datasets.indexed_dataset", exc_type=ImportError)
    export(str(write_tokens(tmp_path / "tokens", size=size)), None, "megatron", str(tmp_path / "out"))
    for source in ("books", "wiki"):
        found = indexed_dataset.IndexedDataset(str(tmp_path / "out/train" / source))
        expected = [[*ids, 0] for of, _, ids in train_documents if of == source]
        assert [found[n].tolist() for n in range(len(found))] == expected
        assert found.document_indices.tolist() == list(range(len(expected) + 1))
        assert found.get(0, offset=1, length=1).tolist() == expected[0][1:2]
