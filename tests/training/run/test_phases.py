"""The course of a run, phase by phase: which steps, which rows and how many bytes each phase has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.run.config import PretrainConfig, load
from training.run.feed import FeedError, digest, open_feed
from training.run.phases import Course, bytes_per_row, open_course, with_steps

PHASES = "train.phases=[{until_step=3,length=8,batch_rows=16},{until_step=5,length=12}]"


@pytest.fixture
def make(tiny_config: Path, tmp_path: Path) -> Callable[..., tuple[PretrainConfig, Course]]:
    def opened(*overrides: str) -> tuple[PretrainConfig, Course]:
        config = load(tiny_config, overrides)
        return config, open_course(config, tmp_path / "rows")

    return opened


def test_phases_follow_each_other_with_rows_of_their_own(make: Callable[..., tuple[PretrainConfig, Course]]) -> None:
    config, course = make(PHASES)
    assert [(phase.first_step, phase.end_step, phase.feed.steps) for phase in course.phases] == [(0, 3, 3), (3, 5, 2), (5, 12, 7)]
    lengths = [phase.feed.config.rows.length for phase in course.phases]
    assert (lengths, [phase.feed.batch_rows for phase in course.phases]) == ([8, 12, 16], [16, 8, 8])
    assert course.steps == config.train.steps == 12 and course.last is course.phases[2].feed
    assert [course.phases.index(course.at(step)) for step in range(12)] == [0] * 3 + [1] * 2 + [2] * 7
    for step in (-1, 12, 13):
        with pytest.raises(AssertionError):
            course.at(step)


@pytest.mark.parametrize("first_step", [0, 2, 3, 4, 5, 11, 12])
def test_batches_are_those_of_the_phases_feeds(make: Callable[..., tuple[PretrainConfig, Course]], first_step: int) -> None:
    _, course = make(PHASES)
    made = list(course.batches(first_step, rank=1, world=2, workers=1, micro_batches=2))
    assert [step for step, _, _ in made] == list(range(first_step, 12))
    for step, feed, (first, second) in made:
        phase = course.at(step)
        assert feed is phase.feed
        half = feed.batch_rows // 2
        joined = {name: np.concatenate([first[name], second[name]]) for name in first}
        assert digest(joined) == digest(feed.batch(step - phase.first_step, half, half))


def test_bytes_are_those_of_the_mean_rows_of_the_steps(make: Callable[..., tuple[PretrainConfig, Course]]) -> None:
    _, course = make(PHASES)
    short, middle, long = (phase.bytes_per_row for phase in course.phases)
    assert short == bytes_per_row(course.phases[0].feed) < middle < long
    assert [course.bytes(steps) for steps in (0, 1, 3, 4, 5, 7, 12, 99)] == [
        0,
        round(16 * short),
        round(48 * short),
        round(48 * short + 8 * middle),
        round(48 * short + 16 * middle),
        round(48 * short + 16 * middle + 16 * long),
        *[round(48 * short + 16 * middle + 56 * long)] * 2,
    ]


def test_a_row_has_its_share_of_the_bytes(make: Callable[..., tuple[PretrainConfig, Course]]) -> None:
    _, course = make()
    feed = course.last
    totals = feed.dataset.totals("train")
    figures = feed.index.figures()[-1]
    assert feed.text_tokens(figures) == figures.tokens - figures.cropped
    expected = totals["utf8_bytes"] / totals["tokens"] * feed.text_tokens(figures) / len(feed.index)
    assert bytes_per_row(feed) == pytest.approx(expected, rel=1e-12) and 20 < expected < 40


def test_the_identity_of_one_phase_is_its_feeds_and_that_of_several_names_them(
    make: Callable[..., tuple[PretrainConfig, Course]],
) -> None:
    _, one = make()
    assert one.identity() == one.last.identity()
    _, course = make(PHASES)
    expected: dict[str, Any] = {}
    for number, phase in ((1, course.phases[0]), (2, course.phases[1]), (3, course.phases[2])):
        expected[f"first step (phase {number})"] = [0, 3, 5][number - 1]
        expected |= {f"{name} (phase {number})": value for name, value in phase.feed.identity().items()}
    assert course.identity() == expected


def test_a_budget_of_bytes_becomes_steps_rounded_up(tiny_config: Path, tmp_path: Path) -> None:
    config = load(tiny_config)
    assert with_steps(config, tmp_path / "rows") is config
    per_step = 8 * bytes_per_row(open_feed(config, folder=tmp_path / "rows"))
    toml = tiny_config.read_text().replace("steps = 12\n", "bytes = BUDGET\n")
    for steps, budget in ((20, int(20 * per_step)), (20, int(19 * per_step) + 1), (21, int(20 * per_step) + 1)):
        tiny_config.write_text(toml.replace("BUDGET", str(budget)))
        found = with_steps(load(tiny_config), tmp_path / "rows")
        assert (found.train.steps, found.train.bytes) == (steps, None)
        assert found.model_copy(update={"train": config.train}) == config


@pytest.mark.parametrize(("steps", "is_enough"), [(4, False), (5, False), (6, True)])
def test_a_budget_must_exceed_warm_up_and_cool_down(tiny_config: Path, tmp_path: Path, steps: int, is_enough: bool) -> None:
    per_step = 8 * bytes_per_row(open_feed(load(tiny_config), folder=tmp_path / "rows"))
    toml = tiny_config.read_text().replace("steps = 12\n", f"bytes = {int(steps * per_step)}\n")
    tiny_config.write_text(toml)
    config = load(tiny_config, ('train.schedule="wsd"', "train.cooldown_steps=3"))
    if is_enough:
        assert with_steps(config, tmp_path / "rows").train.steps == steps
    else:
        message = rf"train\.bytes: [\d,]+ bytes are {steps} steps here, too few for train\.warmup_steps \(2\) and train\.cooldown"
        with pytest.raises(FeedError, match=message):
            with_steps(config, tmp_path / "rows")


def test_phases_and_stages_of_a_mixture_exclude_each_other(make: Callable[..., tuple[PretrainConfig, Course]]) -> None:
    stages = "data.stages=[{until_step=2,mixture={books=1}},{mixture={wiki=1}}]"
    assert make(stages)[1].steps == 12
    with pytest.raises(FeedError, match=r"^data\.stages: cannot be used together with train\.phases; keep one of them$"):
        make(PHASES, stages)
