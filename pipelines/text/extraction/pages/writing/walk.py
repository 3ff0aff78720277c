r"""The kernel that writes the kept text of a tree: one walk over the nodes, one buffer, linear in the page.

Breaks are pending until text follows: a line (1) or a paragraph (2). So what has no text leaves no trace, and no line has
blanks at its ends. What is written beside the page's own text (marks of lists, cells, quotes) is charged to a budget of a few
bytes a node: when it is spent, text goes on without them, so no page makes a text larger than a few times itself.
"""

from typing import Any

import numpy as np

from pipelines.text.extraction.pages.tags import BLOCK, IDS, TEXT, names
from pipelines.text.extraction.pages.tree import MAX_DEPTH
from pipelines.text.extraction.pages.writing import roles as known
from pipelines.text.extraction.pages.writing.actions import (
    ACTION,
    BREAKS,
    INLINE,
    IS_RICH,
    LINE,
    LINES,
    LIST,
    PARAGRAPH,
    PRE,
    SKIPPED,
    TABLE,
    TABLE_ROW,
    TICKED,
    Facts,
)
from pipelines.text.extraction.pages.writing.closings import close
from pipelines.text.extraction.pages.writing.code import write_code
from pipelines.text.extraction.pages.writing.counts import flags_before, texts_before
from pipelines.text.extraction.pages.writing.marks import (
    BULLET,
    CELL,
    CODE_END,
    CODE_MODE,
    EQUATIONS_END,
    FLAGS,
    INLINE_MARKS,
    LEFT,
    MARKER,
    NO_NUMBERS,
    PENDING,
    SIZE,
    SOFT,
    SPACE,
    STATES,
    TRIM,
    Writer,
    begin,
    end_block,
    end_line,
    is_blank,
    write_prose,
)
from pipelines.text.extraction.pages.writing.openings import open_element, open_empty, open_in_code
from pipelines.text.extraction.pages.writing.tables import MOST_COLUMNS, data_tables
from pipelines.text.kernels import jit, jit_borrowing, jit_internal

_BUDGET_PER_NODE, _BUDGET = 8, 4096  # bytes beside the page's own
_ANCHOR_BYTES = 4  # of a sign that links to its heading

_KINDS = names().kinds
_BR, _A, _PRE = (IDS[name] for name in ("br", "a", "pre"))


@jit_internal
def _writer(f: Any, flags: int) -> Any:
    """Return a writer with room for all that can be written: the white space of code takes three bytes."""
    tree = f.tree
    nodes, has_code = tree.tag.size, f.roles.size > 0
    size = 0
    for node in range(nodes):
        has_code = has_code or ACTION[tree.tag[node]] in (PRE, TICKED)
        size += tree.stop[node] - tree.start[node] if f.kept[node] else 0
    room = f.data.size + _BUDGET + (_BUDGET_PER_NODE + 12) * nodes + (3 * tree.text.size if has_code else size)
    state = np.zeros(STATES, np.int64)
    state[LEFT], state[FLAGS] = _BUDGET + _BUDGET_PER_NODE * nodes - 128, flags
    lists = np.zeros((4, MAX_DEPTH + 2), np.int64)
    spans = np.zeros(MOST_COLUMNS + 1, np.int64)
    return Writer(np.empty(room, np.uint8), state, lists[0], lists[1], lists[2], lists[3], spans)


@jit_borrowing
def _is_numbers(tree: Any, node: int, s: Any) -> bool:
    """Return whether an element has digits, and nothing but digits, white space, dots and colons."""
    if node < s[NO_NUMBERS] <= tree.end[node]:  # so texts are read once however deep such elements are nested
        return False
    has_digit = False
    for i in range(node, tree.end[node]):
        if tree.tag[i] == TEXT:
            for at in range(tree.start[i], tree.stop[i]):
                byte = tree.text[at]
                if 48 <= byte <= 57:
                    has_digit = True
                elif byte > 32 and byte != 46 and byte != 58 and byte != 0xC2 and byte != 0xA0:
                    s[NO_NUMBERS] = i + 1
                    return False
    return has_digit


@jit_borrowing
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


@jit_borrowing
def _is_left_out(tree: Any, node: int, role: int, s: Any) -> bool:
    if role == known.GUTTER:
        return _is_numbers(tree, node, s)
    if role == known.TOOL:
        return s[CODE_END] > node
    if role == known.ANCHOR:
        return tree.tag[node] == _A and _text_bytes(tree, node, _ANCHOR_BYTES) <= _ANCHOR_BYTES
    if role == known.ITEM_TAG and s[MARKER]:
        if _text_bytes(tree, node, 3) <= 3 and not _is_numbers(tree, node, s) and s[MARKER] == BULLET:
            return True
        s[MARKER] = 0
    return role == known.EDIT


@jit_borrowing
def _write_formula(f: Any, number: int, w: Any) -> None:
    s = w.state
    at, stop = f.ends[number - 1], f.ends[number]
    is_line = f.data[at + 1] == 36 and s[EQUATIONS_END] == 0  # "$$": displayed
    if is_line:
        end_line(s, 1)
    begin(w)
    size = s[SIZE]
    for i in range(at, stop):
        w.out[size] = f.data[i]
        size += 1
    s[SIZE] = size
    s[TRIM] = 0
    if is_line:
        end_line(s, 1)


@jit_borrowing
def _code_text(tree: Any, node: int, is_kept: bool, w: Any) -> None:
    """Write a text within code; blank ones are kept with their code."""
    s = w.state
    at, stop = tree.start[node], tree.stop[node]
    if is_blank(tree.text, at, stop):
        is_kept = not (_is_line_end(tree, node) or (s[CODE_MODE] == LINES and _has_newline(tree.text, at, stop)))
    if is_kept:
        write_code(tree.text, at, stop, s[CODE_MODE] == BREAKS, w)


@jit_borrowing
def _element(f: Any, node: int, w: Any) -> tuple[int, int]:
    """Begin an element; return what its end is to do, and the next node."""
    tree, s = f.tree, w.state
    tag, end = tree.tag[node], tree.end[node]
    action = int(ACTION[tag])
    role = known.NONE
    if f.roles.size:
        role = int(f.roles[node])
        if f.formulas.size and f.formulas[node] and node >= s[CODE_END]:
            if f.formulas[node] > 0:
                _write_formula(f, f.formulas[node], w)
            return INLINE, end
        if role and _is_left_out(tree, node, role, s):
            return INLINE, end
    if node < s[CODE_END]:
        return open_in_code(f, node, action, role, w)
    is_empty = f.texts[end] == f.texts[node]
    if role == known.EDITOR or (role == known.CODE and f.pres[end] == f.pres[node]):
        action = action if is_empty or s[CELL] else PRE
    if action == INLINE:
        return INLINE, node + 1
    if tag == _BR:
        end_line(s, 1 if s[PENDING] == 0 else 2)
        s[SOFT] = 0
        return INLINE, end
    if action == SKIPPED:
        return INLINE, end
    if is_empty:
        return INLINE, open_empty(f, node, action, w)
    return open_element(f, node, action, role, w), node + 1


@jit_internal
def _facts(tree: Any, kept: Any, roles: Any, formulas: Any, ends: Any, data: Any, flags: int) -> Any:
    texts, rich = texts_before(tree, kept), flags_before(IS_RICH[tree.tag])
    if formulas.size:
        texts += flags_before(formulas > 0)
    has_table = False
    for node in range(tree.tag.size):
        has_table = has_table or ACTION[tree.tag[node]] == TABLE
    none = np.zeros(0, np.int32)
    columns = data_tables(tree, texts, roles) if has_table else none
    pres = flags_before(tree.tag == _PRE) if roles.size or flags & INLINE_MARKS else none
    return Facts(tree, kept, roles, formulas, ends, data, texts, rich, columns, pres)


@jit_borrowing
def _is_ascii_word(byte: int) -> bool:
    return 48 <= byte <= 57 or 97 <= byte | 32 <= 122


