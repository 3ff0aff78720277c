"""repeats: the lines, paragraphs and runs of words that many documents share, for the corpus to cut.

    repeats/3f9a1c20b77e/
        manifest.json                       facts: their numbers, and the most frequent ones with their text
        lines/repeated.arrow                hash (sorted), documents, owner: those in more than repeats.lines_limit documents
        paragraphs/repeated.arrow           the same for paragraphs
        substrings/<dataset>/<unit>.parquet runs of words of that unit's documents (schema.REPEATED_RUNS)

Only documents that survive the clusters and pass language and rules (`Judgement`) count, so text shared with a
dropped document is not lost. What repeats is kept in the best document: the one of the source with the highest priority, then
with the least id. Of a run of words, the first occurrence in it is kept; of a line or paragraph, all its occurrences in it (with
repeats.keep = "none", none), because the limits count documents. Each kind is cut for a better-ranked document that has the same
text, so no text is lost by cutting several kinds.

Limits: this process holds about 50 bytes per document. Hashes have 64 bits: with 10^9 words, about one run
in a hundred builds is cut because of a collision.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.beam.exchange import exchange
from pipelines.config import RepeatsSection
from pipelines.contract import files, manifest, schema
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.tables import read_batches
from pipelines.datasets import repeat_rows
from pipelines.datasets.repeat_rows import (
    LINES,
    PARAGRAPHS,
    RUNS_TABLE,
    WINDOWS,
    FindRepeats,
    Search,
    TextRows,
    UnitDocuments,
    UnitRuns,
)
from pipelines.stages.judgement.rules import Judgement
from pipelines.stages.repeats import RepeatedText
from pipelines.text.characters import word_spans
from pipelines.text.copies import repeats as science
from pipelines.text.copies import substrings
from pipelines.units.context import Context, Dataset, ensure
from pipelines.units.spill import batches_of, id_pairs, read_all, read_notes, total, write_columns

NAME = "repeats"
VERSION = 2
ROWS_PER_BATCH = 2**20  # of repeated lines or paragraphs
CHARACTERS_OF_EXAMPLE = 300


@dataclass(frozen=True)
class Repeats:
    """The lookup tables that a worker opens once: memory-mapped hashes and the paths of the units' runs."""

    section: RepeatsSection
    uri: str
    lines: Sequence[science.Repeated] | None
    paragraphs: Sequence[science.Repeated] | None
    runs: frozenset[str]  # paths

    @classmethod
    def load(cls, dataset: Dataset) -> Self | None:
        """Open a repeats dataset; return None if the search was switched off, because the stage does not run then."""
        if not dataset.manifest.facts["enabled"]:
            return None
        section = RepeatsSection.model_validate(dataset.manifest.made_from["repeats"])
        return cls(
            section,
            dataset.uri,
            _repeated(dataset, LINES, section.keep) if section.lines_limit is not None else None,
            _repeated(dataset, PARAGRAPHS, section.keep) if section.paragraphs_limit is not None else None,
            frozenset(part.path for part in dataset.manifest.of(RUNS_TABLE)),
        )

    def in_unit(self, source: str, unit: str) -> RepeatedText:
        """Return the text to cut from the documents of one unit."""
        runs = None
        if self.section.substring_words is not None:
            runs = schema.REPEATED_RUNS.empty_table()
            path = repeat_rows.runs_path(f"documents/{source}", unit)
            if path in self.runs:
                with files.reading(files.join(self.uri, path)) as stream:
                    runs = pq.read_table(stream, use_threads=False)
        return RepeatedText(self.section.min_words, self.lines, self.paragraphs, runs)


def repeated_in(uri: str) -> Callable[[str, str], RepeatedText]:
    """Open a repeats dataset and return a function from a source and a unit to the text to cut from its documents."""
    repeats = Repeats.load(Dataset(uri, manifest.read(uri)))
    assert repeats is not None, "the stage does not run while it is off"
    return repeats.in_unit


def _repeated(dataset: Dataset, table: str, keep: str) -> list[science.Repeated]:
    uris = [files.join(dataset.uri, part.path) for part in dataset.manifest.of(table)]  # none when nothing repeats
    return [
        science.Repeated(batch["hash"].to_numpy(), batch["owner"].to_numpy() if keep == "first" else None)
        for uri in uris
        for batch in batches_of(uri)
    ]


