"""What a block's elements are: its own, and all that it lies in."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages import elements as e
from pipelines.text.extraction.pages.tags import BLOCK, CELL, HEADING, IDS, OTHER
from pipelines.text.kernels import jit_borrowing, jit_internal

_OWN = ("p", "li", "heading", "cell", "dt", "dd", "pre", "div", "other_container")
_DEPTHS = ("list_depth", "table_depth", "depth", "child", "children")
NAMES = (*_OWN, *e.INHERITED, *_DEPTHS)
P, LI, DT, DD, PRE, DIV, H1 = (IDS[name] for name in ("p", "li", "dt", "dd", "pre", "div", "h1"))
_FLAGS = len(e.INHERITED)


class Nesting(NamedTuple):
    """By node: what an element has of its ancestors. Text nodes, and what hidden elements hold, have the first value."""

    bits: NDArray[np.int64]  # of elements.INHERITED
    depth: NDArray[np.int32]
    list_depth: NDArray[np.int32]
    table_depth: NDArray[np.int32]
    up: NDArray[np.int32]  # the next block-level ancestor, or -1
    child: NDArray[np.int32]  # its place among its parent's elements
    children: NDArray[np.int32]  # elements that are its own
    code: NDArray[np.int32]  # the innermost <pre>, or -1
    table: NDArray[np.int32]  # the innermost <table>, or -1


@jit_internal
def nesting(tree: Any, shown: Any, kinds: Any) -> Any:
    """Return what each element has of its ancestors."""
    n = tree.tag.size
    bits, depth = np.zeros(n, np.int64), np.zeros(n, np.int32)
    list_depth, table_depth = np.zeros(n, np.int32), np.zeros(n, np.int32)
    child, children = np.zeros(n, np.int32), np.zeros(n, np.int32)
    up, code, table = np.full(n, -1, np.int32), np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    nested = Nesting(bits, depth, list_depth, table_depth, up, child, children, code, table)
    _nest(nested, tree, shown, kinds)
    return nested


@jit_borrowing
def _nest(to: Any, tree: Any, shown: Any, kinds: Any) -> None:
    for node in shown:
        tag, parent = tree.tag[node], tree.parent[node]
        own = e.BITS[tag]
        to.bits[node] = own | (e.CONCEALED if e.is_concealed(tree, node) else 0)
        if parent >= 0:
            to.bits[node] |= to.bits[parent]
            to.depth[node] = to.depth[parent] + 1
            to.list_depth[node], to.table_depth[node] = to.list_depth[parent], to.table_depth[parent]
            to.up[node] = parent if kinds[tree.tag[parent]] & BLOCK else to.up[parent]
            to.code[node], to.table[node] = to.code[parent], to.table[parent]
            to.child[node] = to.children[parent]
            to.children[parent] += 1
        to.list_depth[node] += (own & e.LIST) != 0
        if own & e.TABLE:
            to.table_depth[node] += 1
            to.table[node] = node
        elif tag == PRE:
            to.code[node] = node


@jit_borrowing
def write(out: Any, at: int, tree: Any, blocks: Any, nested: Any, kinds: Any) -> int:
    """Write the columns of the elements."""
    for row in range(blocks.first.size):
        f = out[row, at:]
        parent, container = tree.parent[blocks.first[row]], blocks.container[row]
        _write_own(f, tree.tag[container] if container >= 0 else OTHER, kinds)
        if parent >= 0:
            for i in range(_FLAGS):
                f[9 + i] = (nested.bits[parent] >> i) & 1
            f[31], f[32], f[33] = nested.list_depth[parent], nested.table_depth[parent], nested.depth[parent]
        if container >= 0:
            f[34] = nested.child[container]
            holder = tree.parent[container]
            f[35] = nested.children[holder] if holder >= 0 else 0
    return at + 36


@jit_borrowing
def _write_own(f: Any, tag: int, kinds: Any) -> None:
    """Write what the innermost block-level element is."""
    kind = kinds[tag]
    f[0], f[1] = tag == P, tag == LI
    f[2] = (tag - H1 + 1) if kind & HEADING else 0
    f[3], f[4], f[5], f[6], f[7] = (kind & CELL) != 0, tag == DT, tag == DD, tag == PRE, tag == DIV
    f[8] = not (kind & (HEADING | CELL) or tag in (P, LI, DT, DD, PRE, DIV))
