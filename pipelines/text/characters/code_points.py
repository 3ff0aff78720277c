r"""Kinds of code points, and UTF-8 kernels that use them; shared by normalize, counts and repetition.

The kernels take a StringArray as its two buffers, `data` (uint8) and `offsets` (int32, rows + 1), to create no Python object
per document. Tables have an entry for each code point, 0 to 0x10FFFF.
"""

import functools
import unicodedata
from typing import Any

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.kernels import jit, jit_internal

CODE_POINTS = 0x110000

# Kinds of code points, as normalisation distinguishes them.
ORDINARY, SPACE, LINE_END, INVISIBLE, HIDING = range(5)  # HIDING: joiners and selectors, which are often idle

_LINE_ENDS = "\n\r\v\f\x85\u2028\u2029"
_SPACES = " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_INVISIBLE_RANGES = (
    *((0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F)),  # C0 and C1 controls
    *((0xAD, 0xAD), (0x200B, 0x200B), (0x2060, 0x2064), (0xFEFF, 0xFEFF)),  # soft hyphen, zero width, byte order mark
    *((0x061C, 0x061C), (0x200E, 0x200F), (0x202A, 0x202E), (0x2065, 0x206F)),  # bidi controls
    *((0xFDD0, 0xFDEF), (0xFFF9, 0xFFFC), (0xFFFE, 0xFFFF)),  # noncharacters, annotations, object replacement
    *((0xE000, 0xF8FF), (0xF0000, 0x10FFFF)),  # private use
    (0xE0000, 0xE007F),  # tags: an invisible alphabet, but for the flags of regions (see `_flag_end`)
    *((plane << 16 | 0xFFFE, plane << 16 | 0xFFFF) for plane in range(1, 15)),  # noncharacters
)

_HIDING_RANGES = ((0x200C, 0x200D), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))

# Scripts whose letters take another shape beside a joiner (ZWNJ, ZWJ), and the signs of which emoji are joined.
_JOINED_RANGES = (
    *((0x0590, 0x10FF), (0x1700, 0x18AF), (0x1900, 0x1CCF), (0x1CD0, 0x1CFF)),  # Hebrew, Arabic, …, Myanmar; Khmer, …; Vedic
    *((0xA800, 0xA8FF), (0xA900, 0xA95F), (0xA980, 0xABFF), (0xFB1D, 0xFDCF), (0xFDF0, 0xFDFF), (0xFE70, 0xFEFC)),
    *((0x10A00, 0x10FFF), (0x11000, 0x11FFF), (0x1E900, 0x1E95F), (0x1EE00, 0x1EEFF)),
    *((0x2194, 0x2199), (0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F000, 0x1FAFF)),
)

_BLACK_FLAG, _LAST_TAG = 0x1F3F4, 0xE007F
_LEAST_TAGS_OF_A_FLAG, _MOST_TAGS_OF_A_FLAG = 3, 7  # a country or a group of them, then the part (UTS 35, 3.7)


@functools.cache
def kinds(ordinary: str = "") -> NDArray[np.uint8]:
    """Return ORDINARY, SPACE, LINE_END, INVISIBLE or HIDING for every code point; those in `ordinary` are ORDINARY."""
    table = np.zeros(CODE_POINTS, np.uint8)
    for first, last in _HIDING_RANGES:
        table[first : last + 1] = HIDING
    for first, last in _INVISIBLE_RANGES:
        table[first : last + 1] = INVISIBLE
    table[[ord(c) for c in ordinary]] = ORDINARY
    table[[ord(c) for c in _SPACES]] = SPACE
    table[[ord(c) for c in _LINE_ENDS]] = LINE_END
    return table


def _joined() -> NDArray[np.bool_]:
    table = np.zeros(0x20000, np.bool_)
    for first, last in _JOINED_RANGES:
        table[first : last + 1] = True
    return table


_JOINED = _joined()


@functools.cache
def categories() -> NDArray[np.str_]:
    """Return the general category ("Lu", "Nd", …) of every code point; surrogates are "Cs"."""
    return np.array([unicodedata.category(chr(code)) for code in range(CODE_POINTS)])


