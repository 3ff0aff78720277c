import json
import math
import statistics

import pytest

from training.run.updates.spikes import SpikeError, Spikes


def calm(limit: float | None = 3.0, updates: int = 32, max_skipped: int = 3) -> Spikes:
    """After losses and norms that go up and down by 0.1 around 5 and 1."""
    made = Spikes(window=32, limit=limit, max_skipped=max_skipped)
    for number in range(updates):
        assert made.judge(5 + 0.1 * (-1) ** number, 1 - 0.1 * (-1) ** number).reason is None
    return made


def test_a_score_tells_how_far_above_the_last_ones_a_loss_lies() -> None:
    verdict = calm().judge(5.2, 1.05)
    before = [5 + 0.1 * (-1) ** number for number in range(32)]
    assert verdict.loss_z == pytest.approx((5.2 - 5.0) / statistics.pstdev(before))
    assert verdict.gradient_norm_z == pytest.approx(0.5)
    assert calm(updates=15).judge(9.0, 9.0).loss_z is None  # too few to tell
    assert calm(updates=16).judge(5.2, 1.0).loss_z == pytest.approx(2.0)


def test_what_lies_too_far_above_is_skipped() -> None:
    assert calm().judge(5.5, 1.0).reason == "loss's z-score of 5.0"
    assert calm().judge(5.0, 2.0).reason == "gradient norm's z-score of 10.0"
    assert calm().judge(1.0, 0.1).reason is None  # far below harms nobody
    assert calm(limit=None).judge(50.0, 10.0).reason is None


@pytest.mark.parametrize(("loss", "norm", "reason"), [(math.nan, 1.0, "loss nan"), (5.0, math.inf, "gradient norm inf")])
def test_what_is_not_finite_is_always_skipped(loss: float, norm: float, reason: str) -> None:
    verdict = calm(limit=None).judge(loss, norm)
    assert (verdict.reason, verdict.loss_z, verdict.gradient_norm_z) == (reason, None, None)


def test_what_was_skipped_is_not_remembered() -> None:
    spikes = calm()
    before = spikes.state()
    assert spikes.judge(9.0, 1.0).reason is not None
    assert spikes.state() == before | {"skipped": 1}
    assert spikes.judge(5.0, 1.0).reason is None
    assert spikes.state()["skipped"] == 0


def test_too_many_in_a_row_end_the_run() -> None:
    spikes = calm()
    spikes.judge(9.0, 1.0)
    spikes.judge(9.0, 1.0)
    with pytest.raises(
        SpikeError, match=r"3 updates in a row were skipped \(train\.max_skipped\).* with a lower train\.learning_rate"
    ):
        spikes.judge(9.0, 1.0)


def test_the_limit_itself_is_no_spike() -> None:
    """Losses 4 and 6 have mean 5 and deviation 1, exactly: 8 has a z-score of 3."""
    for above, reason in ((0.0, None), (2**-40, "loss's z-score of 3.0")):
        spikes = Spikes(window=16, limit=3.0, max_skipped=3)
        for number in range(16):
            spikes.judge(5.0 + (-1) ** number, 5.0 + (-1) ** number)
        verdict = spikes.judge(8.0 + above, 5.0)
        assert (verdict.loss_z, verdict.reason) == (3.0 + above, reason)


def test_a_restored_one_goes_on_counting() -> None:
    spikes = calm()
    spikes.judge(9.0, 1.0)
    spikes.judge(9.0, 1.0)
    other = Spikes(window=32, limit=3.0, max_skipped=3)
    other.restore(json.loads(json.dumps(spikes.state())))
    with pytest.raises(SpikeError, match="3 updates in a row were skipped"):
        other.judge(9.0, 1.0)


def test_a_restored_one_judges_alike() -> None:
    spikes = calm()
    spikes.judge(9.0, 1.0)
    other = Spikes(window=32, limit=3.0, max_skipped=3)
    other.restore(json.loads(json.dumps(spikes.state())))
    for loss in (5.123456789, 5.3, 4.9):
        assert other.judge(loss, loss / 5) == spikes.judge(loss, loss / 5)
    assert other.state() == spikes.state()


def flat(loss: float, norm: float, updates: int = 16, **settings: float | None) -> Spikes:
    """After losses and norms that are all the same."""
    made = Spikes(**({"window": 32, "limit": 3.0, "max_skipped": 3} | settings))  # type: ignore[arg-type]
    for _ in range(updates):
        assert made.judge(loss, norm).reason is None
    return made


def test_where_nothing_varied_a_millionth_of_the_mean_counts_as_a_deviation() -> None:
    verdict = flat(4.0, -2.0).judge(4.0 + 8e-6, -2.0 + 4e-6)
    assert (verdict.loss_z, verdict.gradient_norm_z) == (pytest.approx(2.0), pytest.approx(2.0))
    assert flat(0.0, 0.0).judge(2e-12, -1e-12).loss_z == pytest.approx(2.0)
    assert flat(0.0, 0.0).judge(2e-12, -1e-12).gradient_norm_z == pytest.approx(-1.0)


def test_a_score_at_the_limit_is_no_spike_and_the_norms_reason_is_named_last() -> None:
    assert flat(0.0, 0.0, limit=4.0).judge(4e-12, 4e-12).reason is None
    assert flat(0.0, 0.0, limit=4.0).judge(4.25e-12, 0.0).reason == "loss's z-score of 4.2"
    assert flat(0.0, 0.0, limit=4.0).judge(5e-12, 6e-12).reason == "gradient norm's z-score of 6.0"


def test_a_score_needs_sixteen_updates_and_sees_the_last_of_the_window() -> None:
    assert flat(4.0, 1.0, updates=15).judge(9.0, 9.0).reason is None
    assert flat(4.0, 1.0, updates=16).judge(9.0, 1.0).reason is not None
    made = Spikes(window=16, limit=None, max_skipped=3)
    for number in range(20):
        made.judge(float(number), 2.0 * number)
    assert made.state() == {
        "losses": [float(number) for number in range(4, 20)],
        "norms": [2.0 * number for number in range(4, 20)],
        "skipped": 0,
    }
    assert made.judge(11.5, 23.0).loss_z == 0.0
    assert Spikes(32, None, 3).state() == {"losses": [], "norms": [], "skipped": 0}


def test_skipped_updates_are_counted_in_a_row_across_a_restore() -> None:
    one = flat(4.0, 1.0, max_skipped=2)
    one.judge(9.0, 1.0)
    one.judge(4.0, 1.0)
    one.judge(9.0, 1.0)
    other = flat(4.0, 1.0, updates=0, max_skipped=2)
    other.restore(one.state())
    assert other.state() == one.state() and other.state()["skipped"] == 1
    message = r"^2 updates in a row were skipped \(train\.max_skipped\), the last one for its loss nan"
    with pytest.raises(SpikeError, match=message):
        other.judge(math.nan, 1.0)
    with pytest.raises(SpikeError, match=r"^1 updates in a row"):
        flat(4.0, 1.0, max_skipped=1).judge(math.nan, 1.0)
