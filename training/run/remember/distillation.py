"""The divergence of a model's predictions from an older model's, without the logits of either.

Shapes: N predictions, D width of the model, V vocabulary, C predictions in a chunk.
"""

from typing import Any

import torch
from torch import Tensor

from training.data.rows.batch import IGNORE
from training.models.loss import LOGITS_PER_CHUNK, Predicted


def distillation(new: Predicted, old: Predicted, temperature: float) -> Tensor:
    """Sum over predictions of T^2 KL(old || new), in nats, of softmax(logits / T): a float32 scalar (float64 where hidden is).

    T^2 keeps the size of the gradient whatever the temperature (Hinton et al. 2015, arXiv 1503.02531, 2). As in
    training/models/loss.py, logits exist in chunks only, and the gradient is computed with them.
    """
    assert torch.equal(new.targets, old.targets), "both models predict the same tokens"
    loss = _ChunkedDivergence.apply(new.hidden, new.weight, new.bias, old, temperature)
    assert isinstance(loss, Tensor)
    return loss


class _ChunkedDivergence(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, old: Predicted, temperature: float
    ) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        exact = torch.promote_types(hidden.dtype, torch.float32)
        loss = torch.zeros((), dtype=exact, device=hidden.device)
        grad_hidden, grad_weight = torch.zeros_like(hidden), torch.zeros_like(weight)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        rows = max(1, LOGITS_PER_CHUNK[device] // len(weight))
        with torch.autocast(device, enabled=False):
            for first in range(0, len(hidden), rows):
                part = slice(first, first + rows)
                predicted = (old.targets[part] != IGNORE)[:, None]
                before = _logarithms(old.hidden[part], old.weight, old.bias, temperature, dtype, exact)
                after = _logarithms(hidden[part], weight, bias, temperature, dtype, exact)
                loss += temperature**2 * (before.exp() * (before - after) * predicted).sum()
                slope = temperature * (after.exp() - before.exp()) * predicted  # the gradient of the logits (C, V)
                grad_hidden[part] = slope.to(dtype) @ weight.to(dtype)
                grad_weight += slope.to(dtype).t() @ hidden[part].to(dtype)
                if grad_bias is not None:
                    grad_bias += slope.sum(0)
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return loss

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_output: Tensor
    ) -> tuple[Tensor | None, ...]:
        grads = (None if grad is None else grad * grad_output for grad in ctx.saved_tensors)
        return (*grads, None, None)


def _logarithms(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float, dtype: torch.dtype, exact: torch.dtype
) -> Tensor:
    """Hidden (C, D) -> the logarithms of the probabilities at a temperature (C, V)."""
    logits = (hidden.to(dtype) @ weight.to(dtype).t()).to(exact)
    return torch.log_softmax((logits if bias is None else logits + bias) / temperature, dim=-1)
