"""T5-base on one GPU: examples a second of 512 tokens that are read and 114 that are written, as `span_corruption` makes them.

    python benchmarks/gpu/t5.py
    python benchmarks/gpu/t5.py --device cpu --size demo --length 64 --targets 14 --rows 2 --steps 2     to see that it runs

`--size v1.1-base` is T5 1.1: another feed-forward of the same cost, and a head of its own.
"""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from measure import Case, main, parser
from torch import Tensor

from training.run.resources import flops


def case(length: int, targets: int) -> Case:
    def batch(shape: Any, rows: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        written = torch.randint(0, shape.vocabulary, (rows, targets), generator=generator)
        return {
            "inputs": torch.randint(0, shape.vocabulary, (rows, length), generator=generator),
            "lengths": torch.full((rows,), length),
            "decoder_inputs": written.roll(1, dims=1),
            "targets": written,
        }

    return Case(
        family="t5",
        size="base",
        rows=96,
        unit="examples/s",
        goal=">=800",
        per_row=1,
        changes={},
        batch=batch,
        counts=lambda rows: {"tokens": rows * targets},
        flops={"matrices and attention": lambda shape: flops.t5(shape, length, targets)},
    )


if __name__ == "__main__":
    options = parser(__doc__, case(512, 114))
    options.add_argument("--length", type=int, default=512, help="tokens that are read (default: 512)")
    options.add_argument("--targets", type=int, default=114, help="tokens that are written (default: 114)")
    chosen = options.parse_args()
    sys.exit(main(case(chosen.length, chosen.targets), chosen))
