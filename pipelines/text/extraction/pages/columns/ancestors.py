"""What the block-level elements hold that a block lies in: the four innermost ones, or the page."""

from typing import Any

from pipelines.text.extraction.pages.columns import sums as s
from pipelines.text.kernels import jit_borrowing

_LEVELS = ("container", "parent", "grandparent", "great_grandparent")
NAMES = tuple(f"{level}_{name}" for level in _LEVELS for name in ("width", "links", "blocks", "prose", "terminals", "share"))


@jit_borrowing
def write(out: Any, at: int, tree: Any, blocks: Any, up: Any, sums: Any, totals: Any) -> int:
    """Write the columns of the ancestors."""
    rows = blocks.first.size
    for row in range(rows):
        ancestor = blocks.container[row]
        for level in range(4):
            f = out[row, at + 6 * level :]
            if ancestor >= 0:
                _write_element(f, sums.text[ancestor], sums.text[tree.end[ancestor]], totals.width)
                ancestor = up[ancestor]
            else:
                f[0], f[1], f[2] = totals.width, totals.link / totals.width, rows
                f[3], f[4], f[5] = totals.prose / totals.width, totals.terminals * 50 / totals.width, 1
    return at + 24


@jit_borrowing
def _write_element(f: Any, before: Any, after: Any, total_width: float) -> None:
    """Write what an element holds, from the sums before it and after it."""
    width = max(1.0, after[s.WIDTH] - before[s.WIDTH])
    f[0], f[1] = width, (after[s.LINK] - before[s.LINK]) / width
    f[2] = after[s.BLOCKS] - before[s.BLOCKS]
    f[3] = (after[s.PROSE] - before[s.PROSE]) / width
    f[4] = (after[s.TERMINALS] - before[s.TERMINALS]) * 50 / width
    f[5] = width / total_width
