"""Find the places of texts at which private data may be: three passes over their bytes, without a regular expression.

An anchor is a run of bytes that a detector then judges, with the text around it. Most texts have few: an "@", a number of seven
digits or more, a long token with digits. The passes decide nothing that a detector could decide better.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.code_points import buffers
from pipelines.text.kernels import jit, jit_internal

AT, NUMBER, COLONS, SCHEME, TOKEN, KEY_BLOCK, ACCOUNT, DEGREE = range(8)
"""Kinds of anchors: "@" or its spelling "(at)"; digits with separators; hexadecimal groups with colons; "://" or "www."; a
token of letters and digits; the beginning of a block of a private key; two letters and two digits, which begin an IBAN; the sign
of degrees after a digit."""

LEAST_DIGITS = 7  # of a number; beside a capital letter LEAST_DIGITS - 1, for identity numbers
_LEAST_DECIMAL = 5  # digits of a decimal before a comma
_LEAST_ALONE = 9  # digits of one run without a letter near it
_MOST_DIGITS = 26  # of a number with separators without a letter near it: two telephone numbers
_NEAR = 64  # bytes
_LONGEST_NUMBER, _LONGEST_COLONS = 192, 64  # bytes; a longer run is cut or none: the time per anchor is bounded
_LEAST_LETTERS = 32  # of a token without a digit
LEAST_TOKEN = 16  # bytes
_WIDEST_GAP = 3  # bytes between two digits of one number: " - ", ") ", a space that does not break

# Bits of the byte table.
_DIGIT, _UPPER, _LOWER, _SEPARATOR, _TOKEN_SIGN, _HEX = 1, 2, 4, 8, 16, 32
_WORD = _DIGIT | _UPPER | _LOWER


def _byte_table() -> NDArray[np.uint8]:
    bits = np.zeros(256, np.uint8)
    for characters, flag in (
        ("0123456789", _DIGIT | _HEX),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", _UPPER),
        ("abcdefghijklmnopqrstuvwxyz", _LOWER),
        (" -.()/", _SEPARATOR),
        ("_-+/=.", _TOKEN_SIGN),
        ("abcdefABCDEF", _HEX),
    ):
        bits[[ord(character) for character in characters]] |= flag
    # The bytes of U+00A0 and U+202F (spaces) and of U+2010 to U+2013 (hyphens and dashes).
    bits[[0xC2, 0xA0, 0xE2, 0x80, 0xAF, 0x90, 0x91, 0x92, 0x93]] |= _SEPARATOR
    return bits


_BYTES = _byte_table()


@dataclass(frozen=True, slots=True)
class Anchors:
    """The anchors of texts, in no particular order."""

    kinds: NDArray[np.uint8]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]  # bytes from the start of the array's data
    ends: NDArray[np.int64]


def anchors(texts: pa.Array, *, urls: bool = True) -> Anchors:
    """Return the anchors of a StringArray without nulls; without `urls`, SCHEME is left out.

    >>> found = anchors(pa.array(["Call 555-123-4567 or write to a@b.org."]))
    >>> found.kinds.tolist(), found.starts.tolist(), found.ends.tolist()
    ([1, 0], [5, 31], [17, 32])
    """
    data, offsets = buffers(texts)
    begin, end = int(offsets[0]), int(offsets[-1])
    found = [
        _collected(_numbers, data, offsets, (end - begin) // LEAST_DIGITS + 1, NUMBER),
        _collected(_tokens, data, offsets, (end - begin) // LEAST_TOKEN + 1, TOKEN),
        _marks_of(data, offsets, urls),
    ]
    kinds, starts, ends = (np.concatenate(column) for column in zip(*found, strict=True))
    rows = np.searchsorted(offsets, starts, "right") - 1
    return Anchors(kinds, rows.astype(np.int64), starts, ends)


def _collected(kernel: Any, data: Any, offsets: Any, most: int, kind: int) -> tuple[Any, Any, Any]:
    starts, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    size = kernel(data, offsets, _BYTES, starts, ends)
    return np.full(size, kind, np.uint8), starts[:size].copy(), ends[:size].copy()


def _marks_of(data: Any, offsets: Any, urls: bool) -> tuple[Any, Any, Any]:
    most = int(offsets[-1] - offsets[0]) + 1
    kinds, starts, ends = np.empty(most, np.uint8), np.empty(most, np.int64), np.empty(most, np.int64)
    size = _marks(data, offsets, _BYTES, urls, kinds, starts, ends)
    return kinds[:size].copy(), starts[:size].copy(), ends[:size].copy()


@jit
def _numbers(data: Any, offsets: Any, table: Any, starts: Any, ends: Any) -> int:
    """Write the numbers: digits with at most _WIDEST_GAP bytes of separators between two of them; return how many."""
    size = 0
    for row in range(len(offsets) - 1):
        begin, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        at = begin
        while at < end:
            if not table[data[at]] & _DIGIT:
                at += 1
                continue
            before = table[data[at - 1]] if at > begin else 0
            stop, digits, points = _number(data, at, end, table)
            # Digits after a small letter or a "_" are part of a name.
            is_name = before & _LOWER != 0 or (at > begin and data[at - 1] == 95)
            after = table[data[stop]] if stop < end else 0
            if before & _SEPARATOR and at - begin >= 2:
                before |= table[data[at - 2]] & _UPPER  # "AB 12 34 56 C"
            least = LEAST_DIGITS - 1 if (before | after) & _UPPER else LEAST_DIGITS
            is_first = points == 1 and digits >= _LEAST_DECIMAL and stop < end and data[stop] == 44  # of two coordinates
            is_long = (digits >= least or is_first) and not _is_year_range(data, at, stop, digits)
            if not is_name and (is_long or points == 3) and _is_worth(data, begin, at, stop, end, digits, points, table):
                starts[size], ends[size] = at, stop
                size += 1
            at = stop
    return size


@jit_internal
def _number(data: Any, at: int, end: int, table: Any) -> Any:
    """Return the end of the number that starts here, its digits, and its points between two digits."""
    digits, points, last, longest = 0, 0, at, at + _LONGEST_NUMBER
    while at < min(end, longest):
        bits = table[data[at]]
        if bits & _DIGIT:
            points += at - last == 2 and data[at - 1] == 46
            digits += 1
            last = at
        elif not bits & _SEPARATOR or at - last > _WIDEST_GAP:
            break
        at += 1
    return last + 1, digits, points


@jit_internal
def _is_worth(data: Any, begin: int, at: int, stop: int, end: int, digits: int, points: int, table: Any) -> bool:
    """Return whether a number can be private data: one in a table of numbers has to be long, but not a list of its own."""
    for i in range(max(begin, at - _NEAR), min(end, stop + _NEAR)):
        if table[data[i]] & (_UPPER | _LOWER) or data[i] >= 0x80 or data[i] == 43:
            return True
    if stop - at == digits:
        return digits >= _LEAST_ALONE
    if points == 1 and stop - at == digits + 1:  # a decimal: coordinates have a comma before or after it
        is_first = stop < end and data[stop] == 44
        return bool(is_first or (at - begin >= 2 and (data[at - 1] == 44 or data[at - 2] == 44)))
    return digits <= _MOST_DIGITS


@jit_internal
def _is_year_range(data: Any, at: int, stop: int, digits: int) -> bool:
    """Return whether a number is two years: "1914-1918", "1939 – 1945"."""
    if digits != 8 or stop - at < 9:
        return False
    first, second = 0, 0
    for i in range(4):
        a, b = np.int64(data[at + i]) - 48, np.int64(data[stop - 4 + i]) - 48
        if a < 0 or a > 9 or b < 0 or b > 9:
            return False
        first, second = first * 10 + a, second * 10 + b
    return bool(1000 <= first <= 2100 and 1000 <= second <= 2100)


@jit
def _tokens(data: Any, offsets: Any, table: Any, starts: Any, ends: Any) -> int:
    """Write the tokens of LEAST_TOKEN bytes or more that have letters and digits; return how many."""
    size = 0
    for row in range(len(offsets) - 1):
        begin, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        start, seen = begin, 0
        for at in range(begin, end + 1):
            bits = table[data[at]] if at < end else 0
            if bits & (_WORD | _TOKEN_SIGN):
                seen |= bits
                continue
            # Some tokens, such as those of Hugging Face, have letters only.
            is_mixed = seen & _UPPER and seen & _LOWER and at - start >= _LEAST_LETTERS
            if at - start >= LEAST_TOKEN and (is_mixed or (seen & _DIGIT and seen & (_UPPER | _LOWER))):
                starts[size], ends[size] = start, at
                size += 1
            start, seen = at + 1, 0
    return size


@jit
def _marks(data: Any, offsets: Any, table: Any, urls: bool, kinds: Any, starts: Any, ends: Any) -> int:
    """Write the anchors of signs: AT, COLONS, SCHEME, KEY_BLOCK, ACCOUNT and DEGREE; return how many."""
    size = 0
    for row in range(len(offsets) - 1):
        begin, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        colons_end = begin
        for at in range(begin, end):
            byte = data[at]
            kind, start, stop = -1, at, at + 1
            if byte == 64:  # "@"
                is_between = at > begin and data[at - 1] > 32 and data[at - 1] != 64 and at + 1 < end
                kind = AT if is_between and (table[data[at + 1]] & _WORD or data[at + 1] >= 0x80) else -1
            elif byte == 58 and at >= colons_end:  # ":"
                if urls and at + 2 < end and data[at + 1] == 47 and data[at + 2] == 47:
                    kind = SCHEME
                else:
                    start, stop = _colons(data, begin, at, end, table)
                    colons_end = stop
                    kind = COLONS if stop > start else -1
            elif byte == 66 and at - begin >= 5 and at + 6 < end and data[at - 1] == 45 and data[at + 4] == 78:  # "-BEGIN"
                kind, stop = KEY_BLOCK, at + 6
            elif urls and byte == 46 and at - begin >= 3 and _is_www(data, begin, at, table):
                kind, start = SCHEME, at - 3
            elif byte == 0xC2 and at + 1 < end and data[at + 1] == 0xB0 and at > begin and table[data[at - 1]] & _DIGIT:
                kind, stop = DEGREE, at + 2
            elif byte in (40, 91, 123) and at + 3 < end and _is_spelled_at(data, at):
                kind, stop = AT, at + 4
            elif table[byte] & _DIGIT and at - begin >= 2 and table[data[at - 1]] & _UPPER and table[data[at - 2]] & _UPPER:
                is_first = at - 2 == begin or not table[data[at - 3]] & _WORD
                if is_first and at + 1 < end and table[data[at + 1]] & _DIGIT:
                    kind, start, stop = ACCOUNT, at - 2, at + 2
            if kind >= 0:
                kinds[size], starts[size], ends[size] = kind, start, stop
                size += 1
    return size


@jit_internal
def _colons(data: Any, begin: int, at: int, end: int, table: Any) -> Any:
    """Return the run of hexadecimal digits, colons and points around a colon if it may be an IPv6 address, else (at, at)."""
    if at + 1 >= end or not (table[data[at + 1]] & _HEX or data[at + 1] == 58):
        return at, at
    start, stop = at, at + 1
    while start > begin and at - start <= 4 and table[data[start - 1]] & _HEX:
        start -= 1
    colons, is_short = 1, False
    while stop < min(end, at + _LONGEST_COLONS) and (table[data[stop]] & _HEX or data[stop] == 58 or data[stop] == 46):
        colons += data[stop] == 58
        is_short |= data[stop] == 58 and data[stop - 1] == 58
        stop += 1
    is_bounded = (start == begin or not table[data[start - 1]] & _WORD) and (stop == end or not table[data[stop]] & _WORD)
    if is_bounded and (colons >= 6 or (is_short and colons >= 2)):
        return start, stop
    return at, at


@jit_internal
def _is_www(data: Any, begin: int, at: int, table: Any) -> bool:
    """Return whether "www" ends before a point and begins a word."""
    for i in range(1, 4):
        if data[at - i] | 32 != 119:
            return False
    return at - 3 == begin or not table[data[at - 4]] & _WORD


@jit_internal
def _is_spelled_at(data: Any, at: int) -> bool:
    """Return whether "(at)", "[at]" or "{at}" begins here."""
    closing = data[at] + (1 if data[at] == 40 else 2)
    return data[at + 1] | 32 == 97 and data[at + 2] | 32 == 116 and data[at + 3] == closing
