"""The training loop, to be read from top to bottom.

Only the weights, the optimiser, a few recent losses and one integer are carried from step to step: the batch of step k, its
learning rate and its dropout are functions of (data, seed, k). A run that was killed at any moment and resumed therefore ends
with the same losses and weights, bit for bit, as an undisturbed one (same machine, threads, processes and torch).
"""

import fcntl
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

import torch

from training.data.draws import key
from training.data.rows.batch import Examples
from training.models.families import Model
from training.models.tuned import Tuned
from training.run import terms
from training.run.device import Device
from training.run.distributed.processes import Learner, World, learner
from training.run.pace import Pace
from training.run.progress import SIGNALS, ProgressLine, Record, StopRequest
from training.run.remember.memory import REMEMBER
from training.run.resume import resume
from training.run.state import Batches, Job, Learning, TrainingError, save, write_config
from training.run.updates import optimizers as optim
from training.run.updates.spikes import Spikes, Verdict

_READ = "tokens read"  # summed with the counts of the loss terms


@dataclass(frozen=True, slots=True)
class Update:
    """A finished step."""

    metrics: dict[str, Any]  # for metrics.jsonl
    tokens: int  # read by all processes
    signal: int | None  # a signal to stop that any process got


def train(
    job: Job, model: Model | Tuned, device: Device, world: World, *, flops_per_row: float | None = None, peak: float | None = None
) -> Learning:
    """Train to the last step, from the newest complete checkpoint if there is one.

    `flops_per_row` and `peak` (operations per second of all devices together) are used for MFU only. After SIGTERM,
    SIGINT, SIGHUP or SIGUSR1 in any process the current step is finished and saved, and SystemExit carries 128 + the signal.
    """
    settings, first = job.config.train, world.rank == 0
    learning = start(job, model, device, world)
    progress = ProgressLine(settings.steps, settings.log_every if first else settings.steps + 1)
    with _locked(job.out, world), StopRequest() as stop:
        resume(job, learning, device, world, progress.say)
        world.first(lambda: write_config(job))
        pace = Pace(settings.steps, flops_per_row, peak)
        begun = learning.step if learning.step > job.first_step else None
        with Record(job.out, begun, tensorboard=settings.tensorboard, on=first) as record:
            _Loop(job, learning, device, world, progress, pace, record).run(stop)
        progress.close()
    return learning


