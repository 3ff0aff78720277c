"""Floating-point operations of a training step, from which MFU (model FLOPs utilisation) is computed.

An example's forward and backward pass takes (PaLM, Chowdhery et al. 2022, arXiv 2204.02311, appendix B; a multiplication and an
addition are two operations): 6 for each entry of a matrix and each token that passes through it, and 12 T S D for each
attention of T queries to S keys, including keys that a mask hides. Norms, biases, softmax, activations, lookups, the optimiser
and recomputation do not count. BERT's heads for sentence pairs are left out (under 0.01 %). Padding counts, also where a
composed encoder skips it: its MFU is too high by the share of padding.

Figures for GPT commonly follow other conventions: nanoGPT counts all weights except positions (norms and biases, too), llm.c
all weights and half of the attention. Both are here by name; always name the convention beside an MFU.
"""

import time
from collections.abc import Callable, Mapping

import torch

from training.models.bart import BARTShape
from training.models.bert import BERTShape
from training.models.composed import ComposedShape
from training.models.families import Shape, build, layers, parameters
from training.models.gpt import GPTShape
from training.models.t5 import T5Shape
from training.objectives.configured import Objective
from training.objectives.masked_lm import MaskedLM
from training.objectives.span_corruption import SpanCorruption
from training.objectives.ul2 import MixtureOfDenoisers

H100_BF16 = 989e12  # FLOP/s, dense, of an H100 SXM and an H200 (NVIDIA's data sheet, without sparsity)
# By a part of the name: bfloat16 (V100: float16) and float32 without TF32, from NVIDIA's data sheets, without sparsity.
_GPUS = {
    "H200": (H100_BF16, 67e12),
    "H100": (H100_BF16, 67e12),
    "A100": (312e12, 19.5e12),
    "L40S": (362e12, 91.6e12),
    "L4": (121e12, 30.3e12),
    "A10": (125e12, 31.2e12),
    "4090": (165e12, 82.6e12),
    "V100": (125e12, 15.7e12),
}
_MEASURED_SIZES, _MEASURED_TIMES = (256, 1024), 24  # of the matrix multiplications that measure a CPU
_MEASURED_SECONDS = 0.5  # for a dtype; without bfloat16 in hardware a large multiplication takes seconds


def row(shape: Shape, objective: Objective, length: int) -> float:
    """Return the operations of a training row of `length` tokens, for any family; for GPT by its matrices."""
    match shape, objective:
        case BERTShape(), MaskedLM():
            return bert(shape, length, length * objective.share)
        case GPTShape(), _:
            return gpt(shape, length)
        case BARTShape(), _:
            return bart(shape, length, length)
        case T5Shape(), SpanCorruption() | MixtureOfDenoisers():
            return t5(shape, length, objective.target_length)
        case ComposedShape(), MaskedLM():
            return composed_encoder(shape, length, length * objective.share)
        case ComposedShape(), _:
            return _composed(shape, length)
        case _:
            raise AssertionError(f"{type(shape).__name__} is not trained with {type(objective).__name__}")


def peak(device: str, dtype: str, given: float | None) -> float | None:
    """Return the peak FLOP/s of a device: `given` 10^12, a GPU's from its data sheet, or a CPU's as measured; None if unknown.

    A CPU is measured within a second, by the fastest of a few matrix multiplications in float32 and the dtype of the
    passes: with bfloat16 some CPUs compute several times as fast, others far slower.
    """
    if given is not None:
        return given * 1e12
    if device == "cpu":
        return max(_measured(kind) for kind in {torch.float32, getattr(torch, dtype)})
    name = torch.cuda.get_device_name()
    return next((peaks[dtype == "float32"] for known, peaks in _GPUS.items() if known in name), None)


def slower(device: str, dtype: str) -> str | None:
    """Return a warning if a CPU computes more slowly in this dtype than in float32, as those without bfloat16 in hardware do."""
    if device != "cpu" or dtype == "float32":
        return None
    own, other = (_measured(kind) for kind in (getattr(torch, dtype), torch.float32))
    if own > other / 2:
        return None
    return (
        f"train.dtype: this CPU multiplies matrices at {own / 1e9:,.1f} GFLOP/s in {dtype} and at {other / 1e9:,.1f} in float32; "
        'set train.dtype="float32"'
    )


def _measured(dtype: torch.dtype) -> float:
    """Return the best rate; large matrices are left out if the small ones took all the time (a dtype without hardware)."""
    best, end = 0.0, time.monotonic() + _MEASURED_SECONDS
    for size in _MEASURED_SIZES:
        left, right = (torch.ones(size, size, dtype=dtype) for _ in range(2))
        for _ in range(_MEASURED_TIMES):
            if best and time.monotonic() > end:
                return best
            began = time.perf_counter()
            torch.mm(left, right)
            best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def _composed(shape: ComposedShape, length: int) -> float:
    attention = shape.layers * _attention(length, length, shape.width)
    return 6 * length * (_matrices_of_layers(shape) + shape.vocabulary * shape.width) + attention


