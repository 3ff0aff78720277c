"""Signs are counted, and only more of them than the limit drop a page."""

import pyarrow as pa
import pytest

from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import MEASURES
from pipelines.text.judgement.rules import signs
from pipelines.text.judgement.rules.verdict import judge

GOOD = {
    "words": 200,
    "lines": 5,
    "stop_words": 60,
    "prose_sentences": 9,
    "letters": 900,
    "marks": 0,
    "unmarked_letters": 0,
    "token_characters": 940,
    "upper_letters": 30,
    "capital_words": 2,
    "digits": 5,
    "characters": 1150,
    "top_2gram_characters": 20,
    "measured_words": 200,
}
SIGNS = {"words": 80, "stop_words": 5, "upper_letters": 100, "digits": 40}  # one sign each
THRESHOLDS = {"min_words": 90, "min_stop_words": 0.12, "max_capitals": 0.08, "max_digits": 0.025, "min_words_per_line": 10}


def verdict(changed: dict[str, int | None], limit: float | None = 2) -> tuple[str | None, float | None]:
    chosen = {**THRESHOLDS, **({} if limit is None else {"max_signs": limit})}
    reasons, values = judge(pa.array([{**GOOD, **changed}], MEASURES), {"signs": chosen})
    return reasons[0].as_py(), values[0].as_py()


@pytest.mark.parametrize("count", range(5))
def test_a_page_with_more_signs_than_the_limit_is_dropped_with_their_number(count: int) -> None:
    changed = dict(list(SIGNS.items())[:count])
    assert verdict(changed) == ((DropReason.POOR_SIGNS, count) if count > 2 else (None, None))


def test_the_limit_is_a_threshold() -> None:
    assert verdict({"words": 80}, limit=0) == (DropReason.POOR_SIGNS, 1)
    assert verdict(SIGNS, limit=None) == (None, None)


def test_the_signs_of_one_text_are_listed_with_their_limits() -> None:
    column = pa.array([{**GOOD, "words": 80, "upper_letters": 90}], MEASURES)
    assert signs.of_text(column, THRESHOLDS) == [("min_words", 80, 90), ("max_capitals", 0.1, 0.08)]
    assert signs.of_text(column, {}) == []


def test_a_page_with_enough_prose_is_left_alone() -> None:
    column = pa.array([{**GOOD, **SIGNS, "prose_sentences": count} for count in (19, 20)], MEASURES)
    found, _ = judge(column, {"signs": {**THRESHOLDS, "max_signs": 2, "enough_prose_sentences": 20}})
    assert found.to_pylist() == [DropReason.POOR_SIGNS, None]


def test_a_sign_that_means_nothing_for_the_text_is_not_counted() -> None:
    three = {"words": 80, "upper_letters": 100}
    assert verdict({**three, "stop_words": 5})[0] is not None
    assert verdict({**three, "stop_words": None}) == (None, None)  # a language without a list
    assert verdict({**three, "digits": 40, "measured_words": 9}) == (None, None)  # most words are letters without spaces
