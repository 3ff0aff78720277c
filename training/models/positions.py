"""Where a token stands: sinusoids, rotations and relative biases. Learned positions are an `nn.Embedding`.

Shapes: B batch, T queries, S keys, D width of the model, H heads, K width of a head.
"""

import math

import torch
from torch import Tensor, nn


def sinusoids(length: int, width: int) -> Tensor:
    """(T, D) to be added to tokens: sines in the even channels, cosines in the odd (Vaswani et al. 2017, 3.5)."""
    angles = torch.arange(length)[:, None] * 10_000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


def rotation(positions: Tensor, head_width: int, base: float = 10_000.0) -> Tensor:
    """Cosines and sines by which `attention.rotate` turns queries and keys (RoPE, Su et al. 2021, arXiv 2104.09864, 3.2.2).

    positions (…, T) -> (2, …, T, K / 2).
    """
    frequencies = base ** (-torch.arange(0, head_width, 2, device=positions.device) / head_width)
    angles = positions[..., None] * frequencies
    return torch.stack([angles.cos(), angles.sin()])


class RelativeBias(nn.Module):
    """A learned number by head and distance, added to the logits of attention (T5, Raffel et al. 2020, 2.1).

    Distances up to half of the buckets have one each, farther ones share buckets of logarithmic width, and all from
    `max_distance` on the last one. `bidirectional` splits the buckets between keys before and behind the query.
    """

    def __init__(self, heads: int, *, bidirectional: bool, buckets: int = 32, max_distance: int = 128) -> None:
        super().__init__()
        self.bidirectional, self.buckets, self.max_distance = bidirectional, buckets, max_distance
        self.weights = nn.Embedding(buckets, heads)

    def forward(self, queries: int, keys: int) -> Tensor:
        """(1, H, T, S) for the last T of S positions."""
        device = self.weights.weight.device
        query = torch.arange(keys - queries, keys, device=device)
        distance = torch.arange(keys, device=device)[None, :] - query[:, None]  # of a key behind the query: positive
        return self.weights(self.bucket(distance)).permute(2, 0, 1)[None]

    def bucket(self, distance: Tensor) -> Tensor:
        """Place of the key minus place of the query (…) -> its bucket (…)."""
        buckets = self.buckets
        first = torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            first = (distance > 0) * buckets
            distance = distance.abs()
        else:
            distance = (-distance).clamp_min(0)
        exact = buckets // 2
        # in float32, as mesh-tensorflow: another precision moves distances between buckets
        scale = (buckets - exact) / math.log(self.max_distance / exact)
        far = exact + (torch.log(distance.clamp_min(1).float() / exact) * scale).long().clamp_max(buckets - exact - 1)
        return first + torch.where(distance < exact, distance, far)
