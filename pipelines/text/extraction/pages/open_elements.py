"""Kernels that decide which open elements a tag ends, as browsers do for the end tags that pages leave out or misplace.

The open elements are a stack: `stack_tag` and `stack_name` (the hash of the name) hold them, the innermost last, `depth` of them.
"""

from typing import Any

from pipelines.text.extraction.pages.tags import (
    CELL,
    CLOSES_P,
    HEAD_CONTENT,
    HEADING,
    IDS,
    ROW,
    ROW_GROUP,
    SCOPE,
    SPECIAL,
)
from pipelines.text.kernels import jit_borrowing

A, P, LI, DD, DT, TABLE = (IDS[name] for name in ("a", "p", "li", "dd", "dt", "table"))
OL, UL, OPTION, OPTGROUP, BUTTON = (IDS[name] for name in ("ol", "ul", "option", "optgroup", "button"))
RP, RT, RB, RTC, ADDRESS, DIV, HEAD = (IDS[name] for name in ("rp", "rt", "rb", "rtc", "address", "div", "head"))


@jit_borrowing
def _reaches(stack_tag: Any, depth: int, kinds: Any, tag: int, barrier: int) -> int:
    """Return the level of the innermost open element `tag` within a barrier of kinds, or -1."""
    level = depth - 1
    while level >= 0:
        open_tag = stack_tag[level]
        if open_tag == tag:
            return level
        if kinds[open_tag] & barrier:
            return -1
        level -= 1
    return -1


@jit_borrowing
def kept_by_start_tag(tag: int, kind: int, stack_tag: Any, depth: int, kinds: Any, opened: Any) -> int:
    """Return how many open elements stay open when this start tag comes: the others' end tags were left out."""
    if opened[HEAD] and not kind & HEAD_CONTENT:
        level = _reaches(stack_tag, depth, kinds, HEAD, SCOPE)  # what is in a <template> there stays in it
        depth = level if level >= 0 else depth
    if kind & CLOSES_P and opened[P]:
        level = _reaches(stack_tag, depth, kinds, P, SCOPE)
        if level >= 0 and not (opened[BUTTON] and _reaches(stack_tag, depth, kinds, BUTTON, SCOPE) > level):
            depth = level
    if kind & HEADING and depth and kinds[stack_tag[depth - 1]] & HEADING:
        return depth - 1
    if tag in (LI, DD, DT):
        return _kept_by_item(tag, stack_tag, depth, kinds)
    if kind & (CELL | ROW | ROW_GROUP) and opened[TABLE]:
        return _kept_by_cell(kind, stack_tag, depth, kinds)
    if depth == 0:
        return depth
    top = stack_tag[depth - 1]
    if (tag in (OPTION, OPTGROUP)) and top == OPTION:
        return depth - 1
    if (tag in (RP, RT, RB, RTC)) and (top in (RP, RT, RB)):
        return depth - 1
    if (tag in (A, BUTTON)) and opened[tag]:
        level = _reaches(stack_tag, depth, kinds, tag, SPECIAL if tag == A else SCOPE)
        return level if level >= 0 else depth
    return depth


@jit_borrowing
def _kept_by_item(tag: int, stack_tag: Any, depth: int, kinds: Any) -> int:
    """The same of an item of a list: it ends the item before it."""
    level = depth - 1
    while level >= 0:
        top = stack_tag[level]
        if top == tag or (tag != LI and (top in (DD, DT))):
            return level
        if kinds[top] & SPECIAL and top != ADDRESS and top != DIV and top != P:
            break
        level -= 1
    return depth


@jit_borrowing
def _kept_by_cell(kind: int, stack_tag: Any, depth: int, kinds: Any) -> int:
    """The same of a part of a table: a cell ends a cell, a row also a row, a group of rows also such a group."""
    kept, level = depth, depth - 1
    while level >= 0 and stack_tag[level] != TABLE:
        other = kinds[stack_tag[level]]
        if other & CELL or (other & ROW and kind & (ROW | ROW_GROUP)) or (other & ROW_GROUP and kind & ROW_GROUP):
            kept = level
        level -= 1
    return kept


@jit_borrowing
def kept_by_end_tag(name: Any, tag: int, kind: int, stack_name: Any, stack_tag: Any, depth: int, kinds: Any) -> int:
    """Return how many open elements stay open after this end tag; all of them if it ends none."""
    barrier = SCOPE if kind & SPECIAL else SPECIAL
    in_table = tag == TABLE or kind & (CELL | ROW | ROW_GROUP)
    level = depth - 1
    while level >= 0:
        top = stack_tag[level]
        if stack_name[level] == name or (kind & HEADING and kinds[top] & HEADING):
            return level
        if in_table:
            if top == TABLE:
                return depth
        elif kinds[top] & barrier or (tag == LI and (top in (UL, OL))):
            return depth
        level -= 1
    return depth
