"""What the clusters say of themselves: sizes, similarities, the largest ones with a part of text.

Arrays in, plain values out: they go into the manifest's facts, from there into report.json, report.html and the closing tables.
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
    """How many clusters have 2 members, 3 to 4, 5 to 8, … up to the largest, and how many documents these are.

    >>> size_histogram(np.array([2, 2, 3, 5]))[1:]
    [{'least': 3, 'most': 4, 'clusters': 1, 'documents': 3}, {'least': 5, 'most': 8, 'clusters': 1, 'documents': 5}]
    """
    if not len(sizes):
        return []
    found: list[dict[str, int]] = []
    least, most = 2, 2
    while least <= sizes.max():
        inside = sizes[(sizes >= least) & (sizes <= most)]
        found.append({"least": least, "most": most, "clusters": len(inside), "documents": int(inside.sum())})
        least, most = most + 1, most * 2
    return found


def similarity_histogram(similarity: NDArray[np.float32], threshold: float) -> list[dict[str, float | int]]:
    """Removed documents by their similarity to the survivor: a bin below the threshold, bins of .05 from there, and 1.

    The first holds what only shares an address or, in another order of words, all words; the bin before the last ends below 1.

    >>> similarity_histogram(np.array([0.2, 0.93, 1.0], np.float32), 0.9)
    [{'from': 0.0, 'to': 0.9, 'removed': 1}, {'from': 0.9, 'to': 0.95, 'removed': 1}, {'from': 0.95, 'to': 1.0, 'removed': 0}, \
{'from': 1.0, 'to': 1.0, 'removed': 1}]
    """
    first = round(threshold * 1000)
    edges = sorted({0, *range(first, 1000, BIN), 1000})
    # A similarity of float32 was compared with the threshold as float32.
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
    """What is known of some clusters, given by id and members: how alike they are, and who survived most of them."""
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
    """The same clusters, each with `excerpt` of its survivor; None when an earlier corpus has it."""
    known = excerpts(documents, [entry["survivor"] for entry in clusters if entry["survivor"]])
    return [{**entry, "excerpt": known.get(entry["survivor"])} for entry in clusters]


def excerpts(documents: Sequence[Dataset], ids: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """Source, title, URL and the first characters of some documents by id (hexadecimal); a row group is read for each."""
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
