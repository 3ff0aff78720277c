"""The form in which texts are compared (never published): two texts with the same words are equal.

- case is folded, compatibility forms are unified (NFKC): "Straße" = "STRASSE", "ﬁ" = "fi", "Ａ" = "a";
- diacritics of alphabets are removed ("café" = "cafe", "ё" = "е", Hebrew and Arabic points); vowel signs of Indic scripts and
  the marks of kana are letters in their own right and stay;
- decimal digits of every script become ASCII digits, and keep their value: articles made from one template that differ
  in their numbers are different articles (datatrove writes all numbers as 0);
- punctuation, symbols, spaces and controls separate words and are dropped; invisible format characters are removed;
- each character of a script written without spaces (Han, kana, bopomofo, Thai, Lao, Khmer, Myanmar) is a word, with its
  marks.

A text without words (symbols only) is compared as it is.

    >>> normalised(pa.array(["Über  den Café, 2.Ⅳ"])).to_pylist()
    ['uber den cafe 2 iv']

With `signs`, those of formulas and code are words, too (pipelines.text.characters.signs says which); prose stays as it is.

    >>> normalised(pa.array(["2 − 2 = -4", "Well-known!"]), signs=True).to_pylist()
    ['2 - 2 = - 4', 'well known']

The hash functions of all modules that compare words are here, too.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.signs import ascii_classes, is_counted
from pipelines.text.kernels import jit

# A changed rule needs a new number. The character classes come from Python's Unicode tables, so their version is part of it.
VERSION = f"2/unicode-{unicodedata.unidata_version}"

# Classes of characters, in the upper three bits of a table's entry; the lower 21 bits hold a code point.
SEPARATOR, WORD, SINGLE, MARK, REMOVED, EXPANDED = range(6)
CLASS_SHIFT, LENGTH_SHIFT, CODE_MASK = 29, 21, 2**21 - 1  # an expanded entry: bits 21-28 its length, below its first index

# Blocks whose characters are words (Unicode 15, Blocks.txt). Katakana includes the prolonged sound mark.
_SINGLE_BLOCKS = [
    (0x0E00, 0x0E7F),  # Thai
    (0x0E80, 0x0EFF),  # Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x19E0, 0x19FF),  # Khmer symbols
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3041, 0x30FF),  # hiragana, katakana
    (0x3100, 0x312F),  # bopomofo
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA9E0, 0xA9FF),  # Myanmar, extended B
    (0xAA60, 0xAA7F),  # Myanmar, extended A
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # katakana, half width
    (0x1B000, 0x1B16F),  # kana, supplements
    (0x20000, 0x3FFFF),  # Han, extensions B and later
]
_DIACRITICS = [
    (0x0300, 0x036F),  # combining diacritical marks, and their extensions and supplements
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE20, 0xFE2F),
    (0x0483, 0x0489),  # Cyrillic titlo and the like
    (0x0591, 0x05C7),  # Hebrew accents and points (the punctuation among them is not a mark)
    (0x0610, 0x061A),  # Arabic signs and points
    (0x064B, 0x065F),
    (0x0670, 0x0670),
    (0x06D6, 0x06ED),
    (0xFE00, 0xFE0F),  # variation selectors
    (0xE0100, 0xE01EF),
]
_SAME_BLOCKS = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x17000, 0x18CFF)]  # need no lookup
_NO_SIGNS = (0x2044, 0xFF5C, 0xFF5E)  # the fraction slash ("½" is "1⁄2": two words); bar and tilde of full width
_LAST_LISTED = 0x1FFFF  # after it, there are only Han, selectors and private use


def normalised(texts: pa.Array, *, signs: bool = False) -> pa.Array:
    """Return the form in which texts are compared: their words, separated by single spaces."""
    text, ends = normalised_bytes(texts, signs=signs)
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(text)).cast(pa.string())


def normalised_bytes(texts: pa.Array, *, signs: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return `normalised` as UTF-8, row after row, and [rows + 1] offsets into it."""
    data, starts = bytes_and_offsets(texts)
    table = sign_table() if signs else character_table()
    classes = ascii_classes() if signs else np.zeros(128, np.uint8)
    text = np.empty(int((starts[-1] - starts[0]) * table.growth) + 2 * len(starts), np.uint8)  # the most it can need
    ends = np.zeros(len(starts), np.int64)
    _normalise(data, starts, table.entries, table.expansions, classes, text, ends)
    return text[: ends[-1]], ends


