"""Rows: which tokens form one training row. They are fixed before anything is shuffled, and stored as positions.

    layout = Layout("concatenate", tokens=4, overlap=1, separator=0)
    index = open_rows(dataset, "train", "run/rows", layout, seed=1)
    index.gather(np.array([0, 1])).ids          # the tokens of two rows, copied from the maps
    index.places(np.array([0, 1]))              # the documents they come from

Packings (what each does with documents [5 6 7] and [8 9], rows of 4, separator 0):

    concatenate  the documents of a source one after the other, cut every `tokens - overlap` tokens (GPT-2, Megatron)
                 [5 6 7 0] [8 9 0], with an overlap of 1 [5 6 7 0] [0 8 9 0]
    best_fit     whole documents in the rows they fill best; only those longer than a row are cut
    document     one document per row, [5 6 7 0] [8 9 0]
    sentences    whole sentences of one document per row (BART)
    pairs        two pieces per row, of one document or of two (BERT's next sentence prediction)

Concatenated rows are computed from one count per run and need no storage; for the other packings the index holds a span
(document, first token, tokens) for each piece. The last row of a source may be shorter; a row of at most `overlap` tokens
is left out, because all its tokens are in the row before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import manifest
from pipelines.contract.manifest import DatasetError
from pipelines.contract.shards import ShardError, ShardRun
from training.data import gather
from training.data.gather import Spans
from training.data.maps import Maps, PartOfStream, open_maps, parts_of, run_table
from training.data.rows.batch import RowBatch
from training.data.rows.best_fit import best_fit_rows
from training.data.rows.files import DTYPES, Appender, creating, damaged, read_array, read_json, verify_arrays, write_json
from training.data.rows.layout import Figures, Layout, Place, Stream
from training.data.rows.packing import Chunk, document_rows
from training.data.rows.pairs import pair_rows
from training.data.rows.windows import sentence_rows
from training.data.shards import TokenDataset

__all__ = ["Figures", "Layout", "Place", "RowIndex", "Stream", "open_rows"]

VERSION = 2  # of the packings and the index's files

Numbers = NDArray[np.int64]
Verify = Literal["once", "always", "never"]


@dataclass(frozen=True, eq=False)
class RowIndex:
    """All rows of one split, and the maps they point into."""

    fingerprint: str
    layout: Layout
    vocabulary_size: int
    streams: tuple[Stream, ...]
    folder: Path
    maps: Maps
    _figures: tuple[Figures, ...]
    _stored: dict[str, NDArray[Any]]  # rows, spans, random_next; empty for concatenate
    _opened_with: tuple[Any, ...]

    def __len__(self) -> int:
        return self.streams[-1].first + self.streams[-1].rows

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle how to open the index: another process maps it itself."""
        return _reopen, self._opened_with

    def gather(self, numbers: Numbers) -> RowBatch:
        """Return the tokens of these rows: (N,) row numbers -> a RowBatch of N rows, in the order given.

        Raises ShardError if an id is outside the vocabulary, DatasetError if the index is damaged.
        """
        spans = self._spans(numbers)
        ids, highest, wrong = gather.copy_spans(self.maps, spans, self.layout.separator)
        if wrong >= 0:
            raise damaged(self.folder, f"a span of its rows lies outside a document of {self.maps.path(int(spans.runs[wrong]))}")
        if highest >= self.vocabulary_size:
            raise self._foreign_id(spans)
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(spans.tokens)])
        return RowBatch(
            ids,
            bounds[spans.row_spans],
            bounds,
            spans.row_spans,
            gather.sentence_places(self.maps, spans) if self.layout.sentences else np.empty(0, np.int64),
            self._stored["random_next"][numbers] if "random_next" in self._stored else None,
        )

    def places(self, numbers: Numbers) -> list[list[Place]]:
        """Return where the spans of each of these rows come from, in the order of RowBatch.spans."""
        spans = self._spans(numbers)
        places = [self._place(spans, number) for number in range(len(spans.runs))]
        bounds = spans.row_spans.tolist()
        return [places[first:last] for first, last in pairwise(bounds)]

    def figures(self) -> tuple[Figures, ...]:
        """Return what became of the tokens of each source, in the order of `streams`, and last of all sources together."""
        sums = {name: sum(getattr(figures, name) for figures in self._figures) for name in _SUMMED}
        return (*self._figures, Figures(None, **sums))

    def runs(self) -> Iterator[ShardRun]:
        """Return every run of the split in stream order, mapped."""
        return (self.maps.run(number) for number in range(len(self.maps.part)))

    def _spans(self, numbers: Numbers) -> Spans:
        numbers = np.asarray(numbers, np.int64)
        if numbers.size and (int(numbers.min()) < 0 or int(numbers.max()) >= len(self)):
            raise IndexError(
                f"rows {int(numbers.min())} to {int(numbers.max())} were requested from an index of {len(self)} rows"
            )
        spans = self._cut(numbers) if self.layout.packing == "concatenate" else self._look_up(numbers)
        self.maps.need(spans.runs)
        return spans

    def _cut(self, numbers: Numbers) -> Spans:
        """Compute the spans of concatenated rows from their positions in the stream."""
        firsts = np.array([stream.first for stream in self.streams])
        bounds = np.cumsum([0, *(stream.tokens for stream in self.streams)])
        streams = np.searchsorted(firsts, numbers, side="right") - 1
        starts, ends = bounds[streams] + (numbers - firsts[streams]) * self.layout.stride, bounds[1:]
        lengths = np.minimum(self.layout.tokens, ends[streams] - starts)
        return gather.cut_stream(self.maps, starts, lengths, separated=self.maps.separated)

    def _look_up(self, numbers: Numbers) -> Spans:
        """Look the spans of the other packings up in the index."""
        first, last = self._stored["rows"][numbers], self._stored["rows"][numbers + 1]
        row_spans = np.concatenate([np.zeros(1, np.int64), np.cumsum(last - first)])
        spans = self._stored["spans"][np.arange(row_spans[-1]) + np.repeat(first - row_spans[:-1], last - first)]
        documents = spans["document"].astype(np.int64)
        runs = np.searchsorted(self.maps.documents, documents, side="right") - 1
        if len(runs) and int(runs.max()) >= len(self.maps.part):
            raise damaged(self.folder, "its rows name documents that do not exist")
        return Spans(
            runs,
            documents - self.maps.documents[runs],
            spans["first"].astype(np.int64),
            spans["tokens"].astype(np.int64),
            row_spans,
        )

    def _place(self, spans: Spans, number: int) -> Place:
        run = self.maps.run(int(spans.runs[number]))
        document, first = int(spans.documents[number]), int(spans.first[number])
        text = int(run.offsets[document + 1]) - int(run.offsets[document]) - first
        tokens = min(int(spans.tokens[number]), text)
        return Place(run.path, run.first + document, run.document(document), first, tokens, run.source, run.language)

    def _foreign_id(self, spans: Spans) -> ShardError:
        """Return the error for a document with an id that the vocabulary does not have."""
        highest, path = -1, ""
        for number in range(len(spans.runs)):
            run, document = self.maps.run(int(spans.runs[number])), int(spans.documents[number])
            ids = run.tokens[run.offsets[document] : run.offsets[document + 1]]
            if len(ids) and int(ids.max()) > highest:
                highest, path = int(ids.max()), run.path
        return ShardError(f"{path}: has the id {highest}, but the vocabulary has {self.vocabulary_size:,} pieces")


