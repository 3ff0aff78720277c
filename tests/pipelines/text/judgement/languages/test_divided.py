"""Which passage is in which language, by hand-made probabilities of three groups."""

import numpy as np
import pytest

from pipelines.text.judgement.languages import divided as module
from pipelines.text.judgement.languages.divided import Divided, divide

A, B, C = (np.eye(3, dtype=np.float32)[i] * 0.9 + np.float32(0.03) for i in range(3))
NOTHING = np.full(3, 0.08, np.float32)  # what a model says of a language that it does not know
UNKNOWN = 3  # its number


def divided(*texts: list[np.ndarray], letters: int | list[int] = 150) -> Divided:
    rows = np.array([row for text in texts for row in text], np.float32).reshape(-1, 3)
    offsets = np.cumsum([0, *map(len, texts)])
    counts = np.full(len(rows), letters, np.int64) if isinstance(letters, int) else np.array(letters, np.int64)

    def judge_units(unit: np.ndarray, count: int) -> np.ndarray:
        """A model that says the mean of what it says of the passages."""
        sums, sizes = np.zeros((count, 3), np.float32), np.zeros(count)
        np.add.at(sums, unit, rows)
        np.add.at(sizes, unit, 1)
        return (sums / sizes[:, None]).astype(np.float32)

    return divide(rows, counts, offsets, judge_units)


def groups(found: Divided) -> list[int]:
    return found.group[found.unit].tolist()


def test_each_language_gets_its_passages() -> None:
    found = divided([A, A, A, B, B])
    assert groups(found) == [0, 0, 0, 1, 1]
    assert (found.text.tolist(), found.group.tolist(), found.letters.tolist()) == ([0, 0], [0, 1], [450, 300])


def test_a_doubtful_passage_stays_in_the_language_of_its_neighbours() -> None:
    doubtful = np.array([0.3, 0.6, 0.05], np.float32)
    assert groups(divided([A, A, doubtful, A, A])) == [0] * 5
    assert groups(divided([A, A, doubtful, doubtful, doubtful, doubtful, B])) == [0, 0, 1, 1, 1, 1, 1]


def test_short_passages_say_little() -> None:
    assert groups(divided([A, A, A, B, B, A])) == [0, 0, 0, 1, 1, 0]
    assert groups(divided([A, A, A, B, B, A], letters=[150, 150, 150, 30, 30, 150])) == [0] * 6
    assert groups(divided([A, A, A, B, A])) == [0] * 5  # and one is not enough for two changes


@pytest.mark.parametrize(("size", "is_named"), [(module.LEAST_LETTERS, True), (module.LEAST_LETTERS - 1, False)])
def test_a_language_needs_letters(size: int, is_named: bool) -> None:
    found = divided([A, A, A, B], letters=[150, 150, 150, size])
    assert found.group.tolist() == ([0, 1] if is_named else [0])


def test_a_language_needs_a_share_of_the_text() -> None:
    assert divided([A] * 9 + [B]).group.tolist() == [0, 1]
    assert divided([A] * 14 + [B]).group.tolist() == [0]


def test_a_language_stays_only_if_its_own_passages_are_in_it() -> None:
    weak = np.array([0.02, module.CONFIRMED - 0.02, 0.3], np.float32)
    strong = np.array([0.02, module.CONFIRMED + 0.02, 0.3], np.float32)
    assert 1 not in divided([A, A, weak, weak]).group.tolist()
    assert divided([A, A, strong, strong]).group.tolist() == [0, 1]


def test_what_the_model_does_not_know_is_a_unit_of_its_own() -> None:
    assert divided([*[A] * 4, *[NOTHING] * 4]).group.tolist() == [0, UNKNOWN]
    half = np.array([0.3, 0.1, 0.1], np.float32)  # still rather the first language
    assert divided([*[A] * 4, *[half] * 4]).group.tolist() == [0]


def test_a_text_of_nothing_known_is_one_unit() -> None:
    found = divided([NOTHING, NOTHING])
    assert (found.group.tolist(), groups(found)) == ([UNKNOWN], [UNKNOWN] * 2)


def test_texts_are_apart() -> None:
    found = divided([A, B, B], [B, B], [C, C, C, A, A])
    assert groups(found) == [0, 1, 1, 1, 1, 2, 2, 2, 0, 0]
    assert found.text.tolist() == [0, 0, 1, 2, 2]
    assert found.letters.tolist() == [150, 300, 300, 300, 450]


def test_no_text() -> None:
    assert divided().group.tolist() == []


def test_at_most_so_many_languages() -> None:
    rows = np.eye(8, dtype=np.float32) * 0.9 + 0.01
    letters, offsets = np.full(8, 150, np.int64), np.array([0, 8])
    found = divide(rows, letters, offsets, lambda unit, count: rows[[int(np.flatnonzero(unit == i)[0]) for i in range(count)]])
    assert (found.group < 8).sum() <= module.MOST
