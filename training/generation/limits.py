"""Limits of an answer: when it ends, and which of its tokens are forced or forbidden."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipelines.contract.errors import UserError


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for all rows. Steps count from 0; the end is a token of the answer.

    Raises UserError, naming the number, for limits that contradict each other.
    """

    tokens: int  # maximum of an answer
    ends: tuple[int, ...] = ()  # ids that end it
    least: int = 0  # no end among this many first tokens
    first: int | None = None  # the id at step 0
    last: int | None = None  # the id at step tokens - 1: BART's answers end with </s> even when cut off
    vocabulary: int | None = None  # ids from here on are never chosen (padding of the vocabulary)

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise UserError(f"tokens: must be 1 or more, not {self.tokens}")
        if not 0 <= self.least <= self.tokens:
            raise UserError(f"least: must be from 0 to tokens ({self.tokens}), not {self.least}")

    def within(self, positions: int | None) -> "Limits":
        """Return the limits with no more tokens than a decoder has positions."""
        tokens = self.tokens if positions is None else min(self.tokens, positions)
        return replace(self, tokens=tokens, least=min(self.least, tokens))

    def apply(self, scores: Tensor, step: int) -> Tensor:
        """Return scores of the next token (…, V) with -inf for forbidden tokens and 0 for a forced one.

        Like Hugging Face's processors, this changes log-probabilities without normalising them again.
        """
        if self.vocabulary is not None:
            scores = scores[..., : self.vocabulary]
        forced = self.first if step == 0 and self.first is not None else self.last if step == self.tokens - 1 else None
        if forced is not None:
            scores = torch.full_like(scores, -torch.inf)
            scores[..., forced] = 0
        elif step < self.least and self.ends:
            scores = scores.clone()
            scores[..., list(self.ends)] = -torch.inf
        return scores
