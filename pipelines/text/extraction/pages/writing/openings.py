"""What the start of an element does."""

from typing import Any

import numpy as np

from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, IDS, TEXT
from pipelines.text.extraction.pages.writing import roles as known
from pipelines.text.extraction.pages.writing.actions import (
    ACTION,
    BREAKS,
    CODE_BLOCK,
    CODE_LINE,
    DETAIL,
    EMPHASIS,
    HEADING,
    INLINE,
    ITEM,
    LINE,
    LINES,
    LIST,
    NO_BLOCK,
    PARAGRAPH,
    PRE,
    QUOTE,
    QUOTED,
    SKIPPED,
    SPACED,
    STRONG,
    TABLE,
    TABLE_CELL,
    TABLE_ROW,
    TICKED,
    WHOLE,
)
from pipelines.text.extraction.pages.writing.code import end_code_line, is_block_code, open_code
from pipelines.text.extraction.pages.writing.counts import has_element
from pipelines.text.extraction.pages.writing.inline import is_whole, open_mark
from pipelines.text.extraction.pages.writing.lists import open_item, open_list
from pipelines.text.extraction.pages.writing.marks import (
    CELL,
    CODE_END,
    CODE_MODE,
    CODE_NEWLINES,
    CODE_PENDING,
    CODE_SCANNED,
    CODE_START,
    COLUMNS,
    DEFINITION,
    EQUATIONS_END,
    FLAGS,
    HEADING_LEVEL,
    IN_BOLD,
    IN_EM,
    IN_HEADING,
    INLINE_MARKS,
    LEFT,
    LISTS,
    MARKER,
    NEXT_COLUMN,
    PENDING,
    QUOTES,
    ROWS,
    SIZE,
    SPACE,
    WRITTEN,
    begin,
    end_block,
    end_line,
    find_attribute,
    is_blank,
    put,
)
from pipelines.text.extraction.pages.writing.rows import close_row, open_cell, open_row
from pipelines.text.kernels import jit_borrowing

_MARK_BYTES = 64  # of the budget, that must be left for a mark within a line
_STYLE = ATTRIBUTE_IDS["style"]
_TEAL = np.frombuffer(b"#008080", np.uint8)
_BR, _H1, _TT, _SPAN, _PRE = (IDS[name] for name in ("br", "h1", "tt", "span", "pre"))


@jit_borrowing
def _is_quoted_table(tree: Any, node: int) -> bool:
    """Return whether a <blockquote> begins with a table, which it only indents."""
    at = node + 1
    while at < tree.end[node] and tree.tag[at] == TEXT and is_blank(tree.text, tree.start[at], tree.stop[at]):
        at += 1
    return at < tree.end[node] and ACTION[tree.tag[at]] == TABLE


@jit_borrowing
def _is_line_number(tree: Any, node: int, w: Any) -> bool:
    """Return whether a <span> at the start of a line of code is its number, as cnblogs.com writes it: digits in teal."""
    s = w.state
    if tree.end[node] != node + 2 or not (s[SIZE] == s[CODE_START] or s[CODE_NEWLINES] or s[CODE_PENDING]):
        return False
    i = find_attribute(tree, node, _STYLE)
    if i < 0:
        return False
    matched, at = 0, tree.value_start[i]
    while at < tree.value_stop[i] and matched < _TEAL.size:
        matched = matched + 1 if tree.markup[at] == _TEAL[matched] else 0
        at += 1
    for place in range(tree.start[node + 1], tree.stop[node + 1]):
        if not (48 <= tree.text[place] <= 57 or tree.text[place] == 32):
            return False
    return matched == _TEAL.size


@jit_borrowing
def open_in_code(f: Any, node: int, action: int, role: int, w: Any) -> tuple[int, int]:
    """Return what to remember of an element within code, and the next node."""
    end = f.tree.end[node]
    if f.tree.tag[node] == _BR:
        end_code_line(w, True)
        return INLINE, end
    if action in (SKIPPED, SPACED) or (f.tree.tag[node] == _SPAN and _is_line_number(f.tree, node, w)):
        return INLINE, end
    is_inline = action in (INLINE, TICKED, STRONG, EMPHASIS, TABLE_CELL, QUOTED)
    if is_inline and not (role == known.CODE_LINE and f.tree.tag[node] != _SPAN):
        return INLINE, node + 1
    end_code_line(w, False)
    return CODE_LINE, node + 1


@jit_borrowing
def open_empty(f: Any, node: int, action: int, w: Any) -> int:
    """Do what an element without kept text does; return the next node."""
    s = w.state
    if action in (QUOTED, TICKED, STRONG, EMPHASIS):
        return node + 1
    if action == SPACED or (action == TABLE_CELL and s[EQUATIONS_END]):
        s[SPACE] = s[PENDING] == 0
    elif action == ITEM:
        w.number[s[LISTS]] += w.step[s[LISTS]]
        end_line(s, 1)
    elif action == TABLE_CELL and s[COLUMNS]:
        open_cell(f.tree, node, w)
        s[CELL] = 0
    elif action == TABLE_ROW and s[COLUMNS]:
        close_row(w)
    elif action in (LINE, DETAIL, TABLE_ROW, TABLE_CELL):
        end_block(s, 1)
    else:
        end_line(s, 2)
    return f.tree.end[node]


