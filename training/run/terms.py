"""The terms of a loss by name: BERT's masked tokens ("tokens") and pairs of texts ("pairs", whether B follows A).

A model's `losses` has a sum for each term, and may have the number of its right predictions beside it. Other families have one
term, which is the loss.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from training.models.loss import RIGHT

NAMES = {
    "tokens_loss": "loss of masked tokens",
    "pairs_loss": "loss of next sentences",
    "tokens_accuracy": "accuracy of masked tokens",
    "pairs_accuracy": "accuracy of next sentences",
}


def words(name: str) -> str:
    """Return the name of a figure for people."""
    return NAMES[name]


def added(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """Add up what the micro-batches have under each name, in float64; this waits for the device once."""
    table = torch.stack([torch.stack([value.double() for value in part.values()]) for part in parts])
    return dict(zip(parts[0], table.sum(0).tolist(), strict=True))


def figures(sums: Mapping[str, float], counts: Mapping[str, float]) -> dict[str, float]:
    """Return the mean loss of each term, if there are several, and the share of right predictions where it is known.

    `counts` are the predictions by term. A term without predictions has the figure 0.

    >>> figures({"tokens": 20.0, "tokens_right": 3, "pairs": 1.5, "pairs_right": 1}, {"tokens": 5, "pairs": 2})
    {'tokens_loss': 4.0, 'pairs_loss': 0.75, 'tokens_accuracy': 0.6, 'pairs_accuracy': 0.5}
    >>> figures({"tokens": 20.0}, {"tokens": 5})
    {}
    """
    several = counts if len(counts) > 1 else {}
    losses = {f"{term}_loss": sums[term] / max(1, counts[term]) for term in several if term in sums}
    rights = _rights(sums, counts)
    return losses | {f"{term}_accuracy": sums[term + RIGHT] / max(1, counts[term]) for term in rights}


def _rights(sums: Iterable[str], counts: Iterable[str]) -> list[str]:
    names = set(sums)
    return [term for term in counts if term + RIGHT in names]
