"""BERT-base on one GPU: rows of 512 a second, 77 masked tokens each and the pair, as `masked_lm` makes them.

python benchmarks/gpu/bert.py
python benchmarks/gpu/bert.py --device cpu --size demo --length 64 --rows 2 --steps 2     to see that it runs
"""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from measure import Case, main, parser
from torch import Tensor

from training.run.resources import flops


def case(length: int) -> Case:
    predictions = round(length * 0.15)

    def batch(shape: Any, rows: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        places = torch.rand(rows, length, generator=generator).argsort(dim=1)[:, :predictions]
        return {
            "inputs": torch.randint(0, shape.vocabulary, (rows, length), generator=generator),
            "segments": (torch.arange(length) >= length // 2).long().expand(rows, -1).contiguous(),
            "lengths": torch.full((rows,), length),
            "masked_positions": places.sort(dim=1).values,
            "targets": torch.randint(0, shape.vocabulary, (rows, predictions), generator=generator),
            "next_sentence": torch.randint(0, 2, (rows,), generator=generator),
        }

    return Case(
        family="bert",
        size="base",
        rows=128,
        unit="sequences/s",
        goal=">=1300",
        per_row=1,
        changes={"length": length},
        batch=batch,
        counts=lambda rows: {"tokens": rows * predictions, "pairs": rows},
        flops={
            "head on 15 %": lambda shape: flops.bert(shape, length, length * 0.15),
            "head on all positions": lambda shape: flops.bert(shape, length, length),
        },
    )


if __name__ == "__main__":
    options = parser(__doc__, case(512))
    options.add_argument("--length", type=int, default=512)
    chosen = options.parse_args()
    sys.exit(main(case(chosen.length), chosen))
