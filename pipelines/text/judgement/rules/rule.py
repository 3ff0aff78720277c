"""The form of a rule: a function of the measures that is compared with a threshold of the config."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.measures import Measures

Values = NDArray[np.float64]  # [rows]; NaN where a rule does not apply, which breaks no rule

_BREAKS: dict[str, Any] = {"below": np.less, "above": np.greater, "at_most": np.less_equal, "at_least": np.greater_equal}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a publisher: texts with a value on the wrong side of the threshold break it."""

    threshold: str  # its name in the config's section of the set
    reason: DropReason
    value: Callable[[Measures], Values]
    broken: Literal["below", "above", "at_most", "at_least"]  # values that break the rule, as seen from the threshold

    def breaks(self, values: Values, threshold: float) -> NDArray[np.bool_]:
        """Return which values [rows] break the rule."""
        return _BREAKS[self.broken](values, threshold)


def measure(name: str) -> Callable[[Measures], Values]:
    """Return the function that takes one measure."""
    return lambda m: m[name]


def share(part: str, whole: str) -> Callable[[Measures], Values]:
    """Return the function that divides one measure by another; 0 where the whole is 0."""
    return lambda m: m[part] / np.maximum(m[whole], 1)


def where_marked(value: Callable[[Measures], Values]) -> Callable[[Measures], Values]:
    """Return a value for texts that are mostly in scripts that mark the end of a sentence (Thai and Lao do not)."""
    return lambda m: np.where(2 * m["unmarked_letters"] <= m["letters"], value(m), np.nan)
