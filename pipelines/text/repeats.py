r"""Lines and paragraphs as hashes of their words, and texts without some of their words.

What is compared are words as `pipelines.text.shingles` sees them (case, diacritics and punctuation are forgotten, digits
count), so "Read more »" and "READ MORE" are one line. A line ends at "\n"; a paragraph ends at a line that holds whitespace
only. What has no word is neither, and is never looked up.

Everything that repeats, be it a line, a paragraph or a run of words, is cut by one function that gets a flag a word, and
that leaves a text which reads as if the words had never been there:

- what stands between two words that stay is not touched, and a text that loses no word keeps its bytes;
- punctuation goes with the word that it touches: `he said [“Go home.”] Then` loses its quotes as well;
- the text goes on in a new paragraph or line if there was the end of one at or in the gap, else behind one space (none
  between characters of a script that is written without);
- lines of symbols only ("* * *"), and what stands before the first word of a line ("- ", "> "), stay with what stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters import buffers, from_buffers
from pipelines.text.word_spans import Words

VERSION = 1

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Pieces:
    """The lines or the paragraphs of some texts, without those that have no word."""

    hashes: Hashes  # of the words, one a piece
    first: NDArray[np.int64]  # [pieces + 1], the number of a piece's first word; the next one's is where it ends
    offsets: NDArray[np.int64]  # [rows + 1], the pieces of each text
    half_words: NDArray[np.int64]  # how long each is: a character of a script that is written without spaces is half a word

    def words(self) -> NDArray[np.int64]:
        """How many words each piece has."""
        return np.diff(self.first)

    def at_least(self, words: int) -> NDArray[np.bool_]:
        """Which pieces are as long as so many words."""
        return self.half_words >= 2 * words

    def rows(self) -> NDArray[np.int64]:
        """The text that each piece is of."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def lines(texts: pa.Array, words: Words) -> Pieces:
    r"""The lines of texts (a StringArray without nulls), given their words.

    >>> texts = pa.array(["Read more!\n\n- READ MORE"])
    >>> found = lines(texts, words_of(texts))
    >>> found.words().tolist(), bool(found.hashes[0] == found.hashes[1])
    ([2, 2], True)
    """
    return _pieces(texts, words, newlines=1)


def paragraphs(texts: pa.Array, words: Words) -> Pieces:
    """The paragraphs of texts: what stands between two blank lines."""
    return _pieces(texts, words, newlines=2)


def distinct(pieces: Pieces, min_words: int) -> Hashes:
    """The hashes of the pieces that are at least so long, each once for every text that has it, sorted."""
    long_enough = pieces.at_least(min_words)
    hashes, rows = pieces.hashes[long_enough], pieces.rows()[long_enough]
    order = np.lexsort((rows, hashes))
    hashes, rows = hashes[order], rows[order]
    is_first = np.ones(len(hashes), np.bool_)
    is_first[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    return hashes[is_first]


def counted(hashes: Hashes, counts: NDArray[np.int64] | None = None) -> tuple[Hashes, NDArray[np.int64]]:
    """Every hash once, sorted, with the sum of its counts (1 each when there are none).

    >>> [column.tolist() for column in counted(np.array([7, 5, 7], np.uint64), np.array([1, 2, 3]))]
    [[5, 7], [2, 4]]
    """
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(hashes)), np.bool_), hashes[1:] != hashes[:-1]]))
    if counts is None:
        return hashes[starts], np.diff(starts, append=len(hashes))
    return hashes[starts], np.add.reduceat(counts[order], starts) if len(starts) else counts[:0]


def among(wanted: Hashes, known: Sequence[Hashes]) -> NDArray[np.bool_]:
    """Which of the hashes are known; `known` are sorted arrays, each beyond the one before (mapped from a file, perhaps).

    >>> among(np.array([9, 2, 3, 9], np.uint64), [np.array([1, 2], np.uint64), np.array([9], np.uint64)]).tolist()
    [True, True, False, True]
    """
    unique, inverse = np.unique(wanted, return_inverse=True)
    found = np.zeros(len(unique), np.bool_)
    known = [part for part in known if len(part)]
    bounds = np.searchsorted(unique, np.array([part[0] for part in known[1:]], np.uint64))
    for part, asked, out in zip(known, np.split(unique, bounds), np.split(found, bounds), strict=False):
        places = np.minimum(np.searchsorted(part, asked), len(part) - 1)
        out[:] = part[places] == asked
    return found[inverse]


