"""The training loop, to be read from top to bottom.

Nothing but the weights, the optimiser, a few recent losses and one integer is carried from step to step: the batch of step
k, its learning rate and its dropout are functions of (data, seed, k). So a run that was killed at any moment and resumed ends
with the same losses and weights, bit for bit, as one that was not (same machine, threads, processes and torch).
"""

import fcntl
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.contract.errors import UserError
from training.checkpoints import store as checkpoint
from training.checkpoints import trained
from training.checkpoints.store import CHECKPOINTS, CheckpointError
from training.data.draws import key
from training.data.rows.batch import Examples
from training.generation.answers import sample_text
from training.models.families import Model
from training.run import optimizers as optim
from training.run import validation as evaluate
from training.run.config import PretrainConfig
from training.run.device import Device
from training.run.feed import Feed
from training.run.pace import Pace
from training.run.phases import Course
from training.run.processes import Learner, World, learner, load_model_state, load_optimizer_state, model_state, optimizer_state
from training.run.progress import Metrics, ProgressLine, StopRequest, Tensorboard
from training.run.spikes import Spikes
from training.run.validation import Validation

METRICS = "metrics.jsonl"
SAMPLES = "samples.jsonl"
TENSORBOARD = "tensorboard"
# What may differ between a checkpoint and the run that goes on from it: it changes no loss and no weight but for last bits.
_FREE_FIELDS = {
    "data": {"tokens", "name", "rows", "verify"},  # the dataset's fingerprint is compared instead
    "train": {
        *("workers", "eval_every", "eval_rows", "sample_every", "save_every", "keep", "keep_best", "log_every", "tensorboard"),
        *("threads", "device", "compile", "accumulate", "activation_checkpointing", "strategy", "peak_tflops", "max_skipped"),
    },
}
_READ = "tokens read"  # beside the terms of a loss
_COMPARED_SECTIONS = ("data", "rows", "objective", "model", "train")


class TrainingError(UserError):
    """Training cannot start or go on; the message says which number to change."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a run is made of."""

    config: PretrainConfig
    course: Course
    validation: Validation
    circumstances: dict[str, Any]  # see training/run/circumstances.py; another one warns

    @property
    def out(self) -> Path:
        """The run's folder."""
        return Path(self.config.run.out)


@dataclass(slots=True)
class Learning:
    """What changes while a run goes on; all of it is in a checkpoint."""

    learner: Learner
    optimizers: list[torch.optim.Optimizer]
    spikes: Spikes
    step: int = 0  # updates done, those that were skipped included
    tokens: int = 0  # read up to here
    best: float = math.inf  # lowest validation loss so far
    best_step: int | None = None  # of the checkpoint that is kept for it (train.keep_best)


def train(
    job: Job, model: Model, device: Device, world: World, *, flops_per_row: float | None = None, peak: float | None = None
) -> Learning:
    """Train to the last step, from the newest complete checkpoint if there is one.

    `flops_per_row` and `peak` (of all devices together, operations a second) are for MFU alone. After SIGTERM or SIGINT the
    step is finished and saved, and SystemExit carries 143 or 130.
    """
    settings, first = job.config.train, world.rank == 0
    learning = start(job, model, device, world)
    progress = ProgressLine(settings.steps, settings.log_every if first else settings.steps + 1)
    with _locked(job.out, world), StopRequest() as stop:
        resume(job, learning, device, world, progress.say)
        pace = Pace(settings.steps, flops_per_row, peak)
        batches = job.course.batches(
            learning.step, rank=world.rank, world=world.size, workers=settings.workers, micro_batches=settings.accumulate
        )
        with _Record(job, learning.step or None, on=first) as record, closing(batches):
            if learning.step == 0:
                untrained = evaluate.measure(learning.learner, job.validation, device, world)
                record.write({"step": 0, "tokens": 0, "bytes": 0, **untrained})
            for step, feed, examples in batches:
                line = update(job, learning, feed, device, world, step, examples, stopping=bool(stop.signal))
                stopping = bool(line.pop("stopping")) or (world.size == 1 and bool(stop.signal))
                speed = pace.step(line["batch_tokens"], feed.batch_rows)
                line |= {"tokens": learning.tokens, "bytes": job.course.bytes(learning.step), **speed.as_metrics()}
                with pace.paused():
                    is_best = False
                    if _due(learning.step, settings.eval_every, settings.steps):
                        line |= evaluate.measure(learning.learner, job.validation, device, world)
                        is_best = settings.keep_best and line["validation_loss"] < learning.best
                        learning.best = min(learning.best, line["validation_loss"])
                        learning.best_step = learning.step if is_best else learning.best_step
                    if settings.sample_every and _due(learning.step, settings.sample_every, settings.steps):
                        record.sample(learning.step, sample(job, learning.learner, world))
                    record.write(line)
                    if first:
                        progress.show(line, pace.left(learning.step))
                    if _due(learning.step, settings.save_every, settings.steps) or stopping or is_best:
                        record.sync()
                        save(job, learning, world)
                if stopping and learning.step < settings.steps:
                    if first:
                        progress.say(f"stopped by a signal after step {learning.step}; saved, the same command goes on from here")
                    raise SystemExit(stop.exit_code)
        progress.close()
    return learning


