"""The training loop, to be read from top to bottom.

Nothing but the weights, the optimiser and one integer is carried from step to step: the batch of step k, its learning
rate and its dropout are functions of (data, seed, k). So a run that was killed at any moment and resumed ends with the
same losses and weights, bit for bit, as one that was not (same machine, threads and torch).
"""

import fcntl
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training import checkpoint, optim, trained
from training.checkpoint import CHECKPOINTS
from training.config import PretrainConfig
from training.data.draws import key
from training.data.row_batch import Examples
from training.device import Device
from training.evaluate import Validation, validation_loss
from training.feed import Feed
from training.models.families import Model
from training.progress import Metrics, ProgressLine, StopRequest

METRICS = "metrics.jsonl"
# What may differ between a checkpoint and the run that goes on from it: it changes no loss and no weight.
_FREE_FIELDS = {
    "data": {"tokens", "name", "rows", "verify"},  # the dataset's fingerprint is compared instead
    "train": {"workers", "eval_every", "eval_rows", "save_every", "keep", "log_every", "threads", "device", "compile"},
}
_COMPARED_SECTIONS = ("data", "rows", "objective", "model", "train")


class TrainingError(ValueError):
    """Training cannot start or go on; the message says which number to change."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a run is made of."""

    config: PretrainConfig
    feed: Feed
    validation: Validation
    circumstances: dict[str, Any]  # torch, threads, device: another one warns

    @property
    def out(self) -> Path:
        """The run's folder."""
        return Path(self.config.run.out)


def train(job: Job, model: Model, device: Device) -> None:
    """Train to the last step, from the newest complete checkpoint if there is one.

    After SIGTERM or SIGINT the step is finished and saved, and SystemExit carries 143 or 130.
    """
    settings = job.config.train
    progress = ProgressLine(settings.steps, settings.log_every)
    optimizer = optim.adamw(
        model.to(device.name),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=settings.betas,
        epsilon=settings.epsilon,
    )
    with _locked(job.out), StopRequest() as stop:
        step, tokens = resume(job, model, optimizer, device, progress.say)
        pace = _Pace(settings.steps)
        batches = job.feed.batches(step, workers=settings.workers, micro_batches=settings.accumulate)
        with Metrics(job.out / METRICS, step) as metrics, closing(batches):
            if step == 0:
                metrics.write({"step": 0, "tokens": 0, **_evaluate(job, model, device)})
            for number, examples in batches:
                line = update(job, model, optimizer, device, number, examples)
                step, tokens = number + 1, tokens + line["batch_tokens"]
                line |= {"tokens": tokens, "tokens_per_second": round(pace.step(line["batch_tokens"]), 1)}
                with pace.paused():
                    if step % settings.eval_every == 0 or step == settings.steps:
                        line |= _evaluate(job, model, device)
                    metrics.write(line)
                    progress.show(line, pace.left(step))
                    if step % settings.save_every == 0 or step == settings.steps or stop.signal:
                        metrics.sync()
                        save(job, model, optimizer, step, tokens)
                if stop.signal and step < settings.steps:
                    progress.say(f"stopped by a signal after step {step}; saved, the same command goes on from here")
                    raise SystemExit(stop.exit_code)
        progress.close()


