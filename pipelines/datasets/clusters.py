"""clusters: which documents are copies of which, across all sources.

Band hashes go through the keyed exchange and come back as candidate pairs; every pair is verified by its signatures;
within each connected component the best-ranked documents survive. Every removal is a row of the table "clusters", in one part per
unit of documents.

Limits: this process holds about 60 bytes a document and 16 a candidate pair; signatures stay in their files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.build import Context, Dataset, ensure
from pipelines.config import MACHINE, DeduplicateSection
from pipelines.contract import files, manifest
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.schema import CLUSTERS, Grain
from pipelines.datasets import cluster_report
from pipelines.datasets.candidates import candidates
from pipelines.datasets.signatures import Piece, SignatureStore, pieces_of
from pipelines.stages import signatures
from pipelines.text import clusters as science
from pipelines.text.clusters import Likeness, Ranks, Removals, Verified

NAME = "clusters"
VERSION = 4
DOCUMENTS_TO_JUDGE = 100  # a smaller source says nothing about the share that was removed
LARGEST = 10


def build(context: Context, documents: Sequence[Dataset], indexes: Sequence[Dataset] = ()) -> Dataset:
    """The clusters of all documents datasets together, and which documents the indexes of earlier corpora have."""
    section = context.config.deduplicate
    made_from = _made_from(context, documents, indexes)

    def make(uri: str) -> Manifest:
        facts: dict[str, Any] = {"enabled": section.enabled}
        parts: tuple[Part, ...] = ()
        if section.enabled:
            found, parts = _deduplicate(context, documents, indexes, uri)
            facts |= found
        config = context.config.recorded()
        return manifest.assemble(NAME, made_from, (), config=config, facts=facts, parts=parts)

    return ensure(context, NAME, made_from, make)


def removals_for(clusters: Dataset, documents_dataset: str, unit: str) -> pa.Table | None:
    """The removals (schema.CLUSTERS, sorted by id) among the documents of a unit; without any, an empty table.

    None when deduplication is off: then there is no such stage.
    """
    if not clusters.manifest.facts["enabled"]:
        return None
    path = _part_path(documents_dataset, unit)
    if not any(part.path == path for part in clusters.manifest.parts):
        return CLUSTERS.empty_table()
    with files.reading(files.join(clusters.uri, path)) as stream:
        return pq.read_table(stream, use_threads=False)


def _part_path(documents_dataset: str, unit: str) -> str:
    """A folder per dataset: no two pairs of names make the same path."""
    return f"{NAME}/{documents_dataset}/{unit}.parquet"


def _made_from(context: Context, documents: Sequence[Dataset], indexes: Sequence[Dataset]) -> dict[str, Any]:
    section = context.config.deduplicate
    if not section.enabled:
        return {"deduplicate": {"enabled": False}}
    return {
        "deduplicate": section.model_dump(mode="json", exclude=MACHINE["deduplicate"]),
        "documents": {dataset.manifest.dataset: dataset.manifest.fingerprint for dataset in documents},
        "indexes": [index.manifest.fingerprint for index in indexes],
        "priorities": {source.name: source.priority for source in context.config.sources},
        "versions": {"clusters": [VERSION, science.VERSION], "signatures": signatures.VERSION},
    }


def _deduplicate(
    context: Context, documents: Sequence[Dataset], indexes: Sequence[Dataset], uri: str
) -> tuple[dict[str, Any], tuple[Part, ...]]:
    section = context.config.deduplicate
    pieces = pieces_of(documents, indexes)
    store = SignatureStore([piece.uri for piece in pieces], section)
    order = _rank_order(context, pieces, store)
    spill = files.join(uri, "spill")
    try:
        edges = candidates(context, pieces, order, spill)
    finally:
        files.remove(spill)

    def compare(first: Ranks, second: Ranks) -> Likeness:
        return store.likeness(order[first], order[second])

    verified = science.verify(edges, compare, section.bucket_limit)
    nodes, component = science.components(verified.first, verified.second)
    ids = store.ids()
    _check_cluster_size(section, ids, order[component])
    removals = science.choose(nodes, component, compare, sum(piece.rows for piece in pieces if piece.corpus is not None))
    found = _found(pieces, store, section, ids, order, (nodes, component), removals)
    _check_ids(pieces, ids, found)
    facts = _facts(pieces, documents, verified, found)
    _check_alarms(section, facts)
    facts |= _shown(section, documents, ids, found)
    return facts, _write(uri, pieces, ids, found)


def _rank_order(context: Context, pieces: Sequence[Piece], store: SignatureStore) -> NDArray[np.int64]:
    """Document numbers, best first."""
    priorities = [0 if piece.corpus is not None else context.config.source(piece.source).priority for piece in pieces]
    rows = [piece.rows for piece in pieces]
    priority = np.repeat(np.array(priorities, np.int64), rows)
    published = np.repeat(np.array([piece.corpus is not None for piece in pieces], np.bool_), rows)
    return science.rank_order(store.ids(), published, store.passes(), priority, store.characters())


# The result


@dataclass(frozen=True, slots=True)
class _Found:
    """The removals by document number, one row each, and the clusters that they lie in."""

    removed: NDArray[np.int64]
    survivor: NDArray[np.int64]
    similarity: NDArray[np.float32]
    grain: NDArray[np.str_]  # a Grain
    corpus: NDArray[np.object_]  # of the survivor; None: this build
    cluster: NDArray[np.uint64]  # [rows, 2], ids as two numbers
    piece: NDArray[np.int64]  # index of the part that holds the removed document
    cluster_sizes: list[tuple[str, int]]  # id and members of all clusters' largest, largest first
    members: NDArray[np.int64]  # of every cluster


def _found(
    pieces: Sequence[Piece],
    store: SignatureStore,
    section: DeduplicateSection,
    ids: NDArray[np.uint64],
    order: NDArray[np.int64],
    clusters: tuple[Ranks, Ranks],
    removals: Removals,
) -> _Found:
    nodes, component = clusters
    present, first, members = np.unique(component, return_index=True, return_counts=True)
    cluster = _least_ids(ids[order[nodes]], component)
    by_size = np.lexsort((present, -members))[:LARGEST]
    removed, survivor = order[removals.removed], order[removals.survivor]
    firsts = [piece.first for piece in pieces]
    corpora = np.array([piece.corpus for piece in pieces], np.object_)
    exact = (store.exact(removed) == store.exact(survivor)).all(axis=1)
    near = removals.similarity >= section.threshold if section.near else np.zeros(len(removed), np.bool_)
    return _Found(
        removed=removed,
        survivor=survivor,
        similarity=removals.similarity,
        grain=np.where(exact, Grain.EXACT.value, np.where(near, Grain.NEAR.value, Grain.URL.value)),
        corpus=corpora[np.searchsorted(firsts, survivor, side="right") - 1],
        cluster=cluster[np.searchsorted(nodes, removals.removed)],
        piece=np.searchsorted(firsts, removed, side="right") - 1,
        cluster_sizes=list(zip(_hex(cluster[first[by_size]]), members[by_size].tolist(), strict=True)),
        members=members,
    )


def _least_ids(ids: NDArray[np.uint64], component: Ranks) -> NDArray[np.uint64]:
    """For each row, the least id of its component."""
    order = np.lexsort((ids[:, 1], ids[:, 0], component))
    present, first = np.unique(component[order], return_index=True)
    return ids[order[first]][np.searchsorted(present, component)]


def _facts(pieces: Sequence[Piece], documents: Sequence[Dataset], verified: Verified, found: _Found) -> dict[str, Any]:
    sources: dict[str, dict[str, int]] = {}
    of_piece = np.array([piece.source for piece in pieces])[found.piece] if len(found.piece) else np.empty(0, np.str_)
    for dataset in documents:
        source = dataset.manifest.dataset.removeprefix("documents/")
        is_here = of_piece == source
        by_grain = {grain.value: int(np.count_nonzero((found.grain == grain.value) & is_here)) for grain in Grain}
        sources[source] = {"documents": dataset.manifest.rows(signatures.TABLE), **by_grain}
    return {
        "documents": sum(counts["documents"] for counts in sources.values()),
        "sources": sources,
        "earlier": _by_corpus(pieces, found),
        "clusters": len(found.members),
        "largest_cluster": found.cluster_sizes[0][1] if found.cluster_sizes else 0,
        "edges_verified": verified.compared - verified.failed,
        "edges_failed": verified.failed,
        "restar_rounds": verified.rounds,
        "restar_unresolved": verified.unresolved,
        "capped_buckets": verified.capped_buckets,
        "capped_members": verified.capped,
    }


def _shown(section: DeduplicateSection, documents: Sequence[Dataset], ids: NDArray[np.uint64], found: _Found) -> dict[str, Any]:
    """What a person looks at: histograms, and the largest clusters with a piece of text."""
    removed = cluster_report.Removed(found.cluster, ids[found.survivor], found.similarity, found.grain)
    largest = cluster_report.largest_clusters(found.cluster_sizes, removed)
    return {
        "sizes": cluster_report.size_histogram(found.members),
        "similarities": cluster_report.similarity_histogram(found.similarity, section.threshold),
        "largest_clusters": cluster_report.with_excerpts(largest, documents),
    }


def _by_corpus(pieces: Sequence[Piece], found: _Found) -> dict[str, dict[str, int]]:
    """Of each earlier corpus, how many documents it has published and how many of this build's it stands for."""
    counts: dict[str, dict[str, int]] = {}
    for piece in pieces:
        if piece.corpus is not None:
            of_corpus = counts.setdefault(piece.corpus, {"documents": 0, "removed": 0})
            of_corpus["documents"] += piece.rows
            of_corpus["removed"] = int(np.count_nonzero(found.corpus == piece.corpus))
    return counts