def build(context: Context, documents: Sequence[Dataset], clusters: Dataset) -> Dataset:
    """Build the repeats of all documents together, or find them built."""
    made_from = _made_from(context, documents, clusters)

    def make(uri: str) -> Manifest:
        facts: dict[str, Any] = {"enabled": context.config.repeats.enabled}
        parts: tuple[Part, ...] = ()
        if context.config.repeats.enabled:
            spill = files.join(uri, "spill")
            files.remove(spill)
            try:
                search_facts, parts = _search(context, documents, clusters, uri, spill)
            finally:
                files.remove(spill)
            facts |= search_facts
        config = context.config.recorded()
        return manifest.assemble(NAME, made_from, (), config=config, facts=facts, parts=parts)

    return ensure(context, NAME, made_from, make)


def _made_from(context: Context, documents: Sequence[Dataset], clusters: Dataset) -> dict[str, Any]:
    config = context.config
    if not config.repeats.enabled:
        return {"repeats": {"enabled": False}}
    return {
        "repeats": config.repeats.model_dump(mode="json"),
        "documents": {dataset.manifest.dataset: dataset.manifest.fingerprint for dataset in documents},
        "clusters": clusters.manifest.fingerprint,
        "judgement": Judgement.of(config).made_from(),
        "priorities": {source.name: source.priority for source in config.sources},
        "versions": {
            "repeats": [VERSION, science.VERSION],
            "substrings": substrings.VERSION,
            "words": word_spans.VERSION,
        },
    }


def _search(
    context: Context, documents: Sequence[Dataset], clusters: Dataset, uri: str, spill: str
) -> tuple[dict[str, Any], tuple[Part, ...]]:
    """Run the exchange and return the facts and the parts."""
    search = _configure_search(context, documents, clusters, uri, spill)
    groups = repeat_rows.groups_of(documents)
    for number, pieces in enumerate(groups):
        repeat_rows.write_group(spill, number, pieces)
    _write_ranks(context, search, groups)
    exchange(
        context.runner,
        [(f"text-{number:05}", str(number), sum(files.size(p.uri) for p in pieces)) for number, pieces in enumerate(groups)],
        TextRows(search),
        FindRepeats(search),
        UnitRuns(search),
        on_progress=lambda claims: context.on_event("progress", {"claims": claims}),
    )
    facts: dict[str, Any] = {table: _counts(search, table) for table in search.ranges}
    parts: list[Part] = []
    for table, most in _most_frequent(search).items():
        facts[table]["most"] = most
        if most:
            parts.append(_write_repeated(search, table))
    if WINDOWS in search.ranges:
        facts[RUNS_TABLE], runs = _runs(search)
        parts += runs
    return facts, tuple(parts)