_SUMMED = ("documents", "tokens", "rows", "tokens_in_rows", "row_tokens", "cropped")


def open_rows(
    dataset: TokenDataset, split: str, folder: str | Path, layout: Layout, *, seed: int, verify: Verify = "once"
) -> RowIndex:
    """Open the row index of a split: map it from `folder/<fingerprint>`, where it is built first if it is missing.

    `verify` checks the sha256 of every shard when the index is built, each time, or never; sizes are always checked. That of
    the index's own files is checked each time, unless it is never.
    Raises DatasetError if the split is empty or yields no row, or the index is damaged; ShardError for a broken shard.
    """
    parts = parts_of(dataset, split)
    if not parts:
        raise DatasetError(f"{dataset.uri}: the split {split!r} is empty; the dataset has {dataset.splits() or 'no documents'}")
    identity = {
        "version": VERSION,
        "tokens": dataset.fingerprint,
        "tokenizer": dataset.tokenizer.sha256,
        "split": split,
        "layout": asdict(layout),
        "seed": seed,
    }
    fingerprint = manifest.fingerprint(identity)
    target = Path(folder) / fingerprint[: manifest.FINGERPRINT_CHARACTERS]
    if not target.exists():
        _build(target, identity, dataset, parts, layout, seed, verify=verify != "never")
    elif verify == "always":
        run_table(dataset, parts, verify=True)
    content = read_json(target, identity)
    stored = {name: read_array(target, name, length) for name, length in content["files"].items()}
    if verify != "never":
        verify_arrays(target, content)
    maps = open_maps(dataset, parts, stored.pop("runs"), separated=layout.separator is not None)
    figures = tuple(Figures(**stream) for stream in content["figures"])
    if not any(stream.rows for stream in figures):
        raise DatasetError(
            f"{dataset.uri}: the split {split!r} has {sum(stream.tokens for stream in figures):,} tokens, too few for one row "
            f"of {layout.tokens} ({layout.packing})"
        )
    opened_with = (dataset, split, folder, layout, seed)
    return RowIndex(fingerprint, layout, dataset.tokenizer.size, _streams(figures), target, maps, figures, stored, opened_with)


