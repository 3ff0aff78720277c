"""Word differences: exact stretches, the laws, and bounded time on texts that are long or all alike."""

import random
import time
from itertools import pairwise

import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.copies.differences import Stretch, differences


def test_a_replaced_a_removed_and_an_added_word() -> None:
    assert differences("one two three four five six", "one 2 three five six seven") == [
        Stretch("equal", "one ", 1),
        Stretch("removed", "two ", 1),
        Stretch("added", "2 ", 1),
        Stretch("equal", "three ", 1),
        Stretch("removed", "four ", 1),
        Stretch("equal", "five six", 2),
        Stretch("added", "seven", 1),
    ]


@pytest.mark.parametrize("pair", [("", ""), ("", "a b"), ("a b", ""), ("a  b\n", "a b"), ("a", "b")])
def test_short_and_empty_texts(pair: tuple[str, str]) -> None:
    first, second = pair
    kinds = [stretch.kind for stretch in differences(first, second)]
    assert kinds == {("", ""): [], ("", "a b"): ["added"], ("a b", ""): ["removed"], ("a", "b"): ["removed", "added"]}.get(
        pair, ["equal"]
    )


def test_a_character_is_a_word_where_words_are_not_spaced() -> None:
    assert [(s.kind, s.text) for s in differences("我們在河邊散步", "我們在海邊散步")] == [
        ("equal", "我們在"),
        ("removed", "河"),
        ("added", "海"),
        ("equal", "邊散步"),
    ]


def test_a_cut_line_is_a_line() -> None:
    text = 'I will.\n"What do you mean?"\n"What I say.\n'
    cut = 'I will.\n"What I say.\n'
    assert [(s.kind, s.text) for s in differences(text, cut)] == [
        ("equal", "I will.\n"),
        ("removed", '"What do you mean?"\n'),
        ("equal", '"What I say.\n'),
    ]
    assert [(s.kind, s.text) for s in differences(cut, text)] == [
        ("equal", "I will.\n"),
        ("added", '"What do you mean?"\n'),
        ("equal", '"What I say.\n'),
    ]


words = st.lists(st.sampled_from("abcdefg"), max_size=60)


@many
@given(words, words, st.integers(1, 5))
def test_the_stretches_are_both_texts(first: list[str], second: list[str], line: int) -> None:
    def text(words: list[str]) -> str:
        return "\n".join(" ".join(words[i : i + line]) for i in range(0, len(words), line))

    found = differences(text(first), text(second))
    assert "".join(s.text for s in found if s.kind != "added") == text(first)
    assert " ".join(s.text.strip() for s in found if s.kind != "removed").split() == second
    assert all(len(s.text.split()) == s.words > 0 for s in found)
    for before, after in pairwise(found):
        assert before.kind != after.kind


@given(words)
def test_a_text_does_not_differ_from_itself(text: list[str]) -> None:
    assert {s.kind for s in differences(" ".join(text), " ".join(text))} <= {"equal"}


def near_copies(count: int) -> tuple[str, str, int]:
    draw = random.Random(4)
    first = [f"w{draw.randrange(5000)}" for _ in range(count)]
    second = list(first)
    for place in range(50, count, 997):
        second[place] = "changed"
    return " ".join(first), " ".join(second), len(range(50, count, 997))


def test_few_changes_in_a_million_characters_are_reported_exactly() -> None:
    first, second, changes = near_copies(170_000)
    assert len(first) > 900_000
    start = time.perf_counter()
    found = differences(first, second)
    assert time.perf_counter() - start < 20
    assert sum(s.words for s in found if s.kind == "removed") == changes
    assert sum(s.words for s in found if s.kind == "added") == changes


@pytest.mark.parametrize(
    "pair",
    [
        ("word " * 200_000, "word " * 150_000),  # a text of one word
        ("x y " * 100_000, "y x " * 100_000 + "z"),  # periodic, shifted
        ("a b c " * 70_000 + "d", "c b a " * 70_000 + "e"),  # no anchor anywhere
        (" ".join(str(i) for i in range(150_000)), " ".join(str(i) for i in reversed(range(150_000)))),  # every word moves
    ],
)
def test_hostile_texts_take_bounded_time(pair: tuple[str, str]) -> None:
    first, second = pair
    start = time.perf_counter()
    found = differences(first, second)
    assert time.perf_counter() - start < 30
    assert "".join(s.text for s in found if s.kind != "added").split() == first.split()
    assert "".join(s.text + " " for s in found if s.kind != "removed").split() == second.split()
