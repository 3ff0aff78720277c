"""The writer's state, and its small kernels: white space, breaks, marks of lists and quotes, attributes."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.kernels import jit_borrowing

# What is written beside the text, as bits.
FENCES = 1  # ``` around code, tables with a rule under their first row
INLINE_MARKS = 2  # the rest of Markdown: #, >, **bold**, `code`

SOFT_LINE = 100  # bytes: after a longer line, a division ends a paragraph, not only a line
MOST_QUOTES = 6

# Places in the state.
SIZE, PENDING, SPACE, LINE_START, SOFT, MARKER, NUMBER, STYLE, INDENT, LISTS, LEFT, FLAGS, QUOTES, LAST_QUOTES = range(14)
ITEM_INDENT, HEADING_LEVEL, IN_HEADING, TRIM, IN_BOLD, IN_EM = range(14, 20)
COLUMNS, CELL, COLUMN, NEXT_COLUMN, WRITTEN, ROWS, EQUATIONS_END = range(20, 27)  # of tables
CODE_END, CODE_START, CODE_PENDING, CODE_MODE, CODE_SCANNED, FENCE, BEFORE_CODE, BREAK_BEFORE_CODE, CODE_NEWLINES = range(27, 36)
NO_NUMBERS = 36  # one more than a text that is none: no element around it has only numbers
STATES = 37

BULLET, ORDINAL, DEFINITION = 1, 2, 3  # marks of lists
# Values of SPACE: there is one whatever follows; blanks of the markup; blanks with a line end, which is no space between letters
# of scripts written without spaces (CSS Text 3, section 4.1.3: segment break transformation rules).
FIRM, BLANKS, LINE_END = 1, 2, 3


class Writer(NamedTuple):
    """The text so far, the state, and what is known of the open lists (by their depth) and of the table's columns."""

    out: NDArray[np.uint8]
    state: NDArray[np.int64]
    number: NDArray[np.int64]  # of the next item
    step: NDArray[np.int64]
    style: NDArray[np.int64]  # 0 for bullets
    width: NDArray[np.int64]  # columns by which the list is indented beyond the one around it
    spans: NDArray[np.int64]  # by column: rows below that a cell reaches down to


@jit_borrowing
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


@jit_borrowing
def _is_wide(text: Any, at: int, stop: int) -> bool:
    """Return whether a character is wide and not Hangul: Han, kana, bopomofo, Yi, their marks and full-width forms."""
    byte = int(text[at])
    if byte == 0xF0:
        return at + 1 < stop and text[at + 1] >= 0xA0
    if byte < 0xE2 or byte > 0xEF or at + 2 >= stop:
        return False
    code = (byte & 15) << 12 | (int(text[at + 1]) & 63) << 6 | int(text[at + 2]) & 63
    if code < 0xA4D0:
        return code >= 0x2E80 and not 0x3130 <= code < 0x3190
    return 0xF900 <= code < 0xFB00 or 0xFF01 <= code < 0xFFA0


@jit_borrowing
def _ends_wide(out: Any, size: int) -> bool:
    """Return whether the last character that was written is wide and not Hangul."""
    return (size > 2 and _is_wide(out, size - 3, size)) or (size > 3 and out[size - 4] == 0xF0 and _is_wide(out, size - 4, size))


@jit_borrowing
def is_blank(text: Any, at: int, stop: int) -> bool:
    """Return whether there is nothing but white space and invisible characters."""
    while at < stop:
        width = blank_width(text, at)
        if width == 0:
            return False
        at += abs(width)
    return True


@jit_borrowing
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


@jit_borrowing
def write_ordinal(out: Any, size: int, number: int, style: int) -> int:
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


@jit_borrowing
def find_attribute(tree: Any, node: int, name: int) -> int:
    """Return the place of an element's attribute in the tree's columns, or -1."""
    for i in range(tree.first_attribute[node], tree.first_attribute[node + 1]):
        if tree.attribute[i] == name:
            return i
    return -1


@jit_borrowing
def integer(tree: Any, node: int, name: int, otherwise: int) -> int:
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


@jit_borrowing
def end_line(s: Any, level: int) -> None:
    """End the line (1) or paragraph (2); an item whose mark has not been written yet has no line to end, a cell is one line."""
    if s[CELL] or s[IN_HEADING]:
        s[SPACE] = 1
    elif s[MARKER] == 0:
        s[PENDING] = max(s[PENDING], level)
        s[SPACE] = 0


@jit_borrowing
def end_block(s: Any, level: int) -> None:
    """Do what both ends of a division (1) and of a paragraph (2) do."""
    end_line(s, level)
    if level == 1:
        s[SOFT] = 1


@jit_borrowing
def put_blanks(out: Any, size: int, count: int) -> int:
    """Write spaces that normalisation keeps (`characters.code_spaces`)."""
    for _ in range(count):
        out[size], out[size + 1], out[size + 2] = 0xEF, 0xB7, 0xAD
        size += 3
    return size


@jit_borrowing
def line_prefix(out: Any, s: Any, size: int) -> int:
    """Write what Markdown has before each line of a quote or of an item after its first; return the new size."""
    indent = s[ITEM_INDENT] if s[MARKER] == 0 and s[LISTS] else 0
    if not s[FLAGS] & INLINE_MARKS or s[LEFT] < 2 * MOST_QUOTES + 3 * indent:
        return size
    before = size
    for _ in range(min(s[QUOTES], MOST_QUOTES)):
        out[size], out[size + 1] = 62, 32
        size += 2
    size = put_blanks(out, size, indent)
    s[LEFT] -= size - before
    return size


