"""What a model has learnt: loss on held-out rows, beside what the frequencies of tokens alone would give."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.draws import key
from training.data.row_batch import Examples
from training.data.rows import RowIndex
from training.data.sampler import permute
from training.device import Device
from training.feed import Feed
from training.models.families import Model
from training.objectives import IGNORE

_ROWS_PER_BATCH = 32
_ROWS_SEED = 20_260_101  # of which validation rows are looked at: the same in every run over the same data


@dataclass(frozen=True, slots=True)
class Validation:
    """Fixed examples of a split, in batches of at most 32 rows."""

    batches: tuple[Examples, ...]
    targets: int  # predictions
    bytes_per_target: float  # UTF-8 bytes of text for each token, over the whole split

    def bits_per_byte(self, loss: float) -> float:
        """Nats per target -> bits per UTF-8 byte of text: comparable between vocabularies."""
        return loss / math.log(2) / self.bytes_per_target


def validation(feed: Feed, split: str, rows: int) -> Validation:
    """The first `rows` rows of the feed's split in a fixed hashed order (all when there are fewer), always with the same draws.

    A document counts one end-of-text as a token, but no byte for it.
    """
    numbers = permute(np.arange(min(rows, len(feed.index)), dtype=np.int64), len(feed.index), key(_ROWS_SEED))
    numbers.sort()  # neighbours on disk are read together
    chunks = [numbers[at : at + _ROWS_PER_BATCH] for at in range(0, len(numbers), _ROWS_PER_BATCH)]
    batches = tuple(feed.examples(chunk, key(_ROWS_SEED, chunk)) for chunk in chunks)
    totals = feed.dataset.totals(split)
    targets = sum(feed.counts(batch)["tokens"] for batch in batches)
    return Validation(batches, targets, totals["utf8_bytes"] / (totals["tokens"] + totals["rows"]))


def validation_loss(model: Model, examples: Validation, device: Device) -> float:
    """Mean loss of all targets, in nats; the model is left in training mode."""
    model.eval()
    with torch.no_grad(), device.autocast():
        total = sum(float(model.losses(device.tensors(batch))["tokens"]) for batch in examples.batches)
    model.train()
    return total / examples.targets


def unigram_entropy(index: RowIndex, examples: Validation) -> float:
    """Mean loss of a model that knows only how often each token occurs in `index` (add-one), in nats per target.

    A language model that has learnt anything of order is below it.
    """
    frequencies = unigram_counts(index).astype(np.float64) + 1
    cost = np.log(frequencies.sum()) - np.log(frequencies)
    predicted = (batch["targets"][batch["targets"] != IGNORE] for batch in examples.batches)
    return sum(float(cost[targets].sum()) for targets in predicted) / examples.targets


def unigram_counts(index: RowIndex) -> NDArray[np.int64]:
    """How often each token occurs in all streams of the index, ends of text included: (V,)."""
    counts = np.zeros(index.vocabulary_size, dtype=np.int64)
    for run in index.runs():
        counts += np.bincount(run.tokens[run.offsets[0] : run.offsets[-1]], minlength=index.vocabulary_size)
        if index.layout.separator is not None:
            counts[index.layout.separator] += run.documents
    return counts
