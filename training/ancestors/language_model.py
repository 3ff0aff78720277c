"""Training of ELMo on the rows of a text, and its bits per byte on another.

A row is `length + 1` tokens of the stream of documents, each followed by the end of text; the next row begins with its last
token, as in training.objectives.causal_lm. So the forward direction predicts every token once, from at most `length` before it
in its row, exactly as our GPT does, and its bits per byte compare with GPT's.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.ancestors.elmo import ELMo, ELMoShape
from training.ancestors.words import Text

LENGTH = 128
_ROWS = 4  # of a step: on little text, many small steps beat a few large ones (so do our configs of demo size)
_READ = 32  # in a batch that is only measured
_WARMUP = 0.05  # of the steps
_CLIP = 1.0


def rows_of(stream: NDArray[np.int64], length: int = LENGTH) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut a stream of tokens into rows and their lengths; the last is padded with 0.

    >>> rows, lengths = rows_of(np.array([5, 6, 7, 8, 9]), length=2)
    >>> rows.tolist(), lengths.tolist()
    ([[5, 6, 7], [7, 8, 9]], [3, 3])
    """
    count = max(1, -(-(len(stream) - 1) // length))
    padded = np.zeros(count * length + 1, np.int64)
    padded[: len(stream)] = stream
    firsts = np.arange(count) * length
    return padded[firsts[:, None] + np.arange(length + 1)], np.minimum(length + 1, len(stream) - firsts)


def train(text: Text, shape: ELMoShape, *, passes: int = 1, rate: float = 1.2e-2, length: int = LENGTH, seed: int = 1) -> ELMo:
    """Train by AdamW with a linear warm-up and decrease; the same arguments give the same weights with the same threads."""
    torch.manual_seed(seed)
    pieces = piece_bytes(text) if shape.characters else ()
    model = ELMo(shape, pieces).train()
    rows, lengths = rows_of(text.stream(), length)
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.0)
    steps = passes * -(-len(rows) // _ROWS)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (_WARMUP * steps + 1), (steps - step) / steps)
    )
    for batch in _batches(len(rows), passes, np.random.default_rng(seed)):
        examples = {"ids": torch.from_numpy(rows[batch]), "lengths": torch.from_numpy(lengths[batch])}
        sums = model.losses(examples)
        loss = (sums["forward"] + sums["backward"]) / (2 * (examples["lengths"] - 1).sum())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimizer.step()
        schedule.step()
    return model.eval()


def piece_bytes(text: Text) -> list[bytes]:
    """Return the spelling of each piece, for the convolution over bytes."""
    return [name.encode() for name in text.tokenizer.piece_names()]


@torch.inference_mode()
def nats(model: ELMo, text: Text, length: int = LENGTH) -> dict[str, float]:
    """Return the nats of a text by direction; all tokens are predicted but the first (the last, by the backward direction)."""
    rows, lengths = rows_of(text.stream(), length)
    total = {"forward": 0.0, "backward": 0.0}
    for first in range(0, len(rows), _READ):
        batch = slice(first, first + _READ)
        sums: dict[str, Tensor] = model.losses(
            {"ids": torch.from_numpy(rows[batch]), "lengths": torch.from_numpy(lengths[batch])}
        )
        total = {name: total[name] + float(sums[name]) for name in total}
    return total


def bits_per_byte(nats: float, text: Text) -> float:
    """Convert the nats of a text to bits for each of its UTF-8 bytes."""
    return nats / math.log(2) / text.utf8_bytes


def _batches(rows: int, passes: int, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    for _ in range(passes):
        yield from np.array_split(random.permutation(rows), -(-rows // _ROWS))