def _reopen(dataset: TokenDataset, split: str, folder: str | Path, layout: Layout, seed: int) -> RowIndex:
    return open_rows(dataset, split, folder, layout, seed=seed, verify="never")


def _streams(figures: Sequence[Figures]) -> tuple[Stream, ...]:
    first = np.cumsum([0, *(stream.rows for stream in figures)]).tolist()
    return tuple(Stream(stream.source or "", at, stream.rows, stream.tokens) for at, stream in zip(first, figures, strict=False))


def _build(
    target: Path,
    identity: dict[str, Any],
    dataset: TokenDataset,
    parts: list[PartOfStream],
    layout: Layout,
    seed: int,
    *,
    verify: bool,
) -> None:
    """Write the index to a temporary folder, then rename the folder."""
    sentences = layout.sentences or layout.packing in ("sentences", "pairs")
    table = run_table(dataset, parts, verify=verify, sentences=sentences)
    maps = open_maps(dataset, parts, table, separated=layout.separator is not None)
    sources = list(dict.fromkeys(part.source for part in parts))
    with creating(target) as folder:
        with Appender(folder / "runs.npy", DTYPES["runs"]) as out:
            out.append(table)
        if layout.packing == "concatenate":
            figures, lengths = [_stream_figures(maps, source, layout) for source in sources], {}
        else:
            figures, lengths = _write_rows(folder, maps, sources, layout, seed)
        files = {"runs": len(table), **lengths}
        write_json(folder, {"identity": identity, "figures": [asdict(stream) for stream in figures], "files": files})


def _totals(maps: Maps, source: str) -> tuple[int, int]:
    """Return the documents and tokens of a stream."""
    runs = maps.sources[source]
    documents, joined = (int(counts[runs.stop] - counts[runs.start]) for counts in (maps.documents, maps.joined))
    return documents, joined


def _stream_figures(maps: Maps, source: str, layout: Layout) -> Figures:
    """Return the figures of concatenated rows, which begin every `stride` tokens as long as they hold more than the overlap."""
    documents, tokens = _totals(maps, source)
    rows = -(-max(tokens - layout.overlap, 0) // layout.stride)
    in_rows = tokens + (rows - 1) * layout.overlap if rows else 0
    return Figures(source, documents, tokens, rows, in_rows, rows * layout.tokens, 0 if rows else tokens)


def _chunks(maps: Maps, runs: range, layout: Layout, seed: int) -> Iterator[Chunk]:
    """Return the rows of a stream, chunk by chunk."""
    if layout.packing == "pairs":
        return pair_rows(maps, runs, layout, seed)
    packers = {"best_fit": best_fit_rows, "document": document_rows, "sentences": sentence_rows}
    return packers[layout.packing](maps, runs, layout)


def _write_rows(
    folder: Path, maps: Maps, sources: Sequence[str], layout: Layout, seed: int
) -> tuple[list[Figures], dict[str, int]]:
    """Write the spans of every source; return the figures and the lengths of the files."""
    figures: list[Figures] = []
    with (
        Appender(folder / "rows.npy", DTYPES["rows"]) as rows,
        Appender(folder / "spans.npy", DTYPES["spans"]) as spans,
        Appender(folder / "random_next.npy", DTYPES["random_next"]) as random_next,
    ):
        rows.append(np.zeros(1, np.int64))
        for source in sources:
            documents, tokens = _totals(maps, source)
            count = in_rows = cropped = 0
            for chunk in _chunks(maps, maps.sources[source], layout, seed):
                rows.append(spans.length + np.cumsum(chunk.counts))
                spans.append(chunk.spans)
                if chunk.random_next is not None:
                    random_next.append(chunk.random_next)
                count += len(chunk.counts)
                in_rows += int(chunk.spans["tokens"].sum(dtype=np.int64))
                cropped += chunk.cropped
            figures.append(Figures(source, documents, tokens, count, in_rows, count * layout.tokens, cropped))
        lengths = {"rows": rows.length, "spans": spans.length, "random_next": random_next.length}
    if layout.packing != "pairs":
        (folder / "random_next.npy").unlink()
        del lengths["random_next"]
    return figures, lengths
