"""Measures of each text's lines: those that RefinedWeb's and C4's rules are about.

Definitions (words and sentence marks are those of pipelines.text.characters.counts):

- An uppercase line has more capitals than other visible characters; a number line has digits and no letter; a counter has two
  words, a number and a word ("3 likes"); a one-word line has one word. RefinedWeb (arXiv 2306.01116, appendix G.2) removes
  them; `flagged_words` are their words. A line of any of these kinds that ends in a terminal mark is not flagged.
- A prose line ends in a terminal mark and has at least five words: a line that C4 keeps (arXiv 1910.10683, section 2.2).
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.text.characters.code_points import buffers, decode
from pipelines.text.characters.counts import BLANK, CLOSER, DIGIT, LETTER, NEWLINE, SPACELESS, TERMINAL, begins_token
from pipelines.text.judgement.words import UPPER, table
from pipelines.text.kernels import jit, jit_internal

FULL_STOP = 128  # of the character table, as in counts
FEWEST_WORDS = 5  # of a prose line
FIELDS = (
    *("uppercase_lines", "number_lines", "counter_lines", "one_word_lines", "flagged_words"),
    *("prose_lines", "prose_words", "prose_sentences", "longest_line"),
)
JAVASCRIPT = "javascript"
# TFDS's c4_utils names these phrases; the paper says that lines about policies were removed.
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")

# The fields of a line as it is read.
_WORDS, _LETTERS, _UPPERS, _DIGITS, _VISIBLE, _SENTENCES, _FIRST_IS_NUMBER, _WIDTH = range(8)


def measure(texts: pa.Array) -> NDArray[np.int64]:
    """Return int64[rows, FIELDS]."""
    data, offsets = buffers(texts)
    return _measure(data, offsets, table())


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
    line = np.zeros(8, np.int64)
    for row in range(offsets.size - 1):
        _measure_text(data, offsets[row], offsets[row + 1], table, line, out[row])
    return out


@jit_internal
def _measure_text(data: Any, at: int, end: int, table: Any, line: Any, out: Any) -> None:
    line[:] = 0
    has_alnum, has_letter, spaceless, inside = False, False, False, False  # of the token
    sentence, ends, terminal = False, False, False  # the sentence has a word; a blank would end it; the line ends in a mark
    while at <= end:
        code, width = (10, 1) if at == end else decode(data, at)
        at += width
        bits = int(table[code])
        if inside and (bits & BLANK or begins_token(bits, has_alnum, spaceless)):
            line[_FIRST_IS_NUMBER] += has_alnum and not has_letter and line[_WORDS] == 0
            line[_WORDS] += has_alnum
            has_alnum, has_letter, spaceless, inside = False, False, False, False
        if bits & BLANK:
            if ends:
                line[_SENTENCES] += sentence
                sentence, ends = False, False
            line[_WIDTH] += 1
            if bits & NEWLINE:
                _end_line(line, terminal, out)
                terminal = False
            continue
        inside = True
        has_alnum |= bits & (LETTER | DIGIT) != 0
        has_letter |= bits & LETTER != 0
        spaceless |= bits & SPACELESS != 0
        line[_VISIBLE] += 1
        line[_WIDTH] += 1
        line[_LETTERS] += bits & LETTER != 0
        line[_UPPERS] += bits & UPPER != 0
        line[_DIGITS] += bits & DIGIT != 0
        sentence |= bits & (LETTER | DIGIT) != 0
        if bits & FULL_STOP:
            line[_SENTENCES] += sentence
            sentence = False
        ends = bits & TERMINAL != 0 or (ends and bits & CLOSER != 0)
        terminal = bits & TERMINAL != 0 or (terminal and bits & CLOSER != 0)


@jit_internal
def _end_line(line: Any, terminal: bool, out: Any) -> None:
    words = line[_WORDS]
    if words and not terminal:
        upper = 2 * line[_UPPERS] > line[_VISIBLE]
        number = line[_LETTERS] == 0
        counter = words == 2 and line[_FIRST_IS_NUMBER] and line[_LETTERS] > 0
        out[0] += upper
        out[1] += number
        out[2] += counter
        out[3] += words == 1
        out[4] += words if upper or number or counter or words == 1 else 0
    elif words >= FEWEST_WORDS:
        out[5] += 1
        out[6] += words
        out[7] += line[_SENTENCES]
    out[8] = max(out[8], line[_WIDTH] - 1)
    line[:] = 0
