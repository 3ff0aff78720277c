"""How a block stands to the two elements that hold most of the page's prose."""

from typing import Any, NamedTuple

import numpy as np

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.extraction.pages.columns.sums import PROSE
from pipelines.text.extraction.pages.tags import TEXT
from pipelines.text.kernels import jit_borrowing, jit_internal

NAMES = ("in_best", "best_up", "in_second", "second_up", "place_of_best", "from_best", "best_share")
_SHARE = 0.6  # of the prose, which the best element holds


class Best(NamedTuple):
    """The elements with most of the prose."""

    best: int  # the deepest one that holds three fifths of it
    second: int  # the one whose own paragraphs hold most
    second_prose: float  # their width


@jit_internal
def best_elements(tree: Any, blocks: Any, up: Any, sums: Any, totals: Any, is_prose: Any) -> Any:
    """Return the elements with most of the prose; the first node where there is none."""
    prose = np.zeros(tree.tag.size, np.float32)
    for row in range(is_prose.size):
        container = blocks.container[row]
        if is_prose[row] and container >= 0 and up[container] >= 0:
            prose[up[container]] += blocks.counts[row, b.WIDTH]
    second = int(np.argmax(prose))
    return Best(_narrowest(tree, sums.text, totals.prose), second, prose[second])


@jit_borrowing
def _narrowest(tree: Any, text: Any, total: float) -> int:
    """Return the deepest element that holds three fifths of the prose."""
    best = 0
    node = 0
    while node < tree.tag.size:
        if tree.tag[node] != TEXT and text[tree.end[node], PROSE] - text[node, PROSE] >= _SHARE * total and total > 0:
            best = node
            node += 1
        else:
            node = max(node + 1, tree.end[node])
    return best


@jit_borrowing
def write(out: Any, at: int, tree: Any, blocks: Any, best: Any, row_at: Any, totals: Any) -> int:
    """Write the columns of the best elements; `row_at` is how many blocks stand before each node."""
    begin, end = row_at[best.second], row_at[tree.end[best.second]]
    for row in range(blocks.first.size):
        f = out[row, at:]
        f[0], f[1] = _inside(tree, blocks.first[row], best.best)
        f[2], f[3] = _inside(tree, blocks.first[row], best.second)
        f[4] = 0 if row < begin else 1 if row < end else 2
        f[5] = row - begin if row < begin else row - end if row >= end else 0
        f[6] = best.second_prose / max(1.0, totals.prose)
    return at + 7


@jit_borrowing
def _inside(tree: Any, node: int, element: int) -> tuple[int, int]:
    """Return whether a node lies in an element, and how many levels above the element their common ancestor is."""
    steps = 0
    while element >= 0 and not (element <= node < tree.end[element]):
        element = tree.parent[element]
        steps += 1
    return int(steps == 0), steps
