r"""Count the words, lines and sentences of each text, for the quality rules.

Definitions:

- A token is a run of characters without whitespace. In scripts written without spaces (Han, kana, bopomofo, Yi, Thai, Lao,
  Tibetan, Myanmar, Khmer and their neighbours) each letter is a separate token, with the marks and the punctuation beside
  it. A word is a token with a letter or a digit. "你好, world!" has the tokens "你", "好,", "world!".
- Blank lines are not lines: a line has a character that is not whitespace.
- A sentence has a letter or a digit, and ends in a terminal mark (closing quotes and brackets may follow) before whitespace
  or the end, or in a full-width mark or a danda anywhere. Abbreviations end sentences too: the rules only ask for a few.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.code_points import CODE_POINTS, buffers, categories, decode
from pipelines.text.kernels import jit, jit_internal

SHORT_LINE_WIDTH = 30  # characters; FineWeb (arXiv 2406.17557, section 3.5). A letter of a script without spaces counts twice

# Bits of the character table.
BLANK, NEWLINE, LETTER, DIGIT, SPACELESS = 1, 2, 4, 8, 16
TERMINAL, FULL_STOP, CLOSER, _BULLET, _SYLLABLE, UNPUNCTUATED = 64, 128, 256, 512, 1024, 2048

_SPACELESS_RANGES = (
    *((0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF)),  # Thai, Lao; Tibetan; Myanmar; Khmer
    *((0x1950, 0x19FF), (0x1A20, 0x1AAF), (0xA9E0, 0xA9FF), (0xAA60, 0xAADF)),  # Tai scripts, Khmer and Myanmar supplements
    *((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3038, 0x303C)),  # Han
    *((0x3041, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),  # kana, bopomofo
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA4CF), (0xF900, 0xFAFF), (0x16FE0, 0x18DFF)),  # Han, Yi, Tangut
    *((0x1AFF0, 0x1B2FF), (0x20000, 0x3FFFF)),  # kana supplements, Han
)
_UNPUNCTUATED_RANGES = ((0x0E00, 0x0EFF),)  # Thai and Lao put a space where a sentence ends
_SYLLABLE_RANGES = ((0x1100, 0x11FF), (0xAC00, 0xD7FF))  # Hangul: a character is two or three letters
_TERMINALS = ".!?…։؟۔؛፧።᙮᠃᠉⁇⁈⁉‽"
_FULL_STOPS = "。！？｡．…।॥။၊།༎។៕"  # need no space after them, except "…", which is in both lists
_CLOSERS = "\"'”’»›)]」』）】》〉］｣*_"
_FULL_STOP_CODE, _ELLIPSIS_CODE, _HASH_CODE, _CURLY_BRACKET_CODE = (ord(c) for c in ".…#{")
_BULLETS = "•‣⁃◦▪▫■□●○◆◇▶►✓✔★☆·-*"


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of texts; every array is int64[rows]."""

    tokens: NDArray[np.int64]
    words: NDArray[np.int64]  # tokens with a letter or a digit
    letter_tokens: NDArray[np.int64]  # tokens with a letter
    measured_words: NDArray[np.int64]  # words of alphabets written with spaces: the only ones whose length means something
    measured_characters: NDArray[np.int64]  # of these words, marks included: the vowel signs of Hindi are letters
    hashes: NDArray[np.int64]  # "#"
    ellipses: NDArray[np.int64]  # "…" and "..."
    lines: NDArray[np.int64]
    bullet_lines: NDArray[np.int64]  # lines that begin with a bullet
    ellipsis_lines: NDArray[np.int64]  # lines that end in an ellipsis
    punctuated_lines: NDArray[np.int64]  # lines that end in a terminal mark; closing marks (after a French space) may follow
    short_lines: NDArray[np.int64]  # lines narrower than SHORT_LINE_WIDTH
    newlines: NDArray[np.int64]
    sentences: NDArray[np.int64]
    curly_brackets: NDArray[np.int64]  # "{"
    letters: NDArray[np.int64]
    unpunctuated_letters: NDArray[np.int64]  # of scripts without sentence marks


# The columns of the kernel's matrix: the fields of Counts, in their order.
_TOKENS, _WORDS, _LETTER_TOKENS, _MEASURED_WORDS, _MEASURED_CHARACTERS, _HASHES, _ELLIPSES, _LINES = range(8)
_BULLET_LINES, _ELLIPSIS_LINES, _PUNCTUATED_LINES, _SHORT_LINES, _NEWLINES, _SENTENCES, _CURLY_BRACKETS = range(8, 15)
_LETTERS, _UNPUNCTUATED_LETTERS = range(15, 17)


def count(texts: pa.Array) -> Counts:
    """Count all texts of a StringArray without nulls."""
    data, offsets = buffers(texts)
    matrix = _count(data, offsets, table())
    return Counts(*np.ascontiguousarray(matrix.T))


@functools.cache
def table() -> NDArray[np.uint16]:
    """Return the bits of every code point."""
    kinds = categories()
    bits = np.zeros(CODE_POINTS, np.uint16)
    major = kinds.astype("U1")
    bits[major == "L"] |= LETTER
    bits[major == "N"] |= DIGIT
    bits[(major == "Z") | np.isin(np.arange(CODE_POINTS), [9, 10, 11, 12, 13, 28, 29, 30, 31, 0x85])] |= BLANK
    bits[10] |= NEWLINE
    for flag, characters in ((TERMINAL, _TERMINALS + _FULL_STOPS), (CLOSER, _CLOSERS), (_BULLET, _BULLETS)):
        bits[[ord(c) for c in characters]] |= flag
    bits[[ord(c) for c in _FULL_STOPS if c != "…"]] |= FULL_STOP
    for flag, ranges in ((SPACELESS, _SPACELESS_RANGES), (UNPUNCTUATED, _UNPUNCTUATED_RANGES), (_SYLLABLE, _SYLLABLE_RANGES)):
        for first, last in ranges:
            bits[first : last + 1] |= np.where(major[first : last + 1] == "L", flag, 0).astype(np.uint16)
    bits[0x3007] |= LETTER | SPACELESS  # 〇 is a letter number in Unicode, a Han character to a reader
    return bits


