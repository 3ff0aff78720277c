r"""Kernels that write code: every space, tab and line end of it as stand-ins (`characters.code_spaces`).

Code is <pre>, what the roles call code, and an element <code>, <samp> or <kbd> that is a block of its own: it has several lines
and is alone in its paragraph or division. Lines are those of the text, and each <br>, <li>, row of a table or element with
a class of lines. Blank lines at the start and white space at the end are left out.
"""

from typing import Any

import numpy as np

from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, BLOCK, IDS, TEXT, names
from pipelines.text.extraction.pages.writing.marks import (
    BEFORE_CODE,
    BREAK_BEFORE_CODE,
    CODE_NEWLINES,
    CODE_PENDING,
    CODE_START,
    FENCE,
    FENCES,
    FLAGS,
    LEFT,
    MARKER,
    PENDING,
    SIZE,
    begin,
    blank_width,
    line_prefix,
    put,
)
from pipelines.text.kernels import jit_borrowing

_KINDS = names().kinds
_BR = IDS["br"]
_CLASS, _DATA_LANG, _DATA_LANGUAGE = (ATTRIBUTE_IDS[name] for name in ("class", "data-lang", "data-language"))
_STEPS = 16  # nodes that are searched for the end of a paragraph
_LONGEST_NAME = 20  # bytes of a language's
_LEVELS = 6  # elements around code that may name its language
# <pre> that is longer, has few signs or digits and no columns is prose: a letter, a poem.
_PROSE_BYTES, _LETTERS_PER_SIGN, _SIGNS_PER_COLUMN = 200, 25, 4
_IS_SIGN = np.zeros(256, np.int64)
_IS_SIGN[np.frombuffer(b"{};=<>()[]_/\\|#$*+@&0123456789", np.uint8)] = 1


