r"""The main lines of a web page, without the menus above and the footers below the running text.

The menus, teasers and footers that an extractor leaves are runs of short lines without full stops, before and after the text.
So each line gets points, and the run of lines with the most points is kept: the maximum subsequence of Pasternack and Roth
(Extracting article text from the web with maximum subsequence segmentation, WWW 2009), over lines instead of tokens.

- A wide line (WIDE_LINE or more; a letter of a script without spaces counts twice) gets a point for each 100 of its width,
  at most two: 1.3 times that if it ends in a terminal mark, 0.3 times if not.
- A short line costs 1.5 points, half of that if it ends in a terminal mark; after GAP short lines in a row, the next
  ones cost nothing: the text may continue after a long list or a code listing.
- The text begins at the nearest line above the run that is part of the page's title.
- If the lines on one side of the run hold more than `prose_limit` of all positive points, they are kept; only lines before
  the first wide line, or after the last wide line with a terminal mark, are cut there.
- A page without a wide line is unchanged. Lines in Thai or Lao, which have no terminal marks, count as if they had one.

F1 on 749 hand-labelled pages (see pipelines.text.extraction.resiliparse.text) rose from .850 to .908 with a limit of 0.2 (English
.905 to .927, Russian .672 to .770), to .900 with 0.1 and to .923 with 1.0, alike on both halves of their hosts. With 1.0, a
tenth of a handbook's text is lost after its code listings; with 0.2, a third of that.

Limits: residue between two paragraphs is kept; a page of short lines only (poems, lists) is kept whole.
"""

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.text.characters.code_points import CODE_POINTS, buffers, decode, from_buffers
from pipelines.text.characters.counts import BLANK, CLOSER, DIGIT, LETTER, NEWLINE, SPACELESS, TERMINAL, UNPUNCTUATED, table
from pipelines.text.kernels import jit

WIDE_LINE = 60
GAP = 5
_MOST_WIDTH = 200  # more gives no more points
_WIDE, _WIDE_UNFINISHED, _SHORT, _SHORT_FINISHED = 1.3, 0.3, -1.5, -0.75
_TITLE_WIDTH = 8  # a line of fewer letters and digits may be part of a title by chance


def main_lines(texts: pa.Array, titles: pa.Array, prose_limit: float = 0.2) -> pa.Array:
    r"""Cut the lines above and below the running text of texts (normalised, without nulls).

    `titles` may have nulls; `prose_limit` is the share (0 to 1) of the positive points that may be cut at either end. If
    nothing is cut, the same array is returned.

    >>> page = "Home\nNews\nBridge opened\n" + "The bridge over the river was opened on Monday by the mayor of the town.\n" * 2
    >>> main_lines(pa.array([page + "Share\nAll rights reserved"]), pa.array(["Bridge opened - The Paper"])).to_pylist()[0][:40]
    'Bridge opened\nThe bridge over the river '
    """
    data, offsets = buffers(texts)
    title_data, title_offsets = buffers(pc.fill_null(titles, ""))
    spans = _spans(data, offsets, title_data, title_offsets, table(), _lower_case(), prose_limit)
    if (spans[:, 1] - spans[:, 0] == np.diff(offsets)).all():
        return texts
    return from_buffers(*_cut(data, spans))


@functools.cache
def _lower_case() -> NDArray[np.uint32]:
    """Return the lower case of every code point, or itself if its lower case is several characters."""
    lower = np.arange(CODE_POINTS, dtype=np.uint32)
    for code in range(CODE_POINTS):
        if not 0xD800 <= code < 0xE000 and len(changed := chr(code).lower()) == 1:
            lower[code] = ord(changed)
    return lower


@jit
def _cut(data: Any, spans: Any) -> Any:
    offsets = np.zeros(len(spans) + 1, np.int32)
    for row in range(len(spans)):
        offsets[row + 1] = offsets[row] + spans[row, 1] - spans[row, 0]
    out = np.empty(offsets[-1], np.uint8)
    for row in range(len(spans)):
        out[offsets[row] : offsets[row + 1]] = data[spans[row, 0] : spans[row, 1]]
    return out, offsets


