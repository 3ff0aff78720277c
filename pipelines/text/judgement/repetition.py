r"""Gopher's measures of repetition (arXiv 2112.11446, A1.1): duplicate lines and paragraphs, frequent and duplicate n-grams.

Definitions, where the paper leaves them open:

- A line or paragraph is a duplicate if the same one occurs before it. Runs of whitespace count as one space. Blank lines are
  not lines; they separate paragraphs. Lines without a letter or digit (fences of code, rules of tables) are no duplicates, and
  are not counted as lines here.
- The top n-gram is the most frequent one (the longest, if several are); its share is occurrences times its characters. The
  share of one that occurs once is 0, and no share is larger than 1.
- Duplicate n-grams are counted from left to right: an n-gram that occurred before counts, and the search continues after it,
  so no character counts twice.
- n-grams consist of tokens as pipelines.text.characters.counts defines them; whitespace between tokens is not counted.
- If most tokens are letters of a script without spaces, n is half as large again (2 to 10 become 3, 5, 6, 8, 9, 11, 12, 14,
  15): a Chinese word has about one and a half characters, and five characters repeat in any text that names an institution
  twice.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.code_points import buffers, decode
from pipelines.text.characters.comparison import mix
from pipelines.text.characters.counts import BLANK, DIGIT, LETTER, NEWLINE, SPACELESS, begins_token, table
from pipelines.text.judgement.slots import BASE, bits_for, put_key, slot_of
from pipelines.text.kernels import jit

TOP = tuple(range(2, 5))  # n of the top n-grams; the kernels repeat these numbers
DUPLICATE = tuple(range(5, 11))  # n of the duplicate n-grams


@dataclass(frozen=True, slots=True)
class Repetition:
    """How much of each text is repeated; every array is int64[rows], or int64[rows, lengths of n-grams].

    Characters of lines and paragraphs are those that are compared: a run of whitespace counts as one.
    """

    duplicate_lines: NDArray[np.int64]
    duplicate_line_characters: NDArray[np.int64]
    line_characters: NDArray[np.int64]  # of all lines with a letter or digit
    duplicate_paragraphs: NDArray[np.int64]
    duplicate_paragraph_characters: NDArray[np.int64]
    paragraph_characters: NDArray[np.int64]  # of all paragraphs
    paragraphs: NDArray[np.int64]
    token_characters: NDArray[np.int64]  # of all tokens: the characters that are not whitespace
    top: NDArray[np.int64]  # [rows, 3] characters in the top 2-, 3- and 4-gram
    duplicate: NDArray[np.int64]  # [rows, 6] characters in duplicate 5- to 10-grams


def measure(texts: pa.Array) -> Repetition:
    """Measure all texts of a StringArray without nulls."""
    data, offsets = buffers(texts)
    out = np.ascontiguousarray(_measure(data, offsets, table()).T)
    return Repetition(out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7], out[8:11].T, out[11:17].T)


@jit
def _duplicates(hashes: Any, lengths: Any, size: int, slots: Any, stamp: int) -> tuple[int, int, int]:
    """Return the items that equal an earlier one, their characters, and the characters of all."""
    bits = bits_for(size)
    items, characters, total = 0, 0, 0
    for i in range(size):
        slot = slot_of(slots, stamp, hashes[i], bits)
        total += lengths[i]
        if slots[slot, 1] == stamp:
            items += 1
            characters += lengths[i]
        else:
            put_key(slots, slot, stamp, hashes[i], i)
    return items, characters, total


@jit
def _top_ngram(prefix: Any, ends: Any, size: int, n: int, repeated: Any, slots: Any, stamp: int) -> int:
    """Return the characters in the most frequent n-gram; `prefix` and `ends` are running sums up to each token.

    `repeated` marks the starts of (n-1)-grams that occur more than once. Only there can a repeated n-gram begin, so most places
    need no lookup. On return, it marks the starts of repeated n-grams.
    """
    bits = bits_for(size)
    power = _power(n)
    best, length = 1, 0
    for i in range(size):
        if not repeated[i]:
            continue
        repeated[i] = False
        if i > size - n:
            continue
        key = mix(prefix[i + n] - prefix[i] * power)
        slot = slot_of(slots, stamp, key, bits)
        if slots[slot, 1] != stamp:
            put_key(slots, slot, stamp, key, i)
            continue
        slots[slot, 2] += np.uint64(1)
        repeated[i] = repeated[slots[slot, 3]] = True
        times, characters = np.int64(slots[slot, 2]), ends[i + n] - ends[i]
        if times > best or (times == best and characters > length):
            best, length = times, characters
    return min(ends[size], best * length) if best > 1 else 0


@jit
def _duplicate_ngrams(prefix: Any, ends: Any, size: int, n: int, repeated: Any, slots: Any, stamp: int) -> int:
    """Return the characters in n-grams that occurred before; `repeated` is that of `_top_ngram`, for a smaller n."""
    bits = bits_for(size)
    power = _power(n)
    characters, i = 0, 0
    while i <= size - n:
        if not repeated[i]:
            i += 1
            continue
        key = mix(prefix[i + n] - prefix[i] * power)
        slot = slot_of(slots, stamp, key, bits)
        if slots[slot, 1] == stamp:
            characters += ends[i + n] - ends[i]
            i += n
        else:
            put_key(slots, slot, stamp, key, i)
            i += 1
    return characters


@jit
def _script_length(n: int, spaceless: bool) -> int:
    return (3 * n + 1) // 2 if spaceless else n


@jit
def _power(n: int) -> Any:
    power = np.uint64(1)
    for _ in range(n):
        power *= BASE
    return power


@jit
def _measure(data: Any, offsets: Any, table: Any) -> Any:
    rows = offsets.size - 1
    out = np.zeros((rows, 17), np.int64)
    most = 0
    for row in range(rows):
        most = max(most, offsets[row + 1] - offsets[row])
    prefix, ends = np.zeros(most + 2, np.uint64), np.zeros(most + 2, np.int64)  # over tokens
    line, line_length = np.empty(most + 1, np.uint64), np.empty(most + 1, np.int64)
    paragraph, paragraph_length = np.empty(most + 1, np.uint64), np.empty(most + 1, np.int64)
    slots = np.zeros((1 << bits_for(most + 1), 4), np.uint64)
    repeated = np.empty(most + 1, np.bool_)
    stamp = 0
    for row in range(rows):
        tokens, spaceless, lines, paragraphs = _split(
            data, offsets[row], offsets[row + 1], table, prefix, ends, line, line_length, paragraph, paragraph_length
        )
        out[row, 0], out[row, 1], out[row, 2] = _duplicates(line, line_length, lines, slots, stamp + 1)
        out[row, 3], out[row, 4], out[row, 5] = _duplicates(paragraph, paragraph_length, paragraphs, slots, stamp + 2)
        out[row, 6], out[row, 7] = paragraphs, ends[tokens]
        stamp += 2
        repeated[:tokens] = True
        for n in range(2, 5):
            stamp += 1
            out[row, n + 6] = _top_ngram(prefix, ends, tokens, _script_length(n, 2 * spaceless > tokens), repeated, slots, stamp)
        for n in range(5, 11):
            stamp += 1
            out[row, n + 6] = _duplicate_ngrams(
                prefix, ends, tokens, _script_length(n, 2 * spaceless > tokens), repeated, slots, stamp
            )
    return out


@jit
def _split(
    data: Any,
    at: int,
    end: int,
    table: Any,
    prefix: Any,
    ends: Any,
    line: Any,
    line_length: Any,
    paragraph: Any,
    paragraph_length: Any,
) -> tuple[int, int, int, int]:
    """Write the hashes and lengths of a text's tokens (as running sums), lines and paragraphs.

    Return the numbers of tokens, tokens in scripts without spaces, lines and paragraphs.
    """
    tokens, spaceless_tokens, lines, paragraphs = 0, 0, 0, 0
    in_token, has_alnum, spaceless = False, False, False
    token_hash, line_hash, paragraph_hash = np.uint64(0), np.uint64(0), np.uint64(0)
    token_characters, line_characters, paragraph_characters = 0, 0, 0
    gap, line_has_alnum = False, False
    while at <= end:
        code, size = (10, 1) if at == end else decode(data, at)
        at += size
        bits = int(table[code])
        blank = bits & BLANK != 0
        if in_token and (blank or begins_token(bits, has_alnum, spaceless)):
            prefix[tokens + 1] = prefix[tokens] * BASE + mix(token_hash)
            ends[tokens + 1] = ends[tokens] + token_characters
            tokens += 1
            spaceless_tokens += spaceless
            in_token = False
        if blank and not bits & NEWLINE:
            gap = line_characters > 0
        elif blank:
            if line_characters:
                line[lines], line_length[lines] = mix(line_hash), line_characters
                paragraph_hash = paragraph_hash * BASE + line[lines]
                paragraph_characters += line_characters
                lines += line_has_alnum
                line_has_alnum = False
            if paragraph_characters and (line_characters == 0 or at > end):
                paragraph[paragraphs], paragraph_length[paragraphs] = mix(paragraph_hash), paragraph_characters
                paragraph_hash, paragraph_characters = np.uint64(0), 0
                paragraphs += 1
            line_hash, line_characters, gap = np.uint64(0), 0, False
        else:
            if not in_token:
                in_token, has_alnum, spaceless, token_hash, token_characters = True, False, False, np.uint64(0), 0
            has_alnum |= bits & (LETTER | DIGIT) != 0
            line_has_alnum |= bits & (LETTER | DIGIT) != 0
            spaceless |= bits & SPACELESS != 0
            token_hash = token_hash * BASE + np.uint64(code + 1)
            token_characters += 1
            if gap:
                line_hash = line_hash * BASE + np.uint64(33)
                line_characters += 1
                gap = False
            line_hash = line_hash * BASE + np.uint64(code + 1)
            line_characters += 1
    return tokens, spaceless_tokens, lines, paragraphs