def buffers(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the bytes and the offsets of a StringArray without nulls (views; no copy)."""
    assert texts.type == pa.string(), texts.type
    assert texts.null_count == 0, "a text is null"
    _, offset_buffer, data_buffer = texts.buffers()
    if offset_buffer is None or len(texts) == 0:
        return np.empty(0, np.uint8), np.zeros(len(texts) + 1, np.int32)
    offsets = np.frombuffer(offset_buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.empty(0, np.uint8)
    return data, offsets


def from_buffers(data: NDArray[np.uint8], offsets: NDArray[np.int32]) -> pa.Array:
    """Return the StringArray of these bytes and offsets (no copy)."""
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


@numba.njit(cache=True, nogil=True, inline="always")
def decode(data: Any, at: int) -> tuple[int, int]:
    """Return the code point at a byte of valid UTF-8 and its number of bytes."""
    first = int(data[at])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (data[at + 1] & 0x3F), 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (data[at + 1] & 0x3F) << 6 | (data[at + 2] & 0x3F), 3
    return (first & 0x07) << 18 | (data[at + 1] & 0x3F) << 12 | (data[at + 2] & 0x3F) << 6 | (data[at + 3] & 0x3F), 4


@numba.njit(cache=True, nogil=True, inline="always")
def _is_joiner(code: int) -> bool:
    return code == 0x200C or code == 0x200D


@numba.njit(cache=True, nogil=True, inline="always")
def _is_selector(code: int) -> bool:
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF


@jit_internal
def _before(data: Any, at: int, start: int, table: Any, skips_joiners: bool) -> int:
    """Return the code point before a byte, past what is INVISIBLE, selectors or else joiners; 0 at the start of the text."""
    while at > start:
        at -= 1
        while data[at] & 0xC0 == 0x80:
            at -= 1
        code, _ = decode(data, at)
        if table[code] != INVISIBLE and not (_is_joiner(code) if skips_joiners else _is_selector(code)):
            return code
    return 0


@jit_internal
def _is_idle(data: Any, at: int, code: int, start: int, end: int, table: Any) -> bool:
    """Return whether the joiner or variation selector at a byte has no effect, so that it can only hide something.

    A joiner needs a letter that joins, or an emoji, on one side ("PDF" and a Persian ending have it on one side only); of several
    in a row the first counts. A selector does nothing after another one.
    """
    if _is_selector(code):
        return _is_selector(_before(data, at, start, table, True))
    last = _before(data, at, start, table, False)
    if _is_joiner(last):
        return True
    following, place = code, at
    while place < end and (_is_joiner(following) or _is_selector(following) or table[following] == INVISIBLE):
        following, width = decode(data, place)
        place += width
    return not (last < _JOINED.size and _JOINED[last]) and not (following < _JOINED.size and _JOINED[following])


@jit
def untidy(data: Any, offsets: Any, table: Any) -> tuple[Any, Any]:
    """Return two flags per row: whether it has an INVISIBLE, and whether `unify_whitespace` may change it without those."""
    invisible = np.zeros(offsets.size - 1, np.bool_)
    whitespace = np.zeros(offsets.size - 1, np.bool_)
    for row in range(offsets.size - 1):
        at, last = offsets[row], LINE_END  # `last` is the previous kind: a text begins as if after a blank line
        newlines = 2
        while at < offsets[row + 1]:
            first = data[at]
            if 32 < first < 127:
                last, newlines = ORDINARY, 0
                at += 1
                continue
            if first == 32 and last == ORDINARY:
                last = SPACE
                at += 1
                continue
            code, width = decode(data, at)
            at += width
            kind = table[code]
            if kind == SPACE:
                whitespace[row] |= last != ORDINARY or (code != 32 and code != 9)
            elif kind == LINE_END:
                newlines += 1
                whitespace[row] |= code != 10 or last == SPACE or newlines > 2
            elif kind == INVISIBLE:
                invisible[row] = True
                kind = last  # it will be removed
            elif kind == HIDING:
                is_idle = _is_idle(data, at - width, code, offsets[row], offsets[row + 1], table)
                invisible[row] |= is_idle
                kind = last if is_idle else ORDINARY
            if kind == ORDINARY:
                newlines = 0
            last = kind
        whitespace[row] |= last != ORDINARY
    return invisible, whitespace


@numba.njit(cache=True, nogil=True, inline="always")
def _flag_end(data: Any, at: int, end: int) -> int:
    """Return where the flag of a region ends that begins after a black flag at `at`; `at` if there is none.

    It is written in three to seven tags for letters and digits and the one that ends them (UTS 51, ED-14a; England: "gbeng").
    """
    place, tags = at, 0
    while place + 4 <= end and tags <= _MOST_TAGS_OF_A_FLAG and data[place] == 0xF3:
        code, width = decode(data, place)
        place += width
        if code == _LAST_TAG:
            return place if tags >= _LEAST_TAGS_OF_A_FLAG else at
        if not (0xE0030 <= code <= 0xE0039 or 0xE0061 <= code <= 0xE007A):
            return at
        tags += 1
    return at


@jit
def remove_invisible(data: Any, offsets: Any, table: Any) -> tuple[Any, Any]:
    """Return the texts without their INVISIBLE code points and idle joiners; those that make the flag of a region stay."""
    out = np.empty(offsets[-1] - offsets[0], np.uint8)
    ends = np.zeros(offsets.size, np.int32)
    size = 0
    for row in range(offsets.size - 1):
        at = offsets[row]
        while at < offsets[row + 1]:
            code, width = decode(data, at)
            kind = table[code]
            if kind == HIDING and _is_idle(data, at, code, offsets[row], offsets[row + 1], table):
                kind = INVISIBLE
            if kind != INVISIBLE:
                if code == _BLACK_FLAG:
                    width = _flag_end(data, at + width, offsets[row + 1]) - at
                for i in range(width):
                    out[size + i] = data[at + i]
                size += width
            at += width
        ends[row + 1] = size
    return out[:size], ends


@jit
def foreign(data: Any, offsets: Any, table: Any) -> tuple[Any, Any]:
    r"""Return two flags per row: whether it has an INVISIBLE, and whether it has a LINE_END other than "\n"."""
    invisible = np.zeros(offsets.size - 1, np.bool_)
    line_end = np.zeros(offsets.size - 1, np.bool_)
    for row in range(offsets.size - 1):
        at = offsets[row]
        while at < offsets[row + 1]:
            first = data[at]
            if 32 <= first < 127 or first == 10 or first == 9:
                at += 1
                continue
            code, width = decode(data, at)
            at += width
            invisible[row] |= table[code] == INVISIBLE
            if table[code] == HIDING:
                invisible[row] |= _is_idle(data, at - width, code, offsets[row], offsets[row + 1], table)
            line_end[row] |= table[code] == LINE_END
    return invisible, line_end


@jit
def unify_line_ends(data: Any, offsets: Any, table: Any) -> tuple[Any, Any]:
    r"""Return the texts with "\n" for every line end; CR LF is one. All other white space stays."""
    out = np.empty(offsets[-1] - offsets[0], np.uint8)
    ends = np.zeros(offsets.size, np.int32)
    size = 0
    for row in range(offsets.size - 1):
        at = offsets[row]
        while at < offsets[row + 1]:
            code, width = decode(data, at)
            if table[code] != LINE_END:
                for i in range(width):
                    out[size + i] = data[at + i]
                size += width
            elif code != 10 or at == offsets[row] or data[at - 1] != 13:
                out[size] = 10
                size += 1
            at += width
        ends[row + 1] = size
    return out[:size], ends


@numba.njit(cache=True, nogil=True, inline="always")
def _is_unchanged(data: Any, at: int, first: Any, inside: bool, end: int) -> bool:
    r"""Return whether a character stays: visible ASCII, or a single " " or "\n" between two such (`inside`: one is before it)."""
    return 32 < first < 127 or ((first == 32 or first == 10) and inside and at + 1 < end and 32 < data[at + 1] < 127)


@jit
def unify_whitespace(data: Any, offsets: Any, table: Any) -> tuple[Any, Any]:
    r"""Return the texts with one kind of line end and of space.

    Line ends become "\n", at most two in a row; a single tab stays, any other run of spaces becomes " "; spaces beside a
    line end and whitespace at either end of the text are removed.
    """
    out = np.empty(offsets[-1] - offsets[0], np.uint8)
    ends = np.zeros(offsets.size, np.int32)
    size = 0
    for row in range(offsets.size - 1):
        start, at = size, offsets[row]
        lines, spaces, tab = 0, 0, False  # whitespace since the last character written
        while at < offsets[row + 1]:
            first = data[at]
            if lines == 0 and spaces == 0 and _is_unchanged(data, at, first, size > start, offsets[row + 1]):
                out[size] = first
                size += 1
                at += 1
                continue
            code, width = decode(data, at)
            kind = table[code]
            if kind == SPACE:
                spaces += 1
                tab = code == 9
            elif kind == LINE_END:
                spaces = 0
                follows_cr = code == 10 and at > offsets[row] and data[at - 1] == 13
                lines += 0 if follows_cr else 1
            else:
                if size > start and lines:
                    out[size] = 10
                    size += 1
                    if lines > 1:
                        out[size] = 10
                        size += 1
                elif size > start and spaces:
                    out[size] = 9 if tab and spaces == 1 else 32
                    size += 1
                lines, spaces = 0, 0
                for i in range(width):
                    out[size + i] = data[at + i]
                size += width
            at += width
        ends[row + 1] = size
    return out[:size], ends
