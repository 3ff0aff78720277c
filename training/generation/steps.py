"""A batch of rows that grow by a token each step: what follows, by the model, with a cache of what it has read.

Shapes: B rows, T new tokens, S tokens of a row, D width, V vocabulary.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from training.models.attention import Cache, real_tokens


class Steps(Protocol):
    """What the loops over steps need of a model and its prompts."""

    rows: int

    def next(self, chosen: Tensor | None) -> Tensor:
        """Scores of the next token (B, V) float32, when these (B,) were chosen; the first time none were."""
        ...

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (B',) of the batch, in this order, some of them several times."""
        ...


class Decoder(Protocol):
    """A model that continues its own row: GPT and the composed ones."""

    def empty_cache(self) -> Cache: ...
    def hidden(
        self, inputs: Tensor, *, real: Tensor | None = None, positions: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor: ...
    def logits(self, hidden: Tensor) -> Tensor: ...


class EncoderDecoder(Protocol):
    """A model that answers a row by another: BART and T5."""

    def empty_cache(self) -> Cache: ...
    def encode(self, inputs: Tensor, *, real: Tensor | None = None) -> Tensor: ...
    def decode(
        self, decoder_inputs: Tensor, memory: Tensor, *, real: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor: ...
    def logits(self, hidden: Tensor) -> Tensor: ...


class Continuation:
    """Prompts that go on, of any lengths: padding stands before the shorter ones, and no token sees it.

    A model may have a number of `positions`. When a row grows beyond it, its older half falls out of sight, and the row is read
    anew from there, so that a token past the end costs one token most of the time. Rows of a batch do so one by one: what follows
    a prompt does not depend on those beside it.

        positions 4    [5 6 7 8] -> 9    [8 9] -> 3    [8 9 3] -> 1    [8 9 3 1] -> 2    [1 2] -> …
    """

    def __init__(
        self,
        model: Decoder,
        prompts: Sequence[Sequence[int]],
        *,
        device: torch.device,
        positions: int | None,
        cached: bool = True,
    ) -> None:
        self.model, self.positions, self.cached = model, positions, cached
        self.lengths = [len(prompt) for prompt in prompts]  # what is in sight of each row
        self.ids, self.real = padded(prompts, device, left=True)
        self.rows = len(prompts)
        self.cache: Cache | None = None

    def next(self, chosen: Tensor | None) -> Tensor:
        """As in Steps."""
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
        """As in Steps."""
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
        if self.positions is not None and max(self.lengths) > self.positions:
            self._forget(self.positions)

    def _forget(self, positions: int) -> None:
        """Read anew, rows beyond the positions without their older half."""
        self.lengths = [length if length <= positions else (positions + 1) // 2 for length in self.lengths]
        rows = [row[-length:] for row, length in zip(self.ids.tolist(), self.lengths, strict=True)]
        self.ids, self.real = padded(rows, self.ids.device, left=True)
        self.cache = None


class Answer:
    """Rows that a decoder makes of what an encoder read; padding stands behind the shorter inputs, and no token sees it."""

    def __init__(
        self, model: EncoderDecoder, inputs: Sequence[Sequence[int]], *, device: torch.device, start: int, cached: bool = True
    ) -> None:
        self.model = model
        ids, self.real = padded(inputs, device, left=False)
        self.memory = model.encode(ids, real=self.real)
        self.rows = len(inputs)
        self.ids = torch.full((self.rows, 1), start, device=device)
        self.cache = model.empty_cache() if cached else None

    def next(self, chosen: Tensor | None) -> Tensor:
        """As in Steps."""
        if chosen is not None:
            self.ids = torch.cat([self.ids, chosen[:, None]], dim=1)
        inputs = self.ids if self.cache is None else self.ids[:, -1:]
        hidden = self.model.decode(inputs, self.memory, real=self.real, cache=self.cache)
        return self.model.logits(hidden[:, -1]).float()

    def select(self, rows: Tensor) -> None:
        """As in Steps."""
        if rows.tolist() == list(range(self.rows)):
            return
        self.rows, self.ids, self.memory = len(rows), self.ids[rows], self.memory[rows]
        self.real = None if self.real is None else self.real[rows]
        if self.cache is not None:
            self.cache.select(rows)


def padded(rows: Sequence[Sequence[int]], device: torch.device, *, left: bool) -> tuple[Tensor, Tensor | None]:
    """Rows of uneven lengths -> ids (B, S), and which are no padding (B, S), None where none is. Padding is id 0: nothing sees it.

    Raises ValueError for no rows, or an empty one.
    """
    if not rows or not all(rows):
        raise ValueError("the prompt is empty: the model needs at least one token")
    lengths = torch.tensor([len(row) for row in rows], device=device)
    width = max(map(len, rows))
    ids = [[0] * (width - len(row)) + [*row] if left else [*row] + [0] * (width - len(row)) for row in rows]
    real = None
    if min(map(len, rows)) < width:
        real = real_tokens(lengths, width)
        real = real.flip(1) if left else real
    return torch.tensor(ids, device=device), real
