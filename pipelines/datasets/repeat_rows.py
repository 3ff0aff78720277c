"""The exchange of `repeats`: documents to rows (hash, …), rows to repeats, repeated windows to runs of words per unit.

Each table of rows (lines, paragraphs, windows) is divided into ranges of hashes; a range is a key of the first step. A row of
lines or paragraphs has a hash, the number of documents that contain it and the rank of the best one, summed up as far as memory
allows; a row of windows has a hash and a place. Repeated windows go to the second step, whose key is the group of units with
their document.

Memory: the first step holds `ROWS_PER_RANGE` rows, or as many as the config allows, and processes a larger range in several
passes; the second step holds 8 bytes for each word of a group that is cut.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.config import RepeatsSection
from pipelines.contract import files, manifest
from pipelines.contract.manifest import Part
from pipelines.contract.schema import REPEATED_RUNS
from pipelines.contract.tables import read_batches
from pipelines.datasets.clusters import removals_for
from pipelines.stages.judgement import rules
from pipelines.text.characters import word_spans
from pipelines.text.copies import repeats, substrings
from pipelines.text.copies.repeats import Hashes
from pipelines.units.context import Dataset
from pipelines.units.spill import read_columns, write_by_key, write_columns, write_note

LINES, PARAGRAPHS, WINDOWS, RUNS_TABLE = "lines", "paragraphs", "windows", "substrings"
CHARACTERS_PER_ROW = {LINES: 40, PARAGRAPHS: 200, WINDOWS: 5}  # of English; other text may need more passes
ROWS_PER_RANGE = 2**22
COLUMNS = {LINES: ("documents", "rank"), PARAGRAPHS: ("documents", "rank"), WINDOWS: ("place",)}  # of a row, after its hash
BYTES_PER_ROW = 144  # the most memory per row of 24 bytes, during the sort
BYTES_PER_GROUP = 64 * 2**20  # of stored documents, for one map step
MOST_FREQUENT = 50  # lines and paragraphs in the facts


@dataclass(frozen=True)
class UnitDocuments:
    """The documents of a unit and their position among all documents."""

    dataset: str
    unit: str
    uri: str
    first: int  # number of its first document
    rows: int


@dataclass(frozen=True)
class Search:
    """The settings and folders of a search, which all steps share."""

    section: RepeatsSection
    judgement: rules.Judgement
    clusters: str
    out: str  # the dataset's folder
    spill: str
    ranges: dict[str, int]  # by table; only the tables that are switched on
    rows_at_once: int

    @property
    def judged(self) -> list[str]:
        """The columns that decide whether a document takes part."""
        return list(dict.fromkeys(["id", *self.judgement.columns]))

    def key(self, table: str, number: int) -> int:
        """Return the key of a range."""
        before = 0
        for name, ranges in self.ranges.items():
            if name == table:
                return before + number
            before += ranges
        raise AssertionError(table)

    def table(self, key: int) -> tuple[str, int]:
        """Return the table and the range of a key."""
        for name, ranges in self.ranges.items():
            if key < ranges:
                return name, key
            key -= ranges
        raise AssertionError(key)

    def limit(self, table: str) -> int:
        """Return how many documents may contain the same line or paragraph."""
        limit = self.section.lines_limit if table == LINES else self.section.paragraphs_limit
        assert limit is not None
        return limit

    def taking_part(self, dataset: str, unit: str) -> Callable[[pa.RecordBatch], NDArray[np.bool_]]:
        """Return a function that flags the rows (with columns `judged`) that survive the clusters and pass language and rules."""
        source = dataset.removeprefix("documents/")
        removals = removals_for(Dataset(self.clusters, manifest.read(self.clusters)), dataset, unit)
        removed = removals["id"].combine_chunks() if removals is not None else pa.array([], pa.binary(16))

        def judge(rows: pa.RecordBatch) -> NDArray[np.bool_]:
            survives = pc.invert(pc.is_in(rows["id"], value_set=removed))
            return pc.and_(survives, self.judgement.passes(rows, source)).to_numpy(zero_copy_only=False)

        return judge


def groups_of(documents: Sequence[Dataset]) -> list[list[UnitDocuments]]:
    """Return groups of neighbouring units, large enough for a step; they depend only on the datasets."""
    groups: list[list[UnitDocuments]] = []
    first, filled = 0, BYTES_PER_GROUP
    for dataset in documents:
        for part in dataset.manifest.of("documents"):
            if filled >= BYTES_PER_GROUP:
                groups.append([])
                filled = 0
            uri = files.join(dataset.uri, part.path)
            groups[-1].append(UnitDocuments(dataset.manifest.dataset, part.unit, uri, first, part.rows))
            first += part.rows
            filled += part.bytes
    return groups


def write_group(spill: str, group: int, pieces: Sequence[UnitDocuments]) -> None:
    """Write the list of a group's units."""
    files.write_text(_group_uri(spill, group), json.dumps([asdict(piece) for piece in pieces]))


