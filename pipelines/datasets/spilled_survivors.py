"""Who survives in each component, through files, and the table of removals.

labels → sizes of components → attach the evidence of their members → choose → a part for each unit
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.build import Context
from pipelines.contract import files
from pipelines.contract.manifest import Part
from pipelines.contract.schema import CLUSTERS
from pipelines.datasets import cluster_report, removals, spill
from pipelines.datasets.cluster_report import Removed
from pipelines.datasets.signatures import Piece, SignatureStore
from pipelines.datasets.spill import Rows
from pipelines.datasets.spilled_plan import Chain, Plan, parts_of
from pipelines.datasets.spilled_ranks import Segments
from pipelines.text import clusters as science
from pipelines.text.clusters import Likeness, Ranks
from pipelines.text.components import range_of

LARGEST = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """What there is to say of the clusters."""

    clusters: int
    removed: Mapping[tuple[str, str], int]  # by source and grain
    by_corpus: Mapping[str, int]  # removed documents by the earlier corpus that has their survivor
    sizes: list[dict[str, int]]  # as of cluster_report.size_histogram
    similarities: list[dict[str, float | int]]  # as of cluster_report.similarity_histogram
    largest: list[dict[str, Any]]  # as of cluster_report.largest_clusters


def survivors(
    context: Context, plan: Plan, pieces: Sequence[Piece], labels: Sequence[str], uri: str
) -> tuple[Figures, tuple[Part, ...]]:
    """Choose the survivors and write the removals below `uri`.

    Raises ClusterError (by way of the runner: InputError) when a cluster is too large, or an id is not unique in its unit.
    """
    labelled = sum(spill.read_columns(name)["node"].size for name in labels)
    ranges = parts_of(2 * labelled * plan.bytes_per_document, plan.budget // 2)
    spill.write_note(plan.path("pieces.json"), pieces=[asdict(piece) for piece in pieces])
    size = 2 * labelled * plan.bytes_per_document // max(1, len(labels))
    inputs = [(f"labels-{number:05}", name, size) for number, name in enumerate(labels)]
    plan.run(context, inputs, survivors_chain(plan, ranges, uri))
    parts = tuple(Part.model_validate(note) for note in spill.read_notes(plan.path("parts")))
    return _figures(spill.read_notes(plan.path("figures")), plan), parts


def survivors_chain(plan: Plan, ranges: int, uri: str) -> Chain:
    """From labels to parts."""
    return ByComponent(plan, ranges), (Sizes(plan, ranges), AttachMembers(plan, ranges), Choose(plan), WriteParts(plan, uri))


def _figures(notes: Sequence[Mapping[str, Any]], plan: Plan) -> Figures:
    removed: Counter[tuple[str, str]] = Counter()
    by_corpus: Counter[str] = Counter()
    for note in notes:
        removed.update({(source, grain): count for source, grain, count in note["removed"]})
        by_corpus.update(note["by_corpus"])
    largest = sorted((entry for note in notes for entry in note["largest"]), key=lambda entry: (-entry[0], entry[1]))
    return Figures(
        clusters=spill.total(notes, "clusters"),
        removed=removed,
        by_corpus=by_corpus,
        sizes=_added([note["sizes"] for note in notes], "least", ("clusters", "documents")),
        similarities=_added(
            [
                cluster_report.similarity_histogram(np.empty(0, np.float32), plan.section.threshold),
                *(note["similarities"] for note in notes),
            ],
            None,
            ("removed",),
        ),
        largest=[entry for _, _, entry in largest[:LARGEST]],
    )


def _added(histograms: Sequence[Sequence[Mapping[str, Any]]], by: str | None, counts: Sequence[str]) -> list[dict[str, Any]]:
    """Histograms of the same bins, added: bins go by the field `by`, or by their place."""
    bins: dict[Any, dict[str, Any]] = {}
    for histogram in histograms:
        for place, entry in enumerate(histogram):
            key = place if by is None else entry[by]
            known = bins.setdefault(key, {**entry, **dict.fromkeys(counts, 0)})
            for count in counts:
                known[count] += entry[count]
    return [bins[key] for key in sorted(bins)]


# The steps


@dataclass(frozen=True)
class ByComponent:
    """Map: the labels of a file by component."""

    plan: Plan
    ranges: int

    def __call__(self, uri: str) -> list[tuple[int, str]]:
        """Write a file per range of components."""
        found = spill.read_columns(uri)
        keys = range_of(found["component"], self.ranges)
        name = f"{spill.number_of(uri):05}"
        return spill.write_by_key(self.plan.path("labelled"), name, keys, **found)


@dataclass(frozen=True)
class Sizes:
    """The members of a range of components, the best among them, by the segment in which their evidence lies."""

    plan: Plan
    ranges: int

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per segment; a component that is too large ends the run."""
        found = spill.read_all(uris, node=np.uint32, component=np.uint32)
        best, others = np.unique(found["component"], return_counts=True)
        segments = Segments(self.plan)
        self._check(segments, best, others + 1)
        node, component = np.concatenate([best, found["node"]]), np.concatenate([best, found["component"]])
        return spill.write_by_key(self.plan.path("members"), f"{key:05}", segments.of(node), node=node, component=component)

    def _check(self, segments: Segments, best: Ranks, members: NDArray[np.int64]) -> None:
        if members.max() <= self.plan.section.cluster_limit:
            return
        document = best[[np.argmax(members)]]
        segment = int(segments.of(document)[0])
        row = Rows.of([segments.uri(segment)]).take(segments.places(segment, document))
        raise removals.too_large(int(members.max()), row["id"][0].as_py().hex(), self.plan.section)


