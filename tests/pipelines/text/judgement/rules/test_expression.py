"""A user's expressions: Python's arithmetic on measures, and nothing else of Python."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.schema import MEASURES
from pipelines.text.judgement.rules.expression import Expression


def kept(expression: str, **measures: int | None) -> bool | None:
    return Expression(expression).keeps(pa.array([measures], MEASURES))[0].as_py()


NUMBERS = st.recursive(
    st.sampled_from(["words", "lines", "2", "0.5", "10"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({' '.join(t)})"),
    max_leaves=6,
)
COMPARISONS = st.tuples(NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS).map(" ".join)
TRUTHS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({' '.join(t)})"),
        inner.map(lambda text: f"(not {text})"),
    ),
    max_leaves=5,
)


@given(TRUTHS, st.integers(1, 100), st.integers(1, 20))
def test_an_expression_means_what_it_means_in_python(text: str, words: int, lines: int) -> None:
    try:
        wanted = eval(text, {}, {"words": float(words), "lines": float(lines)})
    except ZeroDivisionError:
        Expression(text)
        return
    assert kept(text, words=words, lines=lines) == wanted


def test_comparisons_can_be_chained() -> None:
    assert [kept("5 <= words < 9", words=n) for n in (4, 5, 8, 9)] == [False, True, True, False]


def test_what_has_no_value_is_neither_true_nor_false() -> None:
    assert kept("stop_words / words > 0.1", words=10) is None
    assert kept("stop_words / words > 0.1 or words > 5", words=10) is True
    assert kept("stop_words / words > 0.1 and words > 50", words=10) is False
    assert kept("words / lines > 3", words=9, lines=0) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word > 5", r"there is no measure or score 'word'; did you mean 'words'\?"),
        ("zzz > 5", "there is no measure or score 'zzz'; these are characters, "),
        ("words", "neither true nor false"),
        ("top(dclm, 0.1)", "there is no score 'dclm'; these are none"),
        ("best(words, 0.1)", r"is no share; write top\(score, 0\.1\)"),
        ("top(words > 5, 0.1)", "is no share"),
        ("top(words, 1)", "a share between 0 and 1"),
        ("top(words, 1.5)", "a share between 0 and 1"),
        ("top(words, share=0.1)", "is no share"),
        ("top(words, 0.1) > 5", "a number must be here"),
        ("words +", "is no expression"),
        ("", "is no expression"),
        ("words > (lines > 2)", "'lines > 2': a number must be here"),
        ("words > 5 and lines", "'lines': something true or false"),
        ("__import__('os').system('x') > 0", "is not allowed"),
        ("words ** 2 > 1", "is not allowed"),
        ("words > True", "is not allowed"),
        ("words > 'a'", "is not allowed"),
        ("words in (1, 2)", "is not allowed"),
        ("[words for words in x] > 1", "is not allowed"),
        ("words > 0 if lines > 1 else lines > 2", "neither true nor false"),
        ("words > " + "-" * 1900 + "1", "is no expression|is not allowed"),
        ("words > 1" + " " * 2000, "at most 2,000"),
        ("words > " + "9" * 309, "too large"),
        ("words > 1e999", "too large"),
    ],
)
def test_what_is_no_rule_is_an_error_that_says_why(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Expression(text)
