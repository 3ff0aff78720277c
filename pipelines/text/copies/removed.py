r"""What a cut took out of texts: the stretches of each text that its shortened form does not have.

    >>> import pyarrow as pa
    >>> before = pa.array(["Home | News\nA text, they say, of two.\n\nHome", "same"])
    >>> stretches = removed(before, pa.array(["A text of two.", "same"]))
    >>> [before[row].as_py()[a:b] for row, a, b in zip(stretches.rows, stretches.starts, stretches.ends)]
    ['Home | News\n', ', they say, ', '\n\nHome']

A cut leaves the text that it keeps as it was, but for white space where two pieces meet. So the kept text is followed through
the text; where the two part, the line of the kept text is looked for in the rest of the text, and if it is not there as a
whole, the next place that goes on as the kept text does, over as many bytes as possible of 32, 16, 8, 4, 2, 1. Of equal words
beside a cut, either may be named: "a b a c" without "b a" or "a b".

Limits: a text that cannot be followed so, or not in about 64 steps a byte, has one stretch, from its first difference to its
last.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.text.characters.code_points import buffers, from_buffers
from pipelines.text.kernels import jit

VERSION = 1

_LONGEST = 32
_STEPS_PER_BYTE = 64
_SPACE, _NEWLINE, _TAB = 0x20, 0x0A, 0x09


@dataclass(frozen=True, slots=True)
class Stretches:
    """Stretches of texts, in order; `starts` and `ends` are bytes of the text, at the bounds of characters."""

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def texts(self, before: pa.Array) -> pa.Array:
        """Return the stretches as strings."""
        data, offsets = buffers(before)
        return from_buffers(*_gathered(data, offsets, self.rows, self.starts, self.ends))

    def first_characters(self, before: pa.Array) -> NDArray[np.int64]:
        """Return the number of characters of the text before each stretch."""
        data, offsets = buffers(before)
        return _characters_before(data, offsets, self.rows, self.starts)


def removed(before: pa.Array, after: pa.Array) -> Stretches:
    """Return what the texts `after` lack of the texts `before`, row by row (StringArrays without nulls)."""
    changed = np.flatnonzero(pc.not_equal(before, after).to_numpy(zero_copy_only=False))
    old, old_offsets = buffers(before)
    new, new_offsets = buffers(after)
    room = 1024
    while True:
        out = np.empty((3, room), np.int64)
        count = _all(old, old_offsets, new, new_offsets, changed, out)
        if count <= room:
            return Stretches(out[0, :count], out[1, :count], out[2, :count])
        room = count


@jit
def _all(old: Any, old_offsets: Any, new: Any, new_offsets: Any, rows: Any, out: Any) -> int:
    """Write row, start and end of each stretch; return their number, including those without room."""
    size = 0
    for row in rows:
        a, a_end, b, b_end = old_offsets[row], old_offsets[row + 1], new_offsets[row], new_offsets[row + 1]
        begin = size
        size = _follow(old, a, a_end, new, b, b_end, row, out, size)
        if size < 0:
            size = _one(old, a, a_end, new, b, b_end, row, out, begin)
    return size


@jit
def _follow(old: Any, a: int, a_end: int, new: Any, b: int, b_end: int, row: int, out: Any, size: int) -> int:
    """Write the stretches of one text; return the number of stretches so far, or -1 if the text cannot be followed."""
    base, b_start, steps = a, b, _STEPS_PER_BYTE * (a_end - a)
    while a < a_end or b < b_end:
        if a < a_end and b < b_end and old[a] == new[b]:
            a, b = a + 1, b + 1
            continue
        b_next = b
        if b < b_end:
            while b_next < b_end and _is_blank(new[b_next]):
                b_next += 1
        at, whole, used = _whole_line(old, base, a, a_end, new, b_start, b, b_end)
        steps -= used
        if at >= 0:  # whole lines are gone
            b_next = b - (a - whole)
            a = whole
        elif b_next == b_end:
            at = a_end
        elif a < a_end:
            length = _LONGEST
            while length and at < 0 and steps > 0:
                at, used = _find(old, a, a_end, new, b_next, b_end, length)
                steps -= used
                length >>= 1
        if at < 0:
            return -1
        start = a
        while start > base and b > 0 and (old[start] & 0xC0) == 0x80:  # the two parted within a character
            start -= 1
        if at > start:
            if size < out.shape[1]:
                out[0, size], out[1, size], out[2, size] = row, start - base, at - base
            size += 1
        a, b = at, b_next
    return size


@jit
def _whole_line(old: Any, base: int, a: int, a_end: int, new: Any, b_start: int, b: int, b_end: int) -> Any:
    """Return where the kept text's line begins again in the text, the beginning of the line that parts from it, and the steps.

    The place is -1 if that line is not in the rest of the text, or does not begin as the text's line does.
    """
    line = a
    while line > base and old[line - 1] != _NEWLINE:
        line -= 1
    first = b - (a - line)
    if first < b_start or first >= b_end or (first > b_start and new[first - 1] != _NEWLINE):
        return -1, line, a - line
    for k in range(a - line):
        if old[line + k] != new[first + k]:
            return -1, line, a - line
    end = first
    while end < b_end and new[end] != _NEWLINE:
        end += 1
    at, steps = a, a - line + end - first
    while end > first:
        while at < a_end and old[at] != _NEWLINE:
            at, steps = at + 1, steps + 1
        at += 1
        if at >= a_end:
            break
        k = 0
        while first + k < end and at + k < a_end and old[at + k] == new[first + k]:
            k += 1
        steps += k
        if first + k == end and (at + k == a_end or old[at + k] == _NEWLINE):
            return at, line, steps
    return -1, line, steps


@jit
def _find(old: Any, a: int, a_end: int, new: Any, b: int, b_end: int, length: int) -> Any:
    """Return the first place from `a` on with the next bytes of the kept text, up to `length`, and the steps it took."""
    length = min(length, b_end - b)
    for at in range(a, a_end - length + 1):
        if (old[at] & 0xC0) == 0x80:
            continue
        k = 0
        while k < length and old[at + k] == new[b + k]:
            k += 1
        if k == length:
            return at, at - a + length
    return -1, a_end - a


@jit
def _one(old: Any, a: int, a_end: int, new: Any, b: int, b_end: int, row: int, out: Any, size: int) -> int:
    """Write one stretch, from the first difference to the last; return the number of stretches so far."""
    base = a
    while a < a_end and b < b_end and old[a] == new[b]:
        a, b = a + 1, b + 1
    while a > base and a < a_end and (old[a] & 0xC0) == 0x80:
        a, b = a - 1, b - 1
    while a_end > a and b_end > b and old[a_end - 1] == new[b_end - 1]:
        a_end, b_end = a_end - 1, b_end - 1
    while a_end < len(old) and (old[a_end] & 0xC0) == 0x80:
        a_end += 1
    if a_end > a:
        if size < out.shape[1]:
            out[0, size], out[1, size], out[2, size] = row, a - base, a_end - base
        size += 1
    return size


@jit
def _gathered(data: Any, offsets: Any, rows: Any, starts: Any, ends: Any) -> Any:
    """Copy the stretches one after another; return their bytes and where each ends, after a zero."""
    bounds = np.zeros(len(rows) + 1, np.int32)
    for k in range(len(rows)):
        bounds[k + 1] = bounds[k] + ends[k] - starts[k]
    out = np.empty(bounds[-1], np.uint8)
    for k in range(len(rows)):
        first = offsets[rows[k]] + starts[k]
        for i in range(ends[k] - starts[k]):
            out[bounds[k] + i] = data[first + i]
    return out, bounds


@jit
def _characters_before(data: Any, offsets: Any, rows: Any, starts: Any) -> Any:
    """Count the characters before each stretch; the stretches of a row are in order."""
    counts = np.zeros(len(rows), np.int64)
    for k in range(len(rows)):
        is_next = k > 0 and rows[k] == rows[k - 1]
        count, first = (counts[k - 1], starts[k - 1]) if is_next else (0, 0)
        for i in range(offsets[rows[k]] + first, offsets[rows[k]] + starts[k]):
            count += (data[i] & 0xC0) != 0x80
        counts[k] = count
    return counts


@jit
def _is_blank(byte: int) -> bool:
    return byte in (_SPACE, _TAB, _NEWLINE)