def words_of_pieces(pieces: Pieces, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A flag a word: whether it lies in a piece that is chosen."""
    return np.repeat(chosen, pieces.words())


def without_words(texts: pa.Array, words: Words, goes: NDArray[np.bool_]) -> pa.Array:
    r"""The texts (a StringArray without nulls) without the words that go; the very same array when none does.

    >>> texts = pa.array(["Home | News\nA text.\n\nHome | News"])
    >>> without_words(texts, words_of(texts), np.array([1, 1, 0, 0, 1, 1], np.bool_)).to_pylist()
    ['A text.']
    """
    if not goes.any():
        return texts
    data, offsets = buffers(texts)
    return from_buffers(*_without(data, offsets, words.starts, words.ends, words.offsets, words.is_character, goes))


def _pieces(texts: pa.Array, words: Words, newlines: int) -> Pieces:
    data, offsets = buffers(texts)
    begins = _begins(data, offsets, words.starts, words.ends, words.offsets, newlines)
    first = np.append(np.flatnonzero(begins), len(begins))
    halves = np.concatenate([np.zeros(1, np.int64), np.cumsum(2 - words.is_character.astype(np.int64))])
    return Pieces(_hashed(words.hashes, first), first, np.searchsorted(first[:-1], words.offsets), np.diff(halves[first]))


# The passes over bytes and words

_SPACE, _NEWLINE, _TAB = 0x20, 0x0A, 0x09
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: 2^64 over the golden ratio


def _jit(function: Any) -> Any:
    return numba.njit(cache=True, nogil=True)(function)


@_jit
def _begins(data: Any, texts: Any, starts: Any, ends: Any, offsets: Any, newlines: int) -> Any:
    """Whether each word begins a piece: its text, or what follows so many newlines with nothing but blanks between them."""
    begins = np.zeros(len(starts), np.bool_)
    for row in range(len(offsets) - 1):
        for word in range(offsets[row], offsets[row + 1]):
            begins[word] = (
                word == offsets[row] or _most_newlines(data, texts[row] + ends[word - 1], texts[row] + starts[word]) >= newlines
            )
    return begins


@_jit
def _most_newlines(data: Any, begin: int, end: int) -> int:
    """The most newlines in a row with only blanks between them: 0 within a line, 1 between lines, 2 between paragraphs."""
    most, run = 0, 0
    for i in range(begin, end):
        if data[i] == _NEWLINE:
            run += 1
            most = max(most, run)
        elif not _is_blank(data[i]):
            run = 0
    return min(most, 2)


@_jit
def _hashed(hashes: Any, first: Any) -> Any:
    """A hash of the words of each piece, in their order."""
    out = np.empty(len(first) - 1, np.uint64)
    for piece in range(len(first) - 1):
        rolling = np.uint64(0)
        for word in range(first[piece], first[piece + 1]):
            rolling = rolling * _BASE + hashes[word]
        out[piece] = _mix(rolling)
    return out


@_jit
def _mix(h: Any) -> Any:
    """MurmurHash3's 64-bit finaliser."""
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


@_jit
def _without(data: Any, texts: Any, starts: Any, ends: Any, offsets: Any, is_character: Any, goes: Any) -> Any:
    # A seam writes at most what it replaces: a newline for a newline or a word, a space for a space.
    out = np.empty(texts[-1] - texts[0], np.uint8)
    out_ends = np.zeros(len(texts), np.int32)
    at = 0
    for row in range(len(texts) - 1):
        base, place, begin = texts[row], texts[row], at  # `place` is the byte that is read next
        word, behind = offsets[row], offsets[row + 1]
        is_cut, is_kept = False, False
        while word < behind:
            run = _behind_run(starts, ends, goes, word, behind)
            if run == word:
                is_kept, word = True, _behind_overlap(starts, ends, word, behind)
                continue
            left = base + ends[word - 1] if word > offsets[row] else base
            right = base + starts[run] if run < behind else texts[row + 1]
            at = _copy(data, place, left, out, at)
            kept_left = _end_of_left(data, left, base + starts[word], word == offsets[row])
            kept_right = _begin_of_right(data, base + ends[run - 1], right, run == behind)
            at = _copy(data, left, kept_left, out, at)
            if at > begin and kept_right < texts[row + 1]:
                is_apart = is_kept and run < behind and not (is_character[word - 1] and is_character[run])
                cut = base + starts[word], base + ends[run - 1]
                at = _seam(data, kept_left, kept_right, cut, is_apart, out, at)
            is_cut, place, word = True, kept_right, run
        at = _copy(data, place, texts[row + 1], out, at)
        if is_cut:
            at = _stripped(out, begin, at) if is_kept else begin
        out_ends[row + 1] = at
    return out[:at], out_ends


@_jit
def _behind_overlap(starts: Any, ends: Any, word: int, behind: int) -> int:
    """The first word behind this one that shares no byte with the one before it: "½" is two words of one character."""
    word += 1
    while word < behind and starts[word] < ends[word - 1]:
        word += 1
    return word


@_jit
def _behind_run(starts: Any, ends: Any, goes: Any, word: int, behind: int) -> int:
    """The first word from this one on that stays; words that share bytes go together or not at all."""
    while word < behind:
        group = _behind_overlap(starts, ends, word, behind)
        for i in range(word, group):
            if not goes[i]:
                return word
        word = group
    return word


@_jit
def _seam(data: Any, begin: int, end: int, cut: Any, is_apart: bool, out: Any, at: int) -> int:
    """Write what separates the sides of a gap: data[begin:end] goes, the words in it are data[cut[0]:cut[1]]."""
    newlines = _most_newlines(data, begin, end)
    for _ in range(newlines):
        out[at] = _NEWLINE
        at += 1
    for i in range(begin, end):
        is_apart |= (i < cut[0] or i >= cut[1]) and _is_blank(data[i])
    if is_apart and not newlines:
        out[at] = _SPACE
        at += 1
    return at


@_jit
def _end_of_left(data: Any, begin: int, end: int, is_first: bool) -> int:
    """Where the text before a cut ends: behind its last whole line, else behind what touches the word before."""
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


@_jit
def _begin_of_right(data: Any, begin: int, end: int, is_last: bool) -> int:
    """Where the text behind a cut begins: with its first whole line, else with what touches the word behind."""
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


@_jit
def _is_blank(byte: Any) -> bool:
    return byte in (_SPACE, _TAB)


@_jit
def _stripped(out: Any, begin: int, at: int) -> int:
    while at > begin and (_is_blank(out[at - 1]) or out[at - 1] == _NEWLINE):
        at -= 1
    return at


@_jit
def _copy(data: Any, begin: int, end: int, out: Any, at: int) -> int:
    for i in range(begin, end):
        out[at + i - begin] = data[i]
    return at + end - begin
