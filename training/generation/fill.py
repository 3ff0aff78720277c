"""Filling masks with BERT or an encoder of blocks: the likeliest pieces for each.

Shapes: B rows, S tokens of a row, M masks in all rows, D width, V vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from pipelines.contract.errors import UserError
from training.generation.steps import device_of, padded
from training.models.families import Masked


class Guess(NamedTuple):
    """A piece and its probability at a mask, given the tokens that are not masked."""

    id: int
    probability: float


@torch.inference_mode()
def fill(
    model: Masked, rows: Sequence[Sequence[int]], mask: int, *, best: int = 5, vocabulary: int | None = None
) -> list[list[list[Guess]]]:
    """Return the likeliest ids for each mask of each row, the likeliest first. Masks are filled independently of each other.

    Rows are complete, with [CLS] and [SEP], all in segment 0. Ids from `vocabulary` on are never guessed (padding of the
    vocabulary). Raises UserError for a row without a mask, or one longer than the model's positions.
    """
    if best < 1:
        raise UserError(f"best: must be 1 or more, not {best}")
    if not all(mask in row for row in rows):
        raise UserError("the text has no mask, so there is nothing to fill")
    ids, real = padded(rows, device_of(model), left=False, positions=model.shape.length)
    masks = ids == mask if real is None else (ids == mask) & real
    logits = model.logits(model.hidden(ids, real=real)[masks])[:, :vocabulary]  # (M, V)
    probabilities, places = logits.float().softmax(-1).topk(min(best, logits.shape[-1]))
    guesses = [
        [Guess(i, p) for i, p in zip(of_ids, of_p, strict=True)]
        for of_ids, of_p in zip(places.tolist(), probabilities.tolist(), strict=True)
    ]
    counts = masks.sum(1).tolist()
    return [guesses[sum(counts[:row]) : sum(counts[: row + 1])] for row in range(len(rows))]