def composed_encoder(shape: ComposedShape, length: int, predictions: float) -> float:
    """Return the operations of a row as `bert`; a token of a local layer has the keys of its window, if the row is longer."""
    nearby = length if shape.window is None else min(length, shape.window + 1)
    keys = sum(nearby if shape.is_local(layer) else length for layer in range(shape.layers))
    layers = _matrices_of_layers(shape) * 6 * length + _attention(length, keys, shape.width)
    return layers + 6 * predictions * (shape.width**2 + shape.vocabulary * shape.width)


def _matrices_of_layers(shape: ComposedShape) -> int:
    """Count the matrix entries of all layers."""
    with torch.device("meta"):
        model = build(shape)
    return sum(weight.numel() for layer in layers(model) for weight in layer.parameters() if weight.ndim == 2)


def bert(shape: BERTShape, length: int, predictions: float) -> float:
    """Return the operations of a row with `predictions` masked tokens on average, the only ones that the head reads."""
    return _layers(shape, length) + 6 * predictions * (shape.width**2 + shape.vocabulary * shape.width)


def gpt(shape: GPTShape, length: int) -> int:
    """Return the operations of a row: its matrices, including the head, and its attention."""
    return _layers(shape, length) + 6 * length * shape.vocabulary * shape.width


def gpt_nanogpt(shape: GPTShape, length: int) -> int:
    """Return the operations of a row as nanoGPT's `estimate_mfu` counts them."""
    weights = _weights(shape) - shape.length * shape.width
    return 6 * weights * length + shape.layers * _attention(length, length, shape.width)


def gpt_llm_c(shape: GPTShape, length: int) -> int:
    """Return the operations of a row as llm.c's `gpt2_estimate_mfu` counts them."""
    return 6 * _weights(shape) * length + shape.layers * _attention(length, length, shape.width) // 2


GPT_CONVENTIONS: Mapping[str, Callable[[GPTShape, int], int]] = {"matrices": gpt, "nanoGPT": gpt_nanogpt, "llm.c": gpt_llm_c}


def bart(shape: BARTShape, inputs: int, targets: int) -> int:
    """Return the operations of an example whose encoder reads `inputs` tokens and whose decoder writes `targets`."""
    encoder, decoder = shape.inner_widths
    layers, feed_forward = (shape.encoder_layers, shape.decoder_layers), (2 * shape.width * encoder, 2 * shape.width * decoder)
    return _two_stacks(layers, shape.width, shape.width, feed_forward, shape.vocabulary, inputs, targets)


def t5(shape: T5Shape, inputs: int, targets: int) -> int:
    """Return the operations of an example whose encoder reads `inputs` tokens and whose decoder writes `targets`."""
    feed_forward = (3 if shape.gated else 2) * shape.width * shape.inner
    layers, inside = (shape.encoder_layers, shape.decoder_layers), shape.heads * shape.head_width
    return _two_stacks(layers, shape.width, inside, (feed_forward, feed_forward), shape.vocabulary, inputs, targets)


def _two_stacks(
    layers: tuple[int, int],
    width: int,
    inside: int,
    feed_forward: tuple[int, int],
    vocabulary: int,
    inputs: int,
    targets: int,
) -> int:
    """Count an encoder and a decoder; `inside` is the width of all heads, `feed_forward` the entries of the matrices of each."""
    square = width * inside
    encoder = (4 * square + feed_forward[0]) * 6 * inputs + _attention(inputs, inputs, inside)
    decoder = (6 * square + feed_forward[1]) * 6 * targets + 2 * square * 6 * inputs  # keys and values of the memory
    decoder += _attention(targets, targets, inside) + _attention(targets, inputs, inside)
    return layers[0] * encoder + layers[1] * decoder + 6 * targets * vocabulary * width


def _layers(shape: BERTShape | GPTShape, length: int) -> int:
    """Count the operations of all layers: their matrices and their attention."""
    feed_forward = 2 * shape.width * shape.inner_width
    inside = [heads * shape.head_width for heads in shape.heads_by_layer]
    return sum((4 * shape.width * one + feed_forward) * 6 * length + _attention(length, length, one) for one in inside)


def _attention(queries: int, keys: int, width: int) -> int:
    return 12 * queries * keys * width


def _weights(shape: GPTShape) -> int:
    with torch.device("meta"):
        return parameters(build(shape))
