"""A language's share of a sample, what it has, and who gets what it leaves over."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.tokenization.shares import shares

HAVE = {"de": 1000, "en": 10_000, "lt": 20}
LANGUAGES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**12), min_size=1)


def drawn(exponent: float, sample_bytes: int, **weights: float) -> dict[str, int]:
    return {language: share.drawn_bytes for language, share in shares(HAVE, sample_bytes, exponent, weights).items()}


def test_an_exponent_of_one_is_the_corpus_and_of_zero_gives_each_the_same() -> None:
    assert drawn(1, 1102) == {"de": 100, "en": 1000, "lt": 2}
    assert drawn(0, 33) == {"de": 11, "en": 11, "lt": 11}
    assert drawn(0.5, 1000) == {"de": 235, "en": 744, "lt": 20}  # lt first, then 980 bytes by the square roots 31.6 and 100


def test_a_language_with_less_than_its_share_gives_all_and_the_others_share_the_rest() -> None:
    assert drawn(0, 300) == {"de": 140, "en": 140, "lt": 20}
    assert drawn(0, 3000) == {"de": 1000, "en": 1980, "lt": 20}  # in two rounds: lt first, then de
    assert drawn(0, 100_000) == HAVE
    assert shares(HAVE, 300, 0)["lt"].wanted_share == pytest.approx(1 / 3)


def test_weights_multiply_and_zero_leaves_out() -> None:
    assert drawn(0, 60, de=2, lt=0) == {"de": 40, "en": 20, "lt": 0}
    assert drawn(1, 10**6, en=0) == {"de": 1000, "en": 0, "lt": 20}


def test_mistakes_name_the_language_and_those_that_are_there() -> None:
    with pytest.raises(ValueError, match=r"^language_weights\.xx: there is no text in it; the languages are de, en, lt$"):
        drawn(1, 100, xx=0)
    with pytest.raises(ValueError, match=r"^language_weights: every language has the weight 0"):
        drawn(1, 100, de=0, en=0, lt=0)


@given(LANGUAGES, st.integers(1, 10**10), st.floats(0, 1))
def test_the_sample_is_filled_and_no_language_gives_more_than_it_has(have: dict[str, int], size: int, exponent: float) -> None:
    found = shares(have, size, exponent)
    total = sum(share.drawn_bytes for share in found.values())
    full = min(size, sum(have.values()))
    assert full - len(have) - full * 1e-9 <= total <= full  # every language is rounded down
    assert all(share.drawn_bytes <= have[language] == share.available_bytes for language, share in found.items())
    assert math.isclose(sum(share.wanted_share for share in found.values()), 1)
    part = [(have[language], share.drawn_bytes) for language, share in found.items() if share.drawn_bytes < have[language]]
    assert all(a[1] - 1 <= b[1] for a in part for b in part if a[0] <= b[0])  # more text never means a smaller share
