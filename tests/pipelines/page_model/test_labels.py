"""Labels: which blocks of a page people took."""

import pytest

from pipelines.page_model.labels import labels, words


def test_words_are_letters_in_scripts_without_spaces() -> None:
    assert words("One-Two 東京 3") == ["one", "two", "東", "京", "3"]


@pytest.mark.parametrize(
    ("texts", "truth", "wanted"),
    [
        (["Home", "The old mill stood by the brook", "Contact"], "The old mill stood by the brook.", [0, 1, 0]),
        (["a b c d x y z w"], "a b c d", [0.5]),
        (["Share", "one two three", "Share"], "Share\none two three", [1, 1, 0]),  # once, where it stands
        (["by the way", "the mill by the brook of the old town"], "mill by the brook of the old town", [0, 8 / 9]),
        (["seven eight nine ten one two three four", "start here"], "start here seven eight nine ten one two three four", [1, 0]),
        ([], "a", []),
        (["a"], "", [0]),
    ],
)
def test_a_label_is_the_share_of_words_that_people_took(texts: list[str], truth: str, wanted: list[float]) -> None:
    assert labels(texts, truth).tolist() == pytest.approx(wanted)


def test_a_long_block_in_another_order_counts_by_its_runs() -> None:
    first = "alpha beta gamma delta epsilon zeta eta theta iota kappa"
    second = "one two three four five six seven eight nine ten eleven twelve"
    assert labels([second, first], f"{first} {second}").tolist() == [1, 1]


def test_the_blocks_of_a_page_too_long_to_align_count_by_their_runs() -> None:
    story = "alpha beta gamma delta epsilon zeta eta theta iota kappa"
    assert labels([story, "word " * 60_000], story).tolist() == [1, 0]
