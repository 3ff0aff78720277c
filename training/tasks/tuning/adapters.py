"""LoRA: low-rank adapters beside frozen linear layers (Hu et al. 2021, arXiv 2106.09685, 4.1).

    y = x W' + x A' B' alpha / rank        A (rank, in) drawn, B (out, rank) zero: at first the layer is as before

One adapter serves a layer of queries, keys and values in one matrix, as peft's for GPT-2's c_attn. `merged_weights` in
training/checkpoints/trained.py adds the product to the frozen weight, for exports and for generation.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.tasks.errors import TaskError


class Adapted(nn.Linear):
    """A linear layer with an adapter; `weight` and `bias` keep their names and are frozen."""

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        has_bias = "bias" in dict(layer.named_parameters(recurse=False))
        super().__init__(layer.in_features, layer.out_features, bias=has_bias, device="meta")
        self.weight = nn.Parameter(layer.weight.detach(), requires_grad=False)
        if has_bias:
            self.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
        self.adapter_in = nn.Parameter(torch.empty(rank, layer.in_features))
        self.adapter_out = nn.Parameter(torch.zeros(layer.out_features, rank))
        nn.init.kaiming_uniform_(self.adapter_in, a=math.sqrt(5))
        self.register_buffer("adapter_scale", torch.tensor(alpha / rank))
        self.dropout = nn.Dropout(dropout)
        self.adapter_scale: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        lowered = functional.linear(self.dropout(input), self.adapter_in)
        return super().forward(input) + functional.linear(lowered, self.adapter_out) * self.adapter_scale


def adapt(body: nn.Module, names: Iterable[str], rank: int, alpha: float, dropout: float) -> int:
    """Put an adapter on every linear layer of these names and freeze all other weights; return how many there are.

    Raises TaskError if the body has no such layer.
    """
    wanted = set(names)
    for parameter in body.parameters():
        parameter.requires_grad_(False)
    places = [
        (parent, name)
        for parent in body.modules()
        for name, layer in parent.named_children()
        if name in wanted and isinstance(layer, nn.Linear)
    ]
    if not places:
        raise TaskError(f"model.lora_layers: the body has no linear layer named {' or '.join(sorted(wanted))}")
    for parent, name in places:
        layer = getattr(parent, name)
        setattr(parent, name, Adapted(layer, rank, alpha, dropout))
    return len(places)


def is_adapter(name: str) -> bool:
    """Return whether a weight of this name belongs to an adapter."""
    return name.rsplit(".", 1)[-1] in ("adapter_in", "adapter_out")
