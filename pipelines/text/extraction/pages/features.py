"""The numbers that the model sees of each block: FEATURES, float32, a row a block.

The groups of columns, each in a file of `columns` that has their names and writes them, in the order of FEATURES:

    own         the block's characters and words, and how they recur
    nesting     its element, and those that it lies in
    place       where it stands, and under which heading
    ancestors   what the four innermost elements hold that it lies in
    best        how it stands to the elements with most of the prose
    repeated    the items of lists, posts of threads and the like that it is in
    things      images, times and controls near it
    around      the three blocks before it and after it
    odds        what the lexicon says of its elements' names and of its words
    page        the whole page, its address, what it says of itself
    window      the eleven blocks around it
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.extraction.pages.blocks import Blocks
from pipelines.text.extraction.pages.columns import (
    ancestors,
    around,
    best,
    nesting,
    odds,
    own,
    page,
    place,
    repeated,
    shown,
    sums,
    things,
    window,
)
from pipelines.text.extraction.pages.tags import names
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.kernels import jit, jit_internal

_GROUPS: tuple[tuple[str, ...], ...] = (
    *(own.NAMES, nesting.NAMES, place.NAMES, ancestors.NAMES, best.NAMES, repeated.NAMES),
    *(things.NAMES, around.NAMES, odds.NAMES, page.NAMES, window.NAMES),
)
FEATURES: tuple[str, ...] = tuple(name for group in _GROUPS for name in group)


class Lexicon(NamedTuple):
    """Log odds of being main text: hash tables (open addressing; a key of 0 is free) of names and of words."""

    name_keys: NDArray[np.uint64]
    name_odds: NDArray[np.float32]
    word_keys: NDArray[np.uint64]
    word_odds: NDArray[np.float32]
    text_keys: NDArray[np.uint64]  # of whole short texts
    text_odds: NDArray[np.float32]


class Places(NamedTuple):
    """How the blocks of a page belong together."""

    path: NDArray[np.int32]  # by block: a number for all blocks whose elements have the same tags and classes; -1 if none
    code: NDArray[np.int32]  # a number for all blocks of the same <pre>; -1 outside
    table: NDArray[np.int32]  # of the same (innermost) <table>
    prose: NDArray[np.bool_]  # wide, with few links
    is_body: NDArray[np.bool_]  # belongs to the element whose own paragraphs hold the most prose


def features(tree: Tree, blocks: Blocks, lexicon: Lexicon) -> tuple[NDArray[np.float32], Places]:
    """Return the features of all blocks of a page, float32[blocks, FEATURES], and how they belong together."""
    if not blocks.first.size:
        numbers, flags = np.zeros(0, np.int32), np.zeros(0, np.bool_)
        return np.zeros((0, len(FEATURES)), np.float32), Places(numbers, numbers, numbers, flags, flags)
    written, matrix, *places = _features(tree, blocks, lexicon, names().kinds, b.characters(), b.lower_case(), len(FEATURES))
    assert written == len(FEATURES)
    return matrix, Places._make(places)


@jit
def _features(tree: Any, blocks: Any, lexicon: Any, kinds: Any, characters: Any, lower: Any, columns: int) -> Any:
    """Write all columns; return their number and the columns of Places."""
    elements = shown.shown_elements(tree, kinds)
    nested, names = nesting.nesting(tree, elements, kinds), odds.name_odds(tree, elements, lexicon)
    path, head = repeated.paths(tree, elements), page.head(tree, elements, characters, lower)
    is_prose, is_heading = sums.prose_blocks(blocks.counts), sums.heading_blocks(tree, blocks.container, kinds)
    before, total = sums.sums(tree, blocks, is_prose), sums.totals(blocks.counts, is_prose, is_heading)
    groups, repeats = repeated.grouped(tree, path, before, kinds), own.repeats_of(blocks.text_hash)
    fullest = best.best_elements(tree, blocks, nested.up, before, total, is_prose)
    names_by_row = odds.names_by_row(tree, blocks, names)

    out = np.zeros((blocks.first.size, columns), np.float32)
    at = own.write(out, np.int64(0), blocks, head, repeats)  # for 0, it would be compiled for that number
    at = nesting.write(out, at, tree, blocks, nested, kinds)
    at = place.write(out, at, tree, blocks, is_prose, is_heading, total, lexicon)
    at = ancestors.write(out, at, tree, blocks, nested.up, before, total)
    at = best.write(out, at, tree, blocks, fullest, before.row, total)
    at = repeated.write(out, at, blocks, groups, total)
    at = things.write(out, at, tree, blocks, nested.up, before.things, groups)
    at = around.write(out, at, blocks, is_heading, path, names_by_row)
    at = odds.write(out, at, tree, blocks, names, lexicon)
    at = page.write(out, at, blocks.counts, head, total, names_by_row)
    at = window.write(out, at, blocks.counts, is_prose)
    path_of, code, table, is_body = _places(tree, blocks, nested, groups.of, fullest.second)
    return at, out, path_of, code, table, is_prose, is_body


@jit_internal
def _places(tree: Any, blocks: Any, nested: Any, group_of: Any, body: int) -> Any:
    """Return the path, code and table of each block, and whether it lies in the body."""
    rows = blocks.first.size
    path, code, table = np.full(rows, -1, np.int32), np.full(rows, -1, np.int32), np.full(rows, -1, np.int32)
    is_body = np.zeros(rows, np.bool_)
    for row in range(rows):
        first, container = blocks.first[row], blocks.container[row]
        if container >= 0:
            path[row] = group_of[container]
        if tree.parent[first] >= 0:
            code[row], table[row] = nested.code[tree.parent[first]], nested.table[tree.parent[first]]
        is_body[row] = body <= first < tree.end[body]
    return path, code, table, is_body