def update(
    job: Job, model: Model, optimizer: torch.optim.Optimizer, device: Device, step: int, batches: Sequence[Examples]
) -> dict[str, Any]:  # fmt: skip
    """One step: the gradient of the mean loss over all targets of the global batch (in pieces), clipped, and AdamW."""
    settings = job.config.train
    rate = optim.learning_rate(
        step,
        peak=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        steps=settings.steps,
        min_share=settings.min_share,
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    counted = [job.feed.counts(batch) for batch in batches]
    totals = {term: sum(counts[term] for counts in counted) for term in counted[0]}
    loss = torch.zeros((), device=device.name)
    for number, batch in enumerate(batches):
        _seed_dropout(settings.seed, step, number)
        with device.autocast():
            sums = model.losses(device.tensors(batch))
        # divided by the counts of the whole step, so that micro-batches of any size add up to the same gradient
        share = torch.stack([sums[term] / totals[term] for term in sums]).sum()
        share.backward()
        loss += share.detach()
    norm = optim.clip(model.parameters(), settings.clip)
    line = {
        "step": step + 1,
        "loss": float(loss),
        "learning_rate": rate,
        "gradient_norm": float(norm),
        "batch_tokens": totals["tokens"],
    }
    _check_finite(line, job.out)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return line


def save(job: Job, model: Model, optimizer: torch.optim.Optimizer, step: int, tokens: int) -> Path:
    """Write the checkpoint of this step, up to which so many tokens were predicted."""
    state = {
        **trained.described(model, job.config.model.family, job.feed.dataset.tokenizer),
        "config": job.config.model_dump(mode="json"),
        "tokens": tokens,
        "identity": job.feed.identity(),
        "circumstances": job.circumstances,
    }
    tensors = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    content = checkpoint.Content(tensors, state, trained.tokenizer_files(job.feed.dataset.tokenizer))
    return checkpoint.save(job.out / CHECKPOINTS, step, content, job.config.train.keep)


def resume(
    job: Job, model: Model, optimizer: torch.optim.Optimizer, device: Device, say: Callable[[str], None]
) -> tuple[int, int]:
    """Load the newest complete checkpoint; returns its step and the tokens predicted up to it, 0 when there is none.

    Raises CheckpointError when it was made with another config or dataset, naming the field.
    """
    found = checkpoint.newest(job.out / CHECKPOINTS, say)
    if found is None:
        return 0, 0
    refuse_other(found, job)
    for name, value in job.circumstances.items():
        if found.state["circumstances"].get(name) != value:
            was = found.state["circumstances"].get(name)
            say(f"the checkpoint was made with {name} {was}, this is {value}: losses may differ in their last bits")
    trained.restore(model, found, device.name)
    optimizer.load_state_dict(found.load("optimizer", device.name))
    say(f"resumed from {found.path} (step {found.step})")
    return found.step, int(found.state["tokens"])


def refuse_other(found: checkpoint.Checkpoint, job: Job) -> None:
    """Raise CheckpointError, naming the field, when the checkpoint belongs to another run."""
    advice = "set it back, or name another folder in run.out"
    here = job.config.model_dump(mode="json")
    for section in _COMPARED_SECTIONS:
        then = found.state["config"].get(section, {})
        for field, value in here[section].items():
            if field not in _FREE_FIELDS.get(section, set()) and then.get(field) != value:
                raise checkpoint.CheckpointError(
                    f"{found.path}: {section}.{field} was {then.get(field)!r}, and is {value!r} here; {advice}"
                )
    for name, value in job.feed.identity().items():
        if (was := found.state["identity"].get(name)) != value:
            raise checkpoint.CheckpointError(f"{found.path}: was trained on another {name} ({was}, here {value}); {advice}")


def _evaluate(job: Job, model: Model, device: Device) -> dict[str, float]:
    loss = validation_loss(model, job.validation, device)
    bits = job.validation.bits_per_byte(loss)
    return {"validation_loss": loss, **({} if bits is None else {"validation_bits_per_byte": bits})}


def _seed_dropout(seed: int, step: int, micro_batch: int) -> None:
    """Dropout of a step does not depend on what was drawn before: there is no generator state to save."""
    torch.manual_seed(int(key(seed, step, micro_batch)[0]) >> 1)


def _check_finite(line: dict[str, Any], out: Path) -> None:
    for name in ("loss", "gradient_norm"):
        if not math.isfinite(line[name]):
            raise TrainingError(
                f"{out}: the {name} of step {line['step']} is {line[name]}; lower train.learning_rate, or train.clip, "
                "and start again from the last checkpoint"
            )


class _Pace:
    """Tokens a second and the time left; evaluations and saves are not counted as training."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._began = self._at = time.monotonic()
        self._done = 0
        self._rate: float | None = None

    def step(self, tokens: int) -> float:
        """Tokens per second, smoothed over about ten steps."""
        seconds, self._at = time.monotonic() - self._at, time.monotonic()
        now = tokens / max(seconds, 1e-9)
        self._rate = now if self._rate is None else 0.9 * self._rate + 0.1 * now
        self._done += 1
        return self._rate

    def left(self, step: int) -> float:
        """Seconds to the last step, evaluations and saves included, at the pace so far."""
        return (time.monotonic() - self._began) / self._done * (self._steps - step)

    @contextmanager
    def paused(self) -> Generator[None]:
        """What happens here does not slow down the next step."""
        yield
        self._at = time.monotonic()


@contextmanager
def _locked(out: Path) -> Generator[None]:
    """Keep a second run out of the folder; the lock ends with the process, however it ends."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(f"{out}: another run is writing here; wait for it, or name another folder in run.out") from None
        yield
