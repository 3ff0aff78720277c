"""What a run takes is said before it starts, and refused where it cannot fit."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.contract import memory
from training.models.families import make
from training.models.gpt import GPTShape
from training.run.config import load
from training.run.device import Device
from training.run.distributed.processes import World
from training.run.pretrain import prepare_job
from training.run.pretraining import Pretraining
from training.run.resources.fit import what_fits
from training.run.resources.plan import Plan, bytes_for_people, does_not_fit, lines, plan, refuse_if_too_large
from training.run.state import TrainingError

SHAPE = GPTShape(layers=2, heads=2, width=16, vocabulary=300, length=16)


def job_of(config: Path, *overrides: str) -> Pretraining:
    chosen = load(config, overrides)
    return prepare_job(chosen, Device("cpu", chosen.train.dtype), World())


def planned(config: Path, *overrides: str, processes: int = 1) -> Plan:
    job = job_of(config, *overrides)
    return plan(job, Device("cpu", job.config.train.dtype), processes)


def test_memory_is_counted(tiny_config: Path) -> None:
    found = planned(tiny_config)
    assert found.parameters == 11_648
    assert found.weights == found.gradients == 4 * 11_648
    moments = 2 * found.weights + 4 * len(list(make(SHAPE, 1).parameters()))  # and the number of a weight's updates
    assert found.optimizer == moments
    assert found.memory == found.weights + found.gradients + found.optimizer + found.activations + found.process
    shared = planned(tiny_config, 'train.strategy="fsdp"', processes=2)
    assert (shared.weights, shared.optimizer) == (found.weights // 2, found.optimizer // 2)
    assert shared.checkpoints == found.checkpoints == 3 * (found.weights + found.optimizer)  # two are kept, one is written
    assert shared.activations >= found.weights + found.optimizer - found.weights // 2  # a save gathers all of it


@pytest.mark.parametrize(
    ("optimizer", "least", "most"), [("muon", 0.7, 1.6), ("adafactor", 0.0, 0.25), ("google_adam", 2.0, 2.0)]
)
def test_every_optimizers_state_is_counted(tiny_config: Path, optimizer: str, least: float, most: float) -> None:
    found = planned(tiny_config, f'train.optimizer="{optimizer}"')
    assert least * found.weights <= found.optimizer <= most * found.weights


def test_activations_grow_with_the_rows_and_shrink_when_recomputed(tiny_config: Path) -> None:
    wide = ("model.width=64", "model.layers=4", "train.eval_rows=1")
    two, four = (planned(tiny_config, *wide, f"train.accumulate={n}").activations for n in (2, 4))
    assert 1.7 * four < two < 2 * four
    again = planned(tiny_config, *wide, "train.activation_checkpointing=true").activations
    assert again < 0.6 * two
    assert planned(tiny_config, *wide, processes=2).activations < two + 2 * 25 * 2**20


def test_an_evaluation_counts(tiny_config: Path) -> None:
    """With one row a step, the 16 rows of an evaluation need more."""
    alone, many = (planned(tiny_config, "data.batch_rows=1", "train.accumulate=1", f"train.eval_rows={n}") for n in (1, 16))
    assert many.activations > 2 * alone.activations


def test_epochs_and_tokens_are_said_by_source(tiny_config: Path) -> None:
    found = planned(tiny_config)
    assert (found.steps, found.tokens) == (12, 96 * 16)
    (phase,) = found.phases
    assert {of.source: of.draws for of in phase.sources} == {"books": 60, "wiki": 35}  # whole rows of 60.98 and 35.02
    told = "\n".join(lines(found))
    assert "model   gpt, 11,648 parameters" in told and "train   12 steps: 1,536 tokens at most" in told
    assert "\nrows    403 of 16 tokens, 8 a step\n        books: 256 rows, " in told and "60 drawn, " in told


def test_every_phase_is_said_and_epochs_add_up(tiny_config: Path) -> None:
    found = planned(tiny_config, "train.phases=[{until_step=5,length=8,batch_rows=16}]")
    assert [(of.steps, of.end_step, of.batch_rows, of.length) for of in found.phases] == [(5, 5, 16, 8), (7, 12, 8, 16)]
    assert found.tokens == 5 * 16 * 8 + 7 * 8 * 16
    for source, epochs in found.epochs.items():
        assert epochs == sum(of.epochs or 0 for phase in found.phases for of in phase.sources if of.source == source)
    told = "\n".join(lines(found))
    assert ", 16 a step, up to step 5\n" in told and ", 8 a step, up to step 12\n" in told


def test_processes_of_a_machine_share_its_memory(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = planned(tiny_config).machine
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert alone is not None and planned(tiny_config).machine == alone // 4


def test_what_cannot_fit_is_refused_with_numbers_that_do(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.run.resources.plan.memory.own_bytes", lambda: 0)  # grows while tests run
    wide = ("model.width=64", "model.layers=4", "train.accumulate=1", "data.batch_rows=32")
    job = job_of(tiny_config, *wide)
    device = Device("cpu", "float32")
    fits = {n: planned(tiny_config, *wide[:2], wide[3], f"train.accumulate={n}").memory for n in (1, 2, 4, 32)}
    for machine, number in ((fits[4], 4), (fits[32], 32)):
        monkeypatch.setattr("training.run.resources.plan._machine", lambda _, machine=machine: machine)
        found = plan(job, device)
        assert not found.fits and found.memory == fits[1]
        advice = what_fits(job, device, 1, found)
        assert advice == f"it fits with train.accumulate={number} ({bytes_for_people(machine)})"
        with pytest.raises(TrainingError, match=rf"needs about .* it fits with train\.accumulate={number}"):
            refuse_if_too_large(replace(found, advice=advice))
        assert f"too little: {advice}" in "\n".join(lines(replace(found, advice=advice)))


def test_recomputation_another_optimizer_and_no_way_at_all_are_named(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.run.resources.plan.memory.own_bytes", lambda: 0)
    device, wide = Device("cpu", "float32"), ("model.width=64", "model.layers=6", "train.accumulate=8", "train.eval_rows=1")
    job = job_of(tiny_config, *wide)
    ways = {
        "train.activation_checkpointing=true": ("train.activation_checkpointing=true",),
        'train.optimizer="adafactor" and train.activation_checkpointing=true': (
            'train.optimizer="adafactor"',
            "train.activation_checkpointing=true",
        ),
    }
    for words, changes in ways.items():
        needed = planned(tiny_config, *wide, *changes).memory
        monkeypatch.setattr("training.run.resources.plan._machine", lambda _, needed=needed: needed)
        assert what_fits(job, device, 1, plan(job, device)) == f"it fits with {words} ({bytes_for_people(needed)})"
    monkeypatch.setattr("training.run.resources.plan._machine", lambda _: 10**6)
    assert "it does not fit with one row at a time; lower the numbers of [model] or rows.length" in what_fits(
        job, device, 1, plan(job, device)
    )


def test_a_smaller_size_is_named(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = re.sub(r"layers = 2\nheads = 2\nwidth = 16\ndropout = 0.1", 'size = "large"\ndropout = 0.1', tiny_config.read_text())
    tiny_config.write_text(text)
    monkeypatch.setattr("training.run.resources.plan._machine", lambda _: 3 * 10**9)
    monkeypatch.setattr("training.run.resources.plan.memory.own_bytes", lambda: 6 * 10**8)  # grows while tests run
    job, device = job_of(tiny_config), Device("cpu", "float32")
    advice = what_fits(job, device, 1, plan(job, device))
    assert advice.startswith('it fits with model.size="small" and train.activation_checkpointing=true (')


def test_eleven_billion_weights_are_planned_without_them(
    tiny_config: Path, make_dataset: Callable[..., Path], documents: Any
) -> None:
    folder = make_dataset(tiny_config.parent / "t5_tokens", documents, families=("t5",))
    text = re.sub(r"layers = 2\nheads = 2\nwidth = 16\ndropout = 0.1", 'size = "11b"', tiny_config.read_text())
    tiny_config.write_text(re.sub(r'tokens = ".*"', f'tokens = "{folder}"', text).replace('"gpt"', '"t5"'))
    before = memory.own_bytes()
    found = planned(tiny_config, 'objective.name="span_corruption"')
    assert found.parameters > 11e9 and found.weights == 4 * found.parameters
    assert found.memory > 4 * found.weights and not found.fits
    assert memory.own_bytes() - before < 5e8


def test_torchs_word_for_no_memory_is_translated(tiny_config: Path) -> None:
    config = load(tiny_config)
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    advice = does_not_fit(caught.value, config)
    assert advice is not None and advice.startswith("out of memory; raise train.accumulate from 2 to 4 (the same gradient)")
    assert does_not_fit(MemoryError(), config) is not None
    assert does_not_fit(RuntimeError("shapes do not match"), config) is None
