"""What to change so that a run fits into memory: every change that is named was planned, and fits.

In this order: more micro-batches, recomputation, both; an optimiser that keeps next to nothing; a smaller size of the family.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from training.models.families import SIZES
from training.run.config import PretrainConfig
from training.run.device import Device
from training.run.pretraining import Pretraining
from training.run.resources.plan import Plan, bytes_for_people, plan

# Numbers of a model that go with any of its sizes; with others, no smaller size is tried.
_OF_ANY_SIZE = {"dropout", "norm_epsilon", "tied", "activation", "segments", "pooled", "first_position"}
_Changes = dict[str, Any]  # of the section train, and "size" of the model


def what_fits(job: Pretraining, device: Device, processes: int, planned: Plan) -> str:
    """Return the change of settings after which a run fits, with the memory that it then needs, or that there is none."""
    assert planned.machine is not None
    most = job.config.data.batch_rows // processes
    for changes in _candidates(job.config, planned):
        least = _planned(job, changes | {"accumulate": max(1, most)}, device, processes)
        if not least.fits:
            continue
        accumulate, found = _fewest(job, changes, device, processes, least)
        return f"{_words(job.config, changes | {'accumulate': accumulate})} ({bytes_for_people(found.memory)})"
    fixed = bytes_for_people(planned.weights + planned.gradients + planned.optimizer)
    tried = f"no size of {job.config.model.family} fits" if _may_shrink(job.config) else "it does not fit"
    return (
        f"weights, gradients and the optimiser's state alone are {fixed}, and {tried} with one row at a time; lower "
        f"{'' if _may_shrink(job.config) else 'the numbers of [model] or '}rows.length, or take a machine with more memory"
    )


def _may_shrink(config: PretrainConfig) -> bool:
    """Return whether the model is one of the family's sizes, of which a smaller one can be named."""
    return set(config.model.numbers) <= _OF_ANY_SIZE


def _candidates(config: PretrainConfig, planned: Plan) -> Iterator[_Changes]:
    """Yield changes to try with any number of micro-batches; what cannot help is left out without a plan."""
    assert planned.machine is not None
    settings, rest = config.train, planned.machine - planned.process - planned.weights - planned.gradients
    recompute: _Changes = {"activation_checkpointing": True}
    if planned.optimizer < rest:
        yield {}
        if not settings.activation_checkpointing:
            yield recompute
    if rest > 0 and settings.optimizer != "adafactor" and settings.strategy == "ddp":
        yield recompute | {"optimizer": "adafactor"}
    if _may_shrink(config):
        for size in _smaller(config, planned):
            yield recompute | {"size": size}


def _smaller(config: PretrainConfig, planned: Plan) -> Sequence[str]:
    """Return the smaller sizes of the family, the largest first, of the same kind (v1.1-… or not), that may fit."""
    assert planned.machine is not None
    family, kind = config.model.family, config.model.size.rpartition("-")[0]
    weights = {
        size: config.model.model_copy(update={"size": size}).parameters(planned.vocabulary, config.positions)
        for size in SIZES[family]
        if not size.endswith("demo") and size.rpartition("-")[0] == kind
    }
    fixed = (planned.weights + planned.gradients + planned.optimizer) / planned.parameters
    most = min(planned.parameters - 1, (planned.machine - planned.process) / fixed)
    return sorted((size for size in weights if weights[size] <= most), key=lambda size: -weights[size])


def _fewest(job: Pretraining, changes: _Changes, device: Device, processes: int, least: Plan) -> tuple[int, Plan]:
    """Return the fewest micro-batches with which the changed run fits, among those that cut the step in halves, and its plan.

    `least` is the plan with one row in each.
    """
    now, most = job.config.train.accumulate, least.config.train.accumulate
    choices = [now] if changes else []
    while (more := 2 * (choices[-1] if choices else now)) < most:
        choices.append(more)
    low, high, best = 0, len(choices), (most, least)
    while low < high:
        middle = (low + high) // 2
        found = _planned(job, changes | {"accumulate": choices[middle]}, device, processes)
        if found.fits:
            high, best = middle, (choices[middle], found)
        else:
            low = middle + 1
    return best


def _planned(job: Pretraining, changes: _Changes, device: Device, processes: int) -> Plan:
    """Return the plan of the changed run."""
    settings = {name: value for name, value in changes.items() if name != "size"}
    model = job.config.model.model_copy(update={"size": changes["size"]}) if "size" in changes else job.config.model
    train = job.config.train.model_copy(update=settings)
    return plan(replace(job, config=job.config.model_copy(update={"train": train, "model": model})), device, processes)


def _words(config: PretrainConfig, changes: _Changes) -> str:
    ways: list[str] = []
    if "size" in changes:
        ways.append(f'model.size="{changes["size"]}"')
    if "optimizer" in changes:
        ways.append(f'train.optimizer="{changes["optimizer"]}"')
    if changes["accumulate"] != config.train.accumulate:
        ways.append(f"train.accumulate={changes['accumulate']}")
    if changes.get("activation_checkpointing") and not config.train.activation_checkpointing:
        ways.append("train.activation_checkpointing=true")
    return f"it fits with {' and '.join(ways)}"
