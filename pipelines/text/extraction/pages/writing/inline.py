"""Marks of Markdown within a line: bold, emphasis and code, only around whole words."""

from typing import Any

from pipelines.text.extraction.pages.tags import BLOCK, IDS, TEXT, names
from pipelines.text.extraction.pages.writing.marks import (
    CELL,
    COLUMN,
    LEFT,
    MARKER,
    PENDING,
    SIZE,
    SPACE,
    TRIM,
    WRITTEN,
    begin,
    put,
)
from pipelines.text.kernels import jit_borrowing

_INLINE_NODES = 64  # an element with more is not bold or code within a line
_KINDS = names().kinds
_BR = IDS["br"]


@jit_borrowing
def _is_letter(byte: int) -> bool:
    return byte >= 0x80 or 48 <= byte <= 57 or 97 <= byte | 32 <= 122


@jit_borrowing
def is_whole(tree: Any, node: int, w: Any) -> bool:
    """Return whether an element of a line has whole words, and no blocks, so that Markdown can mark it."""
    s, end = w.state, tree.end[node]
    if end - node > _INLINE_NODES:
        return False
    first, last, has_tick = 32, 32, False
    for i in range(node + 1, end):
        if tree.tag[i] == TEXT:
            if tree.stop[i] > tree.start[i]:
                first = tree.text[tree.start[i]] if first == 32 and last == 32 else first
                last = tree.text[tree.stop[i] - 1]
                for at in range(tree.start[i], min(tree.stop[i], tree.start[i] + 2000)):
                    has_tick = has_tick or tree.text[at] == 96 or tree.text[at] == 42
        elif _KINDS[tree.tag[i]] & BLOCK or tree.tag[i] == _BR:
            return False
    if has_tick:
        return False
    is_glued = s[PENDING] == 0 and s[SPACE] == 0 and s[MARKER] == 0 and s[SIZE] > 0 and _is_letter(w.out[s[SIZE] - 1])
    if is_glued and not (s[CELL] and s[WRITTEN] <= s[COLUMN]) and _is_letter(first):
        return False
    for i in range(end, min(tree.tag.size, end + 8)):
        if tree.tag[i] == TEXT:
            return not (_is_letter(tree.text[tree.start[i]]) and _is_letter(last))
        if _KINDS[tree.tag[i]] & BLOCK or tree.tag[i] == _BR:
            break
    return True


@jit_borrowing
def _starts_blank(tree: Any, node: int) -> bool:
    for i in range(node + 1, tree.end[node]):
        if tree.tag[i] == TEXT:
            return tree.text[tree.start[i]] <= 32
    return False


@jit_borrowing
def open_mark(tree: Any, node: int, byte: int, count: int, w: Any) -> None:
    """Begin bold, emphasis or code within a line: `count` times a byte, after the space before it."""
    s = w.state
    if _starts_blank(tree, node) and s[PENDING] == 0:
        s[SPACE] = 1
    begin(w)
    for _ in range(count):
        put(w, byte, 0, 0)
    s[LEFT] -= 2 * count
    s[TRIM] = 1
