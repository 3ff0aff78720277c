"""A trie of byte strings as a double array: the child of node n for byte b is cell base[n] + b, if that cell's parent is n.

A step takes one addition and one load. Nodes are cells; the root is cell 0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.kernels import jit

BASE, PARENT, VALUE, WIDTH = 0, 1, 2, 4  # the columns of a cell; cells of 16 bytes do not straddle cache lines
_TRIES = 100
_FREE = -2  # the parent of a free cell; the root's is -1


def build(strings: Sequence[bytes], values: Sequence[int]) -> NDArray[np.int32]:
    """Return the cells of a trie as one array, WIDTH numbers per cell; a node where no string ends has the value -1.

    The strings must be distinct and not empty, the values 0 or more.
    """
    order = sorted(range(len(strings)), key=strings.__getitem__)
    text = np.frombuffer(b"".join(strings[i] for i in order), np.uint8)
    starts = np.cumsum([0, *(len(strings[i]) for i in order)], dtype=np.int64)
    return _place_nodes(text, starts, np.array([values[i] for i in order], np.int32))


def node_of(cells: NDArray[np.int32], string: bytes) -> int:
    """Return the node that a string leads to, or -1 if there is none."""
    node = 0
    for byte in string:
        child = int(cells[node * WIDTH + BASE]) + byte
        if cells[child * WIDTH + PARENT] != node:
            return -1
        node = child
    return node


@jit
def _place_nodes(text: Any, starts: Any, values: Any) -> Any:  # pragma: no cover (compiled)
    """Place the children of each node, by depth, at the first base where all their cells are free."""
    cells = _extended(np.empty(0, np.int32), 4 * len(text) // 3 + 1024)
    cells[PARENT] = -1
    queue = np.empty((len(text) + 1, 4), np.int64)  # node, first string, last string + 1, depth
    queue[0, 0], queue[0, 1], queue[0, 2], queue[0, 3] = 0, 0, len(starts) - 1, 0
    # The first cells stay unused: bases are positive and few strings have low bytes, so every search would begin there.
    count, free, crowded, children = 1, 257, 257, np.empty(257, np.int64)
    for next_node in range(len(text) + 1):
        if next_node == count:
            break
        node, first, last, depth = queue[next_node, 0], queue[next_node, 1], queue[next_node, 2], queue[next_node, 3]
        if first < last and starts[first] + depth == starts[first + 1]:  # the shortest comes first
            cells[node * WIDTH + VALUE] = values[first]
            first += 1
        width = _children(text, starts, first, last, depth, children)
        if width == 0:
            continue
        while cells[free * WIDTH + PARENT] != _FREE:
            free += 1
        if (free + 512) * WIDTH > len(cells):
            cells = _extended(cells, 2 * len(cells) // WIDTH)
        # Nodes with several children skip a region where many tries failed; its free cells are for single children.
        base, tries = (free if width == 1 else max(free, crowded)) - children[0], 0
        while not _fits(cells, base, children, width):
            base, tries = base + 1, tries + 1
            if (base + 512) * WIDTH > len(cells):
                cells = _extended(cells, 2 * len(cells) // WIDTH)
        if tries > _TRIES:
            crowded = base
        cells[node * WIDTH + BASE] = base
        start = first
        for i in range(width):
            child, stop = base + children[i], start
            while stop < last and text[starts[stop] + depth] == children[i]:
                stop += 1
            cells[child * WIDTH + PARENT] = node
            queue[count, 0], queue[count, 1], queue[count, 2], queue[count, 3] = child, start, stop, depth + 1
            count, start = count + 1, stop
    return cells


@jit
def _children(text: Any, starts: Any, first: int, last: int, depth: int, children: Any) -> int:  # pragma: no cover (compiled)
    """Collect the distinct bytes at a depth of sorted strings; return their number."""
    width = 0
    for i in range(first, last):
        byte = text[starts[i] + depth]
        if width == 0 or children[width - 1] != byte:
            children[width] = byte
            width += 1
    return width


@jit
def _fits(cells: Any, base: int, children: Any, width: int) -> bool:  # pragma: no cover (compiled)
    """Return whether the cells of all children are free."""
    for i in range(width):  # noqa: SIM110 (a loop compiles in less time)
        if cells[(base + children[i]) * WIDTH + PARENT] != _FREE:
            return False
    return True


@jit
def _extended(cells: Any, size: int) -> Any:  # pragma: no cover (compiled)
    """Return the cells, extended to `size` with free ones."""
    larger = np.empty(size * WIDTH, np.int32)
    for i in range(size):
        larger[i * WIDTH + BASE], larger[i * WIDTH + PARENT], larger[i * WIDTH + VALUE] = 0, _FREE, -1
    for i in range(len(cells)):
        larger[i] = cells[i]
    return larger