@jit
def _spans(data: Any, offsets: Any, title_data: Any, title_offsets: Any, table: Any, lower: Any, prose_limit: float) -> Any:
    """Return the first byte to keep of each text, and the byte after the last one."""
    rows, most, most_title = offsets.size - 1, 0, 0
    for row in range(rows):
        most = max(most, offsets[row + 1] - offsets[row])
        most_title = max(most_title, title_offsets[row + 1] - title_offsets[row])
    places, points = np.empty((most + 1, 2), np.int64), np.empty(most + 1, np.float64)
    title, line = np.empty(most_title, np.uint32), np.empty(most_title, np.uint32)
    spans = np.empty((rows, 2), np.int64)
    for row in range(rows):
        spans[row] = offsets[row], offsets[row + 1]
        lines = _points(data, offsets[row], offsets[row + 1], table, places, points)
        first, after = _best(points, lines)
        if first == after:
            continue
        first, after = _extend_over_prose(points, lines, first, after, prose_limit)
        letters = _read_letters(title_data, title_offsets[row], title_offsets[row + 1], table, lower, title)[0]
        for above in range(first - 1, -1, -1) if letters else range(0):
            length, width = _read_letters(data, places[above, 0], places[above, 1], table, lower, line)
            if width >= _TITLE_WIDTH and _contains(title, letters, line, length):
                first = above
                break
        if first > 0:
            spans[row, 0] = places[first, 0]
        if after < lines:
            spans[row, 1] = places[after - 1, 1]
    return spans


@jit
def _points(data: Any, at: int, end: int, table: Any, places: Any, points: Any) -> int:
    """Write the bounds and the points of each line that is not blank; return the number of lines."""
    lines, short = 0, 0
    width, gap, finished, begin, after = 0, 0, False, at, at
    while at <= end:
        code, size = (10, 1) if at == end else decode(data, at)
        bits = int(table[code])
        if bits & NEWLINE:
            if width:
                places[lines] = begin, after
                if width >= WIDE_LINE:
                    points[lines] = min(width, _MOST_WIDTH) / 100 * (_WIDE if finished else _WIDE_UNFINISHED)
                    short = 0
                else:
                    short += 1
                    points[lines] = 0.0 if short > GAP else _SHORT_FINISHED if finished else _SHORT
                lines += 1
            width, gap, finished, begin = 0, 0, False, at + size
        elif bits & BLANK:
            gap = 1  # of code, a run of blanks stays: it counts as one
        else:
            width += (gap if width else 0) + (2 if bits & SPACELESS else 1)
            gap = 0
            after = at + size
            if bits & (TERMINAL | UNPUNCTUATED):
                finished = True
            elif not bits & CLOSER:
                finished = False
        at += size
    return lines


@jit
def _best(points: Any, lines: int) -> tuple[int, int]:
    """Return the run with the most points: its first line and the line after its last; (0, 0) if no line has points."""
    first, after, most = 0, 0, 0.0
    start, total = 0, 0.0
    for i in range(lines):
        if total <= 0:
            start, total = i, 0.0
        total += points[i]
        if total > most:
            first, after, most = start, i + 1, total
    return first, after


@jit
def _extend_over_prose(points: Any, lines: int, first: int, after: int, prose_limit: float) -> tuple[int, int]:
    """Extend the run at each end beyond which more than `prose_limit` of the points would be lost."""
    above, below, total = 0.0, 0.0, 0.0
    first_prose, after_prose, after_wide = -1, 0, 0
    for i in range(lines):
        if points[i] <= 0:
            continue
        total += points[i]
        above += points[i] if i < first else 0.0
        below += points[i] if i >= after else 0.0
        if first_prose < 0:
            first_prose = i
        after_wide = i + 1
        if points[i] >= WIDE_LINE / 100 * _WIDE:  # more than any line without a terminal mark gets
            after_prose = i + 1
    if above > prose_limit * total:
        first = min(first, first_prose)
    if below > prose_limit * total:
        after = max(after, after_prose or after_wide)
    return first, after


@jit
def _read_letters(data: Any, at: int, end: int, table: Any, lower: Any, out: Any) -> tuple[int, int]:
    """Write the letters and digits in lower case; return their number and width, (0, 0) if they do not fit."""
    length, width = 0, 0
    while at < end:
        code, size = decode(data, at)
        at += size
        bits = int(table[code])
        if bits & (LETTER | DIGIT):
            if length == out.size:
                return 0, 0
            out[length] = lower[code]
            length += 1
            width += 2 if bits & SPACELESS else 1
    return length, width


@jit
def _contains(whole: Any, whole_length: int, part: Any, length: int) -> bool:
    for start in range(whole_length - length + 1):
        i = 0
        while i < length and whole[start + i] == part[i]:
            i += 1
        if i == length:
            return True
    return False
