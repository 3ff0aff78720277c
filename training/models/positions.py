"""Positions of tokens: sinusoids, rotations and relative biases. Learned positions are an `nn.Embedding`.

Shapes: B batch, T queries, S keys, D width of the model, H heads, K width of a head.
"""

import math

import torch
from torch import Tensor, nn


def sinusoids(length: int, width: int) -> Tensor:
    """(T, D) to be added to tokens: sines in the even channels, cosines in the odd (Vaswani et al. 2017, 3.5)."""
    channels = torch.arange(0, width, 2, dtype=torch.float64)  # float32 angles are off by 1e-4 at position 1,000
    angles = torch.arange(length)[:, None] * 10_000.0 ** (-channels / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width].float()


def rotation(positions: Tensor, head_width: int, base: float = 10_000.0) -> Tensor:
    """Cosines and sines by which `attention.rotate` turns queries and keys (RoPE, Su et al. 2021, arXiv 2104.09864, 3.2.2).

    positions (…, T) -> (2, …, T, K / 2). Angles are float32, in the order of operations of the published Llamas' code.
    """
    frequencies = 1.0 / base ** (torch.arange(0, head_width, 2, device=positions.device).float() / head_width)
    angles = positions[..., None].float() * frequencies
    return torch.stack([angles.cos(), angles.sin()])


class RelativeBias(nn.Module):
    """A learned number by head and distance, added to the logits of attention (T5, Raffel et al. 2020, 2.1).

    Distances up to half the number of buckets have a bucket each, larger ones share buckets of logarithmic width, and all
    from `max_distance` on share the last. `bidirectional` splits the buckets between keys before and after the query.
    """

    def __init__(self, heads: int, *, bidirectional: bool, buckets: int = 32, max_distance: int = 128) -> None:
        super().__init__()
        self.bidirectional, self.buckets, self.max_distance = bidirectional, buckets, max_distance
        self.weight = nn.Parameter(torch.zeros(buckets, heads))

    def forward(self, queries: int, keys: int, sees: Tensor | None = None) -> Tensor:
        """The biases of the last T of S positions (1, H, T, S), very low where `sees` (B | 1, 1, T | 1, S) hides a key.

        Not -inf: a leading padding token that sees no key would be NaN, and would spread to tokens that give it no weight.
        """
        distances = torch.arange(1 - keys, queries, device=self.weight.device)
        by_distance = self.weight[self.bucket(distances)].t()  # (H, S + T - 1): all that there are
        biases = by_distance.unfold(1, keys, 1).flip(1)[None]  # the last query's window comes first
        return biases if sees is None else biases.masked_fill(~sees, torch.finfo(biases.dtype).min / 2)

    def bucket(self, distance: Tensor) -> Tensor:
        """Map distances (…), position of the key minus position of the query, to buckets (…)."""
        buckets = self.buckets
        first = torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            first = (distance > 0) * buckets
            distance = distance.abs()
        else:
            distance = (-distance).clamp_min(0)
        exact = buckets // 2
        # mesh-tensorflow's float32, in its order of operations: others move distances to a neighbouring bucket
        share = torch.log(distance.clamp_min(1).float() / exact) / math.log(self.max_distance / exact)
        far = exact + (share * (buckets - exact)).long().clamp_max(buckets - exact - 1)
        return first + torch.where(distance < exact, distance, far)
