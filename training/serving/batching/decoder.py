"""A model that reads prompts one by one, and adds a token to many rows in one step.

What it computes for a row depends on that row alone, bit by bit (packed.py, training/models/rows.py). A prompt is read in chunks
that begin at multiples of READ tokens, so that rows that are being written wait for one chunk at most.

Shapes: B rows, T tokens of a chunk, D width, V vocabulary.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from pipelines.contract.errors import UserError
from training.models.attention import Cache
from training.models.bart import BART
from training.models.composed import Composed
from training.models.families import Masked, Model
from training.models.gpt import GPT
from training.models.rows import RowMemory, RowsCache
from training.models.t5 import T5
from training.serving.batching.packed import agreeing_sizes, pack, padded_size

READ = 128  # tokens of a chunk
_PROBES = 4  # prompts of the check at start; the rows of a batch repeat them
Writer: TypeAlias = GPT | Composed | BART | T5


class Decoder:
    """A packed model. `sizes` are the sizes of batches at which rows agree bit by bit; others are padded to these."""

    def __init__(self, model: Model, start: int | None, most_rows: int) -> None:
        """Pack the model, which no longer serves anything else. `start` begins a decoder's row, None for one without encoder.

        Raises UserError for a model that does not write.
        """
        if isinstance(model, Masked) or (isinstance(model, T5) and model.decoder is None):
            raise UserError("the model is an encoder alone, which writes nothing: serve a GPT, BART or T5")
        self.model: Writer = model.eval()
        self.start, self.most_rows = start, most_rows
        self.positions = None if isinstance(model, T5) else model.shape.length
        self.head = pack(model)
        self.sizes: tuple[int, ...] = (most_rows,)
        self.sizes = self._agreeing()

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder reads the prompt, so that the answer begins a row of its own."""
        return isinstance(self.model, BART | T5)

    def room(self, prompt: int, most: int) -> int:
        """Return the most tokens of an answer to a prompt of so many tokens, with `most` where positions do not limit it.

        The last token of an answer is not read, so it needs no position.
        """
        if self.positions is None:
            return most
        return min(most, self.positions if self.has_encoder else self.positions + 1 - prompt)

    @torch.inference_mode()
    def step(self, rows: Sequence[RowMemory], ids: Sequence[int], size: int | None = None) -> Tensor:
        """Add a token to each row and return the scores of the next (B, V) float32."""
        size = padded_size(len(rows), self.sizes) if size is None else size
        padding = [0] * (size - len(rows))
        inputs = torch.tensor([*ids, *padding])[:, None]
        cache = RowsCache(rows)
        if isinstance(self.model, T5):
            hidden = self.model.decode(inputs, inputs.new_empty(0), cache=cache)
        else:
            places = torch.tensor([*(row.length for row in rows), *padding])[:, None]
            if isinstance(self.model, BART):
                hidden = self.model.decode(inputs, inputs.new_empty(0), positions=places, cache=cache)
            else:
                hidden = self.model.hidden(inputs, positions=places, cache=cache)
        cache.grown()
        return self.head(hidden[:, -1])[: len(rows)]

    def _agreeing(self) -> tuple[int, ...]:
        """Run a step in batches of several sizes, with rows of several lengths; return the sizes that agree."""
        generator = torch.Generator().manual_seed(1)
        vocabulary, most = self.model.shape.vocabulary, 5 if self.positions is None else min(5, self.positions - 1)
        rows: list[RowMemory] = []
        for number in range(_PROBES):
            prompt = torch.randint(vocabulary, (max(1, most - number),), generator=generator).tolist()
            reading = Reading(self, prompt, len(prompt) + 1)
            while reading.go_on() is None:
                pass
            rows.append(reading.memory())
        rows = [rows[number % _PROBES].copy() for number in range(self.most_rows)]
        lengths = [row.length for row in rows]
        ids: list[int] = torch.randint(vocabulary, (self.most_rows,), generator=generator).tolist()

        def scores_of(number: int, size: int) -> Tensor:
            for row, length in zip(rows, lengths, strict=True):
                row.length = length
            return self.step(rows[:number], ids[:number], size)

        return agreeing_sizes(scores_of, self.most_rows)


class Reading:
    """A prompt that is being read. With `keep_hidden`, a prompt that is continued can be scored, too."""

    def __init__(self, decoder: Decoder, prompt: Sequence[int], capacity: int, *, keep_hidden: bool = False) -> None:
        """`capacity`: tokens of the row that is written, with the prompt where no encoder reads it."""
        self.decoder, self.prompt, self.capacity = decoder, prompt, capacity
        self.cache: Cache = decoder.model.empty_cache()
        self.at = 0  # tokens read
        self.hidden: list[Tensor] | None = [] if keep_hidden else None  # (T, D) of each chunk

    @torch.inference_mode()
    def go_on(self) -> Tensor | None:
        """Read a chunk (an encoder: the whole prompt); return the scores of the next token (1, V) once all is read."""
        model = self.decoder.model
        if isinstance(model, BART | T5):
            memory = model.encode(torch.tensor([self.prompt]))
            hidden = model.decode(torch.tensor([[self.decoder.start]]), memory, cache=self.cache)
            self.at = len(self.prompt)
        else:
            chunk = self.prompt[self.at : self.at + READ]
            hidden = model.hidden(torch.tensor([chunk]), cache=self.cache)
            self.at += len(chunk)
            if self.hidden is not None:
                self.hidden.append(hidden[0])
        return self.decoder.head(hidden[:, -1]) if self.at == len(self.prompt) else None

    def memory(self) -> RowMemory:
        """Return the row that has read the prompt."""
        return RowMemory(self.cache, max(self.capacity, self.cache.length))