def _check_alarms(section: DeduplicateSection, facts: Mapping[str, Any]) -> None:
    for source, counts in facts["sources"].items():
        share = sum(counts[grain.value] for grain in Grain) / max(1, counts["documents"])
        if counts["documents"] >= DOCUMENTS_TO_JUDGE and share > section.removed_share_limit:
            raise ValueError(
                f"source {source}: {share:.1%} of {counts['documents']:,} documents would be removed as duplicates, more than"
                f" deduplicate.removed_share_limit = {section.removed_share_limit:.1%}; is the source read twice, or its text"
                " mostly boilerplate? Correct that, or raise the limit"
            )


def _check_cluster_size(section: DeduplicateSection, ids: NDArray[np.uint64], component: NDArray[np.int64]) -> None:
    """Before survivors are chosen: that is the work that a giant cluster would make long."""
    best, members = np.unique(component, return_counts=True)
    if len(members) and members.max() > section.cluster_limit:
        document = best[np.argmax(members)]
        raise ValueError(
            f"{members.max():,} documents hang together as near-duplicates, more than deduplicate.cluster_limit ="
            f" {section.cluster_limit:,}; the best of them is {_hex(ids[[document]])[0]}. Perhaps a template is taken for a text:"
            " look at that document, and raise deduplicate.threshold or the limit"
        )


