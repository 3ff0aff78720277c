"""Cross-entropy over a large vocabulary without its logits.

Shapes: N predictions, D width of the model, V vocabulary, C predictions in a chunk.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from training.data.rows.batch import IGNORE

RIGHT = "_right"  # follows the name of a term of the loss where the number of its right predictions is beside it
# Logits in memory at a time, by device. On the CPU 16 MiB in float32: less makes the products slow, more leaves the cache.
# A GPU wants products of thousands of rows: 1 GiB in float32, and no more than some dozen chunks to launch or to compile.
LOGITS_PER_CHUNK = {"cpu": 2**22, "cuda": 2**28}


class Predicted(NamedTuple):
    """What a model predicts tokens from: hidden (N, D), weight (V, D), targets (N,) with IGNORE, bias (V,)."""

    hidden: Tensor
    weight: Tensor
    targets: Tensor
    bias: Tensor | None


_records: ContextVar[list[Predicted] | None] = ContextVar("predictions", default=None)


@contextmanager
def recorded() -> Generator[list[Predicted]]:
    """Collect what the losses within the block are computed from, in order: the one way to it that all families share."""
    found = list[Predicted]()
    token = _records.set(found)
    try:
        yield found
    finally:
        _records.reset(token)


def cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None = None, *, label_smoothing: float = 0.0
) -> Tensor:
    """Return the loss of `cross_entropy_and_right` alone; with smoothed labels that of torch's `cross_entropy`."""
    loss = cross_entropy_and_right(hidden, weight, targets, bias)[0]
    return loss + label_smoothing * _smoothing(hidden, weight, targets, bias) if label_smoothing else loss


def _smoothing(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None) -> Tensor:
    """Return the sum over predictions of the target's logit minus the mean logit.

    The loss with a share e of the probability spread over all V is (1 - e) (L - l[target]) + e (L - mean l), where L is the
    logarithm of the sum of the exponentials of the logits l: the plain loss and e times this, which needs no logits.
    """
    predicted, at = targets != IGNORE, targets.clamp_min(0)
    above = (hidden.float() * (weight[at] - weight.mean(0)).float()).sum(-1)
    if bias is not None:
        above = above + bias[at] - bias.mean()
    return (above * predicted).sum()


def cross_entropy_and_right(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum over predicted targets of -log softmax(hidden @ weight.T + bias)[target], in nats, and how many are predicted right.

    The sum is a float32 scalar, the number an int64 scalar: those whose logit is the largest, ties included.

    hidden (…, D), weight (V, D), bias (V,), targets (…) with IGNORE where nothing is predicted. The logits exist in chunks
    only: the gradient is computed in the forward pass, chunk by chunk, so that (…, V) is never held. The products run in the
    dtype of autocast, the rest in float32 (all in float64 where hidden is).
    """
    hidden, targets = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
    if hidden.device.type == "cpu" and not torch.compiler.is_compiling():  # elsewhere counting them would synchronise the device
        predicted = targets != IGNORE
        if not predicted.all():
            hidden, targets = hidden[predicted], targets[predicted]
    if (records := _records.get()) is not None:
        records.append(Predicted(hidden, weight, targets, bias))
    loss, right = _ChunkedCrossEntropy.apply(hidden, weight, targets, bias, torch.is_grad_enabled())  # pyright: ignore
    assert isinstance(loss, Tensor) and isinstance(right, Tensor)
    return loss, right


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None, learns: bool
    ) -> tuple[Tensor, Tensor]:
        of_hidden, of_weight, _, of_bias, _ = (learns and needed for needed in ctx.needs_input_grad)
        grad_hidden = torch.zeros_like(hidden) if of_hidden else None
        grad_weight = torch.zeros_like(weight) if of_weight else None
        grad_bias = torch.zeros_like(bias) if bias is not None and of_bias else None
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        exact = torch.promote_types(hidden.dtype, torch.float32)
        rows = max(1, min(len(hidden), LOGITS_PER_CHUNK[device] // len(weight)))
        loss = torch.zeros((), dtype=exact, device=hidden.device)
        right = torch.zeros((), dtype=torch.int64, device=hidden.device)
        with torch.autocast(device, enabled=False):
            inputs, matrix = hidden.to(dtype), weight.to(dtype)
            product = inputs.new_empty(rows, len(weight))  # shared by all chunks: allocating costs as much as the exponentials
            for first in range(0, len(hidden), rows):
                chunk, target = inputs[first : first + rows], targets[first : first + rows, None]
                logits = torch.mm(chunk, matrix.t(), out=product[: len(chunk)]).to(exact)
                if bias is not None:
                    logits += bias
                terms, best, slope, scale = _terms(logits, target)
                loss += terms.sum()
                right += best.sum()
                # the gradient of the logits is slope * scale: scaled where it has D columns, not V
                if grad_hidden is not None:
                    grad_hidden[first : first + rows] = torch.mm(slope.to(dtype), matrix) * scale
                if grad_weight is not None:
                    _add_product(grad_weight, slope.to(dtype).t(), (chunk * scale).to(dtype))
                if grad_bias is not None:
                    grad_bias += scale[:, 0] @ slope
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.mark_non_differentiable(right)
        return loss, right

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_output: Tensor, _: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = (None if grad is None else grad * grad_output for grad in ctx.saved_tensors)
        return grad_hidden, grad_weight, None, grad_bias, None


def _terms(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (C, V), which are overwritten, and targets (C, 1) -> loss (C, 1), right (C, 1), slope (C, V) and scale (C, 1).

    A prediction is right if the target's logit is the largest. slope * scale is the gradient of the loss by the logits:
    softmax minus 1 at the target; 0 for an ignored target.
    """
    predicted, at = target != IGNORE, target.clamp_min(0)
    logits -= logits.amax(dim=-1, keepdim=True)
    of_target = logits.gather(-1, at)
    slope = logits.exp_()
    total = slope.sum(dim=-1, keepdim=True)
    slope.scatter_(-1, at, slope.gather(-1, at) - total)
    return (total.log() - of_target) * predicted, (of_target == 0) & predicted, slope, predicted / total


def _add_product(to: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right in place, in one operation if the dtypes allow it."""
    if to.dtype == left.dtype:
        to.addmm_(left, right)
    else:
        to += torch.mm(left, right)
