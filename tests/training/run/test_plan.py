"""What a run takes is said before it starts, and refused where it cannot fit."""

from pathlib import Path

import pytest
import torch

from training.models.families import make, parameters
from training.run.config import load
from training.run.device import Device
from training.run.plan import Plan, does_not_fit, lines, plan, refuse_if_too_large
from training.run.pretrain import prepare_job
from training.run.processes import World
from training.run.state import TrainingError


def planned(config: Path, *overrides: str, processes: int = 1) -> Plan:
    chosen = load(config, overrides)
    job = prepare_job(chosen, Device("cpu", chosen.train.dtype), World())
    model = make(chosen.model.shape(job.course.last.dataset.tokenizer.size, chosen.positions), 1)
    found = plan(job, model, processes)
    assert found.parameters == parameters(model)
    return found


def test_memory_is_counted(tiny_config: Path) -> None:
    found = planned(tiny_config)
    assert found.weights == found.gradients == 4 * 11_648
    assert found.optimizer == 2 * found.weights
    assert planned(tiny_config, 'train.optimizer="muon"').optimizer == found.weights
    assert found.memory == found.weights + found.gradients + found.optimizer + found.activations
    shared = planned(tiny_config, 'train.strategy="fsdp"', processes=2)
    assert (shared.weights, shared.optimizer) == (found.weights // 2, found.optimizer // 2)
    assert shared.checkpoints == found.checkpoints == 3 * (found.weights + found.optimizer)  # two are kept, one is written


def test_activations_grow_with_the_rows_and_shrink_when_recomputed(tiny_config: Path) -> None:
    one, four = (planned(tiny_config, f"train.accumulate={n}").activations for n in (1, 4))
    assert 3 * four < one <= 4 * four
    assert planned(tiny_config, "train.activation_checkpointing=true").activations < planned(tiny_config).activations
    assert planned(tiny_config, processes=2).activations < planned(tiny_config).activations


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


def test_what_cannot_fit_is_refused_with_the_number_to_lower(tiny_config: Path) -> None:
    found = planned(tiny_config, "train.accumulate=2")
    refuse_if_too_large(found)
    small = Plan(**{name: getattr(found, name) for name in Plan.__slots__} | {"machine": found.memory - 1})
    with pytest.raises(
        TrainingError, match=r"needs about .* raise train\.accumulate from 2 to 4 .* or lower data\.batch_rows \(8\)"
    ):
        refuse_if_too_large(small)


def test_torchs_word_for_no_memory_is_translated(tiny_config: Path) -> None:
    config = load(tiny_config)
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    advice = does_not_fit(caught.value, config)
    assert advice is not None and advice.startswith("out of memory; raise train.accumulate from 2 to 4 (the same gradient)")
    assert does_not_fit(MemoryError(), config) is not None
    assert does_not_fit(RuntimeError("shapes do not match"), config) is None
