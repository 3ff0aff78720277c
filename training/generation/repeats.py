"""Answers in which no n tokens follow each other twice (Paulus et al. 2017, arXiv 1705.04304, 2.5).

Unlike Hugging Face's processor this one acts before the softmax, so that the tokens that are left share all probability.
"""

from collections import defaultdict

import torch
from torch import Tensor

from training.generation.steps import Steps

_Seen = dict[tuple[int, ...], set[int]]  # what has followed each n - 1 tokens


class WithoutRepeats:
    """Steps whose scores forbid a token that would repeat n tokens of the answer; the prompt does not count. See Steps."""

    def __init__(self, steps: Steps, n: int) -> None:
        assert n >= 1
        self.steps, self.n = steps, n
        self.rows, self.most = steps.rows, steps.most
        self.answers: list[tuple[int, ...]] = [()] * steps.rows

    def next(self, chosen: Tensor | None) -> Tensor:
        """See Steps."""
        if chosen is not None:
            self.answers = [(*answer, i) for answer, i in zip(self.answers, chosen.tolist(), strict=True)]
        scores = self.steps.next(chosen)
        for row, answer in enumerate(self.answers):
            if forbidden := _following(answer, self.n):
                scores[row, sorted(forbidden)] = -torch.inf
        return scores

    def select(self, rows: Tensor) -> None:
        """See Steps."""
        self.steps.select(rows)
        self.rows = self.steps.rows
        self.answers = [self.answers[row] for row in rows.tolist()]


def _following(answer: tuple[int, ...], n: int) -> set[int]:
    """Return the tokens that have followed the last n - 1 before.

    >>> _following((5, 6, 7, 5, 6), 3)
    {7}
    """
    seen: _Seen = defaultdict(set)
    for end in range(n - 1, len(answer)):
        seen[answer[end - n + 1 : end]].add(answer[end])
    return seen[answer[len(answer) - n + 1 :]] if len(answer) >= n - 1 else set()
