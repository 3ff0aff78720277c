"""Find the languages of texts in several languages: which passage belongs to which.

A passage alone is short and often misjudged. So all passages of a text propose languages together, the passages are divided among
them, and a language stays only if the sum of its own passages is judged to be in it. One proposal is that a passage is in no
language that the model knows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.kernels import jit, jit_internal

MOST = 4  # languages of a text, at most
PROPOSED = 0.08  # of a text's letters: the share from which a language is tried, by the sum of its passages' probabilities
STAYS = 20.0  # the odds that a passage is in the language of the one before it
UNKNOWN = 0.25  # the probability of no known language: what the model says of a language that it does not know is lower
CONFIRMED = 0.4  # the probability of a language for its own passages; no other is likelier
LEAST_LETTERS = 100  # of a language, and
LEAST_SHARE = 0.08  # of the text


@dataclass(frozen=True, slots=True)
class Divided:
    """The languages of T texts: U units, each the passages of a text that are in one language. Units are sorted by text."""

    unit: NDArray[np.int64]  # of each passage
    text: NDArray[np.int64]  # U
    group: NDArray[np.int64]  # U, the number of groups for no known language
    letters: NDArray[np.int64]  # U


def divide(
    probabilities: NDArray[np.float32], letters: NDArray[np.int64], offsets: NDArray[np.int64], judge_units: Any
) -> Divided:
    """Return the units of texts whose passages (at least one of each) have these probabilities, float32[passages, groups].

    `judge_units(unit, count)` returns float32[count, groups] for the sums of the passages with the same unit.
    """
    texts, groups = len(offsets) - 1, probabilities.shape[1]
    text_of = np.repeat(np.arange(texts), np.diff(offsets))
    allowed = np.ones((texts, groups + 1), np.bool_)
    while True:
        chosen = np.empty(len(letters), np.int64)
        _assign(probabilities, letters, offsets, allowed, chosen)
        keys, unit = np.unique(text_of * (groups + 1) + chosen, return_inverse=True)
        divided = Divided(unit, keys // (groups + 1), keys % (groups + 1), np.bincount(unit, letters).astype(np.int64))
        refused = _refused(divided, judge_units(unit, len(keys)), texts)
        if not refused.any():
            return divided
        allowed[divided.text[refused], divided.group[refused]] = False


def _refused(divided: Divided, judged: NDArray[np.float32], texts: int) -> NDArray[np.bool_]:
    """Return which units are refused: of each text, the one with the fewest letters of those that do not stand the test."""
    groups = judged.shape[1]
    rows, is_known = np.arange(len(judged)), divided.group < groups
    own = judged[rows, np.minimum(divided.group, groups - 1)]
    largest = _largest(divided, texts)
    of_largest = judged[rows, np.minimum(divided.group[largest][divided.text], groups - 1)]
    total = np.bincount(divided.text, divided.letters, texts)[divided.text]
    is_large = (divided.letters >= LEAST_LETTERS) & (divided.letters >= LEAST_SHARE * total)
    is_right = np.where(is_known, (own >= CONFIRMED) & (judged.argmax(axis=1) == divided.group), of_largest < UNKNOWN)
    is_wrong = ~(is_right & is_large) & (np.bincount(divided.text, minlength=texts)[divided.text] > 1)
    order = np.lexsort((divided.letters, ~is_wrong, divided.text))
    first = order[np.searchsorted(divided.text[order], np.arange(texts))] if len(order) else order
    refused = np.zeros(len(rows), np.bool_)
    refused[first] = is_wrong[first]
    return refused


def _largest(divided: Divided, texts: int) -> NDArray[np.int64]:
    """Return the number of the unit with the most letters, of each text."""
    order = np.lexsort((-divided.letters, divided.text))
    return order[np.searchsorted(divided.text[order], np.arange(texts))]


@jit
def _assign(probabilities: Any, letters: Any, offsets: Any, allowed: Any, out: Any) -> None:
    """Write the group of each passage, of those allowed in its text; a text without a proposal gets that of no known language."""
    groups, longest = probabilities.shape[1], 0
    for text in range(offsets.size - 1):
        longest = max(longest, offsets[text + 1] - offsets[text])
    came_from = np.empty((longest, MOST + 1), np.int64)
    chosen = np.empty(MOST + 1, np.int64)
    for text in range(offsets.size - 1):
        first, last = offsets[text], offsets[text + 1]
        count = _proposals(probabilities, letters, first, last, allowed[text], chosen)
        if allowed[text, groups] or count == 0:
            chosen[count] = groups
            count += 1
        _follow(probabilities, letters, first, last, chosen[:count], came_from, out)


@jit_internal
def _proposals(probabilities: Any, letters: Any, first: int, last: int, allowed: Any, chosen: Any) -> int:
    """Write the groups with the most letters; return their number."""
    groups = probabilities.shape[1]
    sums, total = np.zeros(groups, np.float64), 0
    for passage in range(first, last):
        total += letters[passage]
        for group in range(groups):
            sums[group] += letters[passage] * probabilities[passage, group]
    count = 0
    while count < MOST:
        best = -1
        for group in range(groups):
            if allowed[group] and sums[group] >= PROPOSED * total and (best < 0 or sums[group] > sums[best]):
                best = group
        if best < 0:
            break
        chosen[count], sums[best] = best, -1.0
        count += 1
    return count


@jit_internal
def _follow(probabilities: Any, letters: Any, first: int, last: int, chosen: Any, came_from: Any, out: Any) -> None:
    """Write the likeliest sequence of the chosen groups (Viterbi)."""
    costs = np.zeros(chosen.size, np.float64)
    for passage in range(first, last):
        cheapest = np.argmin(costs)
        leaving = costs[cheapest] + np.log(STAYS)
        weight = min(1.0, letters[passage] / 75.0)  # a few letters say little
        for i in range(chosen.size):
            came_from[passage - first, i] = i
            if passage > first and leaving < costs[i]:
                costs[i], came_from[passage - first, i] = leaving, cheapest
            is_known = chosen[i] < probabilities.shape[1]
            costs[i] -= weight * np.log((probabilities[passage, chosen[i]] if is_known else UNKNOWN) + 1e-3)
    at = np.argmin(costs)
    for passage in range(last - 1, first - 1, -1):
        out[passage] = chosen[at]
        at = came_from[passage - first, at]
