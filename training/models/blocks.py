"""Feed-forward blocks. With attention.py, positions.py and loss.py they are what families are put together from.

Shapes: B batch, T length, D width of the model, F inner width.
"""

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,  # with erf (Hendrycks and Gimpel 2016): BERT in PyTorch, BART
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),  # its approximation: Google's BERT, GPT-2, T5 1.1
    "relu": functional.relu,  # T5 1.0
    "silu": functional.silu,  # with a gate: SwiGLU (Shazeer 2020)
}


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