@jit_borrowing
def _open_table(f: Any, node: int, role: int, w: Any) -> int:
    """Begin a table; return what to remember: one that lays out the page is a paragraph."""
    s = w.state
    end_line(s, 2)
    if f.columns[node]:
        s[COLUMNS], s[ROWS], s[CELL], s[NEXT_COLUMN], s[WRITTEN] = f.columns[node], 0, 0, 0, 0
        w.spans[:] = 0
        return TABLE
    if role == known.EQUATIONS:
        s[EQUATIONS_END] = f.tree.end[node]
    return PARAGRAPH


@jit_borrowing
def _open_row_or_cell(f: Any, node: int, action: int, w: Any) -> int:
    s = w.state
    if s[COLUMNS]:
        if action == TABLE_ROW:
            open_row(w)
        else:
            open_cell(f.tree, node, w)
        return action
    if action == TABLE_CELL and s[EQUATIONS_END]:
        s[SPACE] = s[PENDING] == 0
        return SPACED
    end_block(s, 1)
    return LINE


@jit_borrowing
def _code_mode(f: Any, node: int, action: int, role: int, s: Any) -> int:
    """Return how the white space of an element counts: NO_BLOCK if it is code within a line."""
    if role in (known.CODE, known.EDITOR) and f.tree.tag[node] != _PRE:
        return LINES
    if action == PRE:
        return WHOLE
    starts = s[PENDING] > 0 or s[SIZE] == 0 or s[MARKER] > 0
    if starts and s[IN_HEADING] == 0 and f.tree.tag[node] != _TT and node >= s[CODE_SCANNED]:
        s[CODE_SCANNED] = f.tree.end[node]
        if is_block_code(f.tree, node):
            return BREAKS if has_element(f.tree, node, _BR) else WHOLE
    return NO_BLOCK


@jit_borrowing
def _open_code(f: Any, node: int, action: int, role: int, w: Any) -> int:
    """Begin code, as a block or within a line; return what to remember."""
    s, end = w.state, f.tree.end[node]
    mode = NO_BLOCK if s[CELL] else _code_mode(f, node, action, role, s)
    if mode != NO_BLOCK:
        end_line(s, 2)
        open_code(f.tree, node, f.kept, action == TICKED or role != known.NONE or f.tree.tag[node + 1] != TEXT, w)
        s[CODE_END], s[CODE_MODE] = end, mode
        return CODE_BLOCK
    if action == PRE:
        end_line(s, 1)
    elif s[FLAGS] & INLINE_MARKS and s[LEFT] > _MARK_BYTES and is_whole(f.tree, node, w):
        open_mark(f.tree, node, 96, 1, w)
        return TICKED
    return INLINE


@jit_borrowing
def _open_emphasis(f: Any, node: int, action: int, w: Any) -> int:
    s = w.state
    flag = IN_BOLD if action == STRONG else IN_EM
    if s[flag] or s[IN_HEADING] or s[LEFT] < _MARK_BYTES or not is_whole(f.tree, node, w):
        return INLINE
    open_mark(f.tree, node, 42, 2 if action == STRONG else 1, w)
    s[flag] = 1
    return action


@jit_borrowing
def _open_heading(tag: int, s: Any) -> None:
    end_line(s, 2)
    if s[FLAGS] & INLINE_MARKS and s[CELL] == 0 and s[IN_HEADING] == 0 and s[LEFT] > _MARK_BYTES:
        s[HEADING_LEVEL], s[IN_HEADING] = tag - _H1 + 1, 1
        s[LEFT] -= 8


@jit_borrowing
def _open_quote(f: Any, node: int, s: Any) -> int:
    end_line(s, 2)
    if s[FLAGS] & INLINE_MARKS and (f.pres[f.tree.end[node]] > f.pres[node] or _is_quoted_table(f.tree, node)):
        return PARAGRAPH
    s[QUOTES] += 1
    return QUOTE


@jit_borrowing
def open_element(f: Any, node: int, action: int, role: int, w: Any) -> int:
    """Do what the start of an element does; return what its end is to do (INLINE: nothing)."""
    s = w.state
    if action in (LINE, PARAGRAPH):
        end_block(s, action)
    elif action == HEADING:
        _open_heading(f.tree.tag[node], s)
    elif action == QUOTE:
        return _open_quote(f, node, s)
    elif action == SPACED:
        s[SPACE] = s[PENDING] == 0
    elif action == LIST:
        open_list(f.tree, node, role == known.COMMENTS, w)
    elif action == ITEM:
        open_item(f.tree, node, f.rich[f.tree.end[node]] > f.rich[node], w)
    elif action == DETAIL:
        end_line(s, 1)
        if s[FLAGS] & INLINE_MARKS and s[CELL] == 0 and s[MARKER] == 0:
            s[MARKER] = DEFINITION
    elif action == QUOTED:
        begin(w)
        put(w, 0xE2, 0x80, 0x9C)
    elif action == TABLE:
        return _open_table(f, node, role, w)
    elif action in (TABLE_ROW, TABLE_CELL):
        return _open_row_or_cell(f, node, action, w)
    elif action in (PRE, TICKED):
        return _open_code(f, node, action, role, w)
    else:
        return _open_emphasis(f, node, action, w) if s[FLAGS] & INLINE_MARKS else INLINE
    return action
