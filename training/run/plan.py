"""The resources that a run needs, computed before it starts: `corpusmill pretrain CONFIG --dry-run`."""

import errno
import os
from dataclasses import dataclass

import torch

from pipelines.contract import memory
from training.data.rows.batch import Examples
from training.models.families import Model, layers, parameters
from training.models.recompute import recomputing
from training.run.config import PretrainConfig
from training.run.device import Device
from training.run.feed import Feed, SourceFigures
from training.run.phases import Phase
from training.run.state import Job, TrainingError

# Numbers that an optimiser keeps per weight; Adafactor keeps a row and a column per matrix, next to nothing.
_MOMENTS = {"adamw": 2.0, "google_adam": 2.0, "rms_adamw": 2.0, "adafactor": 0.0, "muon": 1.0}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """The rows that a phase of a run reads (training/run/phases.py); most runs have one phase."""

    steps: int
    end_step: int
    batch_rows: int
    length: int  # of a row
    rows: int  # in the row index
    sources: tuple[SourceFigures, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The numbers of a run; memory is in bytes, for one process."""

    config: PretrainConfig
    parameters: int
    embeddings: int  # of the parameters, those in tables of tokens, segments and positions
    vocabulary: int
    dataset: str
    documents: int
    phases: tuple[PlannedPhase, ...]
    text: int  # UTF-8 bytes in all rows that are read
    weights: int
    gradients: int
    optimizer: int
    activations: int  # of a micro-batch
    checkpoints: int  # on disk: those that are kept and the one being written, each of the whole model
    machine: int | None  # memory of the device

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return self.phases[-1].end_step

    @property
    def tokens(self) -> int:
        """Positions in all rows that are read."""
        return sum(phase.steps * phase.batch_rows * phase.length for phase in self.phases)

    @property
    def epochs(self) -> dict[str, float]:
        """The times that the text of each source is read, over all phases."""
        epochs: dict[str, float] = {}
        for figures in (source for phase in self.phases for source in phase.sources):
            epochs[figures.source] = epochs.get(figures.source, 0.0) + (figures.epochs or 0.0)
        return epochs

    @property
    def memory(self) -> int:
        """Memory that a process needs."""
        return self.weights + self.gradients + self.optimizer + self.activations

    @property
    def fits(self) -> bool:
        """Whether the device has enough memory, as far as is known."""
        return self.machine is None or self.memory <= self.machine


def plan(job: Job, model: Model, processes: int = 1) -> Plan:
    """Compute what the job needs with this model."""
    config, feed = job.config, job.course.last
    weights = 4 * parameters(model)
    optimizer = int(_MOMENTS[config.train.optimizer] * weights)
    shared = processes if config.train.strategy == "fsdp" else 1
    totals = feed.dataset.totals("train")
    return Plan(
        config=config,
        parameters=parameters(model),
        embeddings=parameters(model) - sum(parameters(layer) for layer in layers(model)),
        vocabulary=feed.dataset.tokenizer.size,
        dataset=feed.dataset.uri,
        documents=totals["rows"],
        phases=tuple(map(_phase, job.course.phases)),
        text=job.course.bytes(job.course.steps),
        weights=weights // shared,
        gradients=weights // shared,
        optimizer=optimizer // shared,
        activations=max(_activations(config, phase.feed, model, processes) for phase in job.course.phases),
        checkpoints=(config.train.keep + 1 + config.train.keep_best) * (weights + optimizer),
        machine=_machine(config.train.device),
    )


def lines(planned: Plan) -> list[str]:
    """Format a plan for people."""
    config, epochs = planned.config, planned.epochs.values()
    rows = [f"data    {planned.dataset}: {planned.documents:,} documents"]
    for phase in planned.phases:
        until = f", up to step {phase.end_step:,}" if len(planned.phases) > 1 else ""
        rows.append(f"rows    {phase.rows:,} of {phase.length} tokens, {phase.batch_rows:,} a step{until}")
        for source in phase.sources:
            shares = f"{source.padding_share or 0:.1%} padding, {source.cropped_share or 0:.1%} cropped"
            drawn = f"{source.draws or 0:,} drawn, {source.tokens or 0:,} tokens, {source.epochs or 0:,.2f} epochs"
            rows.append(f"        {source.source}: {source.rows:,} rows, {shares}; {drawn}")
    return [
        *rows,
        f"model   {config.model.family}, {planned.parameters:,} parameters, {planned.embeddings:,} of them outside the layers, "
        f"vocabulary {planned.vocabulary:,}",
        f"train   {planned.steps:,} steps: {planned.tokens:,} tokens at most, {_bytes(planned.text)} of text, "
        f"{min(epochs):,.2f} to {max(epochs):,.2f} epochs",
        f"memory  {_bytes(planned.memory)}: weights {_bytes(planned.weights)}, "
        f"gradients {_bytes(planned.gradients)}, {config.train.optimizer} {_bytes(planned.optimizer)}, "
        f"activations {_bytes(planned.activations)}"
        + ("" if planned.machine is None else f" of {_bytes(planned.machine)}")
        + ("" if planned.fits else f", too little: {_advice(config)}"),
        f"disk    {_bytes(planned.checkpoints)} for checkpoints in {config.run.out}",
    ]


def _phase(phase: Phase) -> PlannedPhase:
    feed = phase.feed
    return PlannedPhase(
        steps=phase.end_step - phase.first_step,
        end_step=phase.end_step,
        batch_rows=feed.batch_rows,
        length=feed.config.rows.length,
        rows=len(feed.index),
        sources=feed.figures(),
    )


def refuse_if_too_large(planned: Plan) -> None:
    """Raise TrainingError, naming the numbers to change, if the run cannot fit: Linux would kill it without a message."""
    if planned.fits:
        return
    assert planned.machine is not None
    needed = f"{_bytes(planned.memory)} of memory, {_bytes(planned.activations)} of it for activations"
    raise TrainingError(
        f"{planned.config.run.out}: needs about {needed}; the machine has {_bytes(planned.machine)}: {_advice(planned.config)}"
    )


def does_not_fit(error: BaseException, config: PretrainConfig) -> str | None:
    """Return what to do about an error that memory is exhausted; None for any other error."""
    message = str(error)
    # on a CPU, torch raises a bare RuntimeError that only its text tells apart
    if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "can't allocate memory" not in message:
        return None
    return f"out of memory; {_advice(config)} ({message.splitlines()[0] if message else type(error).__name__})"


def no_space(error: BaseException) -> str | None:
    """Return what to do about an error that a disk is full, or a quota or a limit reached; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in _FULL:
        return None
    return f"cannot write ({error}); what is saved is whole: free some space, and run the same command to resume"


def _advice(config: PretrainConfig) -> str:
    train, rows = config.train, config.data.batch_rows
    more = min(rows, 2 * train.accumulate)
    ways = [f"raise train.accumulate from {train.accumulate} to {more} (the same gradient)"] if more > train.accumulate else []
    if not train.activation_checkpointing:
        ways.append("set train.activation_checkpointing=true")
    return ", ".join([*ways, f"or lower data.batch_rows ({rows}) or rows.length ({config.rows.length})"])


def _activations(config: PretrainConfig, feed: Feed, model: Model, processes: int) -> int:
    """Return the bytes that the forward pass of a micro-batch keeps for the backward pass.

    Measured with one and two rows on the CPU, and extrapolated: every further row takes the same.
    """
    rows = -(-feed.batch_rows // (processes * config.train.accumulate))
    one, two = (_kept(config, model, feed.batch(0, 0, count)) for count in (1, min(2, feed.batch_rows)))
    return one + (two - one) * (rows - 1)


def _kept(config: PretrainConfig, model: Model, examples: Examples) -> int:
    """Measure the bytes that are kept for the backward pass over these examples."""
    kept: dict[int, int] = {}
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    alive: list[torch.Tensor] = []  # so that no two storages have the same address

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    recomputed = layers(model) if config.train.activation_checkpointing else []
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    device = Device("cpu", config.train.dtype)
    with torch.random.fork_rng(devices=[]), device.autocast(), hooks, recomputing(recomputed):
        model.losses(device.tensors(examples))
    return sum(size for storage, size in kept.items() if storage not in own)


def _machine(device: str) -> int | None:
    """Bytes of memory of a GPU, or of this process' share of the machine (torchrun says how many there are) and its limit."""
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory
    return memory.total_bytes() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _bytes(size: float) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
