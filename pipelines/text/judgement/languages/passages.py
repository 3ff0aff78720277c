"""Cut texts into the passages whose language is judged: pieces of running text of about 150 letters, no code and no numbers.

A line is prose, or a short one (a heading, an entry of a menu), or noise: numbers, addresses, code. A passage holds neighbouring
lines of one kind, or a piece of a long line, cut between words. A short text is judged whole. Of a long one, stretches that lie
evenly over it are read, and of each the best passage is kept: prose, if there is any.

Letters are weighed: a character of a script that spells a word in one or two of them (Han, kana, Hangul) counts twice.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.code_points import buffers, categories, decode
from pipelines.text.judgement.languages import scripts
from pipelines.text.kernels import jit, jit_internal

LETTERS = 150  # of a passage
WHOLE_BYTES = 2_500  # a longer text is read in stretches
STRETCHES, STRETCH_BYTES = 12, 320
PROSE_LETTERS = 40  # of a line of prose, at least

NOISE, SHORT, PROSE = range(3)

# Kinds of characters in the table: the scripts are letters, from 1 to 63.
_OTHER, _BLANK, _NEWLINE, _DIGIT, _CODE, _MARK = 0, 64, 65, 66, 67, 68
_WIDE = 128  # a bit beside the script
# The columns of the kernel's matrix: these, then the letters by script.
_ROW, _START, _END, _LETTERS, _KIND = range(5)
_FIXED = 5
_CODE_SIGNS = "{}[]<>=;_|\\#@$^&*+~%`"
_OPENS, _POINT, _SLASH = ord("("), ord("."), ord("/")  # code or an address: "f(", "a.b", "//"
_COLON, _QUOTE, _FENCE = ord(":"), ord('"'), ord("`")
_WORDS_PER_SIGN = 4  # in code, there is a sign of code to every four words, or more
_RUNNING_LETTERS = 80  # a line with more is no code, whatever signs are in it
_WORD_LETTERS = 6  # a word of a script without spaces is taken for so many letters


@dataclass(frozen=True, slots=True)
class Passages:
    """Passages in the order of the texts; P of them, in T texts."""

    data: NDArray[np.uint8]  # of the texts
    text_starts: NDArray[np.int64]  # T, bytes in data
    offsets: NDArray[np.int64]  # T + 1, from the first passage of each text to that after its last
    starts: NDArray[np.int64]  # P, bytes in data
    ends: NDArray[np.int64]  # P
    letters: NDArray[np.int64]  # P, weighed
    scripts: NDArray[np.int32]  # [P, scripts], letters in each script, as numbered in scripts.letters
    is_prose: NDArray[np.bool_]  # P
    noise: NDArray[np.int64]  # T, characters in lines of noise, blanks not counted
    read: NDArray[np.int64]  # T, characters read, blanks not counted
    scale: NDArray[np.float64]  # T, how many times longer the text is than its passages, if it was read in stretches; else 1

    def texts(self) -> NDArray[np.int64]:
        """Return the text of each passage."""
        return np.repeat(np.arange(len(self.noise)), np.diff(self.offsets))

    def filter(self, keep: NDArray[np.bool_]) -> "Passages":
        """Return some of the passages."""
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep)])[self.offsets]
        columns = {name: getattr(self, name)[keep] for name in ("starts", "ends", "letters", "scripts", "is_prose")}
        return replace(self, offsets=offsets, **columns)


def passages(texts: pa.Array, *, whole: bool = False) -> Passages:
    """Return the passages of a StringArray without nulls.

    With `whole`, they are all passages of the texts, however long these are, and each lies within one line.
    """
    data, offsets = buffers(texts)
    limit = -1 if whole else WHOLE_BYTES
    rows, starts, ends, letters, kind, by_script, noise, read = _passages(
        data, offsets.astype(np.int64), _table(), limit, len(scripts.NAMES) + 1
    )
    lengths, covered = np.diff(offsets), np.bincount(rows, ends - starts, len(texts))
    scale = np.where(whole | (lengths <= limit), 1.0, lengths / np.maximum(covered, 1))
    first = np.searchsorted(rows, np.arange(len(texts) + 1))
    return Passages(
        data, offsets[:-1].astype(np.int64), first, starts, ends, letters, by_script, kind == PROSE, noise, read, scale
    )


@functools.cache
def _table() -> NDArray[np.uint8]:
    """Return the kind of every code point."""
    table = scripts.letters().copy()
    wide = [number for number, name in enumerate(scripts.NAMES, 1) if name in scripts.WIDE]
    table[np.isin(table, wide)] |= _WIDE
    kinds = categories()
    major = kinds.astype("U1")
    table[(major == "N") & (table == 0)] = _DIGIT
    table[major == "M"] = _MARK
    table[(major == "Z") | (kinds == "Cc")] = _BLANK
    table[[ord(sign) for sign in _CODE_SIGNS]] = _CODE
    table[10] = _NEWLINE
    return table


@jit
def _passages(data: Any, offsets: Any, table: Any, limit: int, scripts: int) -> Any:
    """Return the columns of Passages, and the text of each passage. A limit below 0 is for all passages, each within a line."""
    rows, by_line = offsets.size - 1, limit < 0
    out = np.empty((256, _FIXED + scripts), np.int32)
    noise, read = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    counts, found = np.zeros(scripts, np.int32), 0
    for row in range(rows):
        start, end = offsets[row], offsets[row + 1]
        if by_line or end - start <= limit:
            out, found = _stretch(data, start, end, table, row, out, found, noise, read, counts, by_line, True)
            continue
        for number in range(STRETCHES):
            a = start + (end - start - STRETCH_BYTES) * number // (STRETCHES - 1)
            a, b = _begin(data, a, start, a + STRETCH_BYTES), _begin(data, a + STRETCH_BYTES, start, end)
            first = found
            out, found = _stretch(data, a, b, table, row, out, found, noise, read, counts, by_line, False)
            found = _best(out, first, found)
    columns = [out[:found, i].astype(np.int64) for i in range(_FIXED)]
    return columns[0], columns[1], columns[2], columns[3], columns[4], out[:found, _FIXED:].copy(), noise, read


@jit_internal
def _begin(data: Any, at: int, start: int, end: int) -> int:
    """Return the first place from `at` on, if possible before `end`, where a line or else a word begins."""
    if at <= start or at >= end:
        return min(max(at, start), end)
    for i in range(at, end):
        if data[i - 1] == 10:
            return i
        if data[i - 1] == 32 and i - at > STRETCH_BYTES // 4:
            return i
    while at < end and data[at] & 0xC0 == 0x80:
        at += 1
    return at


@jit_internal
def _best(out: Any, first: int, found: int) -> int:
    """Keep the best of the passages from `first` on; return their new number."""
    best = first
    for i in range(first + 1, found):
        if (out[i, _KIND], out[i, _LETTERS]) > (out[best, _KIND], out[best, _LETTERS]):
            best = i
    if found > first:
        out[first] = out[best]
    return min(found, first + 1)


@jit_internal
def _stretch(
    data: Any,
    start: int,
    end: int,
    table: Any,
    row: int,
    out: Any,
    found: int,
    noise: Any,
    read: Any,
    counts: Any,
    by_line: bool,
    whole: bool,
) -> Any:
    """Write the passages of data[start:end], within lines with `by_line`; `counts` are a passage's letters by script.

    In a `whole` text, the short lines between two fences (```) are code.
    """
    a, b, letters, kind = start, start, 0, NOISE  # the passage so far
    line, alone, fence = start, True, -1  # fence: the one that closes the fenced lines
    for i in range(start, end):
        if data[i] == 10:
            alone = False
            break
    while line < end:
        stop, line_kind, characters = _line(data, line, end, table, alone)
        if whole and line > fence and _is_fence(data, line, end):
            fence = _next_fence(data, stop + 1, end)
        if line <= fence and line_kind == SHORT:
            line_kind = NOISE
        read[row] += characters
        if line_kind == NOISE:
            noise[row] += characters
        if letters > 0 and ((line_kind == NOISE and characters > 0) or line_kind not in (kind, NOISE)):
            out, found = _write(out, found, row, a, b, letters, counts, kind)
            letters = 0
        if line_kind != NOISE:
            if letters == 0:
                a = line
            kind = line_kind
            at = line
            while at < stop:
                b, more = _piece(data, at, stop, table, LETTERS - letters, counts)
                letters += more
                at = b
                if letters >= LETTERS:
                    out, found = _write(out, found, row, a, b, letters, counts, kind)
                    a, letters = b, 0
            if by_line and letters > 0:
                out, found = _write(out, found, row, a, b, letters, counts, kind)
                letters = 0
        line = stop + 1
    if letters > 0:
        out, found = _write(out, found, row, a, b, letters, counts, kind)
    return out, found


@jit_internal
def _is_fence(data: Any, at: int, end: int) -> bool:
    return at + 3 <= end and data[at] == _FENCE and data[at + 1] == _FENCE and data[at + 2] == _FENCE


@jit_internal
def _next_fence(data: Any, at: int, end: int) -> int:
    """Return where the next line that is a fence begins; -1 if there is none."""
    while at < end:
        if _is_fence(data, at, end):
            return at
        while at < end and data[at] != 10:
            at += 1
        at += 1
    return -1


@jit_internal
def _line(data: Any, at: int, end: int, table: Any, alone: bool) -> Any:
    """Return the end of a line, its kind, and its characters that are not blank.

    A text that is one line (`alone`) is not taken for code by its signs, and may be mostly numbers.
    """
    letters, characters, signs, words = 0, 0, 0, 0
    last, noisy = _BLANK, 0  # the letters of words with a sign of code: addresses, identifiers; they are ASCII
    word_letters, has_sign = 0, False
    while at < end:
        first = data[at]
        code, width = (np.int64(first), 1) if first < 0x80 else decode(data, at)
        kind = np.int64(table[code])
        if kind == _NEWLINE:
            break
        at += width
        if kind == _BLANK:
            noisy += word_letters if has_sign else 0
            word_letters, has_sign = 0, False
        else:
            characters += 1
            words += last == _BLANK
            if 0 < kind < 64 or kind > _WIDE or kind == _MARK:
                letters += 2 if kind > _WIDE else 1
                word_letters += width == 1
            elif kind == _CODE or (code == _SLASH and at < end and data[at] == _SLASH):
                signs += 1
                has_sign = True
            elif (code == _OPENS and last != _BLANK) or (code == _POINT and last < 64 and _letter_follows(data, at, end)):
                signs += 1
                has_sign |= code == _OPENS
            elif code == _COLON and data[at - 2] == _QUOTE:  # a key of JSON
                signs += 2
        last = kind
    noisy += word_letters if has_sign else 0
    signs += last == _CODE  # "};" ends a line of code
    words = max(words, letters // _WORD_LETTERS)
    clean = letters - noisy
    is_code = clean < _RUNNING_LETTERS and signs >= 2 and signs * _WORDS_PER_SIGN >= words
    if (4 if alone else 2) * clean < characters or (is_code and not alone):
        return at, NOISE, characters
    return at, PROSE if clean >= PROSE_LETTERS else SHORT, characters


@jit_internal
def _letter_follows(data: Any, at: int, end: int) -> bool:
    return at < end and (data[at] >= 0x80 or 97 <= data[at] | 0x20 <= 122)


@jit_internal
def _piece(data: Any, at: int, end: int, table: Any, wanted: int, counts: Any) -> Any:
    """Return the end of the next piece of a line, with so many letters if it has them, and their number."""
    letters = 0
    while at < end:
        first = data[at]
        code, width = (np.int64(first), 1) if first < 0x80 else decode(data, at)
        kind = np.int64(table[code])
        at += width
        if 0 < kind < 64:
            counts[kind] += 1
            letters += 1
        elif kind == _MARK:  # the vowel signs of Hindi are letters to a reader
            letters += 1
        elif kind > _WIDE:
            counts[kind & 63] += 2
            letters += 2
        elif kind == _BLANK and letters >= wanted:
            break
        if letters >= wanted + LETTERS:  # no blank far and wide
            break
    return at, letters


@jit_internal
def _write(out: Any, found: int, row: int, start: int, end: int, letters: int, counts: Any, kind: int) -> Any:
    """Append a passage; clear the counts."""
    if found == out.shape[0]:
        larger = np.empty((2 * found, out.shape[1]), out.dtype)
        larger[:found] = out
        out = larger
    out[found, _ROW], out[found, _START], out[found, _END] = row, start, end
    out[found, _LETTERS], out[found, _KIND] = letters, kind
    out[found, _FIXED:] = counts
    counts[:] = 0
    return out, found + 1
