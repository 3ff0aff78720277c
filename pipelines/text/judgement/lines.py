"""Measures of each text's lines: those that RefinedWeb's and C4's rules are about; and the cut of such lines.

Definitions (words and sentence marks are those of pipelines.text.characters.counts):

- An uppercase line has more capitals than other visible characters; a number line has digits and no letter; a counter has two
  words, a number and a word ("3 likes"); a one-word line has one word. RefinedWeb (arXiv 2306.01116, appendix G.2) removes
  them; `flagged_words` are their words. A line of any of these kinds that ends in a terminal mark is not flagged.
- A prose line ends in a terminal mark and has at least five words: a line that C4 keeps (arXiv 1910.10683, section 2.2).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.text.characters.code_points import buffers, decode, from_buffers
from pipelines.text.characters.counts import (
    BLANK,
    CLOSER,
    DIGIT,
    FULL_STOP,
    LETTER,
    NEWLINE,
    SPACELESS,
    TERMINAL,
    UNPUNCTUATED,
    begins_token,
)
from pipelines.text.judgement.words import UPPER, table
from pipelines.text.kernels import jit, jit_internal

FEWEST_WORDS = 5  # of a prose line
FIELDS = (
    *("uppercase_lines", "number_lines", "counter_lines", "one_word_lines", "flagged_words"),
    *("prose_lines", "prose_words", "prose_sentences", "longest_line"),
)
JAVASCRIPT = "javascript"
# TFDS's c4_utils names these phrases; the paper says that lines about policies were removed.
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")

# The kinds of a line, as bits.
UPPERCASE, NUMBER, COUNTER, ONE_WORD = 1, 2, 4, 8
_KINDS = 4
# The fields of a line as it is read.
_WORDS, _LETTERS, _UPPERS, _VISIBLE, _SENTENCES, _FIRST_IS_NUMBER, _WIDTH, _TERMINAL, _LONGEST, _DOTS, _UNMARKED = range(11)
_LINE_FIELDS = 11
_DOT, _ELLIPSIS = ord("."), ord("…")


@dataclass(frozen=True, slots=True)
class LineRules:
    """The lines that are cut; by default, none."""

    terminal: bool = False  # those that do not end in a terminal mark, or end in an ellipsis; not lines in Thai or Lao
    min_words: int = 0  # those with fewer words
    max_word_length: int | None = None  # those with a longer word, in characters
    phrases: tuple[str, ...] = ()  # those with one of these, in any case; ASCII, in lower case
    kinds: int = 0  # those of these kinds (UPPERCASE, NUMBER, COUNTER, ONE_WORD) that do not end in a terminal mark


def measure(texts: pa.Array) -> NDArray[np.int64]:
    """Return int64[rows, FIELDS]."""
    data, offsets = buffers(texts)
    return _measure(data, offsets, table())


def cut(texts: pa.Array, rules: LineRules) -> pa.Array:
    r"""Return the texts without the lines that the rules name; of several blank lines in a row, one stays.

    >>> cut(pa.array(["Home\n\nIt rained all day.\n12 likes\n\nAll rights reserved"]), LineRules(terminal=True)).to_pylist()
    ['It rained all day.']
    """
    data, offsets = buffers(texts)
    phrases = [np.frombuffer(phrase.encode(), np.uint8) for phrase in rules.phrases]
    ends = np.cumsum([0, *map(len, phrases)])
    joined = np.concatenate([np.empty(0, np.uint8), *phrases])
    longest = np.iinfo(np.int64).max if rules.max_word_length is None else rules.max_word_length
    out, new_offsets = _cut(data, offsets, table(), joined, ends, rules.terminal, rules.min_words, longest, rules.kinds)
    return from_buffers(out, new_offsets)


def mentions(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many lines of each text mention JavaScript, and how many a policy or cookies [rows]."""
    scripts, policies = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    rows = np.flatnonzero(pc.match_substring_regex(texts, _pattern((JAVASCRIPT, *POLICIES))).to_numpy(zero_copy_only=False))
    if len(rows):
        lines = pc.split_pattern(texts.take(pa.array(rows)), "\n")
        row = rows[pc.list_parent_indices(lines).to_numpy()]
        for counts, phrases in ((scripts, (JAVASCRIPT,)), (policies, POLICIES)):
            has = pc.match_substring_regex(lines.flatten(), _pattern(phrases)).to_numpy(zero_copy_only=False)
            np.add.at(counts, row, has)
    return scripts, policies


def _pattern(phrases: tuple[str, ...]) -> str:
    return f"(?i){'|'.join(phrases)}"


@jit
def _measure(data: Any, offsets: Any, table: Any) -> Any:
    out = np.zeros((offsets.size - 1, 9), np.int64)
    line = np.zeros(_LINE_FIELDS, np.int64)
    for row in range(offsets.size - 1):
        at = offsets[row]
        while at < offsets[row + 1]:
            at = _read_line(data, at, offsets[row + 1], table, line)
            _count_line(line, out[row])
    return out


