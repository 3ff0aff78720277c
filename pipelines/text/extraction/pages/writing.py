r"""The kernel that writes the kept text of a tree: one walk over the nodes, one buffer, linear in the page.

Breaks are pending until text follows: a line (1) or a paragraph (2). So what has no text leaves no trace, and no line has
blanks at its ends. What is written beside the page's own text (marks of lists, cells, quotes) is charged to a budget of a few
bytes a node: when it is spent, text goes on without them, so no page makes a text larger than a few times itself.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, IDS, NAMES, TEXT
from pipelines.text.extraction.pages.tree import MAX_DEPTH
from pipelines.text.kernels import jit, jit_internal

# What an element does to the text in it and around it.
INLINE, LINE, PARAGRAPH, BREAK, LIST, ITEM, HEADING, QUOTE, SPACED, SKIPPED, QUOTED = range(11)
_ACTIONS = {
    LINE: "address dd dt center dir div form frame frameset legend listing option optgroup search select summary td th tr tbody"
    " thead tfoot title textarea body html head noscript nav header footer main hgroup iframe",
    PARAGRAPH: "p article aside section details dialog dl fieldset figcaption figure caption table hr pre xmp plaintext"
    " video audio",
    BREAK: "br",
    LIST: "ul ol menu",
    ITEM: "li",
    HEADING: "h1 h2 h3 h4 h5 h6",
    QUOTE: "blockquote",
    SPACED: "button input img embed object canvas meter progress",
    SKIPPED: "rp rt rtc script style template",
    QUOTED: "q",
}
_RICH = "h1 h2 h3 h4 h5 h6 article section header footer form"  # an item of a list with one of these is no line of a list
SOFT_LINE = 100  # bytes: after a longer line, a division ends a paragraph, not only a line
MAX_INDENT = 12  # columns
BUDGET_PER_NODE, BUDGET = 8, 4096  # bytes beside the page's own

OL, LI, BR = IDS["ol"], IDS["li"], IDS["br"]
START, REVERSED, VALUE, TYPE = (ATTRIBUTE_IDS[name] for name in ("start", "reversed", "value", "type"))

# The writer's state, as places in an array.
SIZE, PENDING, SPACE, LINE_START, SOFT, MARKER, NUMBER, STYLE, INDENT, LISTS, LEFT = range(11)
_STATES = 11


def _table(actions: dict[int, str]) -> NDArray[np.uint8]:
    table = np.zeros(len(NAMES), np.uint8)
    for action, names in actions.items():
        table[[IDS[name] for name in names.split() if name in IDS]] = action
    return table


_ACTION = _table(_ACTIONS)
_IS_RICH = _table({1: _RICH})


@jit_internal
def blank_width(text: Any, at: int) -> int:
    """Return the width of the white space or invisible character at `at`, or 0; -3 for an invisible one of three bytes."""
    byte = text[at]
    if byte <= 32:
        return 1
    if byte < 0xC2 or at + 1 >= text.size:
        return 0
    second = text[at + 1]
    if byte == 0xC2:
        return 2 if second == 0xA0 else 0  # no-break space
    if at + 2 >= text.size:
        return 0
    third = text[at + 2]
    if byte == 0xE2:
        if second == 0x80 and (third <= 0x8A or third == 0xAF or third == 0xA8 or third == 0xA9):
            return 3  # spaces of Unicode, its separators of lines
        if second == 0x81 and third == 0x9F:
            return 3
        return -3 if second == 0x80 and third == 0x8B else 0
    if byte == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    if byte == 0xEF:
        if second == 0xBB and third == 0xBF:
            return -3
        if second == 0xB7 and 0xAD <= third <= 0xAF:
            return -3  # the stand-ins of characters.code_spaces
    return 0


@jit_internal
def _is_blank(text: Any, at: int, stop: int) -> bool:
    while at < stop:
        width = blank_width(text, at)
        if width == 0:
            return False
        at += abs(width)
    return True


@jit_internal
def _break(s: Any, level: int) -> None:
    """End the line (1) or paragraph (2); an item whose mark has not been written yet has no line to end."""
    if s[MARKER] == 0:
        s[PENDING] = max(s[PENDING], level)
        s[SPACE] = 0


@jit_internal
def _digits(out: Any, size: int, number: int) -> int:
    if number < 0:
        out[size] = 45
        size, number = size + 1, -number
    width, rest = 1, number
    while rest >= 10:
        width, rest = width + 1, rest // 10
    for place in range(size + width - 1, size - 1, -1):
        out[place] = 48 + number % 10
        number //= 10
    return size + width


_ROMAN = tuple((value, ord(a), ord(b)) for value, a, b in (
    (1000, "m", "\0"), (900, "c", "m"), (500, "d", "\0"), (400, "c", "d"), (100, "c", "\0"), (90, "x", "c"), (50, "l", "\0"),
    (40, "x", "l"), (10, "x", "\0"), (9, "i", "x"), (5, "v", "\0"), (4, "i", "v"), (1, "i", "\0")))  # fmt: skip


@jit_internal
def _ordinal(out: Any, size: int, number: int, style: int) -> int:
    """Write a number in the style of its list (the value of `type`), then ". ": at most 20 bytes."""
    case = style & 32
    if (style | 32) == 97 and 0 < number <= 26 * 26:
        if number > 26:
            out[size] = 64 + case + (number - 1) // 26
            size += 1
        out[size] = 65 + case + (number - 1) % 26
        size += 1
    elif (style | 32) == 105 and 0 < number < 2000:
        for value, first, second in _ROMAN:
            while number >= value:
                out[size] = first - 32 + case
                size += 1
                if second:
                    out[size] = second - 32 + case
                    size += 1
                number -= value
    else:
        size = _digits(out, size, number)
    out[size], out[size + 1] = 46, 32
    return size + 2


@jit_internal
def _begin(out: Any, s: Any) -> None:
    """Write the breaks, marks and the space that are pending; text follows."""
    size = s[SIZE]
    if s[PENDING] and size:
        level = s[PENDING]
        if s[SOFT] and size - s[LINE_START] > SOFT_LINE:
            level = 2
        for _ in range(level):
            out[size] = 10
            size += 1
    elif s[SPACE] and size and s[MARKER] == 0:
        out[size] = 32
        size += 1
    if s[PENDING]:
        s[LINE_START] = size
    if s[MARKER]:
        indent = s[INDENT]
        if s[LEFT] >= 3 * indent + 20:
            before = size
            for _ in range(indent):  # normalisation would take plain blanks away
                out[size], out[size + 1], out[size + 2] = 0xEF, 0xB7, 0xAD
                size += 3
            if s[MARKER] == 1:
                out[size], out[size + 1] = 45, 32
                size += 2
            else:
                size = _ordinal(out, size, s[NUMBER], s[STYLE])
            s[LEFT] -= size - before
        s[MARKER] = 0
    s[SIZE], s[PENDING], s[SPACE], s[SOFT] = size, 0, 0, 0


@jit_internal
def _prose(text: Any, at: int, stop: int, out: Any, s: Any) -> None:
    """Write text with each run of white space as one space."""
    while at < stop:
        width = blank_width(text, at)
        if width:
            size = s[SIZE]
            if width == 2 and s[SPACE] == 0 and size > 1 and out[size - 2] == 0xC3 and 0x82 <= out[size - 1] <= 0x83:
                out[size], out[size + 1] = 0xC2, 0xA0  # "Â\xa0" and "Ã\xa0" are mojibake, which only `normalize` can repair
                s[SIZE] = size + 2
            elif width > 0 and s[PENDING] == 0:
                s[SPACE] = 1
            at += abs(width)
            continue
        if s[PENDING] or s[SPACE] or s[MARKER]:
            _begin(out, s)
        size = s[SIZE]
        while True:
            out[size] = text[at]
            size += 1
            at += 1
            if at >= stop or text[at] <= 32 or (text[at] >= 0xC2 and blank_width(text, at)):
                break
        s[SIZE] = size


@jit_internal
def find_attribute(tree: Any, node: int, name: int) -> int:
    """Return the place of an element's attribute in the tree's columns, or -1."""
    for i in range(tree.first_attribute[node], tree.first_attribute[node + 1]):
        if tree.attribute[i] == name:
            return i
    return -1


@jit_internal
def _integer(tree: Any, node: int, name: int, otherwise: int) -> int:
    """Return the whole number in an attribute, at most a thousand million either way."""
    i = find_attribute(tree, node, name)
    if i < 0:
        return otherwise
    at, stop = tree.value_start[i], tree.value_stop[i]
    while at < stop and tree.markup[at] <= 32:
        at += 1
    is_negative = at < stop and tree.markup[at] == 45
    if at < stop and (is_negative or tree.markup[at] == 43):
        at += 1
    value, begin = 0, at
    while at < stop and 48 <= tree.markup[at] <= 57:
        value = min(value * 10 + int(tree.markup[at]) - 48, 1_000_000_000)
        at += 1
    if at == begin:
        return otherwise
    return -value if is_negative else value


@jit_internal
def _style(tree: Any, node: int) -> int:
    """Return the kind of numbers of an <ol>: "1", "a", "A", "i" or "I"."""
    i = find_attribute(tree, node, TYPE)
    if i < 0 or tree.value_stop[i] - tree.value_start[i] != 1:
        return 49
    return int(tree.markup[tree.value_start[i]])


@jit_internal
def _items(tree: Any, node: int) -> int:
    """Return the number of <li> that are children of a list."""
    items, child = 0, node + 1
    while child < tree.end[node]:
        items += tree.tag[child] == LI
        child = tree.end[child]
    return items


@jit_internal
def _kept_before(tree: Any, kept: Any) -> Any:
    """Return how many kept texts (not blank) and how many rich elements are before each node: int32[nodes + 1] each."""
    nodes = tree.tag.size
    texts, rich = np.empty(nodes + 1, np.int32), np.empty(nodes + 1, np.int32)
    count, riches = 0, 0
    for node in range(nodes):
        texts[node], rich[node] = count, riches
        if kept[node]:
            count += tree.tag[node] == TEXT and not _is_blank(tree.text, tree.start[node], tree.stop[node])
        riches += _IS_RICH[tree.tag[node]]
    texts[nodes], rich[nodes] = count, riches
    return texts, rich


@jit
def write_text(tree: Any, kept: Any) -> Any:
    """Return the kept text as bytes in UTF-8."""
    nodes = tree.tag.size
    texts, rich = _kept_before(tree, kept)
    room = BUDGET + BUDGET_PER_NODE * nodes
    for node in range(nodes):
        if kept[node]:
            room += tree.stop[node] - tree.start[node]
    out = np.empty(room + 4 * nodes, np.uint8)
    s = np.zeros(_STATES, np.int64)
    s[LEFT] = BUDGET + BUDGET_PER_NODE * nodes - 64
    stack = np.empty(MAX_DEPTH + 1, np.int32)
    number, step, style = np.zeros(MAX_DEPTH + 2, np.int64), np.zeros(MAX_DEPTH + 2, np.int64), np.zeros(MAX_DEPTH + 2, np.int64)
    widths = np.zeros(MAX_DEPTH + 2, np.int64)  # of the marks of a list; its own items are indented by those of the outer ones
    depth, node = 0, 0
    while True:
        while depth and (node >= nodes or tree.end[stack[depth - 1]] <= node):
            depth -= 1
            top = stack[depth]
            action = _ACTION[tree.tag[top]]
            if action == LINE:
                _break(s, 1)
                s[SOFT] = 1
            elif action in (PARAGRAPH, HEADING, QUOTE):
                _break(s, 2)
            elif action == ITEM:
                s[MARKER] = 0
                if s[PENDING] == 0 or rich[tree.end[top]] == rich[top]:
                    s[PENDING], s[SOFT] = 1, 0
                s[SPACE] = 0
            elif action == LIST:
                s[LISTS] -= 1
                s[INDENT] -= widths[s[LISTS]]
                s[SPACE] = 0
                s[PENDING] = max(s[PENDING], 1 if s[LISTS] else 2)
            elif action == SPACED:
                s[SPACE] = 1 if s[PENDING] == 0 else 0
            elif action == QUOTED and s[PENDING] == 0:
                size = s[SIZE]
                out[size], out[size + 1], out[size + 2] = 0xE2, 0x80, 0x9D
                s[SIZE] = size + 3
                s[SPACE] = 0
        if node >= nodes:
            break
        tag = tree.tag[node]
        if tag == TEXT:
            if kept[node]:
                _prose(tree.text, tree.start[node], tree.stop[node], out, s)
            elif s[PENDING] == 0 and s[MARKER] == 0:
                s[SPACE] = 1
            node += 1
            continue
        action, end = _ACTION[tag], tree.end[node]
        if action == INLINE:
            node += 1
            continue
        is_empty = texts[end] == texts[node]
        if tag == BR or (is_empty and action == LINE and end == node + 2 and tree.tag[node + 1] == BR):
            _break(s, 1 if s[PENDING] == 0 else 2)
            s[SOFT] = 0
            node = end
            continue
        if action == SKIPPED:
            node = end
            continue
        if is_empty:
            if action == SPACED:
                if s[PENDING] == 0:
                    s[SPACE] = 1
            elif action == ITEM:
                number[s[LISTS]] += step[s[LISTS]]
                _break(s, 1)
            elif action != QUOTED:
                _break(s, 1 if action == LINE else 2)
                if action == LINE:
                    s[SOFT] = 1
            node = end
            continue
        if action == LINE:
            _break(s, 1)
            s[SOFT] = 1
        elif action in (PARAGRAPH, HEADING, QUOTE):
            _break(s, 2)
        elif action == SPACED:
            if s[PENDING] == 0:
                s[SPACE] = 1
        elif action == LIST:
            _break(s, 1 if s[LISTS] else 2)
            width = 0
            if s[LISTS]:
                width = min(3 if style[s[LISTS]] else 2, MAX_INDENT - s[INDENT])
            widths[s[LISTS]] = width
            s[INDENT] += width
            s[LISTS] += 1
            level = s[LISTS]
            style[level] = 0
            if tag == OL:
                style[level] = _style(tree, node)
                step[level] = -1 if find_attribute(tree, node, REVERSED) >= 0 else 1
                number[level] = _integer(tree, node, START, _items(tree, node) if step[level] < 0 else 1)
        elif action == ITEM:
            level = s[LISTS]
            _break(s, 1)
            s[SOFT] = 0
            value = _integer(tree, node, VALUE, number[level]) if style[level] else 0
            number[level] = value + step[level]
            if rich[end] == rich[node]:
                s[MARKER] = 2 if level and style[level] else 1
                s[NUMBER], s[STYLE] = value, style[level]
        elif action == QUOTED:
            _begin(out, s)
            size = s[SIZE]
            out[size], out[size + 1], out[size + 2] = 0xE2, 0x80, 0x9C
            s[SIZE] = size + 3
        stack[depth] = node
        depth += 1
        node += 1
    return out[: s[SIZE]].copy()
