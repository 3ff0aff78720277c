"""The eleven blocks around a block, itself included, as one."""

from typing import Any

import numpy as np

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.kernels import jit_borrowing

NAMES = ("window_width", "window_links", "window_prose")
_REACH = 5  # blocks on each side


@jit_borrowing
def write(out: Any, at: int, counts: Any, is_prose: Any) -> int:
    """Write the columns of the window, which moves on by a block for each row."""
    rows, width, link, prose = is_prose.size, 0, 0, 0
    for new in range(rows + _REACH):
        row, old = new - _REACH, new - 2 * _REACH - 1
        if new < rows:
            width += counts[new, b.WIDTH]
            link += counts[new, b.LINK_WIDTH]
            prose += counts[new, b.WIDTH] if is_prose[new] else 0
        if old >= 0:
            width -= counts[old, b.WIDTH]
            link -= counts[old, b.LINK_WIDTH]
            prose -= counts[old, b.WIDTH] if is_prose[old] else 0
        if row >= 0:
            whole = np.float32(max(1, width))
            out[row, at], out[row, at + 1], out[row, at + 2] = whole, np.float32(link) / whole, np.float32(prose) / whole
    return at + 3
