"""Integrated gradients: how much each token of a row adds to a score (Sundararajan et al. 2017, arXiv 1703.01365).

    attribution of token t = (e_t - b_t) · the integral over a from 0 to 1 of d score(b + a (e - b)) / d e_t

where e are the embeddings of the row and b those of a row without content, in which each piece of the text is padding. The
attributions add up to score(e) - score(b) (completeness, 3 there): the gap that is left says how exact the integral is.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

STEPS = 64  # points of the Gauss-Legendre quadrature
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Attributions:
    """What each token of a row adds to a score."""

    by_token: list[float]  # (T,)
    score: float
    empty_score: float  # of the row without content

    @property
    def gap(self) -> float:
        """What is missing to completeness."""
        return self.score - self.empty_score - sum(self.by_token)


def integrated_gradients(
    tokens: nn.Embedding,
    score: Callable[[Mapping[str, Tensor]], Tensor],
    examples: Mapping[str, Tensor],
    kept: Collection[int],
    empty: int,
    steps: int = STEPS,
) -> Attributions:
    """Return the attributions of a row.

    Args:
        tokens: the embedding, whose output is what is integrated over; it is called with ids (B, T).
        score: examples of B rows -> (B,).
        examples: one row, {"inputs": (1, T), …}.
        kept: ids that stay in the row without content (special pieces).
        empty: the id that replaces all others.
        steps: points of the quadrature.
    """
    nodes, shares = np.polynomial.legendre.leggauss(steps)
    places, shares = torch.tensor((nodes + 1) / 2, dtype=torch.float32), torch.tensor(shares / 2, dtype=torch.float32)
    total = torch.zeros(examples["inputs"].shape[1])
    for part, share in zip(places.split(_AT_ONCE), shares.split(_AT_ONCE), strict=True):
        total += _part(tokens, score, examples, kept, empty, part, share)
    with torch.no_grad():
        ends = [float(_scored(tokens, score, examples, kept, empty, torch.tensor([a]))[0][0]) for a in (1.0, 0.0)]
    return Attributions(total.tolist(), ends[0], ends[1])


def _part(
    tokens: nn.Embedding,
    score: Callable[[Mapping[str, Tensor]], Tensor],
    examples: Mapping[str, Tensor],
    kept: Collection[int],
    empty: int,
    places: Tensor,
    shares: Tensor,
) -> Tensor:
    """Return the sum of some points of the quadrature: (T,)."""
    scores, calls = _scored(tokens, score, examples, kept, empty, places)
    slopes = torch.autograd.grad(scores.sum(), [point for _, point, _ in calls])
    total = torch.zeros(examples["inputs"].shape[1])
    for (ids, _, difference), slope in zip(calls, slopes, strict=True):
        by_place = ((slope * shares.to(slope)[:, None, None]).sum(0) * difference[0]).sum(-1).cpu()
        # A decoder reads the row one place later, after its last token, which is special and adds nothing.
        shifted = not torch.equal(ids[0], examples["inputs"][0])
        total += by_place.roll(-1) if shifted else by_place
    return total


def _scored(
    tokens: nn.Embedding,
    score: Callable[[Mapping[str, Tensor]], Tensor],
    examples: Mapping[str, Tensor],
    kept: Collection[int],
    empty: int,
    places: Tensor,
) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    """Return the scores at points of the way (B,), and for each call of the embedding its ids, points and e - b."""
    calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def between(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        ids = given[0]
        stays = torch.isin(ids, torch.tensor(sorted(kept), device=ids.device))
        base = tokens.forward(torch.where(stays, ids, empty)).detach()
        difference = out.detach() - base
        point = (base + places.to(out)[:, None, None] * difference).requires_grad_()
        calls.append((ids, point, difference))
        return point

    rows = {name: values.expand(len(places), *values.shape[1:]) for name, values in examples.items()}
    hook = tokens.register_forward_hook(between)
    try:
        return score(rows), calls
    finally:
        hook.remove()
