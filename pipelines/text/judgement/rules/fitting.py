"""Thresholds and stop words of a language from curated texts, after FineWeb-2 (arXiv 2506.20920).

FineWeb-2 gives each language its own thresholds, taken from the distribution of the values in texts of that language, and its own
stop words, the most frequent words of its Wikipedia. Here a threshold is the value that a small share of the curated texts (the
tail) miss, but never a stricter one than the published: what is too long for an English word may be none for a German one, while
few repeated lines in an encyclopedia do not mean that a forum must have as few. The share of stop words depends on the list, so
its threshold is always the curated one.

Not fitted, as in FineWeb-2: counts of words and sentences, occurrences (0 is 0 in every language), lines that repeat.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.text.judgement.measures import Measures
from pipelines.text.judgement.rules.rule import Rule
from pipelines.text.judgement.rules.verdict import SETS, Thresholds

TAIL = 0.02  # of the curated texts that may miss a threshold
STOP_WORD_SHARE, FEWEST_STOP_WORDS = 0.008, 8  # of all words; Gopher has eight
FITTED: Mapping[str, tuple[str, ...]] = {
    "gopher": ("min_word_length", "max_word_length", "min_letter_words", "max_symbols"),
    "gopher_repetition": (
        *(f"max_top_{n}gram_characters" for n in range(2, 5)),
        *(f"max_duplicate_{n}gram_characters" for n in range(5, 11)),
    ),
    "fineweb": ("min_punctuated_lines", "max_short_lines", "max_newlines"),
    "refinedweb": ("max_flagged_words",),
    "signs": (
        *("min_words_per_line", "min_stop_words", "min_letters", "max_capitals", "max_capital_words", "max_digits"),
        "max_top_2gram_characters",
    ),
}
_OF_A_LIST = ("signs", "min_stop_words")
_MORE_DIGITS = 4


def stop_words(texts: pa.Array) -> tuple[str, ...]:
    """Return the words that make up STOP_WORD_SHARE of all words or more, at least the FEWEST_STOP_WORDS most frequent ones.

    Words are lower-case runs of letters, in scripts without spaces single letters; those without a letter are no stop words.
    """
    counts = Counter[str]()
    for word, count in _counted(texts):
        counts[word] += count
    total = counts.total()
    ranked = [(word, count) for word, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])) if _is_word(word)]
    frequent = [word for word, count in ranked if count >= STOP_WORD_SHARE * total]
    return tuple(frequent if len(frequent) >= FEWEST_STOP_WORDS else (word for word, _ in ranked[:FEWEST_STOP_WORDS]))


def thresholds(measured: pa.StructArray, published: Thresholds, tail: float = TAIL) -> dict[str, dict[str, float]]:
    """Return the thresholds of FITTED that differ from the published ones, by set and name.

    `measured` is a column of schema.MEASURES of curated texts. A rule that applies to none of them is left alone.
    """
    measures = Measures(measured)
    found: dict[str, dict[str, float]] = {}
    for name, limits in published.items():
        for rule in SETS[name]:
            if rule.threshold in FITTED.get(name, ()) and rule.threshold in limits:
                value = _fitted(rule, measures, tail, None if (name, rule.threshold) == _OF_A_LIST else limits[rule.threshold])
                if value is not None and value != limits[rule.threshold]:
                    found.setdefault(name, {})[rule.threshold] = value
    return found


def _fitted(rule: Rule, measures: Measures, tail: float, published: float | None) -> float | None:
    values = rule.value(measures)
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    lowest = rule.broken in ("below", "at_most")
    value = float(np.quantile(values, tail if lowest else 1 - tail))
    value = float(np.floor(value * 10**_MORE_DIGITS) if lowest else np.ceil(value * 10**_MORE_DIGITS)) / 10**_MORE_DIGITS
    return value if published is None else min(value, published) if lowest else max(value, published)


def _counted(texts: pa.Array) -> Sequence[tuple[str, int]]:
    """Return words and how often they occur."""
    spaced = pc.utf8_lower(texts)
    # A letter of a script without spaces is a word of its own.
    spaced = pc.replace_substring_regex(
        spaced, r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*)", r" \1 "
    )
    spaced = pc.replace_substring_regex(spaced, r"[^\p{L}\p{M}\p{N}'’]+", " ")
    words = pc.split_pattern(pc.utf8_trim(spaced, " "), " ").flatten()
    return [(entry["values"], entry["counts"]) for entry in pc.value_counts(words).to_pylist()]


def _is_word(word: str) -> bool:
    return any(character.isalpha() for character in word)
