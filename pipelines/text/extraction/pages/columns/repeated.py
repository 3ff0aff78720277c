"""Elements that repeat: those with the same path of tags and classes, as the items of a list or the posts of a thread."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.columns.hashed import slot_of, slots_for
from pipelines.text.extraction.pages.elements import class_hash
from pipelines.text.extraction.pages.scanning import FNV_PRIME
from pipelines.text.extraction.pages.tags import BLOCK, TEXT
from pipelines.text.kernels import jit_borrowing, jit_internal

_PATH = ("path_count", "path_width", "path_links", "path_share")
_NEAR = ("near_count", "near_width", "near_links", "near_prose")
_OUTER = ("outer_count", "outer_width", "outer_links", "outer_prose", "outer_share", "outer_index")
NAMES = (*_PATH, *_NEAR, *_OUTER)
COUNT, WIDTH, LINK, BLOCKS, PROSE, THINGS = range(6)  # columns of Groups.sums; of things, there are three
_REPEATS = 3  # elements of a group, and blocks in them, from which on they are items


class Groups(NamedTuple):
    """The block-level elements of a page, grouped by their paths."""

    of: NDArray[np.int32]  # by node: its group, or -1
    sums: NDArray[np.float32]  # [groups (and more), 8]: elements; width, links, blocks, prose; images, times, controls in them
    place: NDArray[np.int32]  # by node: how many of its group are before it
    near: NDArray[np.int32]  # by node: the innermost item that holds it, or -1
    outer: NDArray[np.int32]  # the outermost one


@jit_internal
def paths(tree: Any, shown: Any) -> Any:
    """Return a hash of the tags and classes of each element and its ancestors, uint64 a node."""
    out = np.zeros(tree.tag.size, np.uint64)
    for node in shown:
        out[node] = np.uint64(tree.tag[node]) * np.uint64(0x9E3779B97F4A7C15) ^ class_hash(tree, node)
        if tree.parent[node] >= 0:
            out[node] ^= out[tree.parent[node]] * FNV_PRIME
    return out


@jit_internal
def grouped(tree: Any, path: Any, sums: Any, kinds: Any) -> Any:
    """Return the groups of elements with the same path."""
    groups, count = _numbered(tree, path, kinds)
    group_sums, place = np.zeros((max(count, 1), 8), np.float32), np.zeros(tree.tag.size, np.int32)
    for node in range(tree.tag.size):
        if groups[node] >= 0:
            of_group, end = group_sums[groups[node]], tree.end[node]
            place[node] = of_group[COUNT]
            of_group[COUNT] += 1
            for i in range(4):
                of_group[WIDTH + i] += sums.text[end, i] - sums.text[node, i]
            for i in range(3):
                of_group[THINGS + i] += sums.things[end, i] - sums.things[node, i]
    near, outer = _items(tree, groups, group_sums)
    return Groups(groups, group_sums, place, near, outer)


@jit_internal
def _numbered(tree: Any, path: Any, kinds: Any) -> Any:
    """Return a number for each path of a block-level element (by node, else -1), and how many paths there are."""
    out, count = np.full(path.size, -1, np.int32), 0
    slots = slots_for(path.size)
    keys, numbers = np.zeros(slots, np.uint64), np.zeros(slots, np.int32)
    for node in range(path.size):
        if tree.tag[node] != TEXT and kinds[tree.tag[node]] & BLOCK:
            key = path[node] | np.uint64(1)
            slot = slot_of(keys, key)
            if keys[slot] == 0:
                keys[slot], numbers[slot] = key, count
                count += 1
            out[node] = numbers[slot]
    return out, count


@jit_internal
def _items(tree: Any, groups: Any, sums: Any) -> Any:
    """Return the innermost and the outermost item that holds each node."""
    near, outer = np.full(groups.size, -1, np.int32), np.full(groups.size, -1, np.int32)
    for node in range(groups.size):
        parent, group = tree.parent[node], groups[node]
        if parent >= 0:
            near[node], outer[node] = near[parent], outer[parent]
        if group >= 0 and sums[group, COUNT] >= _REPEATS and sums[group, BLOCKS] >= _REPEATS:
            near[node] = node
            if outer[node] < 0:
                outer[node] = node
    return near, outer


@jit_borrowing
def write(out: Any, at: int, blocks: Any, groups: Any, totals: Any) -> int:
    """Write the columns of what repeats; they stay 0 where nothing does."""
    for row in range(blocks.first.size):
        f, container = out[row, at:], blocks.container[row]
        if container < 0:
            continue
        if groups.of[container] >= 0:
            _, f[3] = _write_group(f, groups.sums[groups.of[container]], totals.width)
        near, outer = groups.near[container], groups.outer[container]
        if near >= 0:
            f[7], _ = _write_group(f[4:], groups.sums[groups.of[near]], totals.width)
        if outer >= 0:
            f[11], f[12] = _write_group(f[8:], groups.sums[groups.of[outer]], totals.width)
            f[13] = groups.place[outer] / groups.sums[groups.of[outer], COUNT]
    return at + 14


@jit_borrowing
def _write_group(f: Any, group: Any, total_width: float) -> tuple[float, float]:
    """Write a group's elements, mean width and share of links; return its shares of prose and of the page."""
    width = max(1.0, float(group[WIDTH]))
    f[0], f[1], f[2] = group[COUNT], width / group[COUNT], group[LINK] / width
    return group[PROSE] / width, width / total_width
