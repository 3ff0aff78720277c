"""The sharpness of the loss at a model: the greatest eigenvalue of its Hessian (Cohen et al. 2021, arXiv 2103.00065, 2).

By power iteration. The product of the Hessian and a direction v of length 1 is the difference of the gradients at w + h v and
w - h v over 2 h (LeCun et al. 1993), which needs no second derivative of a kernel.

Gradient descent with a rate above 2 / sharpness cannot settle; a momentum of .9 and an adaptive rate move that limit.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

STEP = 0.01  # h, in the length of all weights together
ITERATIONS = 30
_TOLERANCE = 0.01  # relative; then the iteration ends
_SEED = 1


def sharpness(model: nn.Module, loss: Callable[[], Tensor], iterations: int = ITERATIONS) -> float:
    """Return the greatest eigenvalue, by magnitude, of the Hessian of `loss`, a mean over examples, at the model's weights.

    `loss` runs the model, which has to compute the same each time (eval mode). The weights are left as they were.
    """
    weights = [weight for weight in model.parameters() if weight.is_floating_point()]
    kept = [weight.detach().clone() for weight in weights]
    needed = [weight.requires_grad for weight in weights]
    for weight in weights:
        weight.requires_grad_(True)
    draws = torch.Generator().manual_seed(_SEED)
    direction = [torch.randn(weight.shape, generator=draws).to(weight) for weight in weights]
    value = 0.0
    try:
        for _ in range(iterations):
            length = _length(direction)
            if length == 0:
                return 0.0
            direction = [part / length for part in direction]
            after, before = (_gradients(weights, kept, direction, step, loss) for step in (STEP, -STEP))
            product = [(a - b) / (2 * STEP) for a, b in zip(after, before, strict=True)]
            latest = float(sum((p * d).sum() for p, d in zip(product, direction, strict=True)))
            settled = abs(latest - value) <= _TOLERANCE * abs(latest)
            value, direction = latest, product
            if settled:
                break
    finally:
        with torch.no_grad():
            for weight, own, was in zip(weights, kept, needed, strict=True):
                weight.copy_(own)
                weight.requires_grad_(was)
    return value


def _gradients(
    weights: Sequence[Tensor], kept: Sequence[Tensor], direction: Sequence[Tensor], step: float, loss: Callable[[], Tensor]
) -> list[Tensor]:
    """Return the gradient at a distance along a direction."""
    with torch.no_grad():
        for weight, own, part in zip(weights, kept, direction, strict=True):
            weight.copy_(own + step * part)
    with torch.enable_grad():
        found: Any = torch.autograd.grad(loss(), weights, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]


def _length(parts: Sequence[Tensor]) -> float:
    return float(sum(part.double().square().sum() for part in parts)) ** 0.5