def start(job: Job, model: Model, device: Device, world: World) -> Learning:
    """A model that has learnt nothing yet, spread over the processes, and its optimisers."""
    settings = job.config.train
    if world.size > 1 and settings.strategy == "fsdp" and settings.optimizer == "adafactor":
        raise TrainingError('train.optimizer: torch\'s Adafactor cannot work on shares of weights; use train.strategy="ddp"')
    made = learner(model.to(device.name), world, device, settings.strategy)
    optimizers = optim.optimizers(made.model, settings, job.course.last.batch_rows)
    return Learning(made, optimizers, Spikes(settings.spike_window, settings.skip_above, settings.max_skipped))


def update(
    job: Job,
    learning: Learning,
    feed: Feed,
    device: Device,
    world: World,
    step: int,
    batches: Sequence[Examples],
    *,
    stopping: bool = False,
) -> dict[str, Any]:
    """One step: the gradient of the mean loss over all targets of the global batch (in pieces), clipped, and the update.

    Its line for metrics.jsonl; "stopping" in it says whether any process was asked to stop.
    """
    settings = job.config.train
    counted = [feed.counts(batch) for batch in batches]
    counts = {term: sum(of[term] for of in counted) for term in counted[0]}
    totals = world.sums({**counts, _READ: sum(feed.tokens(batch) for batch in batches)})
    tokens = int(totals[_READ])
    loss = torch.zeros((), device=device.name)
    for number, batch in enumerate(batches):
        _seed_dropout(settings.seed, step, number, world.rank)
        with learning.learner.accumulating(last=number == len(batches) - 1):
            with device.autocast():
                sums = learning.learner.losses(device.tensors(batch))
            # divided by the counts of the whole step, so that micro-batches of any size add up to the same gradient
            share = torch.stack([sums[term] / max(1, totals[term]) for term in sums]).sum()
            share.backward()
        loss += share.detach()
    norm = float(optim.clip(learning.learner.model.parameters(), settings.clip))
    told = world.sums({"loss": float(loss), "stopping": float(stopping)})
    verdict = learning.spikes.judge(told["loss"], norm)
    line: dict[str, Any] = {
        "step": step + 1,
        "loss": told["loss"],
        "learning_rate": optim.set_learning_rates(learning.optimizers, optim.share(step, settings)),
        "gradient_norm": norm,
        "loss_z": verdict.loss_z,
        "gradient_norm_z": verdict.gradient_norm_z,
        "batch_tokens": tokens,
        "stopping": told["stopping"],
    }
    for optimizer in learning.optimizers:
        if verdict.reason is None:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if verdict.reason is not None:
        line["skipped"] = verdict.reason
    learning.step, learning.tokens = step + 1, learning.tokens + tokens
    return line


def save(job: Job, learning: Learning, world: World) -> None:
    """Write the checkpoint of this step: the same files whatever the number of processes. All of them take part."""
    tensors = {
        "model": model_state(learning.learner),
        "optimizer": optimizer_state(learning.learner, learning.optimizers),
    }
    if world.rank == 0:
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
        }
        content = checkpoint.Content(tensors, state, trained.tokenizer_files(tokenizer))
        checkpoint.save(job.out / CHECKPOINTS, learning.step, content, job.config.train.keep, best_step=learning.best_step)
    world.barrier()


