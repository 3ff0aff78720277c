"""What a run is (`Job`), what it carries from step to step (`Learning`), and the checkpoint that holds both."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pipelines.contract import files
from pipelines.contract.errors import UserError
from training.checkpoints import remote, trained
from training.checkpoints import store as checkpoint
from training.checkpoints.store import CHECKPOINTS
from training.run.branch import Branch
from training.run.config import PretrainConfig
from training.run.distributed.processes import Learner, World, model_state, optimizer_state
from training.run.distributed.watch import SAVING
from training.run.phases import Course
from training.run.spikes import Spikes
from training.run.validation import Validation

CONFIG = "config.json"  # in the run's folder: the resolved config


class TrainingError(UserError):
    """Training cannot start or continue; the message names the number to change."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that defines a run."""

    config: PretrainConfig
    course: Course
    validation: Validation
    circumstances: dict[str, Any]  # see training/run/circumstances.py; a difference on resume is a warning
    branch: Branch | None = None  # the run began with another's checkpoint
    command: str = "corpusmill pretrain CONFIG"  # for messages; without run.out

    @property
    def first_step(self) -> int:
        """The steps before this run began."""
        return self.branch.step if self.branch else 0

    @property
    def out(self) -> Path:
        """The run's folder on this machine."""
        return remote.folder_of(self.config.run.out)


@dataclass(slots=True)
class Learning:
    """The state of a run; all of it is in a checkpoint."""

    learner: Learner
    optimizers: list[torch.optim.Optimizer]
    spikes: Spikes
    step: int = 0  # updates done, including skipped ones
    tokens: int = 0  # read so far
    best: float = math.inf  # lowest validation loss so far
    best_step: int | None = None  # step of the checkpoint that is kept for it (train.keep_best)
    seen: checkpoint.Seen = field(default_factory=checkpoint.Seen)  # the checkpoints that this process may remove


def save(job: Job, learning: Learning, world: World) -> None:
    """Write the checkpoint of this step, the same files for any number of processes. Every process has to call it."""
    tensors = {
        "model": model_state(learning.learner),
        "optimizer": optimizer_state(learning.learner, learning.optimizers),
    }
    if world.rank == 0:
        world.note(f"{SAVING} step {learning.step}")
        tokenizer = job.course.last.dataset.tokenizer
        state = {
            **trained.described(learning.learner.model, job.config.model.family, tokenizer),
            "config": job.config.model_dump(mode="json"),
            "tokens": learning.tokens,
            "best_validation_loss": learning.best if math.isfinite(learning.best) else None,
            "best_step": learning.best_step,
            "spikes": learning.spikes.state(),
            "identity": job.course.identity(),
            "circumstances": job.circumstances,
            **({"branch": {"parent": job.branch.parent, "offset_rows": job.branch.offset_rows}} if job.branch else {}),
        }
        content = checkpoint.Content(tensors, state, trained.tokenizer_files(tokenizer))
        folder, keep = job.out / CHECKPOINTS, job.config.train.keep
        checkpoint.save(folder, learning.step, content, keep, best_step=learning.best_step, seen=learning.seen)
        remote.push_later(job.config.run.out, learning.seen.say)
    world.barrier()


def write_config(job: Job) -> None:
    """Write the resolved config, in a store too, so that one that refuses does so before the first step.

    Called once the run may go on: a config that is refused, or only planned, leaves the one that the checkpoints belong to.
    """
    files.write_text(str(job.out / CONFIG), json.dumps(job.config.model_dump(mode="json"), indent=1) + "\n")
    remote.begin(job.config.run.out, CONFIG)
