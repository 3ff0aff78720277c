"""Sums over a page's blocks, so that the sum of any element is a difference."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.extraction.pages.tags import HEADING, IDS
from pipelines.text.kernels import jit_borrowing, jit_internal

PROSE_WIDTH = 60  # a block at least so wide, with few links, is prose
IMG, TIME, BUTTON, INPUT, SELECT = (IDS[name] for name in ("img", "time", "button", "input", "select"))
WIDTH, LINK, BLOCKS, PROSE, TERMINALS = range(5)  # columns of Sums.text
IMAGES, TIMES, CONTROLS = range(3)  # columns of Sums.things


class Sums(NamedTuple):
    """What stands before each node; an entry more than nodes."""

    text: NDArray[np.float32]  # [nodes + 1, 5]: width, width in links, blocks, width of prose, ends of sentences
    things: NDArray[np.int32]  # [nodes + 1, 3]: images, times, controls
    row: NDArray[np.int32]  # blocks


class Totals(NamedTuple):
    """Sums over the whole page."""

    width: float
    link: float
    prose: float
    terminals: float
    widest: float  # block
    headings: int


@jit_internal
def prose_blocks(counts: Any) -> Any:
    """Return which blocks are prose: wide, with few links."""
    out = np.zeros(counts.shape[0], np.bool_)
    for row in range(out.size):
        width = counts[row, b.WIDTH]
        out[row] = width >= PROSE_WIDTH and counts[row, b.LINK_WIDTH] * 3 < width
    return out


@jit_internal
def heading_blocks(tree: Any, containers: Any, kinds: Any) -> Any:
    """Return which blocks are headings."""
    out = np.zeros(containers.size, np.bool_)
    for row in range(out.size):
        out[row] = containers[row] >= 0 and kinds[tree.tag[containers[row]]] & HEADING != 0
    return out


@jit_internal
def sums(tree: Any, blocks: Any, is_prose: Any) -> Any:
    """Return the sums before each node."""
    nodes = tree.tag.size
    text, things = np.zeros((nodes + 1, 5), np.float32), np.zeros((nodes + 1, 3), np.int32)
    row_at, row = np.zeros(nodes + 1, np.int32), 0
    for node in range(nodes):
        tag = tree.tag[node]
        things[node + 1, IMAGES] = things[node, IMAGES] + (tag == IMG)
        things[node + 1, TIMES] = things[node, TIMES] + (tag == TIME)
        things[node + 1, CONTROLS] = things[node, CONTROLS] + (tag in (BUTTON, INPUT, SELECT))
        for i in range(5):
            text[node + 1, i] = text[node, i]
        row_at[node] = row
        if row < is_prose.size and blocks.first[row] == node:
            _add(text[node + 1], blocks.counts[row], is_prose[row])
            row += 1
    row_at[nodes] = row
    return Sums(text, things, row_at)


@jit_borrowing
def _add(text: Any, count: Any, is_prose: bool) -> None:
    """Add a block's counts to the sums of text."""
    text[WIDTH] += count[b.WIDTH]
    text[LINK] += count[b.LINK_WIDTH]
    text[BLOCKS] += 1
    text[PROSE] += count[b.WIDTH] if is_prose else 0
    text[TERMINALS] += count[b.TERMINALS]


@jit_borrowing
def totals(counts: Any, is_prose: Any, is_heading: Any) -> Any:
    """Return the sums over the whole page."""
    width, link, prose, terminals, widest, headings = 0.0, 0.0, 0.0, 0.0, 0.0, 0
    for row in range(is_prose.size):
        count = counts[row]
        width += count[b.WIDTH]
        link += count[b.LINK_WIDTH]
        prose += count[b.WIDTH] if is_prose[row] else 0
        terminals += count[b.TERMINALS]
        widest = max(widest, count[b.WIDTH])
        headings += is_heading[row]
    return Totals(width, link, prose, terminals, widest, headings)