@jit_borrowing
def _part_links(tree: Any, node: int, w: Any) -> None:
    """Part a link from one that ends right before it: style sheets set menus and tags apart, not their markup."""
    s = w.state
    if node == 0 or tree.link[node - 1] < 0 or tree.end[tree.link[node - 1]] != node or s[PENDING] or s[SIZE] == 0:
        return
    if node + 1 < tree.end[node] and tree.tag[node + 1] == TEXT:
        s[SPACE] = s[SPACE] or (_is_ascii_word(w.out[s[SIZE] - 1]) and _is_ascii_word(tree.text[tree.start[node + 1]]))


@jit
def write_text(tree: Any, kept: Any, roles: Any, formulas: Any, formula_ends: Any, formula_data: Any, flags: int) -> Any:
    """Return the kept text as bytes in UTF-8.

    `roles` has an entry a node, or none; so has `formulas`: 0 for none, the formula's number from 1 (negative: leave the
    element out). Formula k is formula_data[formula_ends[k - 1]:formula_ends[k]].
    """
    nodes = tree.tag.size
    f = _facts(tree, kept, roles, formulas, formula_ends, formula_data, flags)
    w = _writer(f, flags)
    stack, sizes = np.empty(MAX_DEPTH + 1, np.int64), np.empty(MAX_DEPTH + 1, np.int64)
    actions = np.empty(MAX_DEPTH + 1, np.int64)
    s, texts, has_roles = w.state, f.texts, roles.size > 0
    depth, node = 0, np.int64(0)  # for 0, all that it is passed to would be compiled once more
    while True:
        while depth and (node >= nodes or tree.end[stack[depth - 1]] <= node):
            depth -= 1
            if actions[depth] <= PARAGRAPH and s[EQUATIONS_END] == 0:
                end_block(s, actions[depth])
            else:
                close(f, stack[depth], actions[depth], sizes[depth], w)
        if node >= nodes:
            break
        tag, in_code = tree.tag[node], node < s[CODE_END]
        if tag == TEXT:
            if in_code:
                _code_text(tree, node, kept[node], w)
            elif kept[node]:
                write_prose(tree.text, tree.start[node], tree.stop[node], w)
            elif s[PENDING] == 0 and s[MARKER] == 0 and s[TRIM] == 0:
                s[SPACE] = 1
            node += 1
            continue
        # Most elements need no more than this; each call for the others counts references to all the arrays.
        action, after = np.int64(ACTION[tag]), np.int64(node + 1)
        if tag == _A and not in_code:
            _part_links(tree, node, w)
        if in_code or action > PARAGRAPH or (has_roles and roles[node] != known.NONE):
            action, after = _element(f, node, w)
        elif action != INLINE:
            end = tree.end[node]
            if texts[end] > texts[node]:
                end_block(s, action)
            elif action == LINE and end == node + 2 and tree.tag[node + 1] == _BR:
                action = np.int64(INLINE)  # an empty line: the <br> counts
            else:
                end_block(s, action)
                action, after = np.int64(INLINE), np.int64(end)
        if action != INLINE:
            stack[depth], actions[depth], sizes[depth] = node, action, s[SIZE]
            depth += 1
        node = after
    return w.out[: w.state[SIZE]].copy()


@jit_borrowing
def _is_line_end(tree: Any, node: int) -> bool:
    """Return whether a blank text of code has a line end, and is between elements that are lines of their own."""
    after, parent = node + 1, tree.parent[node]
    if parent < 0 or not _has_newline(tree.text, tree.start[node], tree.stop[node]):
        return False
    action = ACTION[tree.tag[parent]]
    if action in (LIST, TABLE, TABLE_ROW):
        return True
    if action != LINE:
        return False
    if after < tree.tag.size and tree.parent[after] == parent:
        return _KINDS[tree.tag[after]] & BLOCK != 0
    return node - 1 != parent


@jit_borrowing
def _has_newline(text: Any, at: int, stop: int) -> bool:
    while at < stop and text[at] != 10:
        at += 1
    return at < stop