@jit_borrowing
def _is_white(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13


@jit_borrowing
def is_block_code(tree: Any, node: int) -> bool:
    """Return whether an element that browsers do not take for preformatted has several lines and ends its block."""
    end, lines, has_text = tree.end[node], False, False
    for i in range(node + 1, end):
        if tree.tag[i] == TEXT:
            for at in range(tree.start[i], tree.stop[i]):
                byte = tree.text[at]
                if not _is_white(byte):
                    if lines and has_text:
                        return _ends_block(tree, node)
                    has_text = True
                elif byte == 10 and has_text:
                    lines = True
        elif tree.tag[i] == _BR:
            return _ends_block(tree, node)
    return False


@jit_borrowing
def _ends_block(tree: Any, node: int) -> bool:
    after, block = tree.end[node], tree.parent[node]
    while block >= 0 and not _KINDS[tree.tag[block]] & BLOCK:
        block = tree.parent[block]
    stop = tree.end[block] if block >= 0 else tree.tag.size
    for i in range(after, min(stop, after + _STEPS)):
        tag = tree.tag[i]
        if tag == TEXT:
            for at in range(tree.start[i], tree.stop[i]):
                if not _is_white(tree.text[at]):
                    return False
        elif _KINDS[tag] & BLOCK or tag == _BR:
            return True
    return stop <= after + _STEPS


@jit_borrowing
def _is_name(byte: int) -> bool:
    return 97 <= byte | 32 <= 122 or 48 <= byte <= 57 or byte == 43 or byte == 45 or byte == 35 or byte == 95


_PREFIXES = (
    *(b"language-", b"lang-", b"highlight-source-", b"highlight-text-", b"brush:", b"brush-", b"sourceCode ", b"highlight-"),
    *(b"highlight ", b"syntaxhighlighter ", b"ltx_lst_language_"),
)
_PREFIX_BYTES = np.frombuffer(b"".join(_PREFIXES), np.uint8)
_PREFIX_ENDS = np.cumsum([len(prefix) for prefix in _PREFIXES])


@jit_borrowing
def _prefix(markup: Any, at: int, stop: int) -> int:
    """Return the length of a class's prefix that is followed by a language's name; 0 if it has none."""
    first = 0
    for last in _PREFIX_ENDS:
        if stop - at > last - first:
            place = first
            while place < last and markup[at + place - first] == _PREFIX_BYTES[place]:
                place += 1
            if place == last:
                return int(last - first)
        first = last
    return 0


@jit_borrowing
def _language(tree: Any, node: int) -> tuple[int, int]:
    """Return where in the page the name of an element's language is; an empty range if there is none."""
    markup = tree.markup
    for i in range(tree.first_attribute[node], tree.first_attribute[node + 1]):
        name, at, stop = tree.attribute[i], tree.value_start[i], tree.value_stop[i]
        if name in (_DATA_LANG, _DATA_LANGUAGE):
            if 0 < stop - at <= _LONGEST_NAME:
                return at, stop
        elif name == _CLASS:
            while at < stop:
                begin_name = at + _prefix(markup, at, stop)
                if begin_name > at:
                    while begin_name < stop and markup[begin_name] == 32:
                        begin_name += 1
                    end_name = begin_name
                    while end_name < stop and _is_name(markup[end_name]):
                        end_name += 1
                    if 0 < end_name - begin_name <= _LONGEST_NAME:
                        return begin_name, end_name
                while at < stop and markup[at] > 32:
                    at += 1
                at += 1
    return 0, 0


@jit_borrowing
def _find_language(tree: Any, node: int) -> tuple[int, int]:
    """Return the language's name in the element, its first children or the elements around it (there not "lang-en")."""
    at, stop = _language(tree, node)
    child = node + 1
    while at == stop and child < min(tree.end[node], node + 3):
        at, stop = _language(tree, child)
        child += 1
    for _ in range(_LEVELS):
        node = tree.parent[node]
        if at < stop or node < 0:
            break
        at, stop = _language(tree, node)
        if stop - at < 3:
            stop = at
    return at, stop


@jit_borrowing
def _fence_length(tree: Any, node: int, kept: Any, is_marked: bool) -> int:
    """Return the number of backticks that parts the code from the text; 0 for what is written without any: prose."""
    longest, signs, size, run, blanks = 2, 0, 0, 0, 3
    for i in range(node + 1, tree.end[node]):
        if tree.tag[i] == TEXT and kept[i]:
            for at in range(tree.start[i], tree.stop[i]):
                byte = tree.text[at]
                run = run + 1 if byte == 96 else 0
                longest = max(longest, run)
                if byte == 32 or (byte == 0xA0 and at > tree.start[i] and tree.text[at - 1] == 0xC2):
                    blanks += 1
                    signs += _SIGNS_PER_COLUMN if blanks == 3 else 0
                elif byte != 0xC2:
                    blanks = 3 if byte == 10 else 0  # blanks at the start of a line are no gap between columns
                signs += _IS_SIGN[byte]
            size += tree.stop[i] - tree.start[i]
    return 0 if not is_marked and size > _PROSE_BYTES and size > signs * _LETTERS_PER_SIGN else longest + 1


@jit_borrowing
def open_code(tree: Any, node: int, kept: Any, is_marked: bool, w: Any) -> None:
    """Begin code: the breaks before it, and the fence with the language's name."""
    out, s = w.out, w.state
    s[BEFORE_CODE], s[BREAK_BEFORE_CODE] = s[SIZE], s[PENDING]
    s[MARKER] = 0  # a fence begins its line
    begin(w)
    s[FENCE] = 0
    size = s[SIZE]
    if s[FLAGS] & FENCES:
        at, stop = _find_language(tree, node)
        fence = _fence_length(tree, node, kept, is_marked or at < stop)
        if fence and s[LEFT] >= 2 * fence + 64:
            s[LEFT] -= 2 * fence + 64
            s[FENCE] = fence
            for _ in range(fence):
                out[size] = 96
                size += 1
            for place in range(at, stop):
                out[size] = tree.markup[place]
                size += 1
            out[size] = 10
            size += 1
            size = line_prefix(out, s, size)
    s[SIZE] = s[CODE_START] = size
    s[CODE_PENDING] = s[CODE_NEWLINES] = 0


@jit_borrowing
def _put_newlines(w: Any) -> None:
    """Write the line ends that are pending."""
    out, s = w.out, w.state
    size = s[SIZE]
    for _ in range(s[CODE_NEWLINES] + s[CODE_PENDING]):
        out[size], out[size + 1], out[size + 2] = 0xEF, 0xB7, 0xAF
        size += 3
        size = line_prefix(out, s, size)
    s[SIZE], s[CODE_NEWLINES], s[CODE_PENDING] = size, 0, 0


@jit_borrowing
def end_code_line(w: Any, is_forced: bool) -> None:
    """End a line of code, if it has anything; with `is_forced`, an empty one, too."""
    s = w.state
    if s[SIZE] > s[CODE_START]:
        if is_forced:
            s[CODE_NEWLINES] += 1 + s[CODE_PENDING]
            s[CODE_PENDING] = 0
        elif s[CODE_NEWLINES] == 0:
            s[CODE_PENDING] = 1


@jit_borrowing
def _write_white(text: Any, at: int, stop: int, w: Any) -> int:
    """Write one character of white space in code; return the place after it."""
    out, s = w.out, w.state
    byte = text[at]
    if byte == 10:
        if _is_only_blanks(out, s[CODE_START], s[SIZE]):
            s[SIZE] = s[CODE_START]
        else:
            s[CODE_NEWLINES] += 1 + s[CODE_PENDING]
            s[CODE_PENDING] = 0
        return at + 1
    if s[CODE_NEWLINES] or s[CODE_PENDING]:
        _put_newlines(w)
    size = s[SIZE]
    is_single = byte == 32 and size > s[CODE_START] and out[size - 1] > 32 and not _ends_in_stand_in(out, size)
    if is_single and at + 1 < stop and not _is_white(text[at + 1]) and text[at + 1] != 0xC2:
        out[size] = 32
        s[SIZE] = size + 1
    else:
        put(w, 0xEF, 0xB7, 0xAE if byte == 9 else 0xAD)
    return at + 2 if byte == 0xC2 else at + 1


@jit_borrowing
def _write_blank_run(text: Any, at: int, stop: int, w: Any) -> int:
    """Write a run of white space where lines are elements: as one space, and none at the ends of lines."""
    s, start = w.state, at
    while at < stop and _is_white(text[at]):
        at += 1
    is_new = s[SIZE] == s[CODE_START] or s[CODE_PENDING] or s[CODE_NEWLINES]
    if not (is_new or (at == stop and stop - start > 1)):
        put(w, 0xEF, 0xB7, 0xAD)
    return at


@jit_borrowing
def write_code(text: Any, at: int, stop: int, is_blank_free: bool, w: Any) -> None:
    """Write text of code; with `is_blank_free` (lines are elements) line ends and the blanks around them do not count."""
    out, s = w.out, w.state
    while at < stop:
        byte = text[at]
        is_white = _is_white(byte)
        if is_white and is_blank_free:
            at = _write_blank_run(text, at, stop, w)
        elif is_white or (byte == 0xC2 and at + 1 < stop and text[at + 1] == 0xA0):
            at = _write_white(text, at, stop, w)
        elif byte == 0xEF and blank_width(text, at) < 0:  # a stand-in, or a byte order mark
            at += 3
        else:
            if s[CODE_NEWLINES] or s[CODE_PENDING]:
                _put_newlines(w)
            size = s[SIZE]
            out[size] = byte
            s[SIZE] = size + 1
            at += 1


@jit_borrowing
def _ends_in_stand_in(out: Any, size: int) -> bool:
    return size > 2 and out[size - 2] == 0xB7 and out[size - 3] == 0xEF and 0xAD <= out[size - 1] <= 0xAF


@jit_borrowing
def _is_only_blanks(out: Any, start: int, size: int) -> bool:
    """Return whether nothing but spaces and tabs has been written since `start`; at most 300 bytes are read."""
    if (size - start) % 3 or size - start > 300:
        return False
    at = start
    while at < size and out[at] == 0xEF and out[at + 1] == 0xB7 and 0xAD <= out[at + 2] <= 0xAE:
        at += 3
    return at == size


@jit_borrowing
def close_code(w: Any) -> None:
    """End code: white space at its end is left out, the fence closed; of code that has nothing, nothing stays."""
    out, s = w.out, w.state
    size = s[SIZE]
    while size > s[CODE_START] and (_ends_in_stand_in(out, size) or out[size - 1] == 32):
        size -= 1 if out[size - 1] == 32 else 3
    if size == s[CODE_START]:
        size, s[FENCE], s[PENDING] = s[BEFORE_CODE], 0, s[BREAK_BEFORE_CODE]
    if s[FENCE]:
        out[size] = 10
        size += 1
        size = line_prefix(out, s, size)
        for _ in range(s[FENCE]):
            out[size] = 96
            size += 1
    s[SIZE], s[CODE_PENDING], s[CODE_NEWLINES], s[FENCE] = size, 0, 0, 0
