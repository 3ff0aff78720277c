r"""Counts of words, lines and sentences of each text, in one walk over its UTF-8: what the quality rules look at.

What is counted:

- A token is a run of characters without whitespace. In scripts written without spaces (Han, kana, bopomofo, Yi, Thai, Lao,
  Tibetan, Myanmar, Khmer and their neighbours) each letter is a token of its own, with the marks and the punctuation
  beside it. A word is a token with a letter or a digit. "你好, world!" has the tokens "你", "好,", "world!".
- A line holds something else than whitespace: blank lines are not lines.
- A sentence ends in a terminal mark (closing quotes and brackets may follow) before whitespace or the end, or in a full-width
  mark or a danda anywhere, and has a letter or a digit. Abbreviations end sentences too: the rules ask for very few.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.code_points import CODE_POINTS, buffers, categories, decode
from pipelines.text.kernels import jit

SHORT_LINE_WIDTH = 30  # characters; FineWeb (arXiv 2406.17557, section 3.5). A letter of a script without spaces counts twice

# Bits of the character table.
BLANK, NEWLINE, LETTER, DIGIT, SPACELESS = 1, 2, 4, 8, 16
TERMINAL, _FULL_STOP, CLOSER, _BULLET, _SYLLABLE, UNPUNCTUATED = 64, 128, 256, 512, 1024, 2048

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
_FULL_STOPS = "。！？｡．…।॥။၊།༎។៕"  # need no space behind them; "…" is in both: it ends a line, and a sentence before a space
_CLOSERS = "\"'”’»›)]」』）】》〉］｣*_"
_BULLETS = "•‣⁃◦▪▫■□●○◆◇▶►✓✔★☆·-*"


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of texts; every array is int64[rows]."""

    tokens: NDArray[np.int64]
    words: NDArray[np.int64]  # tokens with a letter or a digit
    letter_tokens: NDArray[np.int64]  # tokens with a letter
    measured_words: NDArray[np.int64]  # words of alphabets written with spaces: those whose length says something
    measured_characters: NDArray[np.int64]  # of those words; vowel signs are letters of Hindi, so marks count
    hashes: NDArray[np.int64]  # "#"
    ellipses: NDArray[np.int64]  # "…" and "..."
    lines: NDArray[np.int64]
    bullet_lines: NDArray[np.int64]  # that begin with a bullet
    ellipsis_lines: NDArray[np.int64]  # that end in an ellipsis
    punctuated_lines: NDArray[np.int64]  # that end in a terminal mark, closing marks (and a French space) aside
    short_lines: NDArray[np.int64]  # less than SHORT_LINE_WIDTH wide
    newlines: NDArray[np.int64]
    sentences: NDArray[np.int64]
    curly_brackets: NDArray[np.int64]  # "{"
    stop_words: NDArray[np.int64]  # how many of Gopher's eight occur
    letters: NDArray[np.int64]
    unpunctuated_letters: NDArray[np.int64]  # of scripts without sentence marks


def count(texts: pa.Array) -> Counts:
    """Count all texts of a StringArray without nulls."""
    data, offsets = buffers(texts)
    matrix = _count(data, offsets, table(), _STOP_WORDS)
    return Counts(*np.ascontiguousarray(matrix.T))


@functools.cache
def table() -> NDArray[np.uint16]:
    """The bits of every code point."""
    kinds = categories()
    bits = np.zeros(CODE_POINTS, np.uint16)
    major = kinds.astype("U1")
    bits[major == "L"] |= LETTER
    bits[major == "N"] |= DIGIT
    bits[(major == "Z") | np.isin(np.arange(CODE_POINTS), [9, 10, 11, 12, 13, 28, 29, 30, 31, 0x85])] |= BLANK
    bits[10] |= NEWLINE
    for flag, characters in ((TERMINAL, _TERMINALS + _FULL_STOPS), (CLOSER, _CLOSERS), (_BULLET, _BULLETS)):
        bits[[ord(c) for c in characters]] |= flag
    bits[[ord(c) for c in _FULL_STOPS if c != "…"]] |= _FULL_STOP
    for flag, ranges in ((SPACELESS, _SPACELESS_RANGES), (UNPUNCTUATED, _UNPUNCTUATED_RANGES), (_SYLLABLE, _SYLLABLE_RANGES)):
        for first, last in ranges:
            bits[first : last + 1] |= np.where(major[first : last + 1] == "L", flag, 0).astype(np.uint16)
    bits[0x3007] |= LETTER | SPACELESS  # 〇 is a number letter to Unicode, a Han character to a reader
    return bits


