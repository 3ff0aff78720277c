"""Kernels that count and search the nodes of a tree."""

from typing import Any

import numpy as np

from pipelines.text.extraction.pages.tags import TEXT
from pipelines.text.extraction.pages.writing.marks import is_blank
from pipelines.text.kernels import jit_borrowing, jit_internal


@jit_internal
def flags_before(flags: Any) -> Any:
    """Return how many nodes before each one, and before the end, have a flag: int32[nodes + 1]."""
    before = np.empty(flags.size + 1, np.int32)
    count = 0
    for node in range(flags.size):
        before[node] = count
        count += flags[node] != 0
    before[flags.size] = count
    return before


@jit_internal
def texts_before(tree: Any, kept: Any) -> Any:
    """Return how many kept texts that are not blank are before each node, and before the end: int32[nodes + 1]."""
    is_text = np.zeros(tree.tag.size, np.bool_)
    for node in range(tree.tag.size):
        if kept[node] and tree.tag[node] == TEXT:
            is_text[node] = not is_blank(tree.text, tree.start[node], tree.stop[node])
    return flags_before(is_text)


@jit_borrowing
def has_element(tree: Any, node: int, tag: int) -> bool:
    """Return whether there is an element of a name in another one."""
    inside = node + 1
    while inside < tree.end[node] and tree.tag[inside] != tag:
        inside += 1
    return inside < tree.end[node]
