"""The rows of the table clusters: made and written here by both ways of deduplication, in memory and through files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.clustering import report
from pipelines.clustering.signatures import SignaturePart, SignatureStore
from pipelines.config import DeduplicateSection
from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import Part
from pipelines.contract.schema import CLUSTERS, Grain
from pipelines.text.copies import clusters as science
from pipelines.text.copies.clusters import Counts, Likeness, Ranks, distinct
from pipelines.units.spill import batches_of, id_pairs

TABLE = "clusters"
LARGEST = 10  # clusters shown in the report


class ClusterError(UserError):
    """The input or the config must be corrected before duplicates can be removed."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the clusters."""

    clusters: int
    removed: Mapping[tuple[str, str], int]  # by source and grain
    by_corpus: Mapping[str, int]  # removed documents by the earlier corpus that has their survivor
    sizes: list[dict[str, int]]  # see report.size_histogram
    similarities: list[dict[str, float | int]]  # see report.similarity_histogram
    largest: list[dict[str, Any]]  # see report.largest_clusters


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """The removals, and the counts of the work."""

    parts: tuple[Part, ...]  # of the table clusters
    counts: Counts
    figures: Figures


def added(notes: Sequence[Mapping[str, Any]], section: DeduplicateSection) -> Figures:
    """Add up the figures of all components; each note is the `Members.figures` of some."""
    removed: Counter[tuple[str, str]] = Counter()
    by_corpus: Counter[str] = Counter()
    for note in notes:
        removed.update({(source, grain): count for source, grain, count in note["removed"]})
        by_corpus.update(note["by_corpus"])
    largest = sorted((entry for note in notes for entry in note["largest"]), key=lambda entry: (-entry[0], entry[1]))
    return Figures(
        clusters=sum(note["clusters"] for note in notes),
        removed=removed,
        by_corpus=by_corpus,
        sizes=_added([note["sizes"] for note in notes], "least", ("clusters", "documents")),
        similarities=_added(
            [
                report.similarity_histogram(np.empty(0, np.float32), section.threshold),
                *(note["similarities"] for note in notes),
            ],
            None,
            ("removed",),
        ),
        largest=[entry for _, _, entry in largest[:LARGEST]],
    )


def _added(histograms: Sequence[Sequence[Mapping[str, Any]]], by: str | None, counts: Sequence[str]) -> list[dict[str, Any]]:
    """Add histograms; bins are matched by the field `by`, or by position if it is None."""
    bins: dict[Any, dict[str, Any]] = {}
    for histogram in histograms:
        for place, entry in enumerate(histogram):
            key = place if by is None else entry[by]
            known = bins.setdefault(key, {**entry, **dict.fromkeys(counts, 0)})
            for count in counts:
                known[count] += entry[count]
    return [bins[key] for key in sorted(bins)]


def part_path(documents_dataset: str, unit: str) -> str:
    """Return the path of a part, with a folder per dataset: no two pairs of names give the same path."""
    return f"{TABLE}/{documents_dataset}/{unit}.parquet"


def write_part(uri: str, part: SignaturePart, rows: pa.Table) -> Part:
    """Write the removals (schema.CLUSTERS, sorted by id) of one unit."""
    path = part_path(part.dataset, part.unit)
    with files.writing(files.join(uri, path)) as stream:
        pq.write_table(rows, pa.PythonFile(stream, mode="w"), compression="zstd")
    unit = f"{part.dataset}/{part.unit}"
    return Part(table=TABLE, unit=unit, path=path, rows=rows.num_rows, bytes=stream.bytes_written, sha256=stream.sha256)


def write_parts(uri: str, parts: Sequence[SignaturePart], removals: pa.Table | pa.RecordBatch) -> dict[int, Part]:
    """Write a part for each unit that loses documents, by the number of its signature part; see `Members.removals`.

    Raise ClusterError if a kept document of a unit has the id of a removed one: a removal is by id, so both would go.
    """
    table = pa.Table.from_batches([removals]) if isinstance(removals, pa.RecordBatch) else removals.combine_chunks()
    ids, owner = id_pairs(table["id"].combine_chunks()), table["part"].to_numpy()
    order = np.lexsort((ids[:, 1], ids[:, 0], owner))
    present, first = np.unique(owner[order], return_index=True)
    written: dict[int, Part] = {}
    for index, rows in zip(present.tolist(), np.split(order, first)[1:], strict=True):
        chosen = table.take(pa.array(rows)).combine_chunks()
        _check_ids(parts[index], ids[rows], chosen["number"].to_numpy())
        written[index] = write_part(uri, parts[index], chosen.select(CLUSTERS.names).cast(CLUSTERS))
    return written