@dataclass(frozen=True, slots=True)
class _Loop:
    """The steps of a run, with the evaluations, samples and checkpoints between them."""

    job: Job
    learning: Learning
    device: Device
    world: World
    progress: ProgressLine
    pace: Pace
    record: Record

    def run(self, stop: StopRequest) -> None:
        """Train from the learning's step to the last."""
        step, tokens = self.learning.step, self.learning.tokens
        if step == self.job.first_step:
            self.record.write({"step": step, "tokens": tokens, "bytes": self.job.course.bytes(step), **self._measure()})
        settings, world = self.job.config.train, self.world
        if self.job.is_done(self.learning):
            return
        with closing(
            self.job.course.batches(
                self.learning.step, rank=world.rank, world=world.size, workers=settings.workers, micro_batches=settings.accumulate
            )
        ) as batches:
            for step, feed, examples in batches:
                done = update(self.job, self.learning, feed, self.device, world, step, examples, signal=stop.signal)
                number = done.signal or (stop.signal if world.size == 1 else None)
                metrics = done.metrics | self._totals(done, feed)
                with self.pace.paused():
                    self._finish(metrics, stopping=number is not None)
                if number is not None and self.learning.step < settings.steps:
                    self._stop(number)
                if self.job.is_done(self.learning):
                    break

    def _totals(self, done: Update, feed: Batches) -> dict[str, float]:
        """Return what has been read so far, and how fast."""
        speed = self.pace.step(done.tokens, feed.batch_rows)
        read = self.job.course.bytes(self.learning.step)
        return {"tokens": self.learning.tokens, "bytes": read, **speed.as_metrics()}

    def _finish(self, metrics: dict[str, Any], *, stopping: bool) -> None:
        """Evaluate, sample, report and save after a step, whichever is due."""
        settings = self.job.config.train
        is_best = False
        if self._is_due(settings.eval_every):
            metrics, is_best = self._evaluate(metrics)
        if settings.sample_every and self._is_due(settings.sample_every):
            self._sample()
        self.record.write(metrics)
        if self.world.rank == 0:
            self.progress.show(metrics, self.pace.left(self.learning.step))
        if self._is_due(settings.save_every) or stopping or is_best or self.job.is_done(self.learning):
            self.record.sync()
            save(self.job, self.learning, self.world)

    def _evaluate(self, metrics: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Return the metrics with the validation's, and whether the checkpoint of this step is to be kept as the best."""
        measured = self._measure()
        rank = self.job.rank_of(measured)
        is_best = self.job.config.train.keep_best and rank < self.learning.best
        self.learning.best = min(self.learning.best, rank)
        if is_best:
            self.learning.best_step = self.learning.step
        return metrics | measured, is_best

    def _measure(self) -> dict[str, float]:
        return self.job.measure(self.learning.learner, self.device, self.world)

    def _sample(self) -> None:
        if (sample := self.job.sample(self.learning.learner, self.world)) is not None:
            self.record.write_sample(self.learning.step, *sample)

    def _stop(self, number: int) -> None:
        """End the process; the exit code is the same in all of them, as a shell reports it: 143 for SIGTERM."""
        if self.world.rank == 0:
            name = Signals(number).name
            self.progress.say(f"stopped by {name} after step {self.learning.step}; saved, run the same command to resume")
        raise SystemExit(128 + number)

    def _is_due(self, every: int) -> bool:
        return self.learning.step % every == 0 or self.learning.step == self.job.config.train.steps


def start(job: Job, model: Model | Tuned, device: Device, world: World) -> Learning:
    """Return the state before the first step: the model, spread over the processes, and its optimisers."""
    settings = job.config.train
    if world.size > 1 and settings.strategy == "fsdp" and settings.optimizer == "adafactor":
        raise TrainingError('train.optimizer: torch\'s Adafactor does not support sharded weights; use train.strategy="ddp"')
    if world.size > 1 and settings.strategy == "fsdp" and isinstance(model, Tuned):
        raise TrainingError('train.strategy: fine-tuning does not shard weights; use "ddp"')
    if world.size > 1 and settings.strategy == "fsdp" and job.memory is not None:
        raise TrainingError('train.strategy: what [remember] holds is not sharded; use "ddp"')
    spread = learner(model.to(device.name), world, device, settings.strategy, job.memory)
    optimizers = optim.optimizers(spread.model, settings, job.course.batch_rows, job.rate_shares(model))
    return Learning(spread, optimizers, Spikes(settings.spike_window, settings.skip_above, settings.max_skipped))


def update(
    job: Job,
    learning: Learning,
    feed: Batches,
    device: Device,
    world: World,
    step: int,
    batches: Sequence[Examples],
    *,
    signal: int | None = None,
) -> Update:
    """Do one step: compute the gradient of the mean loss over all targets of the global batch, clip it, and update.

    `batches` are the micro-batches of this process; `signal` is one to stop that it got.
    """
    settings = job.config.train
    counted = [feed.counts(batch) for batch in batches]
    counts = {term: sum(batch[term] for batch in counted) for term in counted[0]}
    totals = world.sums({**counts, _READ: sum(feed.tokens(batch) for batch in batches)})
    tokens = int(totals[_READ])
    with world.waiting(f"the gradients of step {step + 1}"):
        loss, sums = accumulate(learning.learner, device, batches, totals, list(counts), (settings.seed, step, world.rank))
    penalty = job.memory.pull(learning.learner.model) if job.memory else None
    norm = float(optim.clip(learning.learner.model.parameters(), settings.clip))
    signals = {number.name: float(number == signal) for number in SIGNALS}
    summed = world.sums({"loss": float(loss), **signals, **sums})
    verdict = learning.spikes.judge(summed["loss"], norm)
    metrics: dict[str, Any] = {
        "step": step + 1,
        "loss": summed["loss"],
        **terms.figures(summed, {term: totals[term] for term in counts}),
        **_remembered(penalty, summed, totals),
        "learning_rate": optim.set_learning_rates(learning.optimizers, optim.share(step, settings)),
        "gradient_norm": norm,
        "loss_z": verdict.loss_z,
        "gradient_norm_z": verdict.gradient_norm_z,
        "batch_tokens": tokens,
    }
    if verdict.reason is not None:
        metrics["skipped"] = verdict.reason
    _apply(learning.optimizers, verdict)
    learning.step, learning.tokens = step + 1, learning.tokens + tokens
    return Update(metrics, tokens, next((number for number in SIGNALS if summed[number.name]), None))


def accumulate(
    learner: Learner,
    device: Device,
    batches: Sequence[Examples],
    totals: dict[str, float],
    names: Sequence[str],
    draws: tuple[int, int, int],
) -> tuple[torch.Tensor, dict[str, float]]:
    """Add up the gradients of the micro-batches.

    Return this process's part of the loss, a scalar, and what the model summed by term, if that is more than the loss. What a
    memory adds (training/run/remember) is in the gradients and the sums, not in the loss.

    Losses are divided by the counts of the whole step, so that micro-batches of any size add up to the same gradient. `names`
    are the terms; `draws` is the seed, the step and the rank, which decide dropout.
    """
    seed, step, rank = draws
    loss, parts = torch.zeros((), device=device.name), list[dict[str, torch.Tensor]]()
    for number, batch in enumerate(batches):
        _seed_dropout(seed, step, number, rank)
        with learner.accumulating(last=number == len(batches) - 1):
            with device.autocast():
                sums = learner.losses(device.tensors(batch))
            share = torch.stack([sums[term] / max(1, totals[term]) for term in names]).sum()
            held = [sums[REMEMBER] / max(1, totals["tokens"])] if REMEMBER in sums else []
            sum(held, share).backward()
        loss += share.detach()
        parts.append({name: value.detach() for name, value in sums.items()})
    return loss, terms.added(parts) if len(parts[0]) > 1 else {}


def _remembered(penalty: float | None, sums: Mapping[str, float], totals: Mapping[str, float]) -> dict[str, float]:
    """Return what the memory adds to the loss of a step: a penalty, or a term like the loss."""
    if REMEMBER in sums:
        return {"remember_loss": sums[REMEMBER] / max(1, totals["tokens"])}
    return {} if penalty is None else {"remember_loss": penalty}


def _apply(optimizers: Sequence[torch.optim.Optimizer], verdict: Verdict) -> None:
    """Update the weights, unless the step is skipped, and drop the gradients."""
    for optimizer in optimizers:
        if verdict.reason is None:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _seed_dropout(seed: int, step: int, micro_batch: int, rank: int) -> None:
    """Make the dropout of a step independent of earlier draws: there is no generator state to save."""
    torch.manual_seed(int(key(seed, step, micro_batch, rank)[0]) >> 1)


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
