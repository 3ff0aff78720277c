"""Rows: which tokens stand together in one training row. Fixed before anything is shuffled, kept as positions.

Concatenate-and-cut (GPT-2, Megatron): the documents of a source stand one after the other, each followed by one
end-of-text, and a row of `length + 1` tokens starts every `length` tokens, so that inputs and targets are the row
without its last and without its first token:

    documents  [5 6 7] [8 9]      end of text 0      length 3
    stream      5 6 7 0 8 9 0
    rows       [5 6 7 0] [0 8 9 0]

The index holds, for each row, where it starts; `gather` copies the tokens of the asked rows out of the memory maps.

Limits: the last, incomplete row of each source is left out (fewer than `length` tokens a source).
"""

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import manifest
from pipelines.contract.manifest import DatasetError
from training.data.shards import Run, ShardError, TokenDataset, open_runs

VERSION = 1  # of the cutting and of the index's layout
Packing = Literal["concatenate"]

ROW = np.dtype(
    [
        ("run", "<u4"),  # number of the run in which the row starts, over all sources
        ("document", "<u4"),  # number of the document in that run
        ("token", "<i8"),  # place of its first token in the run; at the document's end: the row starts with end-of-text
        ("length", "<u4"),  # tokens in the row
    ]
)


@dataclass(frozen=True, slots=True)
class Stream:
    """The rows of one source: `first .. first + rows` of the index."""

    source: str
    first: int
    rows: int
    tokens: int  # of the whole stream, ends of text included


@dataclass(frozen=True, slots=True)
class RowIndex:
    """All rows of one split, and the maps that they point into."""

    fingerprint: str
    length: int  # of inputs and targets; a row has one token more
    end_of_text: int
    vocabulary_size: int
    streams: tuple[Stream, ...]
    runs: tuple[Run, ...]
    rows: NDArray[Any]  # (rows,) of ROW, memory-mapped

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """The tokens of these rows: (N,) row numbers -> (N, length + 1) ids.

        Raises ShardError when an id is outside the vocabulary.
        """
        places = self.rows[numbers]
        out = np.empty((len(numbers), self.length + 1), dtype=self.runs[0].tokens.dtype)
        for row, place in zip(out, places, strict=True):
            self._fill(row, int(place["run"]), int(place["document"]), int(place["token"]))
        if out.size and int(out.max()) >= self.vocabulary_size:
            paths = sorted({self.runs[number].path for number in places["run"]})
            raise ShardError(f"{paths[0]}: has the id {out.max()}, but the vocabulary has {self.vocabulary_size:,} pieces")
        return out

    def _fill(self, row: NDArray[Any], number: int, document: int, token: int) -> None:
        filled = _copy(row, self.runs[number], document, token, self.end_of_text)
        while filled < len(row):
            number += 1
            run = self.runs[number]
            filled += _copy(row[filled:], run, 0, int(run.offsets[0]), self.end_of_text)


def _copy(row: NDArray[Any], run: Run, document: int, token: int, end_of_text: int) -> int:
    """Copy tokens from a place in a run into a row, ends of text between documents; returns how many there were."""
    left = int(run.offsets[-1]) - token + run.documents - document
    count = min(len(row), left)
    ends = run.offsets[document + 1 : document + 1 + count].astype(np.int64) - token
    ends += np.arange(len(ends))  # each end of text before shifts the ones after it
    ends = ends[ends < count]
    is_text = np.ones(count, dtype=np.bool_)
    is_text[ends] = False
    row[:count][is_text] = run.tokens[token : token + count - len(ends)]
    row[ends] = end_of_text
    return count