def _check_ids(part: SignaturePart, removed: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
    ids = np.concatenate([id_pairs(batch["id"]) for batch in batches_of(part.uri)])
    is_kept = np.ones(len(ids), np.bool_)
    is_kept[numbers - part.first] = False
    suspects = ids[is_kept & np.isin(ids[:, 0], removed[:, 0])]
    known = {bytes(name) for name in removed[np.isin(removed[:, 0], suspects[:, 0])]}
    for name in suspects:
        if bytes(name) in known:
            raise same_id(part, hex_ids(name[np.newaxis])[0])


def has_new(nodes: Ranks, components: Ranks, published: int) -> NDArray[np.bool_]:
    """Mark the rows whose component has a document of this build; duplicates within earlier corpora are left alone."""
    return np.isin(components, distinct(components[nodes >= published]), kind="sort")


class Members:
    """The members of some components: which of them survive, and the figures."""

    def __init__(
        self,
        section: DeduplicateSection,
        parts: Sequence[SignaturePart],
        store: SignatureStore,
        nodes: Ranks,
        components: Ranks,
        numbers: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        """Take the nodes (ranks, sorted), the numbers of their documents and their rows in the store."""
        self._section, self._parts, self._store = section, parts, store
        self._nodes, self._components, self._numbers, self._rows = nodes, components, numbers, rows
        self._ids = store.ids()[rows]
        self._clusters = least_ids(self._ids, components)

    def check_sizes(self) -> None:
        """Raise ClusterError for a cluster beyond the limit; called first, because choosing its survivors would take long."""
        best, members = np.unique(self._components, return_counts=True)
        if len(members) and members.max() > self._section.cluster_limit:
            row = np.searchsorted(self._nodes, best[np.argmax(members)])
            raise too_large(int(members.max()), hex_ids(self._ids[[row]])[0], self._section)

    def chosen(self, published: int) -> science.Removals:
        """Return the removals; the `published` best ranks always stay."""
        return science.choose(self._nodes, self._components, self._compare, published)

    def _compare(self, first: Ranks, second: Ranks) -> Likeness:
        return self._store.likeness(self._row(first), self._row(second))

    def _row(self, ranks: Ranks) -> NDArray[np.int64]:
        return self._rows[np.searchsorted(self._nodes, ranks)]

    def removals(self, chosen: science.Removals) -> pa.RecordBatch:
        """Return rows of schema.CLUSTERS, with number and part of the removed document."""
        removed, survivor = np.searchsorted(self._nodes, chosen.removed), np.searchsorted(self._nodes, chosen.survivor)
        exact = self._store.exact(self._rows[removed]) == self._store.exact(self._rows[survivor])
        corpora = np.array([part.corpus for part in self._parts], np.object_)
        columns = {
            "id": binary_ids(self._ids[removed]),
            "cluster": binary_ids(self._clusters[removed]),
            "survivor": binary_ids(self._ids[survivor]),
            "similarity": pa.array(chosen.similarity),
            "grain": pa.array(grains(exact.all(axis=1), chosen.similarity, self._section), pa.string()),
            "corpus": pa.array(corpora[self._part_of(self._numbers[survivor])], pa.string()),
            "number": pa.array(self._numbers[removed]),
            "part": pa.array(self._part_of(self._numbers[removed])),
        }
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    def _part_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted([part.first for part in self._parts], numbers, side="right") - 1

    def figures(self, rows: pa.RecordBatch) -> dict[str, Any]:
        """Return the figures of these components as plain values, for `added`; `rows` are their removals."""
        present, first, members = np.unique(self._components, return_index=True, return_counts=True)
        by_size = np.lexsort((present, -members))[:LARGEST]
        names = hex_ids(self._clusters[first[by_size]])
        grain, similarity = np.array(rows["grain"].to_pylist(), np.str_), rows["similarity"].to_numpy()
        removed = report.Removed(id_pairs(rows["cluster"]), id_pairs(rows["survivor"]), similarity, grain)
        largest = report.largest_clusters(list(zip(names, members[by_size].tolist(), strict=True)), removed)
        sources = np.array([part.source for part in self._parts], np.object_)
        by_source = pa.table({"source": pa.array(sources[rows["part"].to_numpy()], pa.string()), "grain": rows["grain"]})
        return {
            "clusters": len(present),
            "sizes": report.size_histogram(members),
            "similarities": report.similarity_histogram(similarity, self._section.threshold),
            "largest": list(zip(members[by_size].tolist(), present[by_size].tolist(), largest, strict=True)),
            "removed": _counted(by_source),
            "by_corpus": dict(_counted(pa.table({"corpus": rows["corpus"].drop_null()}))),
        }


def _counted(keys: pa.Table) -> list[list[Any]]:
    """Return each distinct row and its count, sorted."""
    counted = keys.group_by(keys.column_names).aggregate([([], "count_all")])
    return sorted([*row.values()] for row in counted.to_pylist())


def least_ids(ids: NDArray[np.uint64], component: Ranks) -> NDArray[np.uint64]:
    """Return, for each row, the least id [rows, 2] of its component."""
    order = np.lexsort((ids[:, 1], ids[:, 0], component))
    present, first = np.unique(component[order], return_index=True)
    return ids[order[first]][np.searchsorted(present, component)]


def grains(equal: NDArray[np.bool_], similarity: NDArray[np.float32], section: DeduplicateSection) -> NDArray[np.str_]:
    """Return what each removed document shares with its survivor: a Grain."""
    near = similarity >= section.threshold if section.near else np.zeros(len(similarity), np.bool_)
    return np.where(equal, Grain.EXACT.value, np.where(near, Grain.NEAR.value, Grain.URL.value))


def too_large(members: int, best: str, section: DeduplicateSection) -> ClusterError:
    """Return the error about a cluster, named by the id of its best document."""
    return ClusterError(
        f"{members:,} documents form one cluster of near-duplicates, more than deduplicate.cluster_limit ="
        f" {section.cluster_limit:,}; the best of them is {best}. Perhaps a template is mistaken for text:"
        " look at that document, and raise deduplicate.threshold or the limit"
    )


def same_id(part: SignaturePart, name: str) -> ClusterError:
    """Return the error about two documents of a unit with the same id, one removed and one kept."""
    return ClusterError(
        f"{part.dataset}, unit {part.unit}: two documents have the id {name}; the source"
        " gives one key to two records: remove one of them from the input"
    )


def binary_ids(pairs: NDArray[np.uint64]) -> pa.Array:
    """Return ids [rows, 2], each two big-endian numbers, as 16 bytes."""
    data = pa.py_buffer(pairs.astype(">u8").tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(pairs), [None, data])


def hex_ids(pairs: NDArray[np.uint64]) -> list[str]:
    """Return ids [rows, 2] in hexadecimal."""
    return [f"{high:016x}{low:016x}" for high, low in pairs.tolist()]
