"""Feed-forward blocks and a norm. Families are built from these, attention.py, positions.py and loss.py.

Shapes: B batch, T length, D width of the model, F inner width.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.contract.errors import UserError

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,  # with erf (Hendrycks and Gimpel 2016): BERT in PyTorch, BART
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),  # its approximation: Google's BERT, GPT-2, T5 1.1
    "relu": functional.relu,  # T5 1.0
    "silu": functional.silu,  # with a gate: SwiGLU (Shazeer 2020)
}


def refuse_activation(name: str, known: Collection[str] = tuple(ACTIVATIONS)) -> None:
    """Raise UserError for an activation that is none of the known."""
    if name not in known:
        raise UserError(f"activation must be one of {', '.join(known)}, not {name!r}")


def inner_width(inner: int | None, width: int) -> int:
    """Return the inner width of a feed-forward block: by default four times the model's (Vaswani et al. 2017, table 3)."""
    return 4 * width if inner is None else inner


class FeedForward(nn.Module):
    """Two matrices with an activation between them (Vaswani et al. 2017, 3.3)."""

    def __init__(self, width: int, inner: int, activation: str, *, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.inner = nn.Linear(width, inner, bias=bias)
        self.output = nn.Linear(inner, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.output(self.dropout(self.activation(self.inner(x))))


class GatedFeedForward(nn.Module):
    """An activated half gates a linear half (GLU variants, Shazeer 2020, arXiv 2002.05202, 2): GEGLU, SwiGLU, ReGLU."""

    def __init__(self, width: int, inner: int, activation: str, *, bias: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.gate_inner = nn.Linear(width, 2 * inner, bias=bias)
        self.output = nn.Linear(inner, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        gate, inner = self.gate_inner(x).chunk(2, dim=-1)
        return self.output(self.dropout(self.activation(gate) * inner))


class RMSNorm(nn.RMSNorm):
    """Divides by the root of the mean square and scales (Zhang and Sennrich 2019, arXiv 1910.07467); the mean stays, no bias.

    In training on the CPU it uses its own gradient, twice as fast as PyTorch's, which takes a dozen steps.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        if x.device.type != "cpu" or x.dtype != self.weight.dtype or not torch.is_grad_enabled():
            return super().forward(x)
        normed = _RMSNorm.apply(x, self.weight, self.eps)
        assert isinstance(normed, Tensor)
        return normed


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        factor = size.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        normed = x * factor
        ctx.save_for_backward(normed, factor, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        normed, factor, weight = ctx.saved_tensors
        of_weight = (grad_output * normed).flatten(0, -2).sum(0)
        slope = grad_output * weight
        along = (slope * normed).mean(-1, keepdim=True)  # the component along x, which only changes its length
        return slope.addcmul_(normed, along, value=-1).mul_(factor), of_weight, None