@jit_internal
def _read_line(data: Any, at: int, end: int, table: Any, line: Any) -> int:
    """Read a line into its fields. Return where the next one begins."""
    line[:] = 0
    has_alnum, has_letter, spaceless, length = False, False, False, 0  # of the token
    sentence, ends = False, False  # the sentence has a word; a blank would end it
    while True:
        code, width = (10, 1) if at >= end else decode(data, at)
        at += width
        bits = int(table[code])
        if length and (bits & BLANK or begins_token(bits, has_alnum, spaceless)):
            line[_FIRST_IS_NUMBER] += has_alnum and not has_letter and line[_WORDS] == 0
            line[_WORDS] += has_alnum
            line[_LONGEST] = max(line[_LONGEST], length)
            has_alnum, has_letter, spaceless, length = False, False, False, 0
        if bits & BLANK:
            if ends:
                line[_SENTENCES] += sentence
                sentence, ends = False, False
            if bits & NEWLINE:
                return at
            line[_WIDTH] += 1
            continue
        length += 1
        has_alnum |= bits & (LETTER | DIGIT) != 0
        has_letter |= bits & LETTER != 0
        spaceless |= bits & SPACELESS != 0
        line[_VISIBLE] += 1
        line[_WIDTH] += 1
        line[_LETTERS] += bits & LETTER != 0
        line[_UPPERS] += bits & UPPER != 0
        line[_UNMARKED] += bits & UNPUNCTUATED != 0
        sentence |= bits & (LETTER | DIGIT) != 0
        if bits & FULL_STOP:
            line[_SENTENCES] += sentence
            sentence = False
        ends = bits & TERMINAL != 0 or (ends and bits & CLOSER != 0)
        line[_TERMINAL] = bits & TERMINAL != 0 or (line[_TERMINAL] and bits & CLOSER != 0)
        line[_DOTS] = 3 if code == _ELLIPSIS else line[_DOTS] + 1 if code == _DOT else 0


@jit_internal
def _kinds_of(line: Any) -> int:
    """Return the kinds of a line; 0 if it ends in a terminal mark."""
    words = line[_WORDS]
    if words == 0 or line[_TERMINAL]:
        return 0
    kinds = UPPERCASE if 2 * line[_UPPERS] > line[_VISIBLE] else 0
    kinds |= NUMBER if line[_LETTERS] == 0 else 0
    kinds |= COUNTER if words == 2 and line[_FIRST_IS_NUMBER] and line[_LETTERS] > 0 else 0
    return kinds | (ONE_WORD if words == 1 else 0)


@jit_internal
def _count_line(line: Any, out: Any) -> None:
    kinds = _kinds_of(line)
    for kind in range(_KINDS):
        out[kind] += kinds >> kind & 1
    if kinds:
        out[4] += line[_WORDS]
    elif line[_TERMINAL] and line[_WORDS] >= FEWEST_WORDS:
        out[5] += 1
        out[6] += line[_WORDS]
        out[7] += line[_SENTENCES]
    out[8] = max(out[8], line[_WIDTH])


@jit
def _cut(
    data: Any,
    offsets: Any,
    table: Any,
    phrases: Any,
    phrase_ends: Any,
    terminal: bool,
    min_words: int,
    max_length: int,
    kinds: int,
) -> tuple[Any, Any]:
    """Return the bytes and offsets of the texts without the lines that are cut."""
    out, ends = np.empty(offsets[-1] - offsets[0] + 1, np.uint8), np.zeros(offsets.size, np.int32)
    line = np.zeros(_LINE_FIELDS, np.int64)
    size = 0
    for row in range(offsets.size - 1):
        at, start, blank = offsets[row], size, False
        while at < offsets[row + 1]:
            behind = _read_line(data, at, offsets[row + 1], table, line)
            if line[_VISIBLE] == 0:
                blank = size > start
            elif not (
                (terminal and 2 * line[_UNMARKED] <= line[_LETTERS] and (not line[_TERMINAL] or line[_DOTS] >= 3))
                or line[_WORDS] < min_words
                or line[_LONGEST] > max_length
                or _kinds_of(line) & kinds
                or _has_phrase(data, at, min(behind, offsets[row + 1]), phrases, phrase_ends)
            ):
                for _ in range((size > start) + blank):
                    out[size] = 10
                    size += 1
                blank = False
                for i in range(at, min(behind, offsets[row + 1])):
                    if data[i] != 10:
                        out[size] = data[i]
                        size += 1
            at = behind
        ends[row + 1] = size
    return out[:size], ends


@jit_internal
def _has_phrase(data: Any, at: int, end: int, phrases: Any, phrase_ends: Any) -> bool:
    """Return whether a line has one of the phrases, in any case of ASCII letters."""
    for place in range(at, end):
        for number in range(phrase_ends.size - 1):
            i, first, last = 0, phrase_ends[number], phrase_ends[number + 1]
            while first + i < last and place + i < end and _lower(data[place + i]) == phrases[first + i]:
                i += 1
            if first + i == last:
                return True
    return False


@jit_internal
def _lower(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte
