"""What a run is (`Job`), what it carries from step to step (`Learning`), and the checkpoint that holds both."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import remote, trained
from training.checkpoints import store as checkpoint
from training.checkpoints.store import CHECKPOINTS
from training.data.rows.batch import Examples
from training.models.families import Model
from training.models.tuned import Tuned
from training.run.branch import Branch
from training.run.config import RunConfig
from training.run.device import Device
from training.run.distributed.processes import Learner, World, model_state, optimizer_state
from training.run.distributed.watch import SAVING
from training.run.remember.memory import Memory
from training.run.updates.spikes import Spikes
from training.run.validation import LOSS

CONFIG = "config.json"  # in the run's folder: the resolved config


class TrainingError(UserError):
    """Training cannot start or continue; the message names the number to change."""


class Batches(Protocol):
    """Where the examples of a step come from."""

    @property
    def batch_rows(self) -> int:
        """Rows of a global batch."""
        ...

    def counts(self, examples: Examples) -> dict[str, int]:
        """Return the number of predictions by which each term of the loss is divided."""
        ...

    def tokens(self, examples: Examples) -> int:
        """Count the tokens that a model reads."""
        ...


class Course(Protocol):
    """All steps of a run: the examples of step k are a function of (data, config, k) alone."""

    @property
    def steps(self) -> int:
        """The number of steps."""
        ...

    @property
    def batch_rows(self) -> int:
        """Rows of a global batch, in the last phase."""
        ...

    def bytes(self, steps: int) -> int:
        """Return the UTF-8 bytes of text that the first `steps` steps read."""
        ...

    def batches(
        self, first_step: int, *, rank: int, world: int, workers: int, micro_batches: int
    ) -> Generator[tuple[int, Batches, list[Examples]]]:
        """Yield each step from `first_step` on, where its examples come from, and the micro-batches of this rank."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the batches, as JSON."""
        ...


@dataclass(frozen=True, slots=True)
class Job(ABC):
    """Everything that defines a run, whatever it trains: pretraining (pretraining.py), or a task (training/tasks/finetune.py)."""

    config: RunConfig
    course: Course
    circumstances: dict[str, Any]  # see training/run/circumstances.py; a difference on resume is a warning
    branch: Branch | None = None  # the run began with another's checkpoint
    command: str = "corpusmill pretrain CONFIG"  # for messages; without run.out
    memory: Memory | None = None  # of an older model ([remember])

    @property
    @abstractmethod
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model's ids."""

    @abstractmethod
    def described(self, model: Model | Tuned) -> dict[str, Any]:
        """Return the description of the model, its tokenizer and its task for a checkpoint's state."""

    @abstractmethod
    def measure(self, learner: Learner, device: Device, world: World) -> dict[str, float]:
        """Return figures on held-out data, LOSS among them. Every process has to call it; all get the same."""

    def rank_of(self, measured: Mapping[str, float]) -> float:
        """Return the number by which checkpoints are compared (train.keep_best): the lowest is the best."""
        return measured[LOSS]

    def rate_shares(self, model: Model | Tuned) -> dict[str, float]:
        """Return the share of the learning rate that weights get, by name, where it is not 1."""
        return {}

    def is_done(self, learning: "Learning") -> bool:
        """Return whether the run ends before its last step (early stopping): a function of the learning alone."""
        return False

    def sample(self, learner: Learner, world: World) -> tuple[str, str] | None:
        """Return a prompt and what the model makes of it, None if it writes none. Every process has to call it."""
        return None

    def identity(self) -> dict[str, Any]:
        """Return everything but the config that decides the losses, as JSON: the course's, and that of the memory, if any."""
        return self.course.identity() | ({"memory": self.memory.fingerprint} if self.memory else {})

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
        state = {
            **job.described(learning.learner.model),
            "config": job.config.model_dump(mode="json"),
            "tokens": learning.tokens,
            "best_validation_loss": learning.best if math.isfinite(learning.best) else None,
            "best_step": learning.best_step,
            "spikes": learning.spikes.state(),
            "identity": job.identity(),
            "circumstances": job.circumstances,
            **({"branch": {"parent": job.branch.parent, "offset_rows": job.branch.offset_rows}} if job.branch else {}),
        }
        content = checkpoint.Content(tensors, state, trained.tokenizer_files(job.tokenizer))
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
