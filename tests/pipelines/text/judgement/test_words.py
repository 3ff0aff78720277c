"""The measures of words against a few lines of plain Python that say the same."""

import math
import statistics
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.judgement import words
from pipelines.text.judgement.words import FIELDS, WordLists

NONE = WordLists.of({})


def key(word: str) -> str:
    return "".join(c for c in word.lower() if c.isalnum())


def measured(text: str, stops: WordLists = NONE, number: int = -1) -> tuple[dict[str, int], int, int, float]:
    found, entropy = words.measure(pa.array(["before before", text]), stops, np.array([-1, number]))
    return (
        dict(zip(FIELDS, found[1].tolist(), strict=False)),
        found[1, words.STOP_WORDS],
        found[1, words.DISTINCT_STOP_WORDS],
        entropy[1],
    )


@many
@given(st.lists(st.sampled_from(["a", "The", "the", "BB", "don't", "x1", "12", "É", "é,", "»", "\n", "--"]), max_size=60))
def test_words_are_measured_by_their_definition(parts: list[str]) -> None:
    text = " ".join(parts)
    tokens = [token for token in text.split() if key(token)]
    counts = Counter(map(key, tokens))
    got, stops, different, entropy = measured(text, WordLists.of({"en": ["the", "DON'T", "zebra"]}), 0)
    assert got == {
        "characters": len(text),
        "upper_letters": sum(c.isupper() for c in text),
        "digits": sum(c.isdigit() for c in text),
        "capital_words": sum(token.isupper() and all(c.isupper() for c in token if c.isalpha()) for token in tokens),
        "longest_word": max(map(len, tokens), default=0),
        "median_word_length": statistics.median_low(map(len, tokens)) if tokens else 0,
        "unique_words": len(counts),
        "marks": 0,
    }
    assert stops == counts["the"] + counts["dont"]
    assert different == (counts["the"] > 0) + (counts["dont"] > 0)
    assert entropy == pytest.approx(-sum(n / len(tokens) * math.log(n / len(tokens)) for n in counts.values()), abs=1e-9)


def test_words_of_scripts_without_spaces_are_their_letters_with_the_marks() -> None:
    got, stops, different, _ = measured("的的天，กา กิ", WordLists.of({"zh": ["的", "กิ"]}), 0)
    assert (got["unique_words"], got["marks"], stops, different) == (5, 1, 3, 2)


def test_phrases_are_found_across_lines_and_cases_and_inside_nothing() -> None:
    lists = WordLists.of({"en": ["bad", "very bad word", "«»"], "ja": ["女の子"]})
    texts = pa.array(["BAD! badly", "a very\nbad WORD.", "bad", "この女の子は", "女の 子", ""])
    assert words.occurrences(texts, lists, np.array([0, 0, -1, 1, 1, 0])).tolist() == [1, 2, 0, 1, 1, 0]


def test_lists_are_chosen_by_language() -> None:
    lists = WordLists.of({"en": ["the"], "de": ["der", "die"]})
    assert lists.numbers(pa.array(["en", "de", None, "fr"])).tolist() == [1, 0, -1, -1]
    texts = pa.array(["the der die", "the der die"])
    found, _ = words.measure(texts, lists, lists.numbers(pa.array(["en", "de"])))
    assert found[:, words.STOP_WORDS].tolist() == [1, 2]


def test_nothing_to_measure() -> None:
    found, entropy = words.measure(pa.array([], pa.string()), NONE, np.empty(0, np.int64))
    assert (found.shape, entropy.shape) == ((0, 10), (0,))
    found, entropy = words.measure(pa.array(["", "\n"]), NONE, np.array([-1, -1]))
    assert (found[:, 6].tolist(), entropy.tolist()) == ([0, 0], [0, 0])
