"""MosaicML Streaming: MDS shards, a stream for each split and source (streaming/base/format/mds, version 2).

    train/enwiki/shard.00000.mds, …       samples: id (32 hex digits), language, source, tokens
    train/enwiki/index.json               of one source: Stream(local=OUT, split="train/enwiki", proportion=…)
    train/index.json                      of all sources: StreamingDataset(local=OUT, split="train")

A shard, little-endian: uint32 S, the number of samples; S + 1 uint32 offsets of samples in the file; the writer's settings
in JSON; the samples. A sample: uint32 sizes of its 4 columns; the columns, by name. The column tokens (ndarray:uint16) is a
byte (dimensions << 2 | log2 of the bytes of the shape), the shape in 1 byte below 256 ids, 2 below 65,536, else 4; the ids.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import files, shards
from pipelines.contract.shards import ShardRun
from pipelines.exports.huggingface import hexadecimal
from pipelines.exports.streams import TokenStreams, lengths, texts

BYTES_PER_SHARD = 2**26  # the default of streaming's MDSWriter (1 << 26)
_COLUMNS = ("id", "language", "source", "tokens")
_INDEX = "index.json"
_VERSION = 2


def write(streams: TokenStreams, splits: Sequence[str], out: str, bytes_per_shard: int = BYTES_PER_SHARD) -> None:
    """Write the streams of all splits and sources.

    A shard has at most `bytes_per_shard` bytes (below 2^32, as offsets are uint32), or holds a single document.
    """
    assert 0 < bytes_per_shard < 2**32
    for split in splits:
        all_entries: list[dict[str, Any]] = []
        for source in shards.sources(streams.manifest, split):
            writer = _Writer(files.join(out, split, source), _config(streams, bytes_per_shard))
            for run in streams.runs(split, source):
                writer.write(run)
            entries = writer.finish()
            _write_index(files.join(out, split, source), entries)
            all_entries += [{**shard, "raw_data": _below(source, shard["raw_data"])} for shard in entries]
        _write_index(files.join(out, split), all_entries)


def _config(streams: TokenStreams, bytes_per_shard: int) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "format": "mds",
        "compression": None,
        "hashes": ["sha256"],
        "size_limit": bytes_per_shard,
        "column_names": list(_COLUMNS),
        "column_encodings": ["str", "str", "str", f"ndarray:{streams.dtype.name}"],
        "column_sizes": [None] * len(_COLUMNS),
    }


def _below(source: str, raw_data: dict[str, Any]) -> dict[str, Any]:
    """Name a shard from the folder above, as streaming's merge_index does."""
    return {**raw_data, "basename": f"{source}/{raw_data['basename']}"}


def _write_index(folder: str, entries: Sequence[dict[str, Any]]) -> None:
    files.write_text(files.join(folder, _INDEX), json.dumps({"version": _VERSION, "shards": list(entries)}, sort_keys=True))


@dataclass(slots=True)
class _Writer:
    """Collects the samples of a shard, because their offsets come first in the file, and writes it when it is full."""

    folder: str
    config: dict[str, Any]
    entries: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    samples: list[NDArray[np.uint8]] = field(default_factory=list[NDArray[np.uint8]])  # of the open shard
    sizes: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])

    def write(self, run: ShardRun) -> None:
        """Add the documents of a run. The loop is over shards, not documents."""
        data, sizes = encoded(run)
        ends = np.concatenate([[0], np.cumsum(sizes)])
        first = 0
        while first < len(sizes):
            stored = ends[first:] - ends[first] + 4 * np.arange(len(sizes) + 1 - first)  # with their offsets
            count = max(int(np.searchsorted(stored, self._room(), side="right")) - 1, 0)
            if count == 0 and not self.sizes:
                count = 1  # a document that is larger than a shard
            if count:
                self.samples.append(data[ends[first] : ends[first + count]])
                self.sizes.append(sizes[first : first + count])
                first += count
            if first < len(sizes):
                self._flush()

    def finish(self) -> list[dict[str, Any]]:
        """Write the last shard; return the entries of index.json."""
        if self.sizes:
            self._flush()
        return self.entries

    def _header(self) -> bytes:
        return json.dumps(self.config, sort_keys=True).encode()

    def _room(self) -> int:
        """Return the bytes left in the open shard."""
        taken = 8 + len(self._header()) + sum(int(sizes.sum()) + 4 * len(sizes) for sizes in self.sizes)
        return int(self.config["size_limit"]) - taken

    def _flush(self) -> None:
        header, sizes = self._header(), np.concatenate(self.sizes)
        offsets = np.concatenate([[0], np.cumsum(sizes)]) + 4 * (len(sizes) + 2) + len(header)
        name = f"shard.{len(self.entries):05}.mds"
        with files.writing(files.join(self.folder, name)) as stream:
            stream.write(np.uint32(len(sizes)).astype("<u4").tobytes() + offsets.astype("<u4").tobytes() + header)
            for samples in self.samples:
                stream.write(samples.tobytes())
        raw_data = {"basename": name, "bytes": stream.bytes_written, "hashes": {"sha256": stream.sha256}}
        self.entries.append({**self.config, "samples": len(sizes), "raw_data": raw_data, "zip_data": None})
        self.samples, self.sizes = [], []


def encoded(run: ShardRun) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the documents of a run as samples: their bytes, concatenated, and the size of each."""
    tokens = lengths(run)
    heads, is_head = _heads(run, tokens)
    head_sizes, text_sizes = is_head.sum(axis=1), tokens * run.tokens.itemsize
    sizes = head_sizes + text_sizes
    out = np.empty(int(sizes.sum()), np.uint8)
    edges = np.zeros(len(out) + 1, np.int8)  # +1 where a head begins, -1 after its end
    begins = np.cumsum(sizes) - sizes
    edges[begins] += 1
    edges[begins + head_sizes] -= 1
    in_head = np.cumsum(edges[:-1], dtype=np.int8).astype(np.bool_)
    out[in_head] = heads[is_head]
    out[~in_head] = np.ascontiguousarray(texts(run)).view(np.uint8)
    return out, sizes


def _heads(run: ShardRun, tokens: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return all bytes of each sample before its ids, (documents, widest head), and a mask of those that exist."""
    language, source = (np.frombuffer(text.encode(), np.uint8) for text in (run.language, run.source))
    shape_bytes = np.where(tokens < 2**8, 1, np.where(tokens < 2**16, 2, 4))  # at most 2^31 tokens in a batch
    sizes = np.empty((len(tokens), 4), "<u4")
    sizes[:, :3] = 32, len(language), len(source)
    sizes[:, 3] = 1 + shape_bytes + tokens * run.tokens.itemsize
    constant = np.tile(np.concatenate([language, source]), (len(tokens), 1))
    shape_code = (1 << 2 | shape_bytes >> 1).astype(np.uint8)  # one dimension; 0, 1, 2: log2 of the bytes
    shape = tokens.astype("<u4").view(np.uint8).reshape(-1, 4)
    heads = np.concatenate([sizes.view(np.uint8), hexadecimal(run.ids), constant, shape_code[:, None], shape], axis=1)
    is_head = np.ones(heads.shape, np.bool_)
    is_head[:, -4:] = np.arange(4) < shape_bytes[:, None]
    return heads, is_head
