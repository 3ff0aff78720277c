"""The verdict: expected F1, groups that stay together, the floor."""

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.blocks import COLUMNS, LINK_WIDTH, WIDTH
from pipelines.text.extraction.pages.features import Places
from pipelines.text.extraction.pages.verdict import Verdict, judge, probabilities


def judged(
    widths: list[int],
    scores: list[float],
    *,
    links: list[int] | None = None,
    path: list[int] | None = None,
    code: list[int] | None = None,
    table: list[int] | None = None,
    prose: list[bool] | None = None,
    body: list[bool] | None = None,
) -> Verdict:
    rows = len(widths)
    counts = np.zeros((rows, COLUMNS), np.int32)
    counts[:, WIDTH] = widths
    counts[:, LINK_WIDTH] = links or 0

    def numbers(given: list[int] | None) -> NDArray[np.int32]:
        return np.array(given if given else [-1] * rows, np.int32)

    def flags(given: list[bool] | None) -> NDArray[np.bool_]:
        return np.array(given if given else [False] * rows, np.bool_)

    return judge(
        counts, np.array(scores, np.float32), Places(numbers(path), numbers(code), numbers(table), flags(prose), flags(body))
    )


def test_the_probabilities_are_those_of_the_log_odds() -> None:
    table = probabilities()
    assert (len(table), float(table[128]), float(table[0])) == (257, 0.5, np.float32(0.01799))
    assert judged([500, 500], [0.0, 9.0]).probability.tolist() == [0.5, np.float32(0.98201)]


def test_as_many_blocks_are_kept_as_make_the_expected_f1_greatest() -> None:
    # Expected F1 of the best k blocks of equal width: 2 p / (k + sum of all p).
    # p = .88, .5, .27, .12: .880/(1+1.77), 1.38/(2+1.77), 1.65/(3+1.77), 1.77/(4+1.77) = .318, .366, .346, .307
    assert judged([500] * 4, [2.0, 0.0, -1.0, -2.0]).kept.tolist() == [True, True, False, False]


def test_a_wide_block_counts_more() -> None:
    assert judged([2000, 500], [0.0, 2.0]).kept.tolist() == [True, True]
    assert judged([500, 5000], [2.0, -1.5]).kept.tolist() == [True, False]


def test_blocks_of_equal_probability_share_their_fate() -> None:
    verdict = judged([100] * 5, [0.2] * 5)
    assert verdict.kept.all()


def test_a_code_listing_is_kept_whole_or_not_at_all() -> None:
    alone, together = judged([500, 500], [3.0, -3.0]), judged([500, 500], [3.0, -3.0], code=[7, 7])
    assert (alone.kept.tolist(), together.kept.tolist()) == ([True, False], [True, True])
    assert together.probability[0] == together.probability[1]


def test_a_table_of_narrow_cells_is_judged_as_one_and_a_layout_is_not() -> None:
    narrow = judged([10] * 4, [3.0, -3.0, 3.0, 3.0], table=[0] * 4)
    assert narrow.probability.tolist() == [narrow.probability[0]] * 4
    wide = judged([500, 10], [3.0, -3.0], table=[0, 0])
    assert wide.kept.tolist() == [True, False]


def test_blocks_of_a_path_move_towards_their_mean() -> None:
    verdict = judged([395, 395], [2.0, 0.0], path=[0, 0])
    assert verdict.probability.tolist() == [
        probabilities()[int((1.6 + 4) * 32 + 0.5)],
        probabilities()[int((0.4 + 4) * 32 + 0.5)],
    ]


def test_the_floor_keeps_the_prose_of_the_body() -> None:
    widths, scores = [50, 900, 100], [1.0, -4.0, -4.0]
    prose, body = [False, True, True], [False, True, False]
    floor = judged(widths, scores, prose=prose, body=body)
    assert (floor.kept.tolist(), floor.is_fallback) == ([True, True, False], True)
    assert not judged(widths, [1.0, 1.0, -4.0], prose=prose, body=body).is_fallback


def test_nothing_is_kept_of_a_page_without_main_text() -> None:
    assert not judged([500] * 3, [-2.0] * 3).kept.any()
    assert judged([10, 20], [-0.5, -1.0]).kept.any()
    assert not judged([10, 20], [-0.5, -1.0], links=[10, 15]).kept.any(), "a menu"
    assert judged([10, 20], [1.0, -1.0], links=[10, 20]).kept.any()
    assert judged([500, 20], [-0.5, -1.0], links=[500, 20]).kept.any()
    empty = judged([], [])
    assert (empty.kept.tolist(), empty.is_fallback) == ([], False)
