"""Thresholds and stop words from curated texts."""

import pyarrow as pa
import pytest

from pipelines.contract.schema import MEASURES
from pipelines.text.judgement.rules import fitting
from pipelines.text.judgement.rules.verdict import SETS


def test_stop_words_are_the_most_frequent_words() -> None:
    letters = [f"{a}{b}" for a in "bcdfghjklmnpqrstvwxz" for b in "aeiouy"]
    text = " ".join(letters) + " Der der, DER die die das 7 7 7 7 7 7"
    assert fitting.stop_words(pa.array([text] * 3))[:3] == ("der", "die", "ba")  # "7" is no word
    assert len(fitting.stop_words(pa.array([text]))) == fitting.FEWEST_STOP_WORDS
    common = " ".join(f"w{chr(97 + n)} " * 10 for n in range(12))
    assert len(fitting.stop_words(pa.array([common]))) == 12


def test_stop_words_of_scripts_without_spaces_are_letters() -> None:
    assert fitting.stop_words(pa.array(["的人的书。的！"]))[0] == "的"
    assert fitting.stop_words(pa.array([], pa.string())) == ()


def curated(**columns: list[float | None]) -> pa.StructArray:
    rows = len(next(iter(columns.values())))
    return pa.array([{name: values[i] for name, values in columns.items()} for i in range(rows)], MEASURES)


def test_a_threshold_is_what_the_tail_misses_if_the_published_one_is_stricter() -> None:
    lengths = [400 + 10 * n for n in range(101)]  # mean lengths 4.0 to 14.0
    column = curated(measured_words=[100] * 101, words=[100] * 101, measured_characters=[*map(float, lengths)])
    published = {"gopher": {"min_word_length": 3, "max_word_length": 10}}
    assert fitting.thresholds(column, published, 0.1) == {"gopher": {"max_word_length": 13}}
    assert fitting.thresholds(column, {"gopher": {"min_word_length": 5}}, 0.1) == {}  # 5.0 is what a tenth misses
    assert fitting.thresholds(column, {"gopher": {"min_word_length": 6}}, 0.1) == {"gopher": {"min_word_length": 5}}


def test_the_share_of_stop_words_is_the_curated_one_also_if_it_is_stricter() -> None:
    column = curated(words=[100.0] * 101, stop_words=[20 + n / 5 for n in range(0, 505, 5)])
    assert fitting.thresholds(column, {"signs": {"min_stop_words": 0.12}}, 0.1) == {
        "signs": {"min_stop_words": pytest.approx(0.3)}
    }


def test_a_rule_that_applies_to_no_text_and_one_that_is_not_fitted_are_left_alone() -> None:
    column = curated(words=[1.0] * 60, measured_words=[0.0] * 60, lines=[1.0] * 60, duplicate_lines=[1.0] * 60)
    published = {"gopher": {"max_word_length": 10, "min_words": 50}, "gopher_repetition": {"max_duplicate_lines": 0.3}}
    assert fitting.thresholds(column, published) == {}


def test_what_is_fitted_are_thresholds_of_the_sets() -> None:
    for name, fitted in fitting.FITTED.items():
        assert set(fitted) <= {rule.threshold for rule in SETS[name]}
