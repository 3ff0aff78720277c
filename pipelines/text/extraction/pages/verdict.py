"""From the scores of a page's blocks to the ones that are kept.

Blocks of the same path share their scores in part, blocks of one code listing or data table wholly. Then as many of the best
blocks are kept as make the expected F1 of the page greatest (Lewis, Evaluating and optimizing autonomous text classification
systems, SIGIR 1995): pages of one article are cut elsewhere than lists of products.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.blocks import LINK_WIDTH, WIDTH
from pipelines.text.extraction.pages.features import Places
from pipelines.text.kernels import jit, jit_internal

# Settings chosen on cross-validated scores of the training sets (see the model's card); all are flat around these values.
_SHARED = np.float32(0.4)  # of a block's score comes from the mean of its path
_CLIP = np.float32(4.0)  # log odds beyond this count as this
_NARROW_CELL = np.float32(30)  # mean width of the blocks of a table that is judged as one
_MOST_WEIGHT = np.float32(400)  # of a block in a mean of scores
_STEPS = 32  # of the table of probabilities, for each unit of log odds
# The floor: of a page with so much prose (width) of which the model keeps less than this share, the wide paragraphs of the
# element that holds most of them are kept, too, if they are more than what the model keeps.
FLOOR_PROSE, FLOOR_SHARE = 250, 0.1
LEAST_PROBABILITY = 0.15  # no block is kept on a page whose best one is less probable
MENU_WIDTH, MENU_LINKS, LEAST_OF_MENU = 400, 0.8, 0.7  # the same for a page no wider than this, so much of it links: a menu


class Verdict(NamedTuple):
    """What is kept of a page."""

    kept: NDArray[np.bool_]  # by block
    probability: NDArray[np.float32]  # by block, as it was compared
    is_fallback: bool  # read by rule because the model kept next to nothing


def judge(counts: NDArray[np.int32], scores: NDArray[np.float32], places: Places) -> Verdict:
    """Return the verdict on a page, from its blocks' counts, scores (log odds) and places."""
    is_menu = bool(counts[:, WIDTH].sum() < MENU_WIDTH and counts[:, LINK_WIDTH].sum() >= MENU_LINKS * counts[:, WIDTH].sum())
    least = np.float32(LEAST_OF_MENU if is_menu else LEAST_PROBABILITY)
    return Verdict._make(_judge(counts[:, WIDTH].astype(np.float32), scores, places, probabilities(), least))


@functools.cache
def probabilities() -> NDArray[np.float32]:
    """Return the logistic function at -_CLIP to _CLIP, to five digits, so that it is the same on every machine."""
    odds = np.arange(-int(_CLIP) * _STEPS, int(_CLIP) * _STEPS + 1) / _STEPS
    return np.round(1 / (1 + np.exp(-odds)), 5).astype(np.float32)


@jit
def _judge(width: Any, scores: Any, places: Any, table: Any, least: Any) -> Any:
    rows = width.size
    kept, probability = np.zeros(rows, np.bool_), np.zeros(rows, np.float32)
    score = np.empty(rows, np.float32)
    for row in range(rows):
        score[row] = min(_CLIP, max(-_CLIP, scores[row]))
    _share(score, width, places.path, _SHARED, np.float32(np.inf))
    _share(score, width, places.code, np.float32(1), np.float32(np.inf))
    _share(score, width, places.table, np.float32(1), _NARROW_CELL)
    best = np.float32(0)
    for row in range(rows):
        probability[row] = table[int((score[row] + _CLIP) * _STEPS + np.float32(0.5))]
        best = max(best, probability[row])
    kept_width = np.float32(0)
    if best >= least:
        kept_width = _keep_best(kept, probability, width)
    return kept, probability, _keep_floor(kept, kept_width, width, places)


@jit_internal
def _keep_best(kept: Any, probability: Any, width: Any) -> Any:
    """Keep as many of the best blocks as make the expected F1 greatest; return their width."""
    rows = width.size
    expected = np.float32(0)
    for row in range(rows):
        expected += probability[row] * width[row]
    order = np.argsort(-probability, kind="mergesort")
    gained, taken, most, last = np.float32(0), np.float32(0), np.float32(-1), -1
    for i in range(rows):
        row = order[i]
        gained += probability[row] * width[row]
        taken += width[row]
        is_last = i + 1 == rows or probability[order[i + 1]] != probability[row]  # equal ones share a fate
        if is_last and gained > most * (taken + expected):
            most, last = gained / (taken + expected), i
    kept_width = np.float32(0)
    for i in range(last + 1):
        kept[order[i]] = True
        kept_width += width[order[i]]
    return kept_width


@jit_internal
def _keep_floor(kept: Any, kept_width: Any, width: Any, places: Any) -> Any:
    """Keep the wide paragraphs of the body, too, if next to nothing of a page of prose is kept; return whether it does."""
    visible, prose, more = np.float32(0), np.float32(0), np.float32(0)
    for row in range(width.size):
        visible += width[row]
        if places.prose[row]:
            prose += width[row]
            more += width[row] if places.is_body[row] and not kept[row] else np.float32(0)
    if prose < FLOOR_PROSE or kept_width >= np.float32(FLOOR_SHARE) * visible or more <= kept_width:
        return False
    for row in range(width.size):
        kept[row] |= places.prose[row] and places.is_body[row]
    return True


@jit
def _share(score: Any, width: Any, group: Any, share: Any, most_width: Any) -> None:
    """Move each score towards the mean of its group, weighted by width, if the group's mean width is below a limit."""
    most = -1
    for row in range(score.size):
        most = max(most, group[row])
    total, weight = np.zeros(most + 1, np.float32), np.zeros(most + 1, np.float32)
    whole, rows = np.zeros(most + 1, np.float32), np.zeros(most + 1, np.float32)
    for row in range(score.size):
        if group[row] >= 0:
            w = min(width[row], _MOST_WEIGHT) + np.float32(5)
            total[group[row]] += score[row] * w
            weight[group[row]] += w
            whole[group[row]] += width[row]
            rows[group[row]] += np.float32(1)
    for row in range(score.size):
        i = group[row]
        if i >= 0 and whole[i] < most_width * rows[i]:
            score[row] += share * (total[i] / weight[i] - score[row])
