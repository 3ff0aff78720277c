"""A batch of rows that grow by a token each step: the model's scores of the next token, with a cache of the tokens read.

Shapes: B rows, T new tokens, S tokens of a row, D width, V vocabulary.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from pipelines.contract.errors import UserError
from training.models.attention import Cache, real_tokens
from training.models.bart import BART
from training.models.composed import Composed
from training.models.gpt import GPT
from training.models.t5 import T5


class Steps(Protocol):
    """A model and its prompts, as the decoding loops use them."""

    rows: int
    most: int | None  # tokens that can be added to a row

    def next(self, chosen: Tensor | None) -> Tensor:
        """Append the chosen tokens (B,), None at the first step, and return the scores of the next (B, V) float32."""
        ...

    def select(self, rows: Tensor) -> None:
        """Continue with these rows (B',) of the batch, in this order; a row may be repeated."""
        ...


class Continuation:
    """Continuations of prompts of any lengths; shorter ones are padded on the left, invisibly.

    When a row outgrows the model's positions, its older half is dropped and the rest is read again, so most further tokens
    still cost one step each. This happens row by row: a continuation does not depend on the other rows of the batch.

        4 positions    [5 6 7 8] -> 9    [8 9] -> 3    [8 9 3] -> 1    [8 9 3 1] -> 2    [1 2] -> …

    Raises UserError for an empty prompt, or one longer than the positions.
    """

    most: int | None = None

    def __init__(self, model: GPT | Composed, prompts: Sequence[Sequence[int]], *, cached: bool = True) -> None:
        self.model, self.cached = model, cached
        self.lengths = [len(prompt) for prompt in prompts]  # visible tokens of each row
        self.ids, self.real = padded(prompts, device_of(model), left=True, positions=model.shape.length)
        self.rows = len(prompts)
        self.cache: Cache | None = None

    @torch.inference_mode()
    def next(self, chosen: Tensor | None) -> Tensor:
        """See Steps."""
        if chosen is not None:
            self._append(chosen)
        inputs, cache = self.ids, self.cache
        if cache is not None:
            inputs = inputs[:, -1:]
        elif self.cached:
            cache = self.cache = self.model.empty_cache()
        positions = None
        if self.real is not None:
            positions = (self.real.cumsum(1) - 1).clamp_min_(0)[:, -inputs.shape[1] :]
        hidden = self.model.hidden(inputs, real=self.real, positions=positions, cache=cache)
        return self.model.logits(hidden[:, -1]).float()

    def select(self, rows: Tensor) -> None:
        """See Steps."""
        numbers = rows.tolist()
        if numbers == list(range(self.rows)):
            return
        self.rows, self.lengths = len(numbers), [self.lengths[number] for number in numbers]
        self.ids, self.real = self.ids[rows], None if self.real is None else self.real[rows]
        if self.cache is not None:
            self.cache.select(rows)

    def _append(self, chosen: Tensor) -> None:
        self.ids = torch.cat([self.ids, chosen[:, None]], dim=1)
        if self.real is not None:
            self.real = torch.cat([self.real, self.real.new_ones(self.rows, 1)], dim=1)
        self.lengths = [length + 1 for length in self.lengths]
        if max(self.lengths) > self.model.shape.length:
            self._forget(self.model.shape.length)

    def _forget(self, positions: int) -> None:
        """Drop the older half of rows beyond the positions, so that all rows are read again."""
        self.lengths = [length if length <= positions else (positions + 1) // 2 for length in self.lengths]
        rows = [row[-length:] for row, length in zip(self.ids.tolist(), self.lengths, strict=True)]
        self.ids, self.real = padded(rows, self.ids.device, left=True)
        self.cache = None


class Answer:
    """Answers of a decoder to what an encoder read; shorter inputs are padded on the right, invisibly.

    A decoder with positions stops when they are used up. Raises UserError for empty or too long inputs.
    """

    @torch.inference_mode()
    def __init__(self, model: BART | T5, inputs: Sequence[Sequence[int]], *, start: int, cached: bool = True) -> None:
        self.model = model
        self.most = model.shape.length if isinstance(model, BART) else None
        ids, self.real = padded(inputs, device_of(model), left=False, positions=self.most)
        self.memory = model.encode(ids, real=self.real)
        self.rows = len(inputs)
        self.ids = torch.full((self.rows, 1), start, device=ids.device)
        self.cache = model.empty_cache() if cached else None

    @torch.inference_mode()
    def next(self, chosen: Tensor | None) -> Tensor:
        """See Steps."""
        if chosen is not None:
            self.ids = torch.cat([self.ids, chosen[:, None]], dim=1)
        inputs = self.ids if self.cache is None else self.ids[:, -1:]
        hidden = self.model.decode(inputs, self.memory, real=self.real, cache=self.cache)
        return self.model.logits(hidden[:, -1]).float()

    def select(self, rows: Tensor) -> None:
        """See Steps."""
        if rows.tolist() == list(range(self.rows)):
            return
        self.rows, self.ids, self.memory = len(rows), self.ids[rows], self.memory[rows]
        self.real = None if self.real is None else self.real[rows]
        if self.cache is not None:
            self.cache.select(rows)


def padded(
    rows: Sequence[Sequence[int]], device: torch.device, *, left: bool, positions: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Pad rows of different lengths -> ids (B, S), and a mask of real tokens (B, S), None if there is no padding.

    Padding has id 0 and is never seen. Raises UserError without rows, or for one that is empty or too long.
    """
    if not rows or not all(rows):
        raise UserError("the prompt is empty: the model needs at least one token")
    width = max(map(len, rows))
    if positions is not None and width > positions:
        raise UserError(f"the prompt has {width:,} tokens, and the model {positions:,} positions; give a shorter one")
    ids = [[0] * (width - len(row)) + [*row] if left else [*row] + [0] * (width - len(row)) for row in rows]
    real = None
    if min(map(len, rows)) < width:
        real = real_tokens(torch.tensor([len(row) for row in rows], device=device), width)
        real = real.flip(1) if left else real
    return torch.tensor(ids, device=device), real


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the weights."""
    return next(model.parameters()).device
