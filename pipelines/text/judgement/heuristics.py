"""The cheap page rules of C4, Gopher and FineWeb: for every text, the first rule that would drop it.

Adapted to all scripts: what a word, a line and a sentence is, pipelines.text.characters.counts says. A rule made for one kind
of writing is asked of that kind only: stop words of English, word lengths of alphabets written with spaces, sentence marks of
scripts that have them.

Limits: C4's removal of lines is not done (pages keep their headings and lists); FineWeb's share of characters in duplicate
lines is not asked beside Gopher's; C4's list of bad words is not used.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.reasons import DropReason
from pipelines.text.characters.counts import Counts, count
from pipelines.text.judgement import repetition
from pipelines.text.judgement.repetition import Repetition

RULE_SETS = ("c4", "gopher", "gopher_repetition", "fineweb")  # in the order in which they are asked

# A rule: its name, which texts break it, and what it measured of each text.
Rule = tuple[DropReason, NDArray[np.bool_], NDArray[np.float64]]


@dataclass(slots=True)
class Texts:
    """Texts with what is measured of them, when it is first asked for."""

    texts: pa.Array  # string[rows], normalised
    english: NDArray[np.bool_]  # [rows]
    _counts: Counts | None = field(default=None)
    _repetition: Repetition | None = field(default=None)

    @property
    def counts(self) -> Counts:
        """Words, lines, sentences."""
        self._counts = self._counts or count(self.texts)
        return self._counts

    @property
    def repetition(self) -> Repetition:
        """Duplicate lines, paragraphs and n-grams."""
        self._repetition = self._repetition or repetition.measure(self.texts)
        return self._repetition


def judge(texts: pa.Array, english: NDArray[np.bool_], rule_sets: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    """The first rule that each text breaks (a DropReason; null: it passes all) and what that rule measured (float32).

    The sets are asked in the order of RULE_SETS, whatever the order in which they are named.
    """
    measured = Texts(texts, english)
    first = np.full(len(texts), -1)
    values = np.zeros(len(texts))
    names: list[str] = []
    for name in RULE_SETS:
        for reason, broken, value in _RULES[name](measured) if name in rule_sets else ():
            new = broken & (first < 0)
            first[new] = len(names)
            values[new] = value[new]
            names.append(reason.value)
    indices = pa.array(first, pa.int32(), mask=first < 0)
    return pa.array(names, pa.string()).take(indices), pa.array(values, pa.float32(), mask=first < 0)


def c4(texts: Texts) -> Iterable[Rule]:
    """C4 (arXiv 1910.10683, section 2.2): pages that are no prose."""
    c = texts.counts
    lorem = np.asarray(pc.match_substring_regex(texts.texts, "(?i)lorem ipsum"))
    yield DropReason.C4_LOREM_IPSUM, lorem, lorem.astype(np.float64)
    yield DropReason.C4_CURLY_BRACKET, c.curly_brackets > 0, c.curly_brackets.astype(np.float64)
    yield DropReason.C4_FEW_SENTENCES, _has_sentence_marks(c) & (c.sentences < 3), c.sentences.astype(np.float64)


def gopher(texts: Texts) -> Iterable[Rule]:
    """Gopher's quality rules (arXiv 2112.11446, A1.1)."""
    c = texts.counts
    yield DropReason.GOPHER_WORD_COUNT, (c.words < 50) | (c.words > 100_000), c.words.astype(np.float64)
    length = _share(c.measured_characters, c.measured_words)
    spaced = 2 * c.measured_words >= c.words
    yield DropReason.GOPHER_WORD_LENGTH, spaced & ((length < 3) | (length > 10)), length
    symbols = _share(np.maximum(c.hashes, c.ellipses), c.tokens)
    yield DropReason.GOPHER_SYMBOLS, symbols > 0.1, symbols
    bullets = _share(c.bullet_lines, c.lines)
    yield DropReason.GOPHER_BULLETS, bullets > 0.9, bullets
    ellipses = _share(c.ellipsis_lines, c.lines)
    yield DropReason.GOPHER_ELLIPSES, ellipses > 0.3, ellipses
    # Of words, as the paper says, not of tokens: a bullet, a dash and the "»" between links are no words. datatrove and dolma
    # count them as such; 12 articles of one Russian site fell by them alone.
    alphabetic = _share(c.letter_tokens, c.words)
    yield DropReason.GOPHER_ALPHABETIC, alphabetic < 0.8, alphabetic
    yield DropReason.GOPHER_STOP_WORDS, texts.english & (c.stop_words < 2), c.stop_words.astype(np.float64)


def gopher_repetition(texts: Texts) -> Iterable[Rule]:
    """Gopher's repetition rules (arXiv 2112.11446, table A1)."""
    r = texts.repetition
    yield DropReason.GOPHER_DUPLICATE_LINES, r.lines > 0.30, r.lines
    yield DropReason.GOPHER_DUPLICATE_LINES, r.line_characters > 0.20, r.line_characters
    yield DropReason.GOPHER_DUPLICATE_PARAGRAPHS, r.paragraphs > 0.30, r.paragraphs
    yield DropReason.GOPHER_DUPLICATE_PARAGRAPHS, r.paragraph_characters > 0.20, r.paragraph_characters
    for share, limit in zip(r.top.T, (0.20, 0.18, 0.16), strict=True):
        yield DropReason.GOPHER_TOP_NGRAM, share > limit, share
    for share, limit in zip(r.duplicate.T, (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=True):
        yield DropReason.GOPHER_DUPLICATE_NGRAMS, share > limit, share


def fineweb(texts: Texts) -> Iterable[Rule]:
    """FineWeb's own rules (arXiv 2406.17557, section 3.5)."""
    c = texts.counts
    punctuated = _share(c.punctuated_lines, c.lines)
    yield DropReason.FINEWEB_PUNCTUATION, _has_sentence_marks(c) & (punctuated <= 0.12), punctuated
    short = _share(c.short_lines, c.lines)
    yield DropReason.FINEWEB_SHORT_LINES, short >= 0.67, short
    newlines = _share(c.newlines, c.words)
    yield DropReason.FINEWEB_LIST, newlines > 0.3, newlines


_RULES: dict[str, Callable[[Texts], Iterable[Rule]]] = {
    "c4": c4,
    "gopher": gopher,
    "gopher_repetition": gopher_repetition,
    "fineweb": fineweb,
}


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return part / np.maximum(whole, 1)


def _has_sentence_marks(counts: Counts) -> NDArray[np.bool_]:
    return 2 * counts.unpunctuated_letters <= counts.letters