def read_group(spill: str, group: int) -> list[UnitDocuments]:
    """Return the units of a group."""
    return [UnitDocuments(**piece) for piece in json.loads(files.read_text(_group_uri(spill, group)))]


def _group_uri(spill: str, group: int) -> str:
    return files.join(spill, f"pieces-{group:05}.json")


def ranks_uri(spill: str, group: int) -> str:
    """Return the URI of the ranks of a group's documents; -1 for one that takes no part."""
    return files.join(spill, f"ranks-{group:05}.arrow")


def order_uri(spill: str) -> str:
    """Return the URI of the documents ordered by rank: their numbers, and the first 8 bytes of their ids."""
    return files.join(spill, "order.arrow")


def groups_uri(spill: str) -> str:
    """Return the URI of the number of each group's first document."""
    return files.join(spill, "groups.arrow")


def found_uri(spill: str, table: str, number: int) -> str:
    """Return the URI of a range's repeated lines or paragraphs: hash, documents, owner; sorted by hash."""
    return files.join(spill, f"found-{table}-{number:05}.arrow")


def top_uri(spill: str, table: str, number: int) -> str:
    """Return the URI of a range's most frequent lines or paragraphs: hash, documents, the first group that has it."""
    return files.join(spill, f"top-{table}-{number:05}.arrow")


def note_uri(spill: str, table: str, number: int) -> str:
    """Return the URI of the counts of a range (for substrings, of a group)."""
    return files.join(notes_uri(spill, table), f"{number:05}.json")


def notes_uri(spill: str, table: str) -> str:
    """Return the folder of a table's notes."""
    return files.join(spill, "notes", table)


@dataclass(frozen=True)
class TextRows:
    """The map function: from a group (its number is the descriptor) to its documents' rows, in one file per range of hashes."""

    search: Search

    def __call__(self, descriptor: str) -> Iterator[tuple[int, str]]:
        """Write the files; yield their keys and names."""
        search, section, group = self.search, self.search.section, int(descriptor)
        written = {table: _Writer(search, table, group) for table in search.ranges}
        for rows, ranks in _documents(search, group):
            texts = rows["text"]
            words = repeats.words_with_signs(texts)
            for table, find in ((LINES, repeats.lines), (PARAGRAPHS, repeats.paragraphs)):
                if table in written:
                    hashes, numbers = repeats.distinct(find(texts, words), section.min_words)
                    written[table].add(*repeats.counted(hashes, np.ones(len(hashes), np.int64), ranks[numbers]))
            if section.substring_words is not None:
                written[WINDOWS].add(*substrings.windows(words.hashes, words.offsets, section.substring_words, ranks))
        for writer in written.values():
            writer.flush()
            yield from writer.written


def _documents(search: Search, group: int) -> Iterator[tuple[pa.RecordBatch, NDArray[np.int64]]]:
    """Yield the documents of a group that take part, and their ranks."""
    ranks = read_columns(ranks_uri(search.spill, group))["rank"]
    row_number = 0
    for piece in read_group(search.spill, group):
        takes_part = search.taking_part(piece.dataset, piece.unit)
        for rows in read_batches(piece.uri, list(dict.fromkeys([*search.judged, "text"]))):
            here = takes_part(rows)
            rank = ranks[row_number : row_number + rows.num_rows]
            row_number += rows.num_rows
            if here.any():
                yield rows.filter(pa.array(here)), rank[here]


