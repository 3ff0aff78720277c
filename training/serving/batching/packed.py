"""Matrix products whose rows do not depend on each other, not even in their last bits.

PyTorch's `linear` on a CPU takes another kernel for one row than for many, and sums in another order: an answer would depend on
who else is being answered. oneDNN's product with weights in blocks, packed once, gives a row the same bits in a batch of any
size (seen with torch 2.13 for 1 to 64 rows, 1 and 2 threads, 14 shapes); for wide layers it is faster, too.
Nothing guarantees that for every machine, so the model is run at start with batches of several sizes (`agreeing_sizes`), and only
those that agree are used.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.composed import Composed
from training.models.composed_encoder import ComposedEncoder
from training.models.families import Model
from training.models.t5 import T5

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256)  # of batches that are decoded
_ROWS = 16  # for which the blocks are chosen; other numbers of rows work, too


class PackedLinear(nn.Module):
    """x W^T + b with packed weights; float32 on a CPU."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        operations = cast(Any, torch.ops).mkldnn
        self.product: Callable[..., Tensor] = operations._linear_pointwise
        self.weight: Tensor = operations._reorder_linear_weight(weight.detach().clone(), _ROWS)
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, E)."""
        return self.product(x, self.weight, self.bias, "none", [], "")


class PlainLinear(nn.Module):
    """x W^T, where packing is not possible."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight.detach()

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, E)."""
        return functional.linear(x, self.weight)


class Head(nn.Module):
    """The scores of the next token: the model's `logits`."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        untied = None if isinstance(model, Composed | ComposedEncoder) else model.head
        weight = model.embeddings.tokens.weight if untied is None else untied.weight
        self.scale = model.shape.width**-0.5 if isinstance(model, T5) and untied is None else None
        self.product = PackedLinear(weight, None) if can_pack(model) else PlainLinear(weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) -> (…, V) float32."""
        return self.product(hidden if self.scale is None else hidden * self.scale).float()


def can_pack(model: nn.Module) -> bool:
    """Whether the weights are float32 on a CPU whose PyTorch has oneDNN."""
    weight = next(model.parameters())
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and torch.backends.mkldnn.is_available()


def pack(model: Model) -> Head:
    """Replace the model's matrices by packed ones, and return its head. Then only the head gives logits, not `model.logits`."""
    head = Head(model)
    if can_pack(model):
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if type(child) is nn.Linear and child is not getattr(model, "head", None):
                    setattr(module, name, PackedLinear(child.weight, child.bias))
    return head


def agreeing_sizes(scores_of: Callable[[int, int], Tensor], most: int) -> tuple[int, ...]:
    """Return the sizes of batches, ascending, at which every row has the bits that it has in the largest.

    Args:
        scores_of: returns the scores (rows, V) of the first rows in a batch of a size; called with (rows, size).
        most: the largest number of rows.
    """
    sizes = [size for size in SIZES if size < most] + [most]
    wanted = scores_of(most, most)
    return tuple(size for size in sizes if size == most or torch.equal(scores_of(size, size), wanted[:size]))


def padded_size(rows: int, sizes: Sequence[int]) -> int:
    """Return the smallest of the sizes that holds the rows.

    >>> padded_size(5, (1, 4, 8))
    8
    """
    return next(size for size in sizes if size >= rows)