@jit_borrowing
def _write_breaks(out: Any, s: Any, size: int) -> int:
    level = s[PENDING]
    if s[SOFT] and size - s[LINE_START] > SOFT_LINE:
        level = 2
    out[size] = 10
    size += 1
    if level == 2:
        quotes = min(s[QUOTES], s[LAST_QUOTES], MOST_QUOTES)
        if s[FLAGS] & INLINE_MARKS and s[LEFT] > 2 * quotes:
            for i in range(quotes):
                if i:
                    out[size] = 32
                    size += 1
                out[size] = 62
                size += 1
            s[LEFT] -= 2 * quotes
        out[size] = 10
        size += 1
    return size


@jit_borrowing
def _write_cells(out: Any, s: Any, size: int) -> int:
    """Write the bars between the last written cell and the current one."""
    column, written = s[COLUMN], s[WRITTEN]
    bars = column + 1 - written
    if s[LEFT] < 2 * bars + 2:
        if written:
            out[size] = 32
            size += 1
        s[WRITTEN] = column + 1
        return size
    s[LEFT] -= 2 * bars + 1
    if not s[FLAGS] & FENCES:  # "a | b": no bar before the first cell
        bars -= written == 0
    is_first = written == 0
    for _ in range(bars):
        if not is_first:
            out[size] = 32
            size += 1
        out[size] = 124
        size += 1
        is_first = False
    if not is_first:
        out[size] = 32
        size += 1
    s[WRITTEN] = column + 1
    return size


@jit_borrowing
def _write_mark(out: Any, s: Any, size: int) -> int:
    """Write the mark of an item, indented by those of the lists around it."""
    if s[LEFT] < 3 * s[INDENT] + 20:
        return size
    before = size
    size = put_blanks(out, size, s[INDENT])
    if s[MARKER] != ORDINAL:
        out[size], out[size + 1] = 45 if s[MARKER] == BULLET else 58, 32
        size += 2
    else:
        size = write_ordinal(out, size, s[NUMBER], s[STYLE])
    s[LEFT] -= size - before
    return size


@jit_borrowing
def begin(w: Any) -> None:
    """Write the breaks, marks, bars and the space that are pending; text follows."""
    out, s = w.out, w.state
    size = s[SIZE]
    is_new = s[PENDING] > 0 or size == 0
    if s[PENDING] and size:
        size = _write_breaks(out, s, size)
    if is_new:
        s[LINE_START] = size
        size = line_prefix(out, s, size)
    if s[MARKER]:
        size = _write_mark(out, s, size)
        s[MARKER] = 0
        s[SPACE] = 0
    if is_new:
        s[WRITTEN] = 0
    if s[CELL] and s[WRITTEN] <= s[COLUMN]:
        size = _write_cells(out, s, size)
    elif s[SPACE] and not is_new:
        out[size] = 32
        size += 1
    if s[HEADING_LEVEL]:
        for _ in range(s[HEADING_LEVEL]):
            out[size] = 35
            size += 1
        out[size] = 32
        size += 1
        s[HEADING_LEVEL] = 0
    s[SIZE], s[PENDING], s[SPACE], s[SOFT], s[LAST_QUOTES] = size, 0, 0, 0, s[QUOTES]


@jit_borrowing
def write_prose(text: Any, at: int, stop: int, w: Any) -> None:
    """Write text with each run of white space as one space."""
    out, s = w.out, w.state
    bar = 124 if s[CELL] and s[FLAGS] & FENCES else 0
    before = s[SIZE]
    while at < stop:
        width = blank_width(text, at)
        if width:
            size = s[SIZE]
            if width == 2 and s[SPACE] == 0 and size > 1 and out[size - 2] == 0xC3 and 0x82 <= out[size - 1] <= 0x83:
                out[size], out[size + 1] = 0xC2, 0xA0  # "Â\xa0" and "Ã\xa0" are mojibake, which only `normalize` can repair
                s[SIZE] = size + 2
            elif width > 0 and s[PENDING] == 0 and s[TRIM] == 0:
                if width > 1:
                    s[SPACE] = FIRM
                elif s[SPACE] != FIRM:
                    s[SPACE] = LINE_END if text[at] == 10 else max(s[SPACE], BLANKS)
            at += abs(width)
            continue
        if s[SPACE] == LINE_END and _ends_wide(out, s[SIZE]) and _is_wide(text, at, stop):
            s[SPACE] = 0
        if s[PENDING] or s[SPACE] or s[MARKER] or s[CELL] or s[HEADING_LEVEL]:
            begin(w)
        s[TRIM] = 0
        size = s[SIZE]
        while True:
            if text[at] == bar and s[LEFT] > 0:
                out[size] = 92
                size += 1
                s[LEFT] -= 1
            out[size] = text[at]
            size += 1
            at += 1
            if at >= stop or text[at] <= 32 or (text[at] >= 0xC2 and blank_width(text, at)):
                break
        s[SIZE] = size
    if s[SPACE] == LINE_END and s[SIZE] == before:
        s[SPACE] = FIRM  # nothing but blanks between two elements: tags, links of a menu


@jit_borrowing
def put(w: Any, first: int, second: int, third: int) -> None:
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
