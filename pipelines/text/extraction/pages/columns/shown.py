"""The elements of a page that say something of its text: those a browser shows something of, and those of <head>."""

from typing import Any

import numpy as np

from pipelines.text.extraction.pages.tags import HIDDEN, IDS, TEXT
from pipelines.text.kernels import jit_internal

_HEAD = IDS["head"]


@jit_internal
def shown_elements(tree: Any, kinds: Any) -> Any:
    """Return all elements but those in hidden ones (which are listed themselves), in the order of the page, int32.

    <head> is hidden, and its elements are listed: the words of title and description tell main text from the rest.
    """
    out = np.empty(tree.tag.size, np.int32)
    node, size = 0, 0
    while node < tree.tag.size:
        tag = tree.tag[node]
        if tag != TEXT:
            out[size] = node
            size += 1
        node = tree.end[node] if kinds[tag] & HIDDEN and tag != _HEAD else node + 1
    return out[:size]