def _check_ids(pieces: Sequence[Piece], ids: NDArray[np.uint64], found: _Found) -> None:
    """A removal goes by id: a kept document of the same unit with the id of a removed one would go too."""
    piece = np.repeat(np.arange(len(pieces), dtype=np.int32), [piece.rows for piece in pieces])
    is_removed = np.zeros(len(ids), np.bool_)
    is_removed[found.removed] = True
    # Only pieces that lose a document; of an earlier corpus, none does.
    rows = np.flatnonzero(np.isin(piece, found.piece))
    rows = rows[np.lexsort((is_removed[rows], ids[rows, 1], ids[rows, 0], piece[rows]))]
    first, second = rows[:-1], rows[1:]
    mixed = (ids[first] == ids[second]).all(axis=1) & (piece[first] == piece[second]) & (is_removed[first] != is_removed[second])
    if mixed.any():
        number = int(first[mixed][0])
        where = pieces[int(piece[number])]
        raise ValueError(
            f"{where.dataset}, unit {where.unit}: two documents have the id {_hex(ids[[number]])[0]}; the source"
            " gives one key to two records: remove one of them from the input"
        )


def _write(uri: str, pieces: Sequence[Piece], ids: NDArray[np.uint64], found: _Found) -> tuple[Part, ...]:
    """One part for each unit that loses documents, sorted by id."""
    removed = ids[found.removed]
    order = np.lexsort((removed[:, 1], removed[:, 0], found.piece))
    present, first = np.unique(found.piece[order], return_index=True)
    columns = [
        _binary(removed),
        _binary(found.cluster),
        _binary(ids[found.survivor]),
        pa.array(found.similarity),
        pa.array(found.grain, pa.string()),
        pa.array(found.corpus, pa.string()),
    ]
    table = pa.Table.from_arrays(columns, schema=CLUSTERS)
    return tuple(
        _write_part(uri, pieces[index], table.take(pa.array(rows)))
        for index, rows in zip(present.tolist(), np.split(order, first[1:]), strict=False)
    )


def _write_part(uri: str, piece: Piece, rows: pa.Table) -> Part:
    path = _part_path(piece.dataset, piece.unit)
    with files.writing(files.join(uri, path)) as stream:
        pq.write_table(rows, pa.PythonFile(stream, mode="w"), compression="zstd")
    return Part(
        table=NAME,
        unit=f"{piece.dataset}/{piece.unit}",
        path=path,
        rows=rows.num_rows,
        bytes=stream.bytes_written,
        sha256=stream.sha256,
    )


def _binary(pairs: NDArray[np.uint64]) -> pa.Array:
    data = pa.py_buffer(pairs.astype(">u8").tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(pairs), [None, data])


def _hex(pairs: NDArray[np.uint64]) -> list[str]:
    return [f"{high:016x}{low:016x}" for high, low in pairs.tolist()]
