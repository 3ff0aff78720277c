"""What a model has learnt: loss on held-out rows, beside what the frequencies of tokens alone would give."""

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.draws import key
from training.data.row_batch import Examples
from training.data.sampler import permute
from training.device import Device
from training.feed import Feed
from training.models.families import Model
from training.objectives import IGNORE
from training.objectives.causal_lm import CausalLM

_ROWS_PER_BATCH = 32
_COUNTED_ROWS = 2**16  # whose targets tell how frequent tokens are
_ROWS_SEED = 20_260_101  # of which validation rows are looked at: the same in every run over the same data


@dataclass(frozen=True, slots=True)
class Validation:
    """Fixed examples of a split, in batches of at most 32 rows."""

    batches: tuple[Examples, ...]
    targets: int  # predictions
    bytes_per_target: (
        float | None
    )  # UTF-8 bytes of text for each token, over the whole split; None unless every token is predicted

    def bits_per_byte(self, loss: float) -> float | None:
        """Nats per target -> bits per UTF-8 byte of text: comparable between vocabularies."""
        return None if self.bytes_per_target is None else loss / math.log(2) / self.bytes_per_target


def validation(feed: Feed, split: str, rows: int) -> Validation:
    """The first `rows` rows of the feed's split in a fixed hashed order (all when there are fewer), always with the same draws.

    A document counts one end-of-text as a token, but no byte for it.
    """
    batches = tuple(_fixed(feed, rows, _ROWS_PER_BATCH))
    totals = feed.dataset.totals(split)
    targets = sum(feed.counts(batch)["tokens"] for batch in batches)
    whole = isinstance(feed.objective, CausalLM)
    return Validation(batches, targets, totals["utf8_bytes"] / (totals["tokens"] + totals["rows"]) if whole else None)


def validation_loss(model: Model, examples: Validation, device: Device) -> float:
    """Mean loss of all targets, in nats; the model is left in training mode."""
    model.eval()
    with torch.no_grad(), device.autocast():
        total = sum(float(model.losses(device.tensors(batch))["tokens"]) for batch in examples.batches)
    model.train()
    return total / examples.targets


def unigram_entropy(feed: Feed, examples: Validation) -> float:
    """Mean loss of a model that knows only how often each token is a target in training (add-one), in nats per target.

    A model that has learnt anything of the text around its targets is below it.
    """
    frequencies = unigram_counts(feed).astype(np.float64) + 1
    cost = np.log(frequencies.sum()) - np.log(frequencies)
    return sum(float(cost[_predicted(batch)].sum()) for batch in examples.batches) / examples.targets


def unigram_counts(feed: Feed) -> NDArray[np.int64]:
    """How often each token is a target in up to 65,536 rows of the feed, drawn by hash: (V,)."""
    counts = np.zeros(feed.dataset.tokenizer.size, dtype=np.int64)
    for batch in _fixed(feed, _COUNTED_ROWS, 1024):
        counts += np.bincount(_predicted(batch), minlength=len(counts))
    return counts


def _fixed(feed: Feed, rows: int, batch_rows: int) -> Generator[Examples]:
    """The first `rows` rows in a fixed hashed order (all when there are fewer), always with the same draws."""
    numbers = permute(np.arange(min(rows, len(feed.index)), dtype=np.int64), len(feed.index), key(_ROWS_SEED))
    numbers.sort()  # neighbours on disk are read together
    for at in range(0, len(numbers), batch_rows):
        chunk = numbers[at : at + batch_rows]
        yield feed.examples(chunk, key(_ROWS_SEED, chunk))


def _predicted(batch: Examples) -> NDArray[np.int64]:
    return batch["targets"][batch["targets"] != IGNORE]
