"""Where a share of scores ends, and what an expression makes of it."""

import math

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.judgement.rules.expression import Expression
from pipelines.text.judgement.rules.shares import Limit, Share, limits

SCORES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60)


def limit(scores: list[float | None], share: Share, languages: list[str | None] | None = None) -> dict[str, Limit]:
    return limits(pa.array(scores, pa.float32()), pa.array(languages or ["en"] * len(scores), pa.string()), share)


@given(SCORES, st.integers(1, 99))
def test_a_share_has_as_many_texts_as_it_says_or_those_that_tie_with_the_last(scores: list[float], percent: int) -> None:
    wanted = -(-percent * len(scores) // 100)
    best = sorted(scores, reverse=True)
    found = limit(scores, Share("top", "a", percent / 100))["en"]
    assert found == Limit(best[wanted - 1], len(scores), sum(score >= best[wanted - 1] for score in scores))
    found = limit(scores, Share("bottom", "a", percent / 100))["en"]
    assert found == Limit(best[-wanted], len(scores), sum(score <= best[-wanted] for score in scores))


def test_three_tenths_of_ten_are_three() -> None:
    assert math.ceil(0.1 * 3 * 10) == 4  # as floats have it
    assert limit([n / 16 for n in range(30)], Share("top", "a", 0.1))["en"].within == 3


def test_every_language_has_its_own_limit_and_texts_without_a_score_do_not_count() -> None:
    scores, languages = [0.25, 0.5, 0.75, 1.0, 9.0, None, None], ["de", "de", "en", "en", None, "en", "pl"]
    found = limit(scores, Share("top", "a", 0.5), languages)
    assert found == {"de": Limit(0.5, 2, 1), "en": Limit(1.0, 2, 1), "und": Limit(9.0, 1, 1)}
    assert limit([None], Share("top", "a", 0.5)) == {}


def test_an_expression_compares_with_the_limit_of_its_share() -> None:
    expression = Expression("top(a, 0.5) and not bottom(b, 0.25)", ("a", "b"))
    assert expression.shares == (Share("top", "a", 0.5), Share("bottom", "b", 0.25))
    assert expression.names == ("a", "b")
    rows = [(0.5, 9.0), (0.25, 9.0), (0.75, 1.0), (0.75, None), (None, 1.0)]
    values = pa.array([{"a": a, "b": b, "top(a, 0.5)": 0.5, "bottom(b, 0.25)": 1.0} for a, b in rows])
    assert expression.keeps(values).to_pylist() == [True, False, False, None, False]


def test_a_share_is_named_as_it_is_written() -> None:
    (share,) = Expression("top( a , 0.10 )", ("a",)).shares
    assert share.name == "top(a, 0.1)"
