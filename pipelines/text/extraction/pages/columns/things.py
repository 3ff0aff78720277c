"""Images, times and controls near a block, and on the page."""

from typing import Any

from pipelines.text.extraction.pages.columns.repeated import COUNT, THINGS
from pipelines.text.extraction.pages.columns.sums import IMAGES, TIMES
from pipelines.text.kernels import jit_borrowing

_OF_ITEMS = tuple(f"{item}_{thing}" for item in ("near", "outer") for thing in ("images", "times", "controls"))
NAMES = (*_OF_ITEMS, "parent_images", "great_images", "page_images", "page_times")


@jit_borrowing
def write(out: Any, at: int, tree: Any, blocks: Any, up: Any, things: Any, groups: Any) -> int:
    """Write the columns of the things; `things` is how many are before each node."""
    all_images, all_times = things[tree.tag.size, IMAGES], things[tree.tag.size, TIMES]
    for row in range(blocks.first.size):
        f, container = out[row, at:], blocks.container[row]
        if container >= 0:
            near, outer, parent = groups.near[container], groups.outer[container], up[container]
            if near >= 0:
                _write_means(f, groups.sums[groups.of[near]])
                _write_means(f[3:], groups.sums[groups.of[outer]])
            if parent >= 0:
                f[6] = things[tree.end[parent], IMAGES] - things[parent, IMAGES]
                f[7] = things[tree.end[up[parent]], IMAGES] - things[up[parent], IMAGES] if up[parent] >= 0 else 0
        f[8], f[9] = all_images, all_times
    return at + 10


@jit_borrowing
def _write_means(f: Any, group: Any) -> None:
    """Write the mean number of images, times and controls of the items of a group."""
    for i in range(3):
        f[i] = group[THINGS + i] / group[COUNT]
