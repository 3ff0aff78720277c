"""What a model has learnt: loss on held-out rows, beside what the frequencies of tokens alone would give."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.draws import key
from training.data.rows import RowIndex
from training.data.sampler import permute
from training.data.shards import TokenDataset
from training.device import Device
from training.models.gpt import GPT
from training.objectives.causal_lm import Examples, causal_lm

_ROWS_PER_BATCH = 32
_ROWS_SEED = 20_260_101  # of which validation rows are looked at: the same in every run over the same data


@dataclass(frozen=True, slots=True)
class Validation:
    """Fixed examples of the validation split, in batches of at most 32 rows."""

    batches: tuple[Examples, ...]
    bytes_per_target: float  # UTF-8 bytes of text for each target, over the whole split

    @property
    def targets(self) -> int:
        """Number of predictions."""
        return sum(batch["targets"].size for batch in self.batches)

    def bits_per_byte(self, loss: float) -> float:
        """Nats per target -> bits per UTF-8 byte of text: comparable between vocabularies."""
        return loss / math.log(2) / self.bytes_per_target


def validation(dataset: TokenDataset, index: RowIndex, split: str, rows: int) -> Validation:
    """The first `rows` rows of the split in a fixed hashed order (all when there are fewer).

    A document counts one end-of-text as a target, but no byte for it.
    """
    numbers = permute(np.arange(min(rows, len(index)), dtype=np.int64), len(index), key(_ROWS_SEED))
    numbers.sort()  # neighbours on disk are read together
    batches = tuple(
        causal_lm(whole_rows(index, numbers[at : at + _ROWS_PER_BATCH])) for at in range(0, len(numbers), _ROWS_PER_BATCH)
    )
    totals = dataset.totals(split)
    return Validation(batches, totals["utf8_bytes"] / (totals["tokens"] + totals["rows"]))


def whole_rows(index: RowIndex, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """Rows of equal length: (N,) -> (N, tokens of a row); a source's last, shorter one is filled up with ends of text."""
    separator = index.layout.separator
    assert separator is not None
    return index.gather(numbers).padded(index.layout.tokens, separator)


def validation_loss(model: GPT, batches: Sequence[Examples], device: Device) -> float:
    """Mean loss of all targets, in nats; the model is left in training mode."""
    model.eval()
    total, targets = 0.0, 0
    with torch.no_grad(), device.autocast():
        for batch in batches:
            total += float(model.losses(device.tensors(batch))["tokens"])
            targets += batch["targets"].size
    model.train()
    return total / targets


def unigram_entropy(index: RowIndex, batches: Sequence[Examples]) -> float:
    """Mean loss of a model that knows only how often each token occurs in `index` (add-one), in nats per target.

    A language model that has learnt anything of order is below it.
    """
    frequencies = unigram_counts(index).astype(np.float64) + 1
    cost = np.log(frequencies.sum()) - np.log(frequencies)
    total = sum(float(cost[batch["targets"]].sum()) for batch in batches)
    return total / sum(batch["targets"].size for batch in batches)


def unigram_counts(index: RowIndex) -> NDArray[np.int64]:
    """How often each token occurs in all streams of the index, ends of text included: (V,)."""
    counts = np.zeros(index.vocabulary_size, dtype=np.int64)
    for run in index.runs():
        counts += np.bincount(run.tokens[run.offsets[0] : run.offsets[-1]], minlength=index.vocabulary_size)
        if index.layout.separator is not None:
            counts[index.layout.separator] += run.documents
    return counts
