r"""Cut words out of texts so that the rest reads as if they had never been there.

All modules that cut text (lines and runs that repeat, texts of benchmarks) do it here, with a flag for each word:

- the bytes between two kept words do not change, so a text that loses no word keeps its bytes;
- punctuation is cut with the word that it touches: `he said [“Go home.”] Then` loses its quotes, too;
- after a cut, the text continues in a new paragraph or line if one ended at or in the gap, else after one space (after none
  if there was none, as in Chinese);
- lines of symbols ("* * *") and symbols before the first word of a line ("- ", "> ") stay with the text that stays.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.code_points import buffers, from_buffers
from pipelines.text.characters.word_spans import Words
from pipelines.text.kernels import jit

VERSION = 2

_SPACE, _NEWLINE, _TAB = 0x20, 0x0A, 0x09


def remove_words(texts: pa.Array, words: Words, flags: NDArray[np.bool_]) -> pa.Array:
    r"""Return the texts (a StringArray without nulls) without the flagged words; the same array if none is flagged.

    >>> from pipelines.text.characters.word_spans import words
    >>> texts = pa.array(["Home | News\nA text.\n\nHome | News"])
    >>> remove_words(texts, words(texts), np.array([1, 1, 0, 0, 1, 1], np.bool_)).to_pylist()
    ['A text.']
    """
    if not flags.any():
        return texts
    data, offsets = buffers(texts)
    return from_buffers(*_remove(data, offsets, words.starts, words.ends, words.offsets, words.is_character, flags))


@jit
def most_newlines(data: Any, begin: int, end: int) -> int:
    """Return the most newlines in a row, ignoring blanks: 0 within a line, 1 between lines, 2 (at most) between paragraphs."""
    most, run = 0, 0
    for i in range(begin, end):
        if data[i] == _NEWLINE:
            run += 1
            most = max(most, run)
        elif not _is_blank(data[i]):
            run = 0
    return min(most, 2)


@jit
def _remove(data: Any, texts: Any, starts: Any, ends: Any, offsets: Any, is_character: Any, flags: Any) -> Any:
    # A seam is never longer than what it replaces: a newline for a newline or a word, a space for a space.
    out = np.empty(texts[-1] - texts[0], np.uint8)
    out_ends = np.zeros(len(texts), np.int32)
    at = 0
    for row in range(len(texts) - 1):
        base, place, begin = texts[row], texts[row], at  # `place` is the next byte to read
        word, stop = offsets[row], offsets[row + 1]
        is_cut, is_kept = False, False
        while word < stop:
            after = _end_of_run(starts, ends, flags, word, stop)
            if after == word:
                is_kept, word = True, _end_of_overlap(starts, ends, word, stop)
                continue
            gap_start = base + ends[word - 1] if word > offsets[row] else base
            gap_end = base + starts[after] if after < stop else texts[row + 1]
            at = _copy(data, place, gap_start, out, at)
            kept_end = _kept_end(data, gap_start, base + starts[word], word == offsets[row])
            kept_start = _kept_start(data, base + ends[after - 1], gap_end, after == stop)
            at = _copy(data, gap_start, kept_end, out, at)
            if at > begin and kept_start < texts[row + 1]:
                is_apart = is_kept and after < stop and not (is_character[word - 1] and is_character[after])
                cut = base + starts[word], base + ends[after - 1]
                at = _seam(data, kept_end, kept_start, cut, is_apart, out, at)
            is_cut, place, word = True, kept_start, after
        at = _copy(data, place, texts[row + 1], out, at)
        if is_cut:
            at = _strip_end(out, begin, at) if is_kept else begin
        out_ends[row + 1] = at
    return out[:at], out_ends


@jit
def _end_of_overlap(starts: Any, ends: Any, word: int, stop: int) -> int:
    """Return the next word that shares no byte with the word before it ("½" is two words in one character)."""
    word += 1
    while word < stop and starts[word] < ends[word - 1]:
        word += 1
    return word


@jit
def _end_of_run(starts: Any, ends: Any, flags: Any, word: int, stop: int) -> int:
    """Return the first word from `word` on that stays; words that share bytes are cut together or not at all."""
    while word < stop:
        group = _end_of_overlap(starts, ends, word, stop)
        for i in range(word, group):
            if not flags[i]:
                return word
        word = group
    return word


@jit
def _seam(data: Any, begin: int, end: int, cut: Any, is_apart: bool, out: Any, at: int) -> int:
    """Write the newlines or the space in place of a gap: data[begin:end] is cut, its words are data[cut[0]:cut[1]]."""
    newlines = most_newlines(data, begin, end)
    for _ in range(newlines):
        out[at] = _NEWLINE
        at += 1
    for i in range(begin, end):
        is_apart |= (i < cut[0] or i >= cut[1]) and _is_blank(data[i])
    if is_apart and not newlines:
        out[at] = _SPACE
        at += 1
    return at


@jit
def _kept_end(data: Any, begin: int, end: int, is_first: bool) -> int:
    """Return the end of the text kept before a cut: that of its last whole line, else of what touches its last word."""
    stays = begin
    for i in range(end - 1, begin - 1, -1):
        if data[i] == _NEWLINE:
            stays = i
            break
    else:
        while stays < end and not is_first and not _is_blank(data[stays]):
            stays += 1
    while stays > begin and (_is_blank(data[stays - 1]) or data[stays - 1] == _NEWLINE):
        stays -= 1
    return stays


@jit
def _kept_start(data: Any, begin: int, end: int, is_last: bool) -> int:
    """Return the start of the text kept after a cut: that of its first whole line, else of what touches its first word."""
    for i in range(begin, end):
        if data[i] == _NEWLINE:
            stays = i + 1
            for j in range(i, end):
                if data[j] == _NEWLINE:
                    stays = j + 1
                elif not _is_blank(data[j]):
                    break
            return stays
    stays = end
    if not is_last:
        for i in range(begin, end):
            if _is_blank(data[i]):
                stays = i + 1
    return stays


@jit
def _is_blank(byte: Any) -> bool:
    return byte in (_SPACE, _TAB)


@jit
def _strip_end(out: Any, begin: int, at: int) -> int:
    while at > begin and (_is_blank(out[at - 1]) or out[at - 1] == _NEWLINE):
        at -= 1
    return at


@jit
def _copy(data: Any, begin: int, end: int, out: Any, at: int) -> int:
    for i in range(begin, end):
        out[at + i - begin] = data[i]
    return at + end - begin
