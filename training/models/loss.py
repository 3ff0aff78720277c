"""Cross-entropy over a large vocabulary without its logits.

Shapes: D width of the model, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

IGNORE = -100  # a target that is not predicted
_LOGITS_PER_CHUNK = 2**22  # 16 MiB of float32 logits at a time, whatever the batch and the vocabulary


def cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None = None) -> Tensor:
    """Sum over predicted targets of -log softmax(hidden @ weight.T + bias)[target], in nats: a float32 scalar.

    hidden (…, D), weight (V, D), bias (V,), targets (…) with IGNORE where nothing is predicted. The logits exist in chunks
    only: the gradient is computed in the forward pass, chunk by chunk, so that (…, V) is never held.
    """
    learns = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    loss = _ChunkedCrossEntropy.apply(hidden.reshape(-1, hidden.shape[-1]), weight, targets.reshape(-1), bias, learns)
    assert isinstance(loss, Tensor)
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None, learns: bool
    ) -> Tensor:
        grad_hidden = torch.zeros_like(hidden) if learns else None
        grad_weight = torch.zeros_like(weight) if learns else None
        grad_bias = torch.zeros_like(bias) if learns and bias is not None else None
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        rows = max(1, _LOGITS_PER_CHUNK // weight.shape[0])
        for first in range(0, hidden.shape[0], rows):
            chunk = hidden[first : first + rows]
            logits = (chunk @ weight.t()).float()
            if bias is not None:
                logits += bias
            target = targets[first : first + rows]
            predicted = target != IGNORE
            at = target.clamp_min(0)[:, None]
            normaliser = logits.logsumexp(dim=-1, keepdim=True)
            loss += ((normaliser - logits.gather(-1, at))[:, 0] * predicted).sum()
            if grad_hidden is None or grad_weight is None:
                continue
            slope = logits.sub_(normaliser).exp_()  # softmax, in the place of the logits
            slope.scatter_add_(-1, at, torch.full_like(at, -1, dtype=slope.dtype))
            slope *= predicted[:, None]
            if grad_bias is not None:
                grad_bias += slope.sum(0)
            slope = slope.to(hidden.dtype)
            grad_hidden[first : first + rows] = slope @ weight
            grad_weight += slope.t() @ chunk
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return loss

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        return (
            grad_hidden * grad_output,
            grad_weight * grad_output,
            None,
            None if grad_bias is None else grad_bias * grad_output,
            None,
        )
