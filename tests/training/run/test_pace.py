import time

import pytest

from training.run.pace import Pace


def test_mfu_and_tokens_a_second_are_the_same_speed() -> None:
    pace = Pace(steps=10, flops_per_row=1e6, peak=1e9)
    for _ in range(4):
        time.sleep(0.01)
        speed = pace.step(tokens=128, rows=4)
    assert speed.mfu == pytest.approx(speed.tokens_per_second / 128 * 4 * 1e6 / 1e9)
    assert 0 < speed.tokens_per_second < 128 / 0.01
    assert set(speed.as_metrics()) == {"tokens_per_second", "mfu"}


def test_without_a_peak_there_is_no_mfu() -> None:
    speed = Pace(steps=3, flops_per_row=1e6, peak=None).step(tokens=5, rows=1)
    assert speed.mfu is None and set(speed.as_metrics()) == {"tokens_per_second"}


def test_a_share_above_the_peak_is_not_reported() -> None:
    pace = Pace(steps=3, flops_per_row=1e6, peak=1.0)  # a peak that any machine exceeds
    speed = pace.step(tokens=5, rows=1)
    assert speed.mfu is None and set(speed.as_metrics()) == {"tokens_per_second"}


def test_a_pause_is_no_training() -> None:
    pace = Pace(steps=10)
    pace.step(tokens=1, rows=1)
    with pace.paused():
        time.sleep(0.3)
    assert pace.step(tokens=1, rows=1).tokens_per_second > 4  # with the pause it would be 3
    assert pace.left(2) >= 8 * 0.15  # the time that is left counts it
