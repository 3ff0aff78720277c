"""Code blocks and tables of data are kept or left whole: half of a table is no table.

A unit of which half the text or more is kept is kept whole. One that was left out is kept if the text right before it and right
after it is kept: it belongs to what speaks of it. Tables are units if they have header cells: others may be lists of links.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.tags import HIDDEN, IDS, TEXT, names
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.extraction.pages.writing import roles as known
from pipelines.text.extraction.pages.writing.counts import has_element, texts_before
from pipelines.text.extraction.pages.writing.tables import data_tables
from pipelines.text.kernels import jit, jit_internal

MAX_BYTES = 20_000  # of a unit that was left out
_NEAR = 64  # nodes that are searched for the text beside a unit
_TABLE, _PRE, _TH = (IDS[name] for name in ("table", "pre", "th"))


def completed(tree: Tree, kept: NDArray[np.bool_], roles: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which text nodes are kept, with whole code blocks and tables of data: a flag a node."""
    whole: Any = _completed(tree, kept, roles, names().kinds)
    return whole


@jit
def shown_nodes(tree: Any, kinds: Any) -> Any:
    """Return which nodes are text outside of what browsers hide: a flag a node."""
    out = np.zeros(tree.tag.size, np.bool_)
    node = 0
    while node < tree.tag.size:
        out[node] = tree.tag[node] == TEXT
        node = tree.end[node] if kinds[tree.tag[node]] & HIDDEN else node + 1
    return out


@jit_internal
def _is_kept_beside(tree: Any, texts: Any, kept: Any, at: int, step: int) -> bool:
    """Return whether the next text in a direction is kept."""
    for _ in range(_NEAR):
        if at < 0 or at >= tree.tag.size:
            return False
        if texts[at + 1] > texts[at]:
            return bool(kept[at])
        at += step
    return False


@jit_internal
def _complete(tree: Any, shown: Any, texts: Any, kept: Any, node: int, is_code: bool) -> None:
    """Keep a unit whole, if it is to be kept."""
    end, total, size = tree.end[node], 0, 0
    if not is_code and not has_element(tree, node, _TH):
        return
    for i in range(node, end):
        if texts[i + 1] > texts[i]:
            total += tree.stop[i] - tree.start[i]
            size += tree.stop[i] - tree.start[i] if kept[i] else 0
    is_kept = size > 0 and 2 * size >= total
    if size == 0 and 0 < total <= MAX_BYTES:
        is_kept = _is_kept_beside(tree, texts, kept, node - 1, -1) and _is_kept_beside(tree, texts, kept, end, 1)
    if is_kept:
        for i in range(node, end):
            kept[i] = kept[i] or shown[i]


@jit
def _completed(tree: Any, given: Any, roles: Any, kinds: Any) -> Any:
    nodes = tree.tag.size
    has_table, has_code = False, False
    for node in range(nodes):
        has_table = has_table or tree.tag[node] == _TABLE
        has_code = has_code or tree.tag[node] == _PRE or (roles.size > 0 and roles[node] == known.CODE)
    if not (has_table or has_code):
        return given
    kept, shown = given.copy(), shown_nodes(tree, kinds)
    texts = texts_before(tree, shown)
    columns = data_tables(tree, texts, roles) if has_table else np.zeros(nodes, np.int32)
    node = 0
    while node < nodes:
        is_code = tree.tag[node] == _PRE or (roles.size > 0 and roles[node] == known.CODE)
        if texts[tree.end[node]] > texts[node] and (is_code or columns[node]):
            _complete(tree, shown, texts, kept, node, is_code)
            node = tree.end[node]
        else:
            node += 1
    return kept