class _Writer:
    """A buffer for the rows of one table, which it writes to one file per range of hashes."""

    def __init__(self, search: Search, table: str, group: int) -> None:
        self._search, self._table, self._group = search, table, group
        self._pending: list[tuple[NDArray[Any], ...]] = []
        self._rows = self._flushes = 0
        self.written: list[tuple[int, str]] = []

    def add(self, hashes: Hashes, *values: NDArray[Any]) -> None:
        if self._rows + len(hashes) > self._search.rows_at_once:
            self.flush()
        self._pending.append((hashes, *values))
        self._rows += len(hashes)

    def flush(self) -> None:
        if not self._rows:
            return
        hashes, *values = (np.concatenate(column) for column in zip(*self._pending, strict=True))
        if self._table != WINDOWS:
            hashes, *values = repeats.counted(hashes, *values)
        keys = self._search.key(self._table, 0) + _hash_range(hashes, self._search.ranges[self._table])
        keys = keys.astype(np.min_scalar_type(keys.max()))  # NumPy sorts short integers by radix
        name = f"{self._group:05}-{self._flushes:03}"
        columns = dict(zip(COLUMNS[self._table], values, strict=True))
        self.written += write_by_key(files.join(self._search.spill, "rows"), name, keys, hash=hashes, **columns)
        self._pending, self._rows, self._flushes = [], 0, self._flushes + 1


def _hash_range(hashes: Hashes, ranges: int) -> NDArray[np.int64]:
    """Return the range of each hash if all hashes are divided into equal `ranges` (multiply and shift)."""
    return (((hashes >> np.uint64(32)) * np.uint64(ranges)) >> np.uint64(32)).astype(np.int64)


def _group_number(uri: str) -> int:
    """Return the number of the group that wrote a file of rows, from its name."""
    return int(uri.rsplit("/", 1)[-1].split("-")[0])