def open_rows(
    dataset: TokenDataset,
    split: str,
    folder: str | Path,
    *,
    length: int,
    seed: int,
    family: str = "gpt",
    packing: Packing = "concatenate",
    verify: bool = False,
) -> RowIndex:
    """The row index of a split: mapped from `folder/<fingerprint>` when it is there, else built once and put there.

    Raises DatasetError when the split is empty or too short for one row, ShardError for a broken shard.
    """
    sources = dataset.sources(split)
    if not sources:
        raise DatasetError(f"{dataset.uri}: the split {split!r} is empty; the dataset has {dataset.splits() or 'no documents'}")
    identity = {
        "version": VERSION,
        "tokens": dataset.fingerprint,
        "tokenizer": dataset.tokenizer.sha256,
        "split": split,
        "family": family,
        "packing": packing,
        "length": length,
        "seed": seed,
    }
    fingerprint = manifest.fingerprint(identity)
    by_source = [open_runs(dataset, split, source, verify=verify) for source in sources]
    target = Path(folder) / fingerprint[: manifest.FINGERPRINT_CHARACTERS]
    if not (target / "rows.npy").exists():
        _build(target, identity, sources, by_source, length)
    rows = np.load(target / "rows.npy", mmap_mode="r")
    streams = tuple(_streams(sources, by_source, length))
    if rows.dtype != ROW or len(rows) != sum(stream.rows for stream in streams):
        raise DatasetError(f"{target}: is no row index of {dataset.uri}; remove this folder, it is made again")
    if not len(rows):
        tokens = sum(stream.tokens for stream in streams)
        raise DatasetError(
            f"{dataset.uri}: the split {split!r} has {tokens:,} tokens, too few for one row of {length + 1}; lower model.length"
        )
    runs = tuple(run for runs in by_source for run in runs)
    return RowIndex(fingerprint, length, dataset.end_of_text(), dataset.tokenizer.size, streams, runs, rows)


def _streams(sources: Sequence[str], by_source: Sequence[Sequence[Run]], length: int) -> list[Stream]:
    streams: list[Stream] = []
    first = 0
    for source, runs in zip(sources, by_source, strict=True):
        tokens = sum(run.joined for run in runs)
        rows = max(tokens - 1, 0) // length
        streams.append(Stream(source, first, rows, tokens))
        first += rows
    return streams


def _build(
    target: Path, identity: dict[str, Any], sources: Sequence[str], by_source: Sequence[Sequence[Run]], length: int
) -> None:
    """Write rows.npy and what it was made from into a temporary folder, then give the folder its name."""
    streams = _streams(sources, by_source, length)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir(parents=True)
    try:
        _write_rows(temporary / "rows.npy", streams, by_source, length)
        (temporary / "index.json").write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
        try:
            temporary.rename(target)
        except OSError:
            if not (target / "rows.npy").exists():  # else another process was first, with the same rows
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_rows(path: Path, streams: Sequence[Stream], by_source: Sequence[Sequence[Run]], length: int) -> None:
    total = sum(stream.rows for stream in streams)
    if total == 0:
        np.save(path, np.empty(0, ROW))
        return
    out = np.lib.format.open_memmap(path, mode="w+", dtype=ROW, shape=(total,))
    number = 0  # of the run, over all sources
    for stream, runs in zip(streams, by_source, strict=True):
        base = 0  # tokens of the stream before this run
        for run in runs:
            _place(out[stream.first : stream.first + stream.rows], run, number, base, length)
            base += run.joined
            number += 1
    out.flush()
    with path.open("rb") as stream_of_bytes:
        os.fsync(stream_of_bytes.fileno())


def _place(rows: NDArray[Any], run: Run, number: int, base: int, length: int) -> None:
    """Fill in the rows of a stream that start in this run, whose first token is token `base` of the stream."""
    first = -(-base // length)
    last = min(-(-(base + run.joined) // length), len(rows))
    if first >= last:
        return
    offsets = run.offsets.astype(np.int64)
    begins = offsets[:-1] - offsets[0] + np.arange(run.documents)  # of each document, ends of text counted
    starts = np.arange(first, last, dtype=np.int64) * length - base
    documents = np.searchsorted(begins, starts, side="right") - 1
    rows["run"][first:last] = number
    rows["document"][first:last] = documents
    rows["token"][first:last] = offsets[documents] + starts - begins[documents]
    rows["length"][first:last] = length + 1
