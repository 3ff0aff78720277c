"""The report on clusters: sizes, similarities, and the largest ones with an excerpt.

Arrays in, plain values out, for the manifest's facts and from there for report.json, report.html and the closing tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import files
from pipelines.contract.schema import Grain
from pipelines.lookup import find as lookup
from pipelines.units.context import Dataset

BIN = 50  # of similarity, in thousandths
EXCERPT_CHARACTERS = 200


def size_histogram(sizes: NDArray[np.int64]) -> list[dict[str, int]]:
    """Count the clusters with 2 members, 3 to 4, 5 to 8, … up to the largest, and their documents.

    >>> size_histogram(np.array([2, 2, 3, 5]))[1:]
    [{'least': 3, 'most': 4, 'clusters': 1, 'documents': 3}, {'least': 5, 'most': 8, 'clusters': 1, 'documents': 5}]
    """
    if not len(sizes):
        return []
    bins: list[dict[str, int]] = []
    least, most = 2, 2
    while least <= sizes.max():
        inside = sizes[(sizes >= least) & (sizes <= most)]
        bins.append({"least": least, "most": most, "clusters": len(inside), "documents": int(inside.sum())})
        least, most = most + 1, most * 2
    return bins


def similarity_histogram(similarity: NDArray[np.float32], threshold: float) -> list[dict[str, float | int]]:
    """Count removed documents by similarity to their survivor: a bin below the threshold, bins of .05 from there, and 1.

    The first bin has documents with only the URL in common, or only the words in another order; the last but one excludes 1.

    >>> similarity_histogram(np.array([0.2, 0.93, 1.0], np.float32), 0.9)
    [{'from': 0.0, 'to': 0.9, 'removed': 1}, {'from': 0.9, 'to': 0.95, 'removed': 1}, {'from': 0.95, 'to': 1.0, 'removed': 0}, \
{'from': 1.0, 'to': 1.0, 'removed': 1}]
    """
    first = round(threshold * 1000)
    edges = sorted({0, *range(first, 1000, BIN), 1000})
    # Similarities were compared with the threshold as float32.
    counts = np.diff(
        [0, *np.searchsorted(np.sort(similarity), np.array(edges[1:], np.float32) / np.float32(1000)), len(similarity)]
    )
    ends = [*edges[1:], 1000]
    return [
        {"from": start / 1000, "to": end / 1000, "removed": int(count)}
        for start, end, count in zip(edges, ends, counts, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Removed:
    """The removals, one row each; ids are [rows, 2], two big-endian numbers."""

    cluster: NDArray[np.uint64]
    survivor: NDArray[np.uint64]
    similarity: NDArray[np.float32]
    grain: NDArray[np.str_]


def largest_clusters(largest: Sequence[tuple[str, int]], removed: Removed) -> list[dict[str, Any]]:
    """Describe these clusters, each given as id and members: similarities, and the survivor of most removals."""
    return [_cluster(cluster, members, removed) for cluster, members in largest]


def _cluster(cluster: str, members: int, removed: Removed) -> dict[str, Any]:
    words = np.array([int(cluster[:16], 16), int(cluster[16:], 16)], np.uint64)
    rows = np.flatnonzero((removed.cluster == words).all(axis=1))
    similarity = np.sort(removed.similarity[rows])
    survivors, copies = np.unique(removed.survivor[rows], axis=0, return_counts=True)
    at = {"least": 0, "median": len(rows) // 2, "greatest": len(rows) - 1}
    return {
        "cluster": cluster,
        "members": members,
        "removed": len(rows),
        "similarity": {name: round(float(similarity[place]), 4) for name, place in at.items()} if len(rows) else None,
        "grains": {grain.value: int(np.count_nonzero(removed.grain[rows] == grain.value)) for grain in Grain},
        "survivor": "".join(f"{word:016x}" for word in survivors[np.argmax(copies)].tolist()) if len(rows) else None,
        "survivors": members - len(rows),
    }


def with_excerpts(clusters: Sequence[Mapping[str, Any]], documents: Sequence[Dataset]) -> list[dict[str, Any]]:
    """Add to each cluster the `excerpt` of its survivor; None if the survivor is in an earlier corpus."""
    known = excerpts(documents, [entry["survivor"] for entry in clusters if entry["survivor"]])
    return [{**entry, "excerpt": known.get(entry["survivor"])} for entry in clusters]


def excerpts(documents: Sequence[Dataset], ids: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """Return source, title, URL and first characters of documents by id (hexadecimal); reads one row group for each."""
    parts = [
        (dataset.manifest.dataset, part.table, files.join(dataset.uri, part.path))
        for dataset in documents
        for part in dataset.manifest.of("documents")
    ]
    found: dict[str, dict[str, str | None]] = {}
    for name, place in lookup.by_id(parts, ids).items():
        row = lookup.row_at(place, ["source", "title", "url", "text"])
        more = "…" if len(row["text"]) > EXCERPT_CHARACTERS else ""
        found[name] = {**row, "text": row["text"][:EXCERPT_CHARACTERS] + more}
    return dict(sorted(found.items()))
