"""Bands and rows of locality-sensitive hashing, and the probability that two documents share a band."""

from functools import cache
from typing import Any

import numpy as np

_NODES = 64  # of Gauss-Legendre quadrature: accurate to 1e-15 at 512 permutations, to 1e-5 at 4,096
_TIE = 1e-12  # errors that differ by less are equal, so that all machines choose alike: fewest bands, then fewest rows


def meeting_probability(similarity: Any, bands: int, rows: int) -> Any:
    """Return the probability that a pair of this similarity shares at least one band: 1 - (1 - s^rows)^bands.

    >>> round(meeting_probability(0.8, 14, 8), 3)
    0.924
    """
    return 1 - (1 - similarity**rows) ** bands


@cache
def optimal_bands(
    threshold: float, permutations: int, false_positive_weight: float, false_negative_weight: float
) -> tuple[int, int]:
    """Return the bands and rows with the least weighted error, as datasketch's MinHashLSH chooses them.

    The error is the weighted sum of the area under the curve of `meeting_probability` below the threshold (pairs that meet
    but should not) and the area above the curve beyond it (pairs that are missed). If several choices have the same error, as
    with a weight of 0, datasketch's depends on rounding and may differ.
    """
    nodes, shares = np.polynomial.legendre.leggauss(_NODES)
    nodes, shares = (nodes + 1) / 2, shares / 2
    bands = np.repeat(np.arange(1, permutations + 1), permutations // np.arange(1, permutations + 1))
    rows = np.arange(len(bands)) - np.searchsorted(bands, bands) + 1  # for each number of bands from 1 on
    error = np.zeros(len(bands))
    for node, share in zip(nodes, shares, strict=True):
        below, beyond = (threshold * node) ** rows, (threshold + (1 - threshold) * node) ** rows
        met = -np.expm1(bands * np.log1p(-below))  # meeting_probability, precise where it is tiny
        missed = np.exp(bands * np.log1p(-beyond))
        error += share * (threshold * false_positive_weight * met + (1 - threshold) * false_negative_weight * missed)
    best = int(np.flatnonzero(error <= error.min() + _TIE)[0])
    return int(bands[best]), int(rows[best])
