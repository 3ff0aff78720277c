"""The elements of a page that a browser shows something of."""

from typing import Any

import numpy as np

from pipelines.text.extraction.pages.tags import HIDDEN, TEXT
from pipelines.text.kernels import jit_internal


@jit_internal
def shown_elements(tree: Any, kinds: Any) -> Any:
    """Return all elements but those in hidden ones (which are listed themselves), in the order of the page, int32."""
    out = np.empty(tree.tag.size, np.int32)
    node, size = 0, 0
    while node < tree.tag.size:
        tag = tree.tag[node]
        if tag != TEXT:
            out[size] = node
            size += 1
        node = tree.end[node] if kinds[tag] & HIDDEN else node + 1
    return out[:size]
