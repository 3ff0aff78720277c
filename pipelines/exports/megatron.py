r"""Megatron-LM: for each split and source a .bin of ids and an .idx of offsets (its core/datasets/indexed_dataset.py).

    train/enwiki.bin     ids of all documents, an end of text after each (preprocess_data.py --append-eod)
    train/enwiki.idx     little-endian:
        9 bytes   "MMIDIDX\0\0"
        uint64    version, 1
        uint8     code of the ids' type: 8 uint16, 4 int32
        uint64    sequences, S: one per document
        uint64    document indices, S + 1
        int32     S lengths in tokens, including the end of text
        int64     S byte offsets in the .bin
        int64     S + 1 document indices: 0 .. S

Use: `--data-path 0.7 OUT/train/enwiki 0.3 OUT/train/books`, one prefix per source, so that Megatron mixes them.
"""

import struct
from collections.abc import Sequence

import numpy as np

from pipelines.contract import files, shards
from pipelines.contract.files import HashingWriter
from pipelines.exports.streams import TokenStreams, joined, lengths

_HEADER = b"MMIDIDX\x00\x00"
_VERSION = 1
_CODES = {"uint16": 8, "int32": 4}  # of DType in indexed_dataset.py
_NUMBERS_PER_WRITE = 2**20


def write(streams: TokenStreams, splits: Sequence[str], out: str) -> None:
    """Write a .bin and an .idx for each split and source. Raise ExportError if the vocabulary has no end of text."""
    end_of_text = streams.end_of_text("megatron")
    for split in splits:
        for source in shards.sources(streams.manifest, split):
            prefix = files.join(out, split, source)
            _write_ids(streams, split, source, f"{prefix}.bin", end_of_text)
            _write_index(streams, split, source, f"{prefix}.idx")


def _stored(streams: TokenStreams) -> np.dtype[np.generic]:
    return np.dtype("<u2") if streams.dtype == np.uint16 else np.dtype("<i4")  # Megatron has no uint32


def _write_ids(streams: TokenStreams, split: str, source: str, path: str, end_of_text: int) -> None:
    with files.writing(path) as stream:
        for run in streams.runs(split, source):
            stream.write(joined(run, end_of_text).view(_stored(streams)).tobytes())


def _write_index(streams: TokenStreams, split: str, source: str, path: str) -> None:
    """Write each array of the index in its own pass over the offsets, so that none is ever whole in memory."""
    parts = shards.stream(streams.manifest, split, source)
    documents = sum(part.rows for part in parts)
    with files.writing(path) as stream:
        stream.write(_HEADER + struct.pack("<QBQQ", _VERSION, _CODES[_stored(streams).name], documents, documents + 1))
        for run in streams.runs(split, source, verify=False):
            stream.write((lengths(run) + 1).astype("<i4").tobytes())
        offset = 0
        for run in streams.runs(split, source, verify=False):
            ends = offset + np.cumsum((lengths(run) + 1) * _stored(streams).itemsize)
            stream.write(np.concatenate([[offset], ends[:-1]]).astype("<i8").tobytes())
            offset = int(ends[-1])
        _write_count(stream, documents + 1)


def _write_count(stream: HashingWriter, end: int) -> None:
    """Write 0, 1, … end - 1."""
    for first in range(0, end, _NUMBERS_PER_WRITE):
        stream.write(np.arange(first, min(first + _NUMBERS_PER_WRITE, end), dtype="<i8").tobytes())
