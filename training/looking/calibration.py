"""Whether a classifier is right as often as it is sure (Guo et al. 2017, arXiv 1706.04599, 2)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 10


class Bin(NamedTuple):
    """The answers whose probability is in a range."""

    start: float
    end: float
    answers: int
    confidence: float  # mean probability
    accuracy: float


class Calibration(NamedTuple):
    """The bins that have answers, and the expected calibration error."""

    bins: tuple[Bin, ...]
    error: float  # ECE: the mean over answers of |accuracy - confidence| of their bin


def calibration(probabilities: Sequence[float], right: Sequence[bool], bins: int = BINS) -> Calibration:
    """Return the reliability of answers with these probabilities: bins of equal width, each with its upper end.

    >>> calibration([0.9, 0.9, 0.6], [True, False, True]).error.__round__(3)
    0.4
    """
    sure, correct = np.asarray(probabilities), np.asarray(right, bool)
    number = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    found = tuple(
        Bin(n / bins, (n + 1) / bins, int(chosen.sum()), float(sure[chosen].mean()), float(correct[chosen].mean()))
        for n in range(bins)
        for chosen in [number == n]
        if chosen.any()
    )
    return Calibration(found, sum(one.answers * abs(one.accuracy - one.confidence) for one in found) / max(1, len(sure)))