def pack(word: str) -> int:
    """A word of up to four ASCII letters as one number, as the kernel packs it."""
    return int.from_bytes(word.encode(), "big")


# At least two of these: Gopher (arXiv 2112.11446, A1.1). None is longer than four letters: `pack` relies on that.
_STOP_WORDS = np.array([pack(w) for w in ("the", "be", "to", "of", "and", "that", "have", "with")], np.int64)


@jit
def begins_token(bits: int, in_token: bool, has_alnum: bool, spaceless: bool) -> bool:
    """Whether a character that is not blank begins a new token within a run of such characters."""
    if not in_token:
        return True
    if bits & SPACELESS:
        return has_alnum
    return spaceless and bits & (LETTER | DIGIT) != 0


@jit
def _popcount(value: int) -> int:
    found = 0
    while value:
        value &= value - 1
        found += 1
    return found


@jit
def _count(data: Any, offsets: Any, table: Any, stop_words: Any) -> Any:
    out = np.zeros((offsets.size - 1, 18), np.int64)
    for row in range(offsets.size - 1):
        at, end = offsets[row], offsets[row + 1]
        tokens, words, letter_tokens, measured_words, measured_characters = 0, 0, 0, 0, 0
        hashes, ellipses, curly, newlines, letters, unpunctuated, stops = 0, 0, 0, 0, 0, 0, 0
        lines, bullet_lines, ellipsis_lines, punctuated_lines, short_lines, sentences = 0, 0, 0, 0, 0, 0
        in_token, has_letter, has_alnum, spaceless, syllabic, length = False, False, False, False, False, 0
        packed, packed_length = 0, 0  # of the token's letters
        width, gap, bullet, terminal, last = 0, 0, False, False, 0  # of the line
        dots, in_sentence, ends_sentence = 0, False, False
        while at <= end:
            code, size = (10, 1) if at == end else decode(data, at)  # a newline behind the end closes everything
            at += size
            bits = int(table[code])
            blank = bits & BLANK != 0
            if in_token and (blank or begins_token(bits, True, has_alnum, spaceless)):
                tokens += 1
                words += has_alnum
                letter_tokens += has_letter
                if has_alnum and not spaceless and not syllabic:
                    measured_words += 1
                    measured_characters += length
                if 2 <= packed_length <= 4:
                    for i in range(stop_words.size):
                        if packed == stop_words[i]:
                            stops |= 1 << i
                in_token = False
            if blank:
                if ends_sentence and in_sentence:
                    sentences += 1
                    in_sentence = False
                ends_sentence = False
                if bits & NEWLINE:
                    newlines += at <= end
                    if width:
                        lines += 1
                        bullet_lines += bullet
                        ellipsis_lines += last == 0x2026 or dots >= 3
                        punctuated_lines += terminal
                        short_lines += width < SHORT_LINE_WIDTH
                    width, gap, dots, last, terminal = 0, 0, 0, 0, False
                else:
                    gap += 1
                continue
            # the token
            if not in_token:
                in_token, has_letter, has_alnum, spaceless, syllabic, length = True, False, False, False, False, 0
                packed, packed_length = 0, 0
            if bits & LETTER:
                has_letter = has_alnum = in_sentence = True
                letters += 1
                unpunctuated += bits & UNPUNCTUATED != 0
                packed_length += 1
                packed = (packed << 8 | (code | 0x20)) if code < 0x80 and packed_length <= 4 else -1
            elif bits & DIGIT:
                has_alnum = in_sentence = True
                packed_length = 9
            spaceless |= bits & SPACELESS != 0
            syllabic |= bits & _SYLLABLE != 0
            length += 1
            # the line
            if width == 0:
                bullet = bits & _BULLET != 0
                gap = 0
            width += gap + (2 if bits & SPACELESS else 1)
            gap = 0
            hashes += code == 35
            curly += code == 123
            if code == 46 and last == 46:
                dots += 1
            else:
                dots = 1 if code == 46 else 0
            ellipses += code == 0x2026 or (dots > 0 and dots % 3 == 0)
            last = code
            # the sentence
            if bits & TERMINAL:
                terminal = ends_sentence = True
                if bits & _FULL_STOP and in_sentence:
                    sentences += 1
                    in_sentence = False
            elif not bits & CLOSER:
                terminal = ends_sentence = False
        out[row] = (
            *(tokens, words, letter_tokens, measured_words, measured_characters),
            *(hashes, ellipses, lines, bullet_lines, ellipsis_lines, punctuated_lines, short_lines),
            *(newlines, sentences, curly, _popcount(stops), letters, unpunctuated),
        )
    return out
