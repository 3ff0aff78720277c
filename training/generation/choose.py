"""Choosing the next token: the likeliest, or a draw at a temperature, from the k likeliest, or from a nucleus.

Shapes: B rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.contract.errors import UserError
from training.data import draws


@dataclass(frozen=True, slots=True)
class Choice:
    """How a token is chosen. Raises UserError, naming the number, if one is out of range."""

    temperature: float = 0.0  # 0: the likeliest token; the other two have no effect
    top_k: int | None = None
    top_p: float | None = None  # applied after top_k

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < np.inf:
            raise UserError(f"temperature: must be 0 or more, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k: must be 1 or more, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p: must be more than 0 and at most 1, not {self.top_p}")

    def __call__(self, scores: Tensor, uniforms: Tensor) -> Tensor:
        """Choose an id for each row: scores (B, V), one uniform number in [0, 1) for each row (B,) -> ids (B,)."""
        if self.temperature == 0:
            return scores.argmax(-1)
        return draw(self.filtered(scores), uniforms)

    def filtered(self, scores: Tensor) -> Tensor:
        """Return the scores (B, V) divided by the temperature, -inf for tokens that cannot be drawn."""
        scores = scores / self.temperature
        if self.top_k is not None:
            scores = keep_top_k(scores, self.top_k)
        if self.top_p is not None and self.top_p < 1:
            scores = keep_nucleus(scores, self.top_p)
        return scores


def keep_top_k(scores: Tensor, k: int) -> Tensor:
    """Set (B, V) to -inf except the k highest of a row and ties with the k-th (Fan et al. 2018, arXiv 1805.04833)."""
    least = scores.topk(min(k, scores.shape[-1])).values[:, -1:]
    return scores.masked_fill(scores < least, -torch.inf)


def keep_nucleus(scores: Tensor, p: float) -> Tensor:
    """Set (B, V) to -inf except the nucleus of each row: the smallest set whose probability reaches p.

    Holtzman et al. 2020, arXiv 1904.09751, 3.1.
    Probabilities [.5 .3 .15 .05] and p = .6: [.5 .3] stay, as .5 is not enough. Ties are broken by the lower id.
    """
    ranked, order = scores.sort(descending=True, stable=True)
    probability = ranked.double().softmax(-1)
    before = probability.cumsum(-1) - probability  # the likelier tokens' sum; 0 for the first, which therefore always stays
    return torch.empty_like(scores).scatter_(-1, order, ranked.masked_fill(before >= p, -torch.inf))


def draw(scores: Tensor, uniforms: Tensor) -> Tensor:
    """Draw ids (B,) with probabilities softmax(scores) of (B, V), by inversion of uniform numbers in [0, 1) (B,)."""
    cumulative = scores.double().softmax(-1).cumsum(-1)
    at = uniforms.to(cumulative)[:, None] * cumulative[:, -1:]  # the last one is 1 up to rounding
    return torch.searchsorted(cumulative, at, right=True)[:, 0].clamp_max(scores.shape[-1] - 1)


def uniforms(seeds: Sequence[int], steps: int) -> Tensor:
    """Return uniform numbers in [0, 1), (B, steps) float64; those of a row depend only on its seed."""
    keys = np.concatenate([draws.key(seed) for seed in seeds])
    return torch.from_numpy((draws.words(keys, steps) >> np.uint64(11)) * 2.0**-53)
