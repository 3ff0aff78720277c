"""The shared part of the scripts in this folder: a training loop over random tokens on one GPU, and its report.

The model is in float32 with fused AdamW, the forward pass under bfloat16 autocast, as the trainer runs it; the whole loss,
forward and backward, is one compiled graph (a graph break is an error). Batches are on the device, and nothing waits for it
between the first and the last step. Dropout is 0 by default. Compilation, which takes minutes, is timed separately.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from training.models.families import SIZES, Model, Shape, make, parameters
from training.models.loss import LOGITS_PER_CHUNK
from training.run.config import TrainSection
from training.run.resources import flops
from training.run.updates.optimizers import optimizers

ATTENTIONS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
BATCHES = 4  # that take turns
WARM_UP = 5  # steps, the first of which compile


@dataclass(frozen=True)
class Case:
    """The measurement of a script."""

    family: str
    size: str
    rows: int  # of a micro-batch
    unit: str
    goal: str
    per_row: int  # units of a row
    changes: Mapping[str, Any]  # of the shape's numbers
    batch: Callable[[Any, int, torch.Generator], Mapping[str, Tensor]]  # rows -> examples
    counts: Callable[[int], Mapping[str, int]]  # rows -> by what each term of the loss is divided
    flops: Mapping[str, Callable[[Any], float]]  # convention -> of a row


@dataclass(frozen=True)
class Measured:
    """Seconds of the timed steps, and of what came before them."""

    weights: int
    seconds: float
    compile_seconds: float
    first_loss: float
    last_loss: float
    peak_bytes: int


def parser(doc: str | None, case: Case) -> argparse.ArgumentParser:
    """Return the options of every script; a script may add its own."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    options.add_argument("--size", default=case.size, help=f"default: {case.size}")
    options.add_argument("--rows", type=int, default=case.rows, help=f"of a micro-batch (default: {case.rows})")
    options.add_argument("--accumulate", type=int, default=1, help="micro-batches of a step (default: 1)")
    options.add_argument("--steps", type=int, default=60, help="that are timed (default: 60)")
    options.add_argument("--mode", default="default", help="of torch.compile; none: not compiled; max-autotune: slow to start")
    options.add_argument("--attention", choices=list(ATTENTIONS), help="kernel to prefer (default: as torch chooses)")
    options.add_argument("--dropout", type=float, default=0.0)
    options.add_argument("--chunk", type=int, default=28, help="logits that exist at a time, as a power of two (default: 28)")
    options.add_argument("--peak", type=float, default=flops.H100_BF16 / 1e12, help="TFLOP/s for the MFU (default: an H100's)")
    return options


def main(case: Case, options: argparse.Namespace) -> int:
    """Measure and report."""
    if options.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU: nothing was measured (--device cpu --size demo --steps 2 tries the script)")
        return 1
    shape = replace(SIZES[case.family][options.size], dropout=options.dropout, **case.changes)
    torch.set_float32_matmul_precision("high")
    LOGITS_PER_CHUNK["cuda"] = 2**options.chunk
    measured = measure(case, shape, options)
    report(case, shape, options, measured)
    return 0


def measure(case: Case, shape: Shape, options: argparse.Namespace) -> Measured:
    """Train for some steps."""
    device = options.device
    model = make(shape, seed=1).to(device).train()
    step = stepper(case, model, options)
    with preferred(options.attention):
        start = time.perf_counter()
        first = step(0).item()
        for number in range(1, WARM_UP if device == "cuda" else 1):
            step(number)
        wait(device)
        compiled = time.perf_counter() - start
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        last = torch.zeros(())
        for number in range(options.steps):
            last = step(number)
        wait(device)
        seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    return Measured(parameters(model), seconds, compiled, first, last.item(), peak)


def stepper(case: Case, model: Model, options: argparse.Namespace) -> Callable[[int], Tensor]:
    """Return a function that makes step k and returns its loss without waiting for the device."""
    device, rows, parts = options.device, options.rows, options.accumulate
    generator = torch.Generator().manual_seed(1)
    batches = [
        {name: value.to(device) for name, value in case.batch(model.shape, rows, generator).items()} for _ in range(BATCHES)
    ]
    function = forward(model, device, {term: count * parts for term, count in case.counts(rows).items()})
    if options.mode != "none":
        function = torch.compile(function, fullgraph=True, mode=None if options.mode == "default" else options.mode)
    (optimizer,) = optimizers(model, TrainSection(steps=1, learning_rate=1e-4), rows)  # AdamW

    def step(number: int) -> Tensor:
        total = torch.zeros((), device=device)
        for part in range(number * parts, (number + 1) * parts):
            torch.compiler.cudagraph_mark_step_begin()
            loss = function(batches[part % BATCHES])
            loss.backward()
            total += loss.detach()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total

    return step


def forward(model: Model, device: str, counts: Mapping[str, int]) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Return a function that computes the loss of a micro-batch, as its share of the step's."""

    def loss(examples: Mapping[str, Tensor]) -> Tensor:
        with torch.autocast(device, dtype=torch.bfloat16):
            sums = model.losses(examples)
        return torch.stack([sums[term] / count for term, count in counts.items()]).sum()

    return loss


def preferred(attention: str | None) -> AbstractContextManager[Any]:
    """Return a context in which that attention kernel is preferred."""
    if attention is None:
        return nullcontext()
    first = ATTENTIONS[attention]
    return sdpa_kernel(
        [first, *(kernel for kernel in ATTENTIONS.values() if kernel != first), SDPBackend.MATH], set_priority=True
    )


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def report(case: Case, shape: Shape, options: argparse.Namespace, measured: Measured) -> None:
    """Print the table and the line for machines."""
    rows_a_second = options.rows * options.accumulate * options.steps / measured.seconds
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    batch = f"{options.rows} rows x {options.accumulate}"
    print(f"{case.family} {options.size}, {measured.weights / 1e6:.1f} M weights, {batch}, {name}")
    print(f"torch {torch.__version__}, bfloat16 autocast, compile {options.mode}, attention {options.attention or 'auto'}")
    print(f"loss {measured.first_loss:.3f} -> {measured.last_loss:.3f} after {options.steps} steps")
    print(f"{'compile and warm-up':<28}{measured.compile_seconds / 60:>12.2f} minutes")
    print(f"{'step':<28}{measured.seconds / options.steps * 1e3:>12.1f} ms")
    if options.device == "cuda":
        print(f"{'peak memory':<28}{measured.peak_bytes / 2**30:>12.1f} GiB")
    print(f"{'examples/s':<28}{rows_a_second:>12,.1f}")
    print(f"{case.unit:<28}{rows_a_second * case.per_row:>12,.0f}")
    for convention, of_row in case.flops.items() if options.device == "cuda" else ():
        rate = rows_a_second * of_row(shape) / 1e12
        print(f"{'MFU, ' + convention:<28}{100 * rate / options.peak:>12.1f} % of {options.peak:.0f} TFLOP/s ({rate:.1f})")
    as_intended = options.device == "cuda" and options.size == case.size
    print(
        f"\nRESULT\tgpu_{case.family}_{options.size}\t{rows_a_second * case.per_row:.1f}\t{case.unit}\t"
        f"{case.goal if as_intended else '-'}"
    )
