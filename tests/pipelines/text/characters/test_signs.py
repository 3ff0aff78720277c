"""The signs of formulas and code are words where texts are compared; prose is compared as before."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters import comparison
from pipelines.text.characters.signs import LETTERS_PER_SIGN, places


def compared(text: str, signs: bool = True) -> str:
    return comparison.normalised(pa.array([text]), signs=signs)[0].as_py()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2 + 2 = 4", "2 + 2 = 4"),
        ("2 - 2 = -4", "2 - 2 = - 4"),
        ("2 − 2 = −4", "2 - 2 = - 4"),  # minus signs
        ("a+b a-b a*b a/b a%b a&b a|b", "a + b a - b a * b a / b a % b a & b a | b"),
        ("x == y; x != y; x <= y; x -= y; !x; ~x", "x = = y x ! = y x < = y x - = y ! x ~ x"),
        ("x **= 2 >> 1 // 3", "x * * = 2 > > 1 / / 3"),
        (
            "    total = total - count * 2",
            "total = total count * 2",
        ),  # a minus between words is a hyphen: the others tell it apart
        ("\\frac{a}{b} ≠ x^2 × ½", "\\ frac { a } { b } ≠ x ^ 2 × 1 2"),
        ("⁼≤ ∰ ＋", "= ≤ ∮ ∮ ∮ +"),
        ("p = *q; r = &q; s = -q", "p = q r = & q s = - q"),
        ("数+数≤1", "数 + 数 ≤ 1"),
    ],
)
def test_formulas_and_code_keep_their_signs(text: str, words: str) -> None:
    assert compared(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "A well-known rye bread - a recipe; rye bread - recipe",
        "* one\n* two\n  - three\n> as you said\n+ four",
        "Oh no! He said “Stop!” ¡Hola!",
        "One\n* * *\nTwo\n-----\nThree\n=====\n~~~~",
        "**so** *so* and 5% of",
        "her gown--\"\nthe officers.--Yours ever,\nto him at---'s house",
        "東京～大阪｜とうきょう〜",
        "In 1939-1945, 5 % of the firms (and/or their R&D) moved to another address, which is to be found in the appendix.",
        "½ and ㏆",
    ],
)
def test_prose_has_none(text: str) -> None:
    assert compared(text) == compared(text, signs=False)


def test_a_line_is_dense_with_one_sign_for_sixteen_letters() -> None:
    for letters, signs in ((LETTERS_PER_SIGN, [12]), (LETTERS_PER_SIGN + 1, [])):
        text = f"{'word ' * 2} 1*2{'x' * (letters - 10)}"
        assert sum(character.isalnum() for character in text) == letters
        assert places(f"{text}\n") == signs
        assert [place - 30 for place in places(f"{'long ' * 5}line\n{text}\n{'long ' * 5}")] == signs  # line by line


PIECES = st.sampled_from(
    [*"+<=>^\\{}-*/%&|~!", "--", "****", " ", " ", "\n", "a", "b1", "Word", "é", "漢", "ﷺ", "½", "≠", "∰", "("]
)


@given(st.lists(st.lists(PIECES, max_size=30).map("".join), max_size=5))
def test_signs_are_added_to_the_words_and_nothing_else_changes(texts: list[str]) -> None:
    array = pa.array(texts, pa.string())
    found = comparison.normalised(array, signs=True)
    found.validate(full=True)
    for text, with_signs, bare in zip(texts, found.to_pylist(), comparison.normalised(array).to_pylist(), strict=True):
        assert with_signs == compared(text)  # rows are independent
        words = with_signs.split(" ")
        if any(character.isalnum() for character in bare):
            assert "" not in words
            rest = [w for w in words if not (len(w) == 1 and (w in "-*/%&!\\{}|~^" or unicodedata.category(w) == "Sm"))]
            assert rest == bare.split(" ")


@pytest.mark.parametrize(
    "text", ["-+" * 50_000, "- " * 50_000 + "1", "!" + " " * 100_000 + "!", "=" * 100_000, "a*" * 50_000 + "b"]
)
def test_long_lines_of_signs_take_no_time(text: str) -> None:
    assert len(compared(text)) <= 2 * len(text)