@dataclass(frozen=True)
class FindRepeats:
    """The first step: find a range's lines or paragraphs that too many documents contain, or its windows to cut."""

    search: Search

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write the repeats of a range; return the groups and names of the files for the next step (of windows only)."""
        table, number = self.search.table(key)
        if table == WINDOWS:
            return self._windows(key, number, uris)
        self._blocks(table, number, uris)
        return []

    def _blocks(self, table: str, number: int, uris: Sequence[str]) -> None:
        nothing = np.empty(0, np.int64)
        repeated: list[tuple[NDArray[Any], ...]] = [(np.empty(0, np.uint64), nothing, nothing)]
        distinct = 0
        for columns in self._passes(table, number, uris):
            hashes, documents, ranks = repeats.counted(*columns)
            distinct += len(hashes)
            many = documents > self.search.limit(table)
            repeated.append((hashes[many], documents[many], ranks[many]))
        hashes, documents, ranks = (np.concatenate(column) for column in zip(*repeated, strict=True))
        owners = read_columns(order_uri(self.search.spill))["id"][ranks]
        write_columns(found_uri(self.search.spill, table, number), hash=hashes, documents=documents, owner=owners)
        top = np.lexsort((hashes, -documents))[:MOST_FREQUENT]
        group = _first_group(hashes[top], uris)
        write_columns(top_uri(self.search.spill, table, number), hash=hashes[top], documents=documents[top], group=group)
        write_note(note_uri(self.search.spill, table, number), found=distinct, repeated=len(hashes))

    def _windows(self, key: int, number: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        search = self.search
        windows = repeated = 0
        order = read_columns(order_uri(search.spill))["number"]
        first = read_columns(groups_uri(search.spill))["first"]
        written: list[tuple[int, str]] = []
        for turn, (hashes, places) in enumerate(self._passes(WINDOWS, number, uris)):
            windows += len(hashes)
            places = substrings.repeated(hashes, places)
            repeated += len(places)
            numbered = substrings.renumber(places, order)
            groups = np.searchsorted(first, substrings.documents(numbered), side="right") - 1
            groups = groups.astype(np.min_scalar_type(len(first)))
            written += write_by_key(files.join(search.spill, "places"), f"{key:05}-{turn:03}", groups, place=numbered)
        write_note(note_uri(search.spill, WINDOWS, number), found=windows, repeated=repeated)
        return written

    def _passes(self, table: str, number: int, uris: Sequence[str]) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield the columns of a range's rows in parts that fit into memory, ascending by hash."""
        columns = [read_columns(uri) for uri in uris]
        passes = -(-sum(len(part["hash"]) for part in columns) // self.search.rows_at_once)
        ranges = self.search.ranges[table]
        for turn in range(passes):
            chosen = [
                slice(None) if passes == 1 else _hash_range(part["hash"], ranges * passes) == number * passes + turn
                for part in columns
            ]
            yield tuple(
                np.concatenate([part[name][rows] for part, rows in zip(columns, chosen, strict=True)])
                for name in ("hash", *COLUMNS[table])
            )


def _first_group(hashes: Hashes, uris: Sequence[str]) -> NDArray[np.int64]:
    """Return the first group that has each hash; the files of a group are consecutive."""
    groups = np.full(len(hashes), -1, np.int64)
    for uri in uris:
        here = repeats.among(hashes, [repeats.Repeated(read_columns(uri)["hash"])])
        groups[(groups < 0) & here] = _group_number(uri)
    return groups


@dataclass(frozen=True)
class UnitRuns:
    """The second step: write the runs of words to cut from each unit of a group, one part per unit."""

    search: Search

    def __call__(self, group: int, uris: Sequence[str]) -> None:
        """Write the parts and a note that lists them."""
        places = np.sort(np.concatenate([read_columns(uri)["place"] for uri in uris]))
        number, first, after = substrings.spans(places, self.search.section.substring_words or 0)
        pieces = read_group(self.search.spill, group)
        bounds = np.searchsorted(number, [piece.first for piece in pieces] + [pieces[-1].first + pieces[-1].rows])
        parts: list[dict[str, Any]] = []
        facts = {"documents": len(np.unique(number)), "runs": len(number), "words": int((after - first).sum())}
        for piece, start, end in zip(pieces, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            if start < end:
                ids = pa.concat_arrays([rows["id"] for rows in read_batches(piece.uri, ["id"])])
                columns = [ids.take(pa.array(number[start:end] - piece.first)), first[start:end], after[start:end]]
                parts.append(self._write(piece, columns).model_dump())
        write_note(note_uri(self.search.spill, RUNS_TABLE, group), parts=parts, **facts)

    def _write(self, piece: UnitDocuments, columns: Sequence[Any]) -> Part:
        table = pa.table(
            [pa.array(values).cast(field.type) for values, field in zip(columns, REPEATED_RUNS, strict=True)],
            schema=REPEATED_RUNS,
        )
        path = runs_path(piece.dataset, piece.unit)
        with files.writing(files.join(self.search.out, path)) as stream:
            pq.write_table(table, pa.PythonFile(stream, mode="w"), compression="zstd")
        return Part(
            table=RUNS_TABLE,
            unit=f"{piece.dataset}/{piece.unit}",
            path=path,
            rows=table.num_rows,
            bytes=stream.bytes_written,
            sha256=stream.sha256,
        )


def examples(search: Search, group: int, hashes_by_table: Mapping[str, Hashes], characters: int) -> dict[tuple[str, int], str]:
    """Return the first line or paragraph of a group, shortened, for each hash; stop reading when all are found."""
    texts: dict[tuple[str, int], str] = {}
    missing = dict(hashes_by_table)
    for rows, _ in _documents(search, group):
        words = repeats.words_with_signs(rows["text"])
        for table in [table for table, hashes in missing.items() if len(hashes)]:
            blocks = (repeats.lines if table == LINES else repeats.paragraphs)(rows["text"], words)
            places = np.flatnonzero(np.isin(blocks.hashes, missing[table]))
            hashes, first = np.unique(blocks.hashes[places], return_index=True)
            missing[table] = np.setdiff1d(missing[table], hashes)
            for value, place in zip(hashes.tolist(), places[first].tolist(), strict=True):
                texts[table, value] = _block_text(rows["text"], words, blocks, place)[:characters]
        if not any(len(hashes) for hashes in missing.values()):
            break
    return texts


def _block_text(texts: pa.Array, words: word_spans.Words, blocks: repeats.TextBlocks, place: int) -> str:
    """Return the whole lines of the block at a place."""
    text = texts[int(np.searchsorted(blocks.offsets, place, side="right")) - 1].as_py().encode()
    begin = text.rfind(b"\n", 0, words.starts[blocks.first[place]]) + 1
    end = text.find(b"\n", words.ends[blocks.first[place + 1] - 1])
    return text[begin : end if end >= 0 else len(text)].decode()


def runs_path(dataset: str, unit: str) -> str:
    """Return the path of the part with the runs of words to cut from a unit's documents."""
    return f"{RUNS_TABLE}/{dataset}/{unit}.parquet"