def resume(job: Job, learning: Learning, device: Device, world: World, say: Callable[[str], None]) -> None:
    """Load the newest complete checkpoint, if there is one; else the weights to begin with, if the config names some.

    Raises CheckpointError when it was made with another config or dataset, naming the field.
    """
    found = checkpoint.newest(job.out / CHECKPOINTS, say)
    if found is None:
        if (begin := job.config.train.init_from) is not None:
            weights = trained.first_weights(begin, learning.learner.model, job.course.last.dataset.tokenizer)
            load_model_state(learning.learner, weights)
        return
    refuse_other(found, job)
    for name, value in job.circumstances.items():
        if (was := found.state["circumstances"].get(name)) != value:
            say(f"the checkpoint was made with {name} {was}, this is {value}: losses may differ in their last bits")
    load_model_state(learning.learner, found.load("model", device.name))
    load_optimizer_state(learning.learner, learning.optimizers, found.load("optimizer", device.name))
    learning.spikes.restore(found.state["spikes"])
    learning.step, learning.tokens = found.step, int(found.state["tokens"])
    best = found.state["best_validation_loss"]
    learning.best, learning.best_step = math.inf if best is None else float(best), found.state["best_step"]
    if world.rank == 0:
        checkpoint.name_best(job.out / CHECKPOINTS, learning.best_step)
    say(f"resumed from {found.path} (step {found.step})")


def refuse_other(found: checkpoint.Checkpoint, job: Job) -> None:
    """Raise CheckpointError, naming the field, when the checkpoint belongs to another run."""
    advice = "set it back, or name another folder in run.out"
    here = job.config.model_dump(mode="json")
    then = found.state.get("config", {})
    for section in _COMPARED_SECTIONS:
        for field, value in here[section].items():
            was = then.get(section, {}).get(field)
            if field not in _FREE_FIELDS.get(section, set()) and was != value:
                raise CheckpointError(f"{found.path}: {section}.{field} was {was!r}, and is {value!r} here; {advice}")
    for name, value in job.course.identity().items():
        if (was := found.state["identity"].get(name)) != value:
            raise CheckpointError(f"{found.path}: was trained on another {name} ({was}, here {value}); {advice}")


def sample(job: Job, learner: Learner, world: World) -> str:
    """What the model makes of the config's prompt now; all processes take part, the first one gets the text."""
    asked = job.config.sample
    tokenizer = job.course.last.dataset.tokenizer
    model = learner.whole()
    if world.rank:
        return ""
    model.eval()
    text = sample_text(
        model,
        tokenizer,
        asked.prompt,
        asked.tokens,
        temperature=asked.temperature,
        top_k=asked.top_k,
        seed=job.config.train.seed,
    )
    model.train()
    return text


def _due(step: int, every: int, steps: int) -> bool:
    return step % every == 0 or step == steps


def _seed_dropout(seed: int, step: int, micro_batch: int, rank: int) -> None:
    """Dropout of a step does not depend on what was drawn before: there is no generator state to save."""
    torch.manual_seed(int(key(seed, step, micro_batch, rank)[0]) >> 1)


class _Record:
    """All that a run writes while it goes on, by its first process: metrics, samples, TensorBoard's files."""

    def __init__(self, job: Job, step: int | None, *, on: bool) -> None:
        """Go on after this step; None: from the beginning, even if a run that was killed before its first save got further."""
        self._on = on
        if not on:
            return
        self._prompt = job.config.sample.prompt
        self._metrics = Metrics(job.out / METRICS, step)
        self._samples = Metrics(job.out / SAMPLES, step)
        self._tensorboard = Tensorboard(job.out / TENSORBOARD, step) if job.config.train.tensorboard else None

    def write(self, line: dict[str, Any]) -> None:
        if self._on:
            self._metrics.write(line)
            if self._tensorboard:
                self._tensorboard.write(line)

    def sample(self, step: int, text: str) -> None:
        if self._on:
            self._samples.write({"step": step, "prompt": self._prompt, "text": text})
            if self._tensorboard:
                self._tensorboard.sample(step, text)

    def sync(self) -> None:
        if self._on:
            self._metrics.sync()
            self._samples.sync()

    def __enter__(self) -> "_Record":
        return self

    def __exit__(self, *_: object) -> None:
        if self._on:
            self._metrics.close()
            self._samples.close()
            if self._tensorboard:
                self._tensorboard.close()


@contextmanager
def _locked(out: Path, world: World) -> Generator[None]:
    """Keep a second run out of the folder; the lock ends with the first process, however it ends."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") if world.rank == 0 else nullcontext() as stream:
        if stream is not None:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                advice = "wait for it, or name another folder in run.out"
                raise TrainingError(f"{out}: another run is writing here; {advice}") from None
        yield
