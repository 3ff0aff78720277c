"""Answers without repeated n-grams."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from training.generation.beams import Beams, search
from training.generation.choose import Choice
from training.generation.decode import decode
from training.generation.limits import Limits
from training.generation.repeats import WithoutRepeats


class Fixed:
    """Every token has the same scores at every step."""

    most = None

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def next(self, chosen: Tensor | None) -> Tensor:
        return torch.tensor([[4.0, 3.0, 2.0]]).repeat(self.rows, 1)

    def select(self, rows: Tensor) -> None:
        self.rows = len(rows)


@pytest.mark.parametrize(
    ("n", "wanted"), [(1, [0, 1, 2]), (2, [0, 0, 1, 0, 2, 0]), (3, [0, 0, 0, 1, 0, 0, 2]), (9, [0, 0, 0, 0, 0, 0, 0])]
)
def test_no_n_tokens_follow_each_other_twice(n: int, wanted: list[int]) -> None:
    found = decode(WithoutRepeats(Fixed(2), n), Limits(len(wanted)), Choice())
    assert found == [wanted, wanted]


def test_beams_keep_what_each_of_them_has_written() -> None:
    for answers in search(WithoutRepeats(Fixed(2), 2), Limits(6), Beams(3)):
        for ids, _ in answers:
            pairs = list(pairwise(ids))
            assert len(set(pairs)) == len(pairs)
