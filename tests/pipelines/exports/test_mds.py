"""MosaicML's MDS shards: byte by byte, as its own writer makes them, and through its own reader where it is installed."""

import json
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.contract import manifest
from pipelines.contract.shards import ShardRun
from pipelines.exports import mds
from pipelines.exports.export import export
from pipelines.exports.streams import TokenStreams

Documents = list[tuple[str, str, list[int]]]

CONFIG = (
    b'{"column_encodings": ["str", "str", "str", "ndarray:uint16"], "column_names": ["id", "language", "source", "tokens"], '
    b'"column_sizes": [null, null, null, null], "compression": null, "format": "mds", "hashes": ["sha256"], '
    b'"size_limit": 67108864, "version": 2}'
)


def sample(document_id: bytes, language: str, source: str, ids: list[int], size: int = 2) -> bytes:
    """A sample by the definition, for documents of under 256 ids, or of more."""
    width = "B" if len(ids) < 256 else "H"
    array = struct.pack(f"<B{width}", 4 | "BH".index(width), len(ids)) + struct.pack(
        f"<{len(ids)}{'H' if size == 2 else 'I'}", *ids
    )
    columns = [document_id.hex().encode(), language.encode(), source.encode(), array]
    return struct.pack("<4I", *map(len, columns)) + b"".join(columns)


@pytest.mark.parametrize(("count", "head"), [
    (255, bytes([4, 255])),  # one dimension of 1 byte
    (256, bytes([5, 0, 1])),  # of 2 bytes
    (65_535, bytes([5, 255, 255])),
    (65_536, bytes([6, 0, 0, 1, 0])),  # of 4 bytes
])  # fmt: skip
def test_the_shape_takes_as_few_bytes_as_possible(count: int, head: bytes) -> None:
    ids = np.arange(count, dtype=np.uint16)
    run = ShardRun("", ids, np.array([0, count], np.int32), ids=np.zeros((1, 16), np.uint8), source="w", language="en")
    data, sizes = mds.encoded(run)
    array = head + ids.astype("<u2").tobytes()
    assert data.tobytes() == struct.pack("<4I", 32, 2, 1, len(array)) + b"0" * 32 + b"en" + b"w" + array
    assert sizes.tolist() == [len(data)]


def test_layout(tokens: str, train_documents: Documents, train_ids: list[bytes], tmp_path: Path) -> None:
    export(tokens, None, "mds", str(tmp_path / "out"))
    documents = zip(train_ids, train_documents, strict=True)
    samples = [sample(i, language, source, ids) for i, (source, language, ids) in documents if source == "wiki"]
    begin = 4 + 3 * 4 + len(CONFIG)
    places = [begin, begin + len(samples[0]), begin + len(samples[0]) + len(samples[1])]
    expected = struct.pack("<I", 2) + struct.pack("<3I", *places) + CONFIG + b"".join(samples)
    assert (tmp_path / "out/train/wiki/shard.00000.mds").read_bytes() == expected
    index = json.loads((tmp_path / "out/train/wiki/index.json").read_text())
    assert index["version"] == 2
    (shard,) = index["shards"]
    assert (shard["samples"], shard["raw_data"]["basename"], shard["raw_data"]["bytes"], shard["zip_data"]) == (
        2, "shard.00000.mds", len(expected), None)  # fmt: skip
    merged = json.loads((tmp_path / "out/train/index.json").read_text())["shards"]
    assert [found["raw_data"]["basename"] for found in merged] == ["books/shard.00000.mds", "wiki/shard.00000.mds"]


def read(folder: Path) -> list[bytes]:
    """The samples of a folder by the definition."""
    found: list[bytes] = []
    for shard in json.loads((folder / "index.json").read_text())["shards"]:
        data = (folder / shard["raw_data"]["basename"]).read_bytes()
        places = np.frombuffer(data, "<u4", int(np.frombuffer(data, "<u4", 1)[0]) + 1, 4)
        assert places[-1] == len(data) == shard["raw_data"]["bytes"]
        assert len(places) - 1 == shard["samples"]
        found += [data[a:b] for a, b in pairwise(places)]
    return found


@pytest.mark.parametrize(("limit", "shards"), [(1, 8), (540, 4), (2000, 2)])
def test_shards_are_cut_by_size(
    tokens: str, train_documents: Documents, train_ids: list[bytes], tmp_path: Path, limit: int, shards: int
) -> None:
    """A document that is larger than the limit is a shard of its own; the order stays."""
    mds.write(TokenStreams(tokens, manifest.read(tokens)), ["train"], str(tmp_path), limit)
    expected = [sample(i, language, source, ids) for i, (source, language, ids) in zip(train_ids, train_documents, strict=True)]
    assert read(tmp_path / "train") == expected
    found = json.loads((tmp_path / "train/index.json").read_text())["shards"]
    assert len(found) == shards
    assert all(shard["raw_data"]["bytes"] <= limit or shard["samples"] == 1 for shard in found)


def _written_by_streaming(streaming: Any, out: Path, documents: Documents, ids: list[bytes], dtype: Any, limit: int) -> None:
    columns = {"tokens": f"ndarray:{np.dtype(dtype).name}", "id": "str", "source": "str", "language": "str"}
    with streaming.MDSWriter(columns=columns, out=str(out), size_limit=limit, hashes=["sha256"]) as writer:
        for i, (source, language, tokens) in zip(ids, documents, strict=True):
            writer.write({"tokens": np.array(tokens, dtype), "id": i.hex(), "source": source, "language": language})


@pytest.mark.parametrize(("size", "dtype", "limit"), [(300, np.uint16, 2**26), (300, np.uint16, 1100), (70_000, np.uint32, 2000)])
@pytest.mark.filterwarnings("ignore")  # of what streaming and torch import
def test_its_own_reader_and_writer(
    write_tokens: Callable[..., Path], train_documents: Documents, train_ids: list[bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, size: int, dtype: Any, limit: int,
) -> None:  # fmt: skip
    streaming = pytest.importorskip("streaming")
    folder = str(write_tokens(tmp_path / "tokens", size=size))
    mds.write(TokenStreams(folder, manifest.read(folder)), ["train"], str(tmp_path / "out"), limit)
    found = streaming.LocalDataset(local=str(tmp_path / "out"), split="train")
    assert [
        (row["source"], row["language"], row["tokens"].tolist()) for row in map(found.__getitem__, range(8))
    ] == train_documents
    assert [found[n]["id"] for n in range(8)] == [i.hex() for i in train_ids]
    # Its writer takes no empty array, so compare the bytes of the source that has none.
    chosen = [(i, document) for i, document in zip(train_ids, train_documents, strict=True) if document[0] == "wiki"]
    _written_by_streaming(streaming, tmp_path / "theirs", [d for _, d in chosen], [i for i, _ in chosen], dtype, limit)
    for path in (tmp_path / "theirs").iterdir():
        assert path.read_bytes() == (tmp_path / "out/train/wiki" / path.name).read_bytes()
