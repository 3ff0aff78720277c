r"""The kernel that writes the kept text of a tree: one walk over the nodes, one buffer, linear in the page.

Breaks are pending until text follows: a line (1) or a paragraph (2). So what has no text leaves no trace, and no line has
blanks at its ends. What is written beside the page's own text (marks of lists, cells, quotes) is charged to a budget of a few
bytes a node: when it is spent, text goes on without them, so no page makes a text larger than a few times itself.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages import roles as known
from pipelines.text.extraction.pages.code import (
    close_code,
    end_code_line,
    has_breaks,
    is_block_code,
    open_code,
    write_code,
)
from pipelines.text.extraction.pages.marks import (
    BULLET,
    CELL,
    CODE_END,
    CODE_MODE,
    CODE_SCANNED,
    COLUMN,
    COLUMNS,
    DEFINITION,
    EQUATIONS_END,
    FENCES,
    FLAGS,
    HEADING_LEVEL,
    IN_BOLD,
    IN_EM,
    IN_HEADING,
    INDENT,
    INLINE_MARKS,
    ITEM_INDENT,
    LEFT,
    LISTS,
    MARKER,
    NEXT_COLUMN,
    NUMBER,
    ORDINAL,
    PENDING,
    QUOTES,
    ROWS,
    SIZE,
    SOFT,
    SPACE,
    STATES,
    STYLE,
    TRIM,
    WRITTEN,
    Writer,
    begin,
    count_items,
    end_line,
    find_attribute,
    integer,
    is_blank,
    line_prefix,
    list_style,
    write_prose,
)
from pipelines.text.extraction.pages.tables import MOST_COLUMNS, data_tables
from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, BLOCK, IDS, NAMES, TEXT, names
from pipelines.text.extraction.pages.tree import MAX_DEPTH
from pipelines.text.kernels import jit, jit_internal

# What an element does to the text in it and around it.
INLINE, LINE, PARAGRAPH, BREAK, LIST, ITEM, HEADING, QUOTE, SPACED, SKIPPED, QUOTED, PRE, TICKED, TABLE = range(14)
TABLE_ROW, TABLE_CELL, STRONG, EMPHASIS, DETAIL, CODE_LINE, CODE_BLOCK = range(14, 21)
_ACTIONS = {
    LINE: "address dt center dir div form frame frameset legend option optgroup search select summary tbody thead tfoot title"
    " textarea body html head noscript nav header footer main hgroup iframe",
    PARAGRAPH: "p article aside section details dialog dl fieldset figcaption figure caption hr video audio",
    BREAK: "br",
    LIST: "ul ol menu",
    ITEM: "li",
    HEADING: "h1 h2 h3 h4 h5 h6",
    QUOTE: "blockquote",
    SPACED: "button input img embed object canvas meter progress",
    SKIPPED: "rp rt rtc script style template",
    QUOTED: "q",
    PRE: "pre listing xmp plaintext",
    TICKED: "code samp kbd tt",
    TABLE: "table",
    TABLE_ROW: "tr",
    TABLE_CELL: "td th",
    STRONG: "b strong",
    EMPHASIS: "i em",
    DETAIL: "dd",
}
_RICH = "h1 h2 h3 h4 h5 h6 article section header footer form"  # an item of a list with one of these is no line of a list
_MAX_INDENT = 12  # columns
_BUDGET_PER_NODE, _BUDGET = 8, 4096  # bytes beside the page's own
_INLINE_NODES = 64  # an element with more is not bold or code within a line
_ANCHOR_BYTES = 4  # of a sign that links to its heading
UNMARKED = -1  # the style of a list whose items are no lines

_KINDS = names().kinds
_OL, _LI, _TR, _BR, _A, _H1, _TT, _KBD, _SPAN = (IDS[name] for name in ("ol", "li", "tr", "br", "a", "h1", "tt", "kbd", "span"))
_PRE = IDS["pre"]
_START, _REVERSED, _VALUE, _COLSPAN, _ROWSPAN = (
    ATTRIBUTE_IDS[name] for name in ("start", "reversed", "value", "colspan", "rowspan")
)


def _table(actions: dict[int, str]) -> NDArray[np.uint8]:
    table = np.zeros(len(NAMES), np.uint8)
    for action, elements in actions.items():
        table[[IDS[name] for name in elements.split()]] = action
    return table


_ACTION = _table(_ACTIONS)
_IS_RICH = _table({1: _RICH})


@jit_internal
def _counts(tree: Any, kept: Any, formulas: Any) -> Any:
    """Return how many kept texts (not blank) and formulas, and how many rich elements, are before each node."""
    nodes = tree.tag.size
    texts, rich = np.empty(nodes + 1, np.int32), np.empty(nodes + 1, np.int32)
    count, riches = 0, 0
    for node in range(nodes):
        texts[node], rich[node] = count, riches
        if kept[node]:
            count += tree.tag[node] == TEXT and not is_blank(tree.text, tree.start[node], tree.stop[node])
        riches += _IS_RICH[tree.tag[node]]
        if formulas.size and formulas[node] > 0:
            count += 1
    texts[nodes], rich[nodes] = count, riches
    return texts, rich


@jit_internal
def _count_tag(tree: Any, tag: int) -> Any:
    """Return how many elements of a name are before each node."""
    before = np.empty(tree.tag.size + 1, np.int32)
    count = 0
    for node in range(tree.tag.size):
        before[node] = count
        count += tree.tag[node] == tag
    before[tree.tag.size] = count
    return before


@jit_internal
def _writer(tree: Any, kept: Any, has_code: bool, formula_bytes: int, flags: int) -> Any:
    nodes = tree.tag.size
    room = formula_bytes + _BUDGET + (_BUDGET_PER_NODE + 12) * nodes
    if has_code:
        room += 3 * tree.text.size
    else:
        for node in range(nodes):
            if kept[node]:
                room += tree.stop[node] - tree.start[node]
    state = np.zeros(STATES, np.int64)
    state[LEFT], state[FLAGS] = _BUDGET + _BUDGET_PER_NODE * nodes - 128, flags
    lists = np.zeros((4, MAX_DEPTH + 2), np.int64)
    spans = np.zeros(MOST_COLUMNS + 1, np.int64)
    return Writer(np.empty(room, np.uint8), state, lists[0], lists[1], lists[2], lists[3], spans)


@jit_internal
def _put(w: Any, first: int, second: int, third: int) -> None:
    """Write a character of three bytes, or of fewer (0 for none)."""
    size = w.state[SIZE]
    w.out[size] = first
    size += 1
    if second:
        w.out[size] = second
        size += 1
    if third:
        w.out[size] = third
        size += 1
    w.state[SIZE] = size


@jit_internal
def _open_list(tree: Any, node: int, is_unmarked: bool, w: Any) -> None:
    s = w.state
    level = s[LISTS]
    end_line(s, 1 if level else 2)
    w.width[level] = max(0, min(s[ITEM_INDENT] - s[INDENT], _MAX_INDENT - s[INDENT])) if level else 0
    s[INDENT] += w.width[level]
    level += 1
    s[LISTS], s[ITEM_INDENT] = level, s[INDENT]
    w.style[level] = UNMARKED if is_unmarked else 0
    if tree.tag[node] == _OL:
        w.style[level] = UNMARKED if is_unmarked else list_style(tree, node)
        w.step[level] = -1 if find_attribute(tree, node, _REVERSED) >= 0 else 1
        w.number[level] = integer(tree, node, _START, count_items(tree, node) if w.step[level] < 0 else 1)


@jit_internal
def _close_list(w: Any) -> None:
    s = w.state
    s[LISTS] -= 1
    s[ITEM_INDENT] = s[INDENT]
    s[INDENT] -= w.width[s[LISTS]]
    s[MARKER] = 0
    end_line(s, 1 if s[LISTS] else 2)


@jit_internal
def _open_item(tree: Any, node: int, is_rich: bool, w: Any) -> None:
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


@jit_internal
def _close_item(is_rich: bool, w: Any) -> None:
    s = w.state
    s[MARKER] = 0
    if s[CELL] or s[IN_HEADING]:
        s[SPACE] = 1
        return
    if s[PENDING] == 0 or not (is_rich or w.style[s[LISTS]] == UNMARKED):
        s[PENDING], s[SOFT] = 1, 0
    s[SPACE] = 0


@jit_internal
def _open_row(w: Any) -> None:
    s = w.state
    s[CELL] = 0
    end_line(s, 1)
    s[NEXT_COLUMN] = s[WRITTEN] = s[SOFT] = 0


@jit_internal
def _open_cell(tree: Any, node: int, w: Any) -> None:
    s = w.state
    columns = s[COLUMNS]
    column = s[NEXT_COLUMN]
    while column < columns and w.spans[column] > 0:
        column += 1
    colspan = max(1, min(integer(tree, node, _COLSPAN, 1), columns - column))
    rowspan = integer(tree, node, _ROWSPAN, 1)
    if rowspan != 1 and column < columns:
        for i in range(column, column + colspan):
            w.spans[i] = rowspan if rowspan > 0 else 1 << 30
    s[COLUMN], s[NEXT_COLUMN], s[CELL], s[SPACE] = column, column + colspan, 1, 0


@jit_internal
def _close_row(w: Any) -> None:
    out, s = w.out, w.state
    s[CELL] = 0
    for column in range(s[COLUMNS]):
        w.spans[column] -= w.spans[column] > 0
    if s[WRITTEN] and s[FLAGS] & FENCES and s[LEFT] > 8 * s[COLUMNS] + 128:
        size = s[SIZE]
        before = size
        for _ in range(max(0, s[COLUMNS] - s[WRITTEN]) + 1):
            out[size], out[size + 1] = 32, 124
            size += 2
        if s[ROWS] == 0:
            out[size] = 10
            size += 1
            if s[FLAGS] & INLINE_MARKS:
                size = line_prefix(out, s, size)
            out[size] = 124
            size += 1
            for _ in range(max(s[COLUMNS], s[WRITTEN])):
                for byte in (32, 45, 45, 45, 32, 124):
                    out[size] = byte
                    size += 1
        s[LEFT] -= size - before
        s[SIZE] = size
    s[ROWS] += s[WRITTEN] > 0
    s[WRITTEN] = s[NEXT_COLUMN] = 0


@jit_internal
def _is_letter(byte: int) -> bool:
    return byte >= 0x80 or 48 <= byte <= 57 or 97 <= byte | 32 <= 122


@jit_internal
def _is_whole(tree: Any, node: int, w: Any) -> bool:
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


@jit_internal
def _starts_blank(tree: Any, node: int) -> bool:
    for i in range(node + 1, tree.end[node]):
        if tree.tag[i] == TEXT:
            return tree.text[tree.start[i]] <= 32
    return False


@jit_internal
def _open_mark(tree: Any, node: int, byte: int, count: int, w: Any) -> None:
    s = w.state
    if _starts_blank(tree, node) and s[PENDING] == 0:
        s[SPACE] = 1
    begin(w)
    for _ in range(count):
        _put(w, byte, 0, 0)
    s[LEFT] -= 2 * count
    s[TRIM] = 1


@jit_internal
def _is_numbers(tree: Any, node: int) -> bool:
    """Return whether an element has digits, and nothing but digits, white space, dots and colons."""
    has_digit = False
    for i in range(node, tree.end[node]):
        if tree.tag[i] == TEXT:
            for at in range(tree.start[i], tree.stop[i]):
                byte = tree.text[at]
                if 48 <= byte <= 57:
                    has_digit = True
                elif byte > 32 and byte != 46 and byte != 58 and byte != 0xC2 and byte != 0xA0:
                    return False
    return has_digit


@jit_internal
def _text_bytes(tree: Any, node: int, most: int) -> int:
    """Return how many bytes of text that is not blank an element has; one more than `most` if there are more."""
    size = 0
    for i in range(node + 1, tree.end[node]):
        if tree.tag[i] == TEXT:
            for at in range(tree.start[i], tree.stop[i]):
                size += tree.text[at] > 32
                if size > most:
                    return size
    return size


@jit_internal
def _is_left_out(tree: Any, node: int, role: int, s: Any) -> bool:
    if role == known.GUTTER:
        return _is_numbers(tree, node)
    if role == known.TOOL:
        return s[CODE_END] > node
    if role == known.ANCHOR:
        return tree.tag[node] == _A and _text_bytes(tree, node, _ANCHOR_BYTES) <= _ANCHOR_BYTES
    if role == known.ITEM_TAG and s[MARKER]:
        if _text_bytes(tree, node, 3) <= 3 and not _is_numbers(tree, node) and s[MARKER] == BULLET:
            return True
        s[MARKER] = 0
    return role == known.EDIT


@jit_internal
def _is_quoted_table(tree: Any, node: int) -> bool:
    """Return whether a <blockquote> begins with a table, which it only indents."""
    at = node + 1
    while at < tree.end[node] and tree.tag[at] == TEXT and is_blank(tree.text, tree.start[at], tree.stop[at]):
        at += 1
    return at < tree.end[node] and _ACTION[tree.tag[at]] == TABLE


@jit_internal
def _write_formula(data: Any, at: int, stop: int, is_display: bool, w: Any) -> None:
    s = w.state
    is_line = is_display and s[EQUATIONS_END] == 0
    if is_line:
        end_line(s, 1)
    begin(w)
    size = s[SIZE]
    for i in range(at, stop):
        w.out[size] = data[i]
        size += 1
    s[SIZE] = size
    s[TRIM] = 0
    if is_line:
        end_line(s, 1)


@jit
def write_text(tree: Any, kept: Any, roles: Any, formulas: Any, formula_ends: Any, formula_data: Any, flags: int) -> Any:
    """Return the kept text as bytes in UTF-8.

    `roles` has an entry a node, or none; so has `formulas`: 0 for none, the formula's number from 1 (negative: leave the
    element out). Formula k is formula_data[formula_ends[k - 1]:formula_ends[k]].
    """
    nodes = tree.tag.size
    texts, rich = _counts(tree, kept, formulas)
    has_code, has_table = roles.size > 0, False
    for node in range(nodes):
        action = _ACTION[tree.tag[node]]
        has_code = has_code or action in (PRE, TICKED)
        has_table = has_table or action == TABLE
    columns = data_tables(tree, kept, texts, roles) if has_table else np.zeros(0, np.int32)
    pres = _count_tag(tree, _PRE) if roles.size or flags & INLINE_MARKS else np.zeros(0, np.int32)
    w = _writer(tree, kept, has_code, formula_data.size, flags)
    s = w.state
    stack, actions, sizes = (
        np.empty(MAX_DEPTH + 1, np.int32),
        np.empty(MAX_DEPTH + 1, np.uint8),
        np.empty(MAX_DEPTH + 1, np.int64),
    )
    depth, node = 0, 0
    while True:
        while depth and (node >= nodes or tree.end[stack[depth - 1]] <= node):
            depth -= 1
            top, action = stack[depth], actions[depth]
            if action in (LINE, DETAIL):
                end_line(s, 1)
                s[SOFT] = action == LINE
                if action == DETAIL:
                    s[MARKER] = 0
            elif action == PARAGRAPH:
                end_line(s, 2)
                if s[EQUATIONS_END] and node >= s[EQUATIONS_END]:
                    s[EQUATIONS_END] = 0
            elif action == HEADING:
                s[IN_HEADING] = s[HEADING_LEVEL] = 0
                end_line(s, 2)
            elif action == QUOTE:
                end_line(s, 2)
                s[QUOTES] -= 1
            elif action == ITEM:
                _close_item(rich[tree.end[top]] > rich[top], w)
            elif action == LIST:
                _close_list(w)
            elif action == SPACED:
                s[SPACE] = s[PENDING] == 0
            elif action == QUOTED:
                if s[PENDING] == 0:
                    _put(w, 0xE2, 0x80, 0x9D)
                    s[SPACE] = 0
            elif action == CODE_LINE:
                is_line = tree.tag[top] in (_LI, _TR) or (roles.size > 0 and roles[top] == known.CODE_LINE)
                end_code_line(w, is_line and s[SIZE] == sizes[depth])
            elif action == CODE_BLOCK:
                close_code(w)
                s[CODE_END] = 0
                end_line(s, 2)
            elif action == TABLE:
                _close_row(w)
                s[COLUMNS] = 0
                end_line(s, 2)
            elif action == TABLE_ROW:
                _close_row(w)
            elif action == TABLE_CELL:
                s[CELL] = 0
            elif action == STRONG:
                s[IN_BOLD] = 0
                _put(w, 42, 42, 0)
            elif action == EMPHASIS:
                s[IN_EM] = 0
                _put(w, 42, 0, 0)
            elif action == TICKED:
                _put(w, 96, 0, 0)
        if node >= nodes:
            break
        tag, in_code = tree.tag[node], node < s[CODE_END]
        if tag == TEXT:
            at, stop = tree.start[node], tree.stop[node]
            if in_code:
                if is_blank(tree.text, at, stop):
                    is_line_end = _is_line_end(tree, node) or (s[CODE_MODE] == 2 and _has_newline(tree.text, at, stop))
                    if not is_line_end:
                        write_code(tree.text, at, stop, s[CODE_MODE] == 1, w)
                elif kept[node]:
                    write_code(tree.text, at, stop, s[CODE_MODE] == 1, w)
            elif kept[node]:
                write_prose(tree.text, at, stop, w)
            elif s[PENDING] == 0 and s[MARKER] == 0 and s[TRIM] == 0:
                s[SPACE] = 1
            node += 1
            continue
        action, end = _ACTION[tag], tree.end[node]
        role = roles[node] if roles.size else known.NONE
        if formulas.size and formulas[node] and not in_code:
            number = formulas[node]
            if number > 0:
                at = formula_ends[number - 1]
                is_display = formula_data[at + 1] == 36 and formula_data[at] == 36
                _write_formula(formula_data, at, formula_ends[number], is_display, w)
            node = end
            continue
        if role and _is_left_out(tree, node, role, s):
            node = end
            continue
        if in_code:
            if tag == _BR:
                end_code_line(w, True)
                node = end
            elif action in (SKIPPED, SPACED):
                node = end
            else:
                if action not in (INLINE, TICKED, STRONG, EMPHASIS, TABLE_CELL, QUOTED) or (
                    role == known.CODE_LINE and tag != _SPAN
                ):
                    end_code_line(w, False)
                    stack[depth], actions[depth], sizes[depth] = node, CODE_LINE, s[SIZE]
                    depth += 1
                node += 1
            continue
        is_empty = texts[end] == texts[node]
        if (
            role in (known.CODE, known.EDITOR)
            and not is_empty
            and s[CELL] == 0
            and (role == known.EDITOR or pres[end] == pres[node])
        ):
            action = PRE
        if action == INLINE:
            node += 1
            continue
        if tag == _BR or (is_empty and action == LINE and end == node + 2 and tree.tag[node + 1] == _BR):
            end_line(s, 1 if s[PENDING] == 0 else 2)
            s[SOFT] = 0
            node = end
            continue
        if action == SKIPPED:
            node = end
            continue
        if is_empty:
            if action == SPACED:
                s[SPACE] = s[PENDING] == 0
            elif action == ITEM:
                w.number[s[LISTS]] += w.step[s[LISTS]]
                end_line(s, 1)
            elif action == TABLE_CELL and s[COLUMNS]:
                _open_cell(tree, node, w)
                s[CELL] = 0
            elif action == TABLE_ROW and s[COLUMNS]:
                _close_row(w)
            elif action == TABLE_CELL and s[EQUATIONS_END]:
                s[SPACE] = s[PENDING] == 0
            elif action in (QUOTED, TICKED, STRONG, EMPHASIS):
                node += 1
                continue
            else:
                is_line = action in (LINE, DETAIL, TABLE_ROW, TABLE_CELL)
                end_line(s, 1 if is_line else 2)
                s[SOFT] = s[SOFT] or is_line
            node = end
            continue
        if action == LINE:
            end_line(s, 1)
            s[SOFT] = 1
        elif action == PARAGRAPH:
            end_line(s, 2)
        elif action == HEADING:
            end_line(s, 2)
            if s[FLAGS] & INLINE_MARKS and s[CELL] == 0 and s[IN_HEADING] == 0 and s[LEFT] > 8:
                s[HEADING_LEVEL], s[IN_HEADING] = tag - _H1 + 1, 1
                s[LEFT] -= 8
        elif action == QUOTE:
            end_line(s, 2)
            if s[FLAGS] & INLINE_MARKS and (pres[end] > pres[node] or _is_quoted_table(tree, node)):
                action = PARAGRAPH
            else:
                s[QUOTES] += 1
        elif action == SPACED:
            s[SPACE] = s[PENDING] == 0
        elif action == LIST:
            _open_list(tree, node, role == known.COMMENTS, w)
        elif action == ITEM:
            _open_item(tree, node, rich[end] > rich[node], w)
        elif action == DETAIL:
            end_line(s, 1)
            if s[FLAGS] & INLINE_MARKS and s[CELL] == 0 and s[MARKER] == 0:
                s[MARKER] = DEFINITION
        elif action == QUOTED:
            begin(w)
            _put(w, 0xE2, 0x80, 0x9C)
        elif action == TABLE:
            end_line(s, 2)
            if columns[node]:
                s[COLUMNS], s[ROWS], s[CELL], s[NEXT_COLUMN], s[WRITTEN] = columns[node], 0, 0, 0, 0
                w.spans[:] = 0
            else:
                action = PARAGRAPH
                if role == known.EQUATIONS:
                    s[EQUATIONS_END] = end
        elif action == TABLE_ROW:
            if s[COLUMNS]:
                _open_row(w)
            else:
                action = LINE
                end_line(s, 1)
                s[SOFT] = 1
        elif action == TABLE_CELL:
            if s[COLUMNS]:
                _open_cell(tree, node, w)
            elif s[EQUATIONS_END]:
                action = SPACED
                s[SPACE] = s[PENDING] == 0
            else:
                action = LINE
                end_line(s, 1)
                s[SOFT] = 1
        elif action in (PRE, TICKED):
            mode = 0
            if tag not in (_PRE,) and role in (known.CODE, known.EDITOR):
                mode = 2
            elif action == TICKED:
                mode = -1
                starts = s[PENDING] > 0 or s[SIZE] == 0 or s[MARKER] > 0
                if starts and s[CELL] == 0 and s[IN_HEADING] == 0 and tag != _TT and node >= s[CODE_SCANNED]:
                    s[CODE_SCANNED] = end
                    if is_block_code(tree, node):
                        mode = 1 if has_breaks(tree, node) else 0
            if s[CELL] and mode >= 0:
                mode = -1
                end_line(s, 1)
            if mode >= 0:
                end_line(s, 2)
                open_code(tree, node, kept, action == TICKED or role != known.NONE or tree.tag[node + 1] != TEXT, w)
                s[CODE_END], s[CODE_MODE] = end, mode
                action = CODE_BLOCK
            elif action == TICKED and s[FLAGS] & INLINE_MARKS and s[LEFT] > 64 and _is_whole(tree, node, w):
                _open_mark(tree, node, 96, 1, w)
            else:
                node += 1
                continue
        elif action == STRONG:
            if s[FLAGS] & INLINE_MARKS == 0 or s[IN_BOLD] or s[IN_HEADING] or s[LEFT] < 64 or not _is_whole(tree, node, w):
                node += 1
                continue
            _open_mark(tree, node, 42, 2, w)
            s[IN_BOLD] = 1
        elif action == EMPHASIS:
            if s[FLAGS] & INLINE_MARKS == 0 or s[IN_EM] or s[LEFT] < 64 or not _is_whole(tree, node, w):
                node += 1
                continue
            _open_mark(tree, node, 42, 1, w)
            s[IN_EM] = 1
        stack[depth], actions[depth] = node, action
        depth += 1
        node += 1
    return w.out[: s[SIZE]].copy()


@jit_internal
def _is_line_end(tree: Any, node: int) -> bool:
    """Return whether a blank text of code has a line end, and stands between elements that are lines of their own."""
    at, stop, after, parent = tree.start[node], tree.stop[node], node + 1, tree.parent[node]
    while at < stop and tree.text[at] != 10:
        at += 1
    if at == stop or parent < 0:
        return False
    action = _ACTION[tree.tag[parent]]
    if action in (LIST, TABLE, TABLE_ROW):
        return True
    if action != LINE:
        return False
    if after < tree.tag.size and tree.parent[after] == parent:
        return _KINDS[tree.tag[after]] & BLOCK != 0
    return node - 1 != parent


@jit_internal
def _has_newline(text: Any, at: int, stop: int) -> bool:
    while at < stop and text[at] != 10:
        at += 1
    return at < stop
