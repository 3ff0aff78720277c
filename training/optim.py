"""The optimiser and its learning rate."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def adamw(
    model: nn.Module, *, learning_rate: float, weight_decay: float, betas: tuple[float, float], epsilon: float
) -> torch.optim.AdamW:
    """AdamW with decoupled decay (Loshchilov and Hutter 2019) of matrices and embeddings, not of norms and biases."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon, fused=True)


def learning_rate(step: int, *, peak: float, warmup_steps: int, steps: int, min_share: float) -> float:
    """The rate of update `step` (from 0): a straight line up to the peak, then half a cosine down to `min_share` of it.

    The first update has peak / warmup_steps (never 0), update `warmup_steps` the peak, the last one min_share x peak.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    way = (step - warmup_steps) / max(1, steps - 1 - warmup_steps)
    return peak * (min_share + (1 - min_share) * 0.5 * (1 + math.cos(math.pi * min(way, 1.0))))


def clip(parameters: Iterable[Tensor], limit: float | None) -> Tensor:
    """Scale all gradients so that their global norm is at most `limit`; returns the norm before, a scalar tensor."""
    return nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit)
