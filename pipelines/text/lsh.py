"""Bands and rows of locality-sensitive hashing, and how likely two documents are to meet."""

from functools import cache
from typing import Any

import numpy as np

_STEPS = 1000  # of the integrals, each in the middle of its interval


def meeting_probability(similarity: Any, bands: int, rows: int) -> Any:
    """The share of pairs of this similarity that have at least one band in common: 1 - (1 - s^rows)^bands.

    >>> round(meeting_probability(0.8, 14, 8), 3)
    0.924
    """
    return 1 - (1 - similarity**rows) ** bands


@cache
def optimal_bands(
    threshold: float, permutations: int, false_positive_weight: float, false_negative_weight: float
) -> tuple[int, int]:
    """Bands and rows with the least weighted error; those that datasketch's MinHashLSH chooses.

    The error is the area under the curve of `meeting_probability` below the threshold (pairs that meet and should not),
    plus the area above the curve beyond it, each times its weight.
    """
    best, least = (0, 0), np.inf
    below = (np.arange(_STEPS) + 0.5) / _STEPS * threshold
    beyond = threshold + (np.arange(_STEPS) + 0.5) / _STEPS * (1 - threshold)
    for bands in range(1, permutations + 1):
        for rows in range(1, permutations // bands + 1):
            positive = meeting_probability(below, bands, rows).mean() * threshold
            negative = (1 - meeting_probability(beyond, bands, rows)).mean() * (1 - threshold)
            error = float(positive * false_positive_weight + negative * false_negative_weight)
            if error < least:
                best, least = (bands, rows), error
    return best