@dataclass(frozen=True)
class AttachMembers:
    """The evidence of the members in a segment, by component."""

    plan: Plan
    ranges: int

    def __call__(self, segment: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per range of components and chunk of members."""
        segments = Segments(self.plan)
        rows = Rows.of([segments.uri(segment)])
        written: list[tuple[int, str]] = []
        for uri in uris:
            found = spill.read_columns(uri)
            places = segments.places(segment, found["node"])
            for number, chunk in enumerate(rows.chunks(places, self.plan.bytes_at_once)):
                evidence = rows.take(places[chunk])
                for name in ("node", "component"):
                    evidence = evidence.append_column(name, pa.array(found[name][chunk]))
                name = f"{segment:05}-{spill.number_of(uri):05}-{number:05}"
                keys = range_of(found["component"][chunk], self.ranges)
                written += spill.write_rows_by_key(self.plan.path("evidence"), name, keys, evidence)
        return written


@dataclass(frozen=True)
class Choose:
    """The removals in a range of components, by the group of the part that loses the document."""

    plan: Plan

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per group, and the figures of the range."""
        members = _Members(self.plan, uris)
        chosen = science.choose(members.nodes, members.components, members.compare, self.plan.published)
        rows = members.removals(chosen)
        spill.write_note(self.plan.path("figures", f"{key:05}.json"), **members.figures(rows))
        firsts = spill.read_columns(self.plan.path("groups.arrow"))["first"]
        groups = np.searchsorted(firsts, rows["number"].to_numpy(), side="right") - 1
        return spill.write_rows_by_key(self.plan.path("removals"), f"{key:05}", groups, rows)


class _Members:
    """The members of a range of components with their evidence, sorted by rank."""

    def __init__(self, plan: Plan, uris: Sequence[str]) -> None:
        self._section = plan.section
        self._pieces = _pieces(plan)
        self._store = SignatureStore(uris, plan.section)
        batches = [batch for uri in uris for batch in spill.batches_of(uri)]
        nodes = np.concatenate([batch["node"].to_numpy() for batch in batches])
        self._order = np.argsort(nodes)
        self.nodes = nodes[self._order]
        self.components = np.concatenate([batch["component"].to_numpy() for batch in batches])[self._order]
        self._numbers = np.concatenate([batch["number"].to_numpy() for batch in batches])[self._order]
        self._ids = self._store.ids()[self._order]
        self._clusters = removals.least_ids(self._ids, self.components)

    def compare(self, first: Ranks, second: Ranks) -> Likeness:
        """How alike the members of some pairs are."""
        return self._store.likeness(self._rows(first), self._rows(second))

    def _rows(self, ranks: Ranks) -> NDArray[np.int64]:
        return self._order[np.searchsorted(self.nodes, ranks)]

    def removals(self, chosen: science.Removals) -> pa.RecordBatch:
        """Rows of schema.CLUSTERS, and number and piece of the removed document."""
        removed, survivor = np.searchsorted(self.nodes, chosen.removed), np.searchsorted(self.nodes, chosen.survivor)
        exact = self._store.exact(self._rows(chosen.removed)) == self._store.exact(self._rows(chosen.survivor))
        corpora = np.array([piece.corpus for piece in self._pieces], np.object_)
        columns = {
            "id": removals.binary_ids(self._ids[removed]),
            "cluster": removals.binary_ids(self._clusters[removed]),
            "survivor": removals.binary_ids(self._ids[survivor]),
            "similarity": pa.array(chosen.similarity),
            "grain": pa.array(removals.grains(exact.all(axis=1), chosen.similarity, self._section), pa.string()),
            "corpus": pa.array(corpora[self._piece_of(self._numbers[survivor])], pa.string()),
            "number": pa.array(self._numbers[removed]),
            "piece": pa.array(self._piece_of(self._numbers[removed])),
        }
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    def _piece_of(self, numbers: NDArray[np.uint32]) -> NDArray[np.int64]:
        return np.searchsorted([piece.first for piece in self._pieces], numbers, side="right") - 1

    def figures(self, rows: pa.RecordBatch) -> dict[str, Any]:
        """What `Figures` adds up, of these components."""
        present, first, members = np.unique(self.components, return_index=True, return_counts=True)
        by_size = np.lexsort((present, -members))[:LARGEST]
        names = removals.hex_ids(self._clusters[first[by_size]])
        grain, similarity = np.array(rows["grain"].to_pylist(), np.str_), rows["similarity"].to_numpy()
        removed = Removed(spill.id_pairs(rows["cluster"]), spill.id_pairs(rows["survivor"]), similarity, grain)
        largest = cluster_report.largest_clusters(list(zip(names, members[by_size].tolist(), strict=True)), removed)
        sources = [self._pieces[index].source for index in rows["piece"].to_pylist()]
        return {
            "clusters": len(present),
            "sizes": cluster_report.size_histogram(members),
            "similarities": cluster_report.similarity_histogram(similarity, self._section.threshold),
            "largest": list(zip(members[by_size].tolist(), present[by_size].tolist(), largest, strict=True)),
            "removed": [[*key, count] for key, count in Counter(zip(sources, grain.tolist(), strict=True)).items()],
            "by_corpus": Counter(corpus for corpus in rows["corpus"].to_pylist() if corpus is not None),
        }


@dataclass(frozen=True)
class WriteParts:
    """The table of removals, a part for each unit of a group that loses documents."""

    plan: Plan
    uri: str

    def __call__(self, _group: int, uris: Sequence[str]) -> None:
        """Write the parts, and a note of each."""
        pieces = _pieces(self.plan)
        table = pa.Table.from_batches([batch for uri in uris for batch in spill.batches_of(uri)]).combine_chunks()
        ids = spill.id_pairs(table["id"].combine_chunks())
        owner = table["piece"].to_numpy()
        order = np.lexsort((ids[:, 1], ids[:, 0], owner))
        present, first = np.unique(owner[order], return_index=True)
        for index, rows in zip(present.tolist(), np.split(order, first)[1:], strict=True):
            chosen = table.take(pa.array(rows)).combine_chunks()
            _check_ids(pieces[index], ids[rows], chosen["number"].to_numpy())
            part = removals.write_part(self.uri, pieces[index], chosen.select(CLUSTERS.names).cast(CLUSTERS))
            spill.write_note(self.plan.path("parts", f"{index:08}.json"), **part.model_dump())


def _pieces(plan: Plan) -> list[Piece]:
    return [Piece(**entry) for entry in json.loads(files.read_text(plan.path("pieces.json")))["pieces"]]


def _check_ids(piece: Piece, removed: NDArray[np.uint64], numbers: NDArray[np.uint32]) -> None:
    """A removal goes by id: a kept document of the same unit with the id of a removed one would go too."""
    ids = np.concatenate([spill.id_pairs(batch["id"]) for batch in spill.batches_of(piece.uri)])
    is_kept = np.ones(len(ids), np.bool_)
    is_kept[numbers.astype(np.int64) - piece.first] = False
    suspects = ids[is_kept & np.isin(ids[:, 0], removed[:, 0])]
    known = {bytes(name) for name in removed[np.isin(removed[:, 0], suspects[:, 0])]}
    for name in suspects:
        if bytes(name) in known:
            raise removals.same_id(piece, removals.hex_ids(name[np.newaxis])[0])
