"""Where a share of the best or worst scores begins: "the best tenth by dclm" as a number for each language.

>>> limits(pa.array([.1, .9, .5, .7, None], pa.float32()), pa.array(["en"] * 5), Share("top", "dclm", .5))
{'en': Limit(value=0.699999988079071, scored=4, within=2)}

A score that is the same for texts on both sides of the border puts them all within, so a share can be larger than it was named.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.schema import UNKNOWN_LANGUAGE

SIDES = frozenset(("top", "bottom"))


class Share(NamedTuple):
    """The texts of a language with the highest or lowest scores."""

    side: str  # of SIDES
    score: str
    share: float  # of the scored texts, between 0 and 1

    @property
    def name(self) -> str:
        """The share as a config writes it."""
        return f"{self.side}({self.score}, {self.share})"


class Limit(NamedTuple):
    """The last score that is within a share, and the texts of the language."""

    value: float
    scored: int
    within: int


def limits(scores: pa.Array, languages: pa.Array, share: Share) -> dict[str, Limit]:
    """Return the limit of each language (null: "und") that has a score; float32 scores may be null."""
    known = pc.is_valid(scores)
    values = scores.filter(known).to_numpy()
    codes = pc.fill_null(languages.filter(known), UNKNOWN_LANGUAGE).dictionary_encode()
    numbers = codes.indices.to_numpy()
    order = np.argsort(numbers, kind="stable")
    groups = np.split(values[order], np.cumsum(np.bincount(numbers))[:-1])
    by_language = zip(codes.dictionary.to_pylist(), groups, strict=True)
    return {code: _limit(group, share) for code, group in sorted(by_language)} if len(values) else {}


def _limit(values: NDArray[np.float32], share: Share) -> Limit:
    wanted = math.ceil(Fraction(repr(share.share)) * len(values))  # 0.1 of 30 is 3; floats make it 4
    if share.side == "top":
        value = np.partition(values, len(values) - wanted)[len(values) - wanted]
        within = values >= value
    else:
        value = np.partition(values, wanted - 1)[wanted - 1]
        within = values <= value
    return Limit(float(value), len(values), int(within.sum()))
