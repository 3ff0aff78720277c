"""Best-fit packing without cropping (Ding et al. 2024, arXiv 2404.10830): whole documents in the rows they fill best.

A document longer than a row is cut into rows and a remainder. The pieces of 8,192 documents of a stream are then placed
from the longest to the shortest, each in the row with the least room that still holds it, or in a new row:

    sizes 5 2 3 4 2, rows of 6      5 | 4 2 | 3 2      (padding 2 of 18 places)

Rows list their pieces in stream order. A window is packed in O(n log n): a tree over free room finds the rows.
"""

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from training.data.maps import Maps
from training.data.rows.layout import Layout
from training.data.rows.packing import Chunk, Numbers, cut, sizes_of, spans_of
from training.kernels import jit

WINDOW_DOCUMENTS = 8192  # packed together; no row spans two windows, so an index is built in bounded memory


def best_fit_rows(maps: Maps, runs: range, layout: Layout) -> Iterator[Chunk]:
    """Yield the rows of a stream, window by window. Rows of at most `overlap` tokens are left out (and counted)."""
    tree = np.zeros(2 << layout.tokens.bit_length(), np.int64)
    for first, sizes in _windows(maps, runs):
        documents, starts, tokens, cropped = cut(sizes, layout)
        rows = fit(tokens, layout.tokens, tree)
        counts, filled = np.bincount(rows), np.bincount(rows, weights=tokens)
        kept = filled > layout.overlap
        cropped += int(filled[~kept].sum())
        order = np.argsort(rows, kind="stable")
        order = order[kept[rows[order]]]
        yield Chunk(spans_of(documents[order] + first, starts[order], tokens[order]), counts[kept], cropped)


def fit(sizes: Numbers, width: int, tree: NDArray[np.int64] | None = None) -> Numbers:
    """Return the row of each piece of 1 .. width tokens, best fit from the longest piece to the shortest: (P,) -> (P,).

    `tree` is a scratch array of zeros, at least 2 << width.bit_length() long; it is all zeros again afterwards.

        >>> fit(np.array([5, 2, 3, 4, 2]), 6).tolist()
        [0, 1, 2, 1, 2]
    """
    order = np.argsort(-sizes, kind="stable")
    rows = np.empty(len(sizes), np.int64)
    _fit(sizes, order, width, np.zeros(2 << width.bit_length(), np.int64) if tree is None else tree, rows)
    return rows


def _windows(maps: Maps, runs: range) -> Iterator[tuple[int, Numbers]]:
    """Yield the first document and the sizes of each window of a stream."""
    sizes, first = np.empty(0, np.int64), int(maps.documents[runs.start])
    for run in runs:
        sizes = np.concatenate([sizes, sizes_of(maps, run)])
        while len(sizes) >= WINDOW_DOCUMENTS:
            yield first, sizes[:WINDOW_DOCUMENTS]
            sizes, first = sizes[WINDOW_DOCUMENTS:], first + WINDOW_DOCUMENTS
    if len(sizes):
        yield first, sizes


@jit
def _fit(sizes: Any, order: Any, width: Any, tree: Any, rows: Any) -> Any:  # pragma: no cover (compiled)
    """Put every piece into the row with the least room that holds it; return the number of rows.

    Leaf `leaves + room` of the tree counts the rows with that room, every other node the sum of its two children. Rows
    with the same room form a chain, the latest first.
    """
    leaves = len(tree) // 2
    latest = np.empty(leaves, np.int64)  # latest row with this room; read only where the tree counts one
    before = np.empty(len(sizes), np.int64)  # the next row of the chain
    room = np.empty(len(sizes), np.int64)
    count = 0
    for piece in order:
        node = leaves + sizes[piece]
        while node > 0 and tree[node] == 0:  # up and to the right until a node counts a row
            while node & 1:
                node >>= 1
            node += node > 0
        if node == 0:
            row, room[count] = count, width
            count += 1
        else:
            while node < leaves:  # down to the least room
                node = 2 * node if tree[2 * node] > 0 else 2 * node + 1
            row = latest[node - leaves]
            latest[node - leaves] = before[row]
            _count(tree, node, -1)
        rows[piece] = row
        room[row] -= sizes[piece]
        if room[row] > 0:
            before[row], latest[room[row]] = latest[room[row]], row
            _count(tree, leaves + room[row], 1)
    for row in range(count):
        if room[row] > 0:
            _count(tree, leaves + room[row], -1)
    return count


@numba.njit(inline="always")
def _count(tree: Any, node: Any, change: Any) -> None:  # pragma: no cover (compiled)
    while node > 0:
        tree[node] += change
        node >>= 1
