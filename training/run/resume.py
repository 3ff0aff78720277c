"""Where a run begins: its newest checkpoint, another run's (a branch), initial weights that the config names, or nothing."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.contract import files
from training.checkpoints import store as checkpoint
from training.checkpoints import trained
from training.checkpoints.store import CHECKPOINTS, CheckpointError
from training.run import branch as branches
from training.run.branch import Branch
from training.run.config import PretrainConfig
from training.run.device import Device
from training.run.distributed.agreement import agreed, refuse_unequal
from training.run.distributed.processes import World, load_model_state, load_optimizer_state
from training.run.progress import METRICS, REPORT, read_metrics
from training.run.state import Job, Learning, save


def resume(job: Job, learning: Learning, device: Device, world: World, say: Callable[[str], None]) -> None:
    """Load the newest complete checkpoint, if there is one, or else the initial weights that the config names, if any.

    Raises CheckpointError, naming the field, if the checkpoint was made with another config or dataset, and naming every
    checkpoint if none can be read.
    """
    learning.seen.say = say
    refuse_unequal(job.config, job.identity(), world)
    folder = job.out / CHECKPOINTS
    newest = agreed(world, lambda: checkpoint.newest(folder, say, learning.seen), folder, say)
    if newest is None:
        world.first(lambda: _refuse_lost(job))
        if job.branch is not None:
            _begin_branch(job, job.branch, learning, device, world, say)
            return
        if (begin := job.config.train.init_from) is not None:
            here = world.sums({"here": not files.is_local(begin) or Path(begin).exists()})["here"] == world.size
            weights = _initial(job, learning) if here else world.send(lambda: _initial(job, learning))
            load_model_state(learning.learner, weights)
        return
    refuse_other(newest, job)
    for name, value in job.circumstances.items():
        if (was := newest.fact("circumstances").get(name)) != value:
            say(f"the checkpoint was made with {name} {was}, this is {value}: losses may differ in their last bits")
    _take(newest, learning, device)
    best = newest.fact("best_validation_loss")
    learning.best, learning.best_step = math.inf if best is None else float(best), newest.fact("best_step")
    if world.rank == 0:
        checkpoint.name_best(job.out / CHECKPOINTS, learning.best_step)
    say(f"resumed from {newest.path} (step {newest.step})")


def _initial(job: Job, learning: Learning) -> dict[str, Any]:
    """Return the weights of train.init_from."""
    begin, tokenizer = str(job.config.train.init_from), job.tokenizer
    return trained.first_weights(begin, learning.learner.model, tokenizer)


def _take(found: checkpoint.Checkpoint, learning: Learning, device: Device) -> None:
    """Load the weights, the optimiser, the spike history and the step of a checkpoint."""
    weights = trained.weights_for(learning.learner.model, found, device.name)
    load_model_state(learning.learner, weights)
    load_optimizer_state(learning.learner, learning.optimizers, found.load("optimizer", device.name))
    learning.spikes.restore(found.fact("spikes"))
    learning.step, learning.tokens = found.step, int(found.fact("tokens"))


def _begin_branch(job: Job, branch: Branch, learning: Learning, device: Device, world: World, say: Callable[[str], None]) -> None:
    """Take the state of the parent, and save it as the first checkpoint of this run, which needs no parent afterwards."""
    found = agreed(world, branch.open, branch.path.parent, say)
    assert found is not None
    refuse_branch(found, job)
    _take(found, learning, device)
    if world.rank == 0:
        assert isinstance(job.config, PretrainConfig)
        for line in branches.lines(branch, found, job.config, job.course.identity()):
            say(line)
        branches.write(job.out, branch)
    save(job, learning, world)


def refuse_branch(found: checkpoint.Checkpoint, job: Job) -> None:
    """Raise CheckpointError if a run cannot go on from a checkpoint: another tokenizer, or no steps left."""
    assert isinstance(job.config, PretrainConfig)
    if (reason := branches.refusal(found, job.config)) is not None:
        raise CheckpointError(f"{found.path}: {reason}")
    tokenizer = job.tokenizer
    try:
        same = hashlib.sha256(found.content(tokenizer.file_name)).hexdigest() == tokenizer.sha256
    except CheckpointError:
        same = False
    if not same:
        raise CheckpointError(f"{found.path}: was trained with another tokenizer than data.tokens has; a branch keeps it")


def _refuse_lost(job: Job) -> None:
    """Raise CheckpointError if the folder has results of a run whose checkpoints are gone: starting again would replace them."""
    lines = read_metrics(job.out / METRICS)
    # a branch saves its parent's checkpoint before its first line
    saved = bool(lines) and (job.branch is not None or lines[-1]["step"] > job.config.train.save_every)
    if saved or (job.out / REPORT).exists():
        what = f"{lines[-1]['step']:,} steps in {METRICS}" if lines else REPORT
        raise CheckpointError(
            f"{job.out}: has {what}, but no {CHECKPOINTS}/ any more; put it back, name another run.out, or remove {METRICS} and "
            f"{REPORT} to begin at step {job.first_step:,}"
        )


def refuse_other(found: checkpoint.Checkpoint, job: Job) -> None:
    """Raise CheckpointError, naming the field, if the checkpoint belongs to another run, and how to go on from it in a branch."""
    if branches.is_import(found):
        raise CheckpointError(f"{found.path}: {branches.IMPORT}, and name another run.out")
    advice = "set it back, or name another folder in run.out"
    for name, (was, value) in branches.changes(found, job.config).items():
        is_model = name.startswith("model.") and name != "model.dropout"
        if is_model or not isinstance(job.config, PretrainConfig) or branches.refusal(found, job.config):
            raise CheckpointError(f"{found.path}: {name} was {was!r}, and is {value!r} here; {advice}")
        branch = f"{job.command} --branch-from {job.out}@{found.step} --set run.out={job.out}-branch"
        raise CheckpointError(
            f"{found.path}: {name} was {was!r}, and is {value!r} here; {advice}, or go on from here in a branch: {branch}"
        )
    for name, value in job.identity().items():
        if (was := found.fact("identity").get(name)) != value:
            raise CheckpointError(f"{found.path}: was trained on another {name} ({was}, here {value}); {advice}")
