"""The blocks around a block: three before it and three after it."""

from typing import Any

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.kernels import jit_borrowing

_PLACES = (-3, -2, -1, 1, 2, 3)
NAMES = tuple(
    f"{name}{place:+d}" for place in _PLACES for name in ("width", "links", "terminals", "same_path", "heading", "odds")
)


@jit_borrowing
def write(out: Any, at: int, blocks: Any, is_heading: Any, path: Any, odds: Any) -> int:
    """Write the columns of the neighbours; `path` is by node, `odds` (of names) by block."""
    rows = blocks.first.size
    for row in range(rows):
        container = blocks.container[row]
        for i in range(6):
            f, other = out[row, at + 6 * i :], row + _PLACES[i]
            if not 0 <= other < rows:
                f[0] = f[1] = f[2] = f[3] = f[4] = f[5] = -1
                continue
            count, beside = blocks.counts[other], blocks.container[other]
            width = max(1.0, float(count[b.WIDTH]))
            f[0], f[1], f[2] = width, count[b.LINK_WIDTH] / width, count[b.TERMINALS] * 50 / width
            f[3] = beside >= 0 and container >= 0 and path[beside] == path[container]
            f[4], f[5] = is_heading[other], odds[other]
    return at + 36
