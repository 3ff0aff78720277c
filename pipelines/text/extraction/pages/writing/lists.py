"""Lists and their items: marks, numbers and indents."""

from typing import Any

from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, IDS
from pipelines.text.extraction.pages.writing.marks import (
    BULLET,
    CELL,
    IN_HEADING,
    INDENT,
    ITEM_INDENT,
    LISTS,
    MARKER,
    NUMBER,
    ORDINAL,
    PENDING,
    SOFT,
    SPACE,
    STYLE,
    end_line,
    find_attribute,
    integer,
)
from pipelines.text.kernels import jit_borrowing

UNMARKED = -1  # the style of a list whose items are no lines
_MAX_INDENT = 12  # columns
_OL, _LI = IDS["ol"], IDS["li"]
_START, _REVERSED, _VALUE, _TYPE = (ATTRIBUTE_IDS[name] for name in ("start", "reversed", "value", "type"))


@jit_borrowing
def open_list(tree: Any, node: int, is_unmarked: bool, w: Any) -> None:
    """Begin a list; a list within another is indented by the mark of its item."""
    s = w.state
    level = s[LISTS]
    end_line(s, 1 if level else 2)
    w.width[level] = max(0, min(s[ITEM_INDENT] - s[INDENT], _MAX_INDENT - s[INDENT])) if level else 0
    s[INDENT] += w.width[level]
    level += 1
    s[LISTS], s[ITEM_INDENT] = level, s[INDENT]
    w.style[level] = UNMARKED if is_unmarked else 0
    if tree.tag[node] == _OL:
        w.style[level] = UNMARKED if is_unmarked else _list_style(tree, node)
        w.step[level] = -1 if find_attribute(tree, node, _REVERSED) >= 0 else 1
        w.number[level] = integer(tree, node, _START, _count_items(tree, node) if w.step[level] < 0 else 1)


@jit_borrowing
def _list_style(tree: Any, node: int) -> int:
    """Return the kind of numbers of an <ol>: "1", "a", "A", "i" or "I"."""
    i = find_attribute(tree, node, _TYPE)
    if i < 0 or tree.value_stop[i] - tree.value_start[i] != 1:
        return 49
    return int(tree.markup[tree.value_start[i]])


@jit_borrowing
def _count_items(tree: Any, node: int) -> int:
    """Return the number of <li> that are children of a list."""
    items, child = 0, node + 1
    while child < tree.end[node]:
        items += tree.tag[child] == _LI
        child = tree.end[child]
    return items


@jit_borrowing
def close_list(w: Any) -> None:
    """End a list."""
    s = w.state
    s[LISTS] -= 1
    s[ITEM_INDENT] = s[INDENT]
    s[INDENT] -= w.width[s[LISTS]]
    s[MARKER] = 0
    end_line(s, 1 if s[LISTS] else 2)


@jit_borrowing
def open_item(tree: Any, node: int, is_rich: bool, w: Any) -> None:
    """Begin an item: its mark is written when text follows. A rich item is no line of a list, and has none."""
    s = w.state
    style = w.style[s[LISTS]]
    end_line(s, 1)
    s[SOFT] = 0
    s[ITEM_INDENT] = s[INDENT]
    value = 0
    if style > 0:
        value = integer(tree, node, _VALUE, w.number[s[LISTS]])
        w.number[s[LISTS]] = value + w.step[s[LISTS]]
    if not is_rich and style != UNMARKED and s[CELL] == 0:
        s[MARKER] = ORDINAL if style else BULLET
        s[NUMBER], s[STYLE] = value, style
        s[ITEM_INDENT] = min(s[INDENT] + (3 if style else 2), _MAX_INDENT + 4)


@jit_borrowing
def close_item(is_rich: bool, w: Any) -> None:
    """End an item: the next one follows on the next line, unless the items are rich."""
    s = w.state
    s[MARKER] = 0
    if s[CELL] or s[IN_HEADING]:
        s[SPACE] = 1
        return
    if s[PENDING] == 0 or not (is_rich or w.style[s[LISTS]] == UNMARKED):
        s[PENDING], s[SOFT] = 1, 0
    s[SPACE] = 0