def _configure_search(context: Context, documents: Sequence[Dataset], clusters: Dataset, uri: str, spill: str) -> Search:
    config = context.config
    section = config.repeats
    limits = {LINES: section.lines_limit, PARAGRAPHS: section.paragraphs_limit, WINDOWS: section.substring_words}
    characters = sum(ledger.characters_out for dataset in documents for ledger in dataset.manifest.ledgers.values())
    at_once = max(1, config.deduplicate.memory_mib * 2**20 // repeat_rows.BYTES_PER_ROW)
    return Search(
        section,
        Judgement.of(config),
        clusters.uri,
        uri,
        spill,
        {
            table: 1 + characters // repeat_rows.CHARACTERS_PER_ROW[table] // min(repeat_rows.ROWS_PER_RANGE, at_once)
            for table, limit in limits.items()
            if limit is not None
        },
        at_once,
    )


def _write_ranks(context: Context, search: Search, groups: Sequence[Sequence[UnitDocuments]]) -> None:
    """Rank the documents that take part by their source's priority, then by id."""
    ids: list[NDArray[np.uint64]] = [np.empty((0, 2), np.uint64)]
    numbers: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    priorities: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for piece in (piece for pieces in groups for piece in pieces):
        priority = context.config.source(piece.dataset.removeprefix("documents/")).priority
        takes_part = search.taking_part(piece.dataset, piece.unit)
        number = piece.first
        for rows in read_batches(piece.uri, search.judged):
            here = takes_part(rows)
            ids.append(id_pairs(rows["id"])[here])
            numbers.append(number + np.flatnonzero(here))
            priorities.append(np.full(len(numbers[-1]), priority, np.int64))
            number += rows.num_rows
    pairs = np.concatenate(ids)
    best_first = np.lexsort((pairs[:, 1], pairs[:, 0], -np.concatenate(priorities)))
    order = np.concatenate(numbers)[best_first]
    ranks = np.full(sum(piece.rows for pieces in groups for piece in pieces), -1, np.int64)
    ranks[order] = np.arange(len(order))
    write_columns(repeat_rows.order_uri(search.spill), number=order, id=pairs[best_first, 0])
    write_columns(repeat_rows.groups_uri(search.spill), first=np.array([pieces[0].first for pieces in groups], np.int64))
    for number, pieces in enumerate(groups):
        last = pieces[-1].first + pieces[-1].rows
        write_columns(repeat_rows.ranks_uri(search.spill, number), rank=ranks[pieces[0].first : last])


# Results


def _counts(search: Search, table: str) -> dict[str, Any]:
    notes = read_notes(repeat_rows.notes_uri(search.spill, table))  # a range without rows has none
    return {name: total(notes, name) for name in ("found", "repeated")}


def _write_repeated(search: Search, table: str) -> Part:
    """Write all ranges to one file, in batches of equal length, so its bytes do not depend on the number of ranges."""
    path = f"{table}/repeated.arrow"
    rows = 0
    with (
        files.writing(files.join(search.out, path)) as stream,
        pa.ipc.new_file(pa.PythonFile(stream, mode="w"), schema.REPEATED) as out,
    ):
        for batch in _even_batches(search, table):
            out.write_batch(batch)
            rows += batch.num_rows
    return Part(table=table, unit="repeated", path=path, rows=rows, bytes=stream.bytes_written, sha256=stream.sha256)


def _even_batches(search: Search, table: str) -> Iterator[pa.RecordBatch]:
    rows = schema.REPEATED.empty_table()
    for number in range(search.ranges[table]):
        uri = repeat_rows.found_uri(search.spill, table, number)
        if files.exists(uri):
            rows = pa.concat_tables([rows, pa.Table.from_batches(batches_of(uri)).cast(schema.REPEATED)])
        is_last = number + 1 == search.ranges[table]
        while rows.num_rows >= ROWS_PER_BATCH or (is_last and rows.num_rows):
            yield rows.slice(0, ROWS_PER_BATCH).combine_chunks().to_batches()[0]
            rows = rows.slice(ROWS_PER_BATCH)


def _most_frequent(search: Search) -> dict[str, list[dict[str, Any]]]:
    """Return the most frequent lines and paragraphs of all ranges, each with the first text that has it."""
    tops = {table: _top(search, table) for table in (LINES, PARAGRAPHS) if table in search.ranges}
    examples: dict[tuple[str, int], str] = {}
    for group in sorted({group for _, _, groups in tops.values() for group in groups.tolist()}):
        in_group = {table: hashes[groups == group] for table, (hashes, _, groups) in tops.items()}
        examples |= repeat_rows.examples(search, group, in_group, CHARACTERS_OF_EXAMPLE)
    return {
        table: [
            {"documents": count, "text": examples[table, value]}
            for value, count in zip(hashes.tolist(), documents.tolist(), strict=True)
        ]
        for table, (hashes, documents, _) in tops.items()
    }


def _top(search: Search, table: str) -> tuple[science.Hashes, NDArray[np.int64], NDArray[np.int64]]:
    """Return the hashes, documents and first groups of the most frequent lines or paragraphs."""
    uris = [repeat_rows.top_uri(search.spill, table, number) for number in range(search.ranges[table])]
    types = {"hash": np.uint64, "documents": np.int64, "group": np.int64}
    tops = read_all([uri for uri in uris if files.exists(uri)], **types)
    order = np.lexsort((tops["hash"], -tops["documents"]))[: repeat_rows.MOST_FREQUENT]
    return tops["hash"][order], tops["documents"][order], tops["group"][order]


def _runs(search: Search) -> tuple[dict[str, int], list[Part]]:
    notes = read_notes(repeat_rows.notes_uri(search.spill, RUNS_TABLE))  # a group that loses nothing has none
    facts = {name: total(notes, name) for name in ("documents", "runs", "words")}
    return facts, [Part.model_validate(part) for note in notes for part in note["parts"]]