@jit
def begins_token(bits: int, has_alnum: bool, spaceless: bool) -> bool:
    """Return whether a character that is not blank begins a new token; the flags are those of the current token."""
    if bits & SPACELESS:
        return has_alnum
    return spaceless and bits & (LETTER | DIGIT) != 0


# Three state machines walk each text, for its tokens, its lines and its sentences. The end of a text acts as a newline.


@jit
def _count(data: Any, offsets: Any, table: Any) -> Any:
    """Return int64[rows, fields of Counts]."""
    counts = np.zeros((offsets.size - 1, 17), np.int64)
    longest = 0
    for row in range(offsets.size - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    codes, kinds = np.empty(longest + 1, np.uint32), np.empty(longest + 1, np.uint16)
    for row in range(offsets.size - 1):
        size = _read(data, offsets[row], offsets[row + 1], table, codes, kinds)
        _count_tokens(kinds, size, counts[row])
        _count_lines(codes, kinds, size, counts[row])
        _count_sentences(kinds, size, counts[row])
    return counts


@jit_internal
def _read(data: Any, at: int, end: int, table: Any, codes: Any, kinds: Any) -> int:
    """Write a text's code points and their bits, then a final newline; return their number."""
    size = 0
    while at < end:
        code, width = decode(data, at)
        codes[size], kinds[size] = code, table[code]
        at += width
        size += 1
    codes[size], kinds[size] = 10, table[10]
    return size + 1


@jit_internal
def _count_tokens(kinds: Any, size: int, counts: Any) -> None:
    tokens, words, letter_tokens, letters, unpunctuated = 0, 0, 0, 0, 0
    length = 0  # of the current token; 0 between tokens
    has_letter, has_alnum, spaceless, syllabic = False, False, False, False
    for i in range(size):
        bits = np.int64(kinds[i])
        if length > 0 and (bits & BLANK or begins_token(bits, has_alnum, spaceless)):
            tokens += 1
            words += has_alnum
            letter_tokens += has_letter
            if has_alnum and not spaceless and not syllabic:
                counts[_MEASURED_WORDS] += 1
                counts[_MEASURED_CHARACTERS] += length
            length = 0
            has_letter, has_alnum, spaceless, syllabic = False, False, False, False
        if bits & BLANK:
            continue
        length += 1
        spaceless |= bits & SPACELESS != 0
        syllabic |= bits & _SYLLABLE != 0
        if bits & LETTER:
            has_letter = has_alnum = True
            letters += 1
            unpunctuated += bits & UNPUNCTUATED != 0
        elif bits & DIGIT:
            has_alnum = True
    counts[_TOKENS], counts[_WORDS], counts[_LETTER_TOKENS] = tokens, words, letter_tokens
    counts[_LETTERS], counts[_UNPUNCTUATED_LETTERS] = letters, unpunctuated


@jit_internal
def _count_lines(codes: Any, kinds: Any, size: int, counts: Any) -> None:
    width, gap, bullet = 0, 0, False  # of the line; the gap is the blanks since its last other character
    dots, ellipsis, terminal = 0, False, False  # the end of the line as read so far
    for i in range(size):
        code, bits = np.int64(codes[i]), np.int64(kinds[i])
        if bits & NEWLINE:
            counts[_NEWLINES] += i + 1 < size
            if width:
                counts[_LINES] += 1
                counts[_BULLET_LINES] += bullet
                counts[_ELLIPSIS_LINES] += ellipsis or dots >= 3
                counts[_PUNCTUATED_LINES] += terminal
                counts[_SHORT_LINES] += width < SHORT_LINE_WIDTH
            width, gap, dots, ellipsis, terminal = 0, 0, 0, False, False
        elif bits & BLANK:
            gap += width > 0
        else:
            if width == 0:
                bullet = bits & _BULLET != 0
            width += gap + (2 if bits & SPACELESS else 1)
            gap, dots, ellipsis = 0, dots + 1 if code == _FULL_STOP_CODE else 0, code == _ELLIPSIS_CODE
            terminal = bits & TERMINAL != 0 or (terminal and bits & CLOSER != 0)
            if not bits & LETTER:
                counts[_ELLIPSES] += ellipsis or (dots > 0 and dots % 3 == 0)
                counts[_HASHES] += code == _HASH_CODE
                counts[_CURLY_BRACKETS] += code == _CURLY_BRACKET_CODE


@jit_internal
def _count_sentences(kinds: Any, size: int, counts: Any) -> None:
    has_alnum, ends = False, False  # of the sentence; with `ends`, a blank would end it
    for i in range(size):
        bits = np.int64(kinds[i])
        has_alnum |= bits & (LETTER | DIGIT) != 0
        if bits & FULL_STOP or (ends and bits & BLANK):
            counts[_SENTENCES] += has_alnum
            has_alnum = False
        ends = (bits & TERMINAL != 0) | (ends & (bits & CLOSER != 0))
