"""The resources that a run needs, computed before it starts: `corpusmill pretrain CONFIG --dry-run`."""

import errno
import os
from dataclasses import dataclass

import torch

from pipelines.contract import memory
from training.models.families import Shape, build, layers, parameters
from training.run.config import PretrainConfig
from training.run.device import Device
from training.run.feed import Feed, SourceFigures
from training.run.phases import Phase
from training.run.pretraining import Pretraining
from training.run.resources.footprint import Footprint, footprint
from training.run.state import TrainingError
from training.run.validation import micro_batch

# A process takes this beyond what it has when it begins to train: threads, kernels, batches made ahead, TensorBoard.
_GROWS = 40 * 10**6
_CONTEXT = 500 * 10**6  # of a GPU, for CUDA's kernels and workspaces; not measured
_BUCKET = 25 * 2**20  # DDP's, of gradients; gloo copies one while it sums
_REMEMBERED = {None: 0, "distill": 1, "ewc": 2}  # the older model's weights, and the Fisher information of each
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """The rows that a phase of a run reads (training/run/phases.py); most runs have one phase."""

    steps: int
    end_step: int
    batch_rows: int
    length: int  # of a row
    rows: int  # in the row index
    drawn: int  # rows of all steps; those of a branch's parent may have had other sizes of batch
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
    activations: int  # what a step, an evaluation or a save takes beside these at most
    process: int  # what Python and the libraries take; on a GPU its context
    checkpoints: int  # on disk: those that are kept and the one being written, each of the whole model
    machine: int | None  # memory of the device
    advice: str = ""  # if it does not fit: what does (training/run/resources/fit.py)

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return self.phases[-1].end_step

    @property
    def tokens(self) -> int:
        """Positions in all rows that are read."""
        return sum(phase.drawn * phase.length for phase in self.phases)

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
        return self.weights + self.gradients + self.optimizer + self.activations + self.process

    @property
    def fits(self) -> bool:
        """Whether the device has enough memory, as far as is known."""
        return self.machine is None or self.memory <= self.machine


def plan(job: Pretraining, device: Device, processes: int = 1) -> Plan:
    """Compute what the job needs; no model is made."""
    config, feed = job.config, job.course.last
    shape = config.model.shape(feed.dataset.tokenizer.size, config.positions)
    with torch.device("meta"):
        model = build(shape)
    prints = [_footprint(job, phase.feed, shape, device, processes) for phase in job.course.phases]
    on_gpu = device.name == "cuda"
    largest = max(prints, key=lambda found: _beside(found, config, processes, on_gpu=on_gpu))
    shared = processes if config.train.strategy == "fsdp" else 1
    return Plan(
        config=config,
        parameters=parameters(model),
        embeddings=parameters(model) - sum(parameters(layer) for layer in layers(model)),
        vocabulary=feed.dataset.tokenizer.size,
        dataset=feed.dataset.uri,
        documents=feed.dataset.totals("train")["rows"],
        phases=tuple(map(_phase, job.course.phases)),
        text=job.course.bytes(job.course.steps),
        weights=largest.weights * (1 + _REMEMBERED[config.remember.method]) // shared,
        gradients=largest.gradients // shared,
        optimizer=largest.optimizer // shared,
        activations=_beside(largest, config, processes, on_gpu=on_gpu),
        process=_CONTEXT if on_gpu else memory.own_bytes() + _GROWS,
        checkpoints=(config.train.keep + 1 + config.train.keep_best) * (largest.weights + largest.optimizer),
        machine=_machine(config.train.device),
    )


def _footprint(job: Pretraining, feed: Feed, shape: Shape, device: Device, processes: int) -> Footprint:
    """Trace a micro-batch of these rows, and the largest batch of the evaluation."""
    settings = job.config.train
    rows = -(-feed.batch_rows // (processes * settings.accumulate))
    # a branch with larger batches has no rows for the steps before it (run/branch.py)
    first = job.first_step if len(job.course.phases) == 1 else 0
    examples = feed.batch(first, 0, min(rows, feed.batch_rows))
    held_out = max((batch.examples for batch in job.validation.batches), key=lambda batch: len(batch["inputs"]))
    held_out = {name: values[: micro_batch(job.config, processes)] for name, values in held_out.items()}
    keeps = settings.accumulate > 1 or (processes > 1 and settings.strategy == "ddp")

    def traced(where: Device) -> Footprint:
        return footprint(shape, settings, where, examples, feed.counts(examples), held_out, keeps_gradients=keeps)

    try:
        return traced(device)
    except (RuntimeError, NotImplementedError):
        if device.name == "cpu":
            raise
        return traced(Device("cpu", device.dtype))  # a kernel of the GPU that cannot be traced without content


def _beside(found: Footprint, config: PretrainConfig, processes: int, *, on_gpu: bool) -> int:
    """Return what a process needs at most beside its weights, gradients and optimiser's state."""
    in_step, in_evaluation = found.activations, found.evaluation - found.gradients
    if processes == 1:
        return max(in_step, in_evaluation)
    if config.train.strategy == "ddp":
        return max(in_step, in_evaluation + found.gradients) + 2 * _BUCKET
    # FSDP: the weights outside the layers, and two layers with their gradients, are whole; a save gathers everything on the CPU
    whole = found.outside + 4 * found.layer
    save = 0 if on_gpu else found.weights + found.optimizer - found.gradients // processes
    return max(in_step + whole, in_evaluation + whole, save)


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
        f"train   {planned.steps:,} steps: {planned.tokens:,} tokens at most, {bytes_for_people(planned.text)} of text, "
        f"{min(epochs):,.2f} to {max(epochs):,.2f} epochs",
        f"memory  {bytes_for_people(planned.memory)}: weights {bytes_for_people(planned.weights)}, "
        f"gradients {bytes_for_people(planned.gradients)}, {config.train.optimizer} {bytes_for_people(planned.optimizer)}, "
        f"activations {bytes_for_people(planned.activations)}, process {bytes_for_people(planned.process)}"
        + ("" if planned.machine is None else f" of {bytes_for_people(planned.machine)}")
        + ("" if planned.fits else f", too little: {planned.advice or _advice(config)}"),
        f"disk    {bytes_for_people(planned.checkpoints)} for checkpoints in {config.run.out}",
    ]


def _phase(phase: Phase) -> PlannedPhase:
    feed = phase.feed
    return PlannedPhase(
        steps=phase.end_step - phase.first_step,
        end_step=phase.end_step,
        batch_rows=feed.batch_rows,
        length=feed.config.rows.length,
        rows=len(feed.index),
        drawn=feed.slots(phase.end_step - phase.first_step),
        sources=feed.figures(),
    )


def refuse_if_too_large(planned: Plan) -> None:
    """Raise TrainingError, naming the numbers to change, if the run cannot fit: Linux would kill it without a message."""
    if planned.fits:
        return
    assert planned.machine is not None
    needed = f"{bytes_for_people(planned.memory)} of memory, {bytes_for_people(planned.activations)} of it for activations"
    raise TrainingError(
        f"{planned.config.run.out}: needs about {needed}; the machine has {bytes_for_people(planned.machine)}: "
        f"{planned.advice or _advice(planned.config)}"
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


def _machine(device: str) -> int | None:
    """Bytes of memory of a GPU, or of this process' share of the machine (torchrun says how many there are) and its limit."""
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory
    return memory.total_bytes() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def bytes_for_people(size: float) -> str:
    """Format a number of bytes.

    >>> bytes_for_people(12_345_678), bytes_for_people(1_234_567_890)
    ('12.3 MB', '1.23 GB')
    """
    return f"{size / 1e9:,.2f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