def bytes_and_offsets(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of a string array and [rows + 1] offsets into them, without a copy; null counts as empty."""
    texts = texts.cast(pa.large_string())
    if texts.null_count:
        texts = texts.fill_null("")
    _, offsets, data = texts.buffers()
    starts = (
        np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1] if len(texts) else np.zeros(1, np.int64)
    )
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8), starts


# The table of characters


@dataclass(frozen=True, slots=True)
class CharacterTable:
    """The compared form of every code point."""

    entries: NDArray[np.uint32]  # by code point
    expansions: NDArray[np.uint32]  # entries of the characters that some code points become
    growth: float  # most bytes of normalised text, spaces included, per byte of text


@cache
def character_table() -> CharacterTable:
    """Return the table, built once per process (0.2 s)."""
    codes = np.arange(0x110000, dtype=np.uint32)
    entries = codes | np.uint32(WORD << CLASS_SHIFT)
    for first, last in _SINGLE_BLOCKS:
        entries[first : last + 1] = codes[first : last + 1] | np.uint32(SINGLE << CLASS_SHIFT)
    expansions: list[int] = []
    growth = 2.0  # one byte: a word and the space before it
    for code in _codes_to_look_up():
        folded = _fold(chr(code))
        if len(folded) == 1:
            entries[code] = _entry(folded)
        elif folded:
            entries[code] = EXPANDED << CLASS_SHIFT | len(folded) << LENGTH_SHIFT | len(expansions)
            expansions += [_entry(character) for character in folded]
        else:
            entries[code] = REMOVED << CLASS_SHIFT
        stored = len(chr(code).encode("utf-8", "surrogatepass"))
        growth = max(growth, (len(folded.encode("utf-8", "surrogatepass")) + len(folded)) / stored)
    return CharacterTable(entries, np.array(expansions, np.uint32), growth)


@cache
def sign_table() -> CharacterTable:
    """Return the table in which each mathematical sign is a word (those of ASCII depend on what is around them)."""
    table = character_table()
    entries, expansions, growth = table.entries.copy(), table.expansions.tolist(), table.growth
    for code in range(0x80, _LAST_LISTED + 1):
        if unicodedata.category(chr(code)) != "Sm" or code in _NO_SIGNS:
            continue
        # Whole, because "≠" is "=" with a stroke.
        folded = unicodedata.normalize("NFKC", chr(code)).replace("\u2212", "-")
        parts = [_sign_entry(character) for character in folded]
        if len(parts) == 1:
            entries[code] = parts[0]
        else:
            entries[code] = EXPANDED << CLASS_SHIFT | len(parts) << LENGTH_SHIFT | len(expansions)
            expansions += parts
        growth = max(growth, (len(folded.encode()) + len(folded)) / len(chr(code).encode()))
    return CharacterTable(entries, np.array(expansions, np.uint32), growth)


def _sign_entry(character: str) -> int:
    """Return the entry of a character of a mathematical sign's compared form."""
    is_sign = character == "-" or unicodedata.category(character) == "Sm"
    return SINGLE << CLASS_SHIFT | ord(character) if is_sign else _entry(character)


def _codes_to_look_up() -> Iterator[int]:
    """Yield the code points, except those known to be unchanged characters of words."""
    same = np.zeros(_LAST_LISTED + 1, np.bool_)
    for first, last in _SAME_BLOCKS:
        same[first : last + 1] = True
    listed = np.flatnonzero(~same).tolist()
    further = [*range(0x2F800, 0x2FA20), *range(0xE0000, 0xE01F0)]  # Han for compatibility; tags and selectors
    yield from (code for code in listed + further if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs"))


def _fold(character: str) -> str:
    """Return the compared form of a character: none, itself, another or several."""
    if _IS_DIACRITIC[ord(character)] and unicodedata.category(character).startswith("M"):
        return ""
    if unicodedata.category(character) == "Cf" and character != "\u200b":  # the zero-width space separates words
        return ""
    if unicodedata.is_normalized("NFKD", character) and character.casefold() == character and not character.isdecimal():
        return character
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", character).casefold())
    bare = "".join(c for c in apart if not _IS_DIACRITIC[ord(c)])
    together = unicodedata.normalize("NFC", bare).casefold()
    return together if len(together) != 1 or together == character else _fold(together)


def _entry(character: str) -> int:
    """Return the table entry (class and code point) of a folded character."""
    code, category = ord(character), unicodedata.category(character)
    if category[0] == "M":
        kind = MARK
    elif category[0] in "PSZ" or category == "Cc" or character == "\u200b":
        kind = SEPARATOR
    else:
        kind = SINGLE if _IS_SINGLE[code] else WORD
    return kind << CLASS_SHIFT | code


def _flags(blocks: list[tuple[int, int]]) -> bytes:
    """Return a byte for each code point: 1 if it is in one of the blocks."""
    flags = bytearray(0x110000)
    for first, last in blocks:
        flags[first : last + 1] = bytes([1]) * (last + 1 - first)
    return bytes(flags)


_IS_DIACRITIC, _IS_SINGLE = _flags(_DIACRITICS), _flags(_SINGLE_BLOCKS)

# The passes

FNV_START = np.uint64(0xCBF29CE484222325)  # FNV-1a, 64 bits
FNV_PRIME = np.uint64(0x100000001B3)
WINDOW_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: 2^64 over the golden ratio
SPACE = np.uint8(0x20)
_SIGN = np.uint8(0xFF)  # what an ASCII byte becomes that may be a word of its own


@jit
def _normalise(data: Any, starts: Any, entries: Any, expansions: Any, signs: Any, text: Any, ends: Any) -> None:
    """Write the words of each row, separated by single spaces, and where each row ends; `signs` has a class per ASCII byte."""
    ascii_bytes = np.empty(128, np.uint8)  # what an ASCII byte becomes
    for j in range(128):
        is_word = entries[j] >> CLASS_SHIFT == WORD
        ascii_bytes[j] = entries[j] & np.uint32(0x7F) if is_word else _SIGN if signs[j] else SPACE
    at = 0
    for row in range(len(starts) - 1):
        i, end, begin = starts[row], starts[row + 1], at
        last, is_single = SPACE, False  # the last byte written; whether it belongs to a word of one character
        line_end, is_dense = i, False  # of the line of the last sign
        while i < end:
            if data[i] < 0x80:
                if is_single:
                    text[at] = last = SPACE
                    at, is_single = at + 1, False
                while i < end and data[i] < 0x80:
                    byte = ascii_bytes[data[i]]
                    if byte == _SIGN:
                        byte = SPACE
                        is_word, line_end, is_dense = is_counted(data, i, starts[row], end, signs, line_end, is_dense)
                        if is_word:
                            if last != SPACE:
                                text[at] = SPACE
                                at += 1
                            text[at] = data[i]
                            at, last = at + 1, data[i]
                    text[at] = byte
                    at += (byte != SPACE) | (last != SPACE)  # no branch: a second space is overwritten
                    last, i = byte, i + 1
            else:
                code, length = decode(data, i, end)
                at, is_single = _put(entries[code], expansions, text, at, begin, is_single)
                last, i = text[at - 1] if at > begin else SPACE, i + length
        if at > begin and text[at - 1] == SPACE:
            at -= 1
        if at == begin:  # no word: the text is compared as it is
            for j in range(starts[row], end):  # a slice takes seconds to compile (its error message)
                text[at] = data[j]
                at += 1
        ends[row + 1] = at


@jit
def _put(entry: Any, expansions: Any, text: Any, at: int, begin: int, is_single: bool) -> Any:
    """Write the compared form of a character beyond ASCII; return the place after it and whether it is a word on its own."""
    first, count = 0, 1
    is_expanded = entry >> CLASS_SHIFT == EXPANDED
    if is_expanded:
        first, count = np.int64(entry & CODE_MASK), np.int64((entry >> LENGTH_SHIFT) & 0xFF)
    for k in range(first, first + count):
        character = expansions[k] if is_expanded else entry
        kind = character >> CLASS_SHIFT
        if kind == REMOVED:
            continue
        is_open = at > begin and text[at - 1] != SPACE
        if is_open and (kind in (SEPARATOR, SINGLE) or (kind == WORD and is_single)):
            text[at] = SPACE
            at, is_open = at + 1, False
        if kind == SEPARATOR:
            is_single = False
            continue
        is_single = kind == SINGLE or (kind == MARK and is_single and is_open)
        at = _encode(character & np.uint32(CODE_MASK), text, at)
    return at, is_single


@jit
def mix(h: Any) -> Any:
    """Apply MurmurHash3's 64-bit finaliser."""
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ (h >> np.uint64(33))


@jit
def decode(data: Any, i: int, end: int) -> Any:
    """Return the code point at a byte beyond ASCII and its number of bytes; invalid UTF-8 is read as U+FFFD."""
    lead = np.uint32(data[i])
    length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if i + length > end:
        return np.uint32(0xFFFD), end - i
    code = lead & np.uint32(0xFF >> (length + 1))
    for j in range(1, length):
        code = (code << np.uint32(6)) | (np.uint32(data[i + j]) & np.uint32(0x3F))
    return np.uint32(code if code <= 0x10FFFF else 0xFFFD), length


@jit
def _encode(code: Any, text: Any, at: int) -> int:
    """Write a code point as UTF-8; return the place after it."""
    if code < 0x80:
        text[at] = code
        return at + 1
    length = 2 if code < 0x800 else 3 if code < 0x10000 else 4
    for j in range(length - 1, 0, -1):
        text[at + j] = 0x80 | (code & np.uint32(0x3F))
        code >>= np.uint32(6)
    text[at] = ((0xF00 >> length) & 0xFF) | code
    return at + length
