"""BART-base on one GPU: examples a second of 512 tokens that are read and 512 that are written, unshortened by infilling.

python benchmarks/gpu/bart.py
python benchmarks/gpu/bart.py --device cpu --size demo --length 64 --targets 64 --rows 2 --steps 2     to see that it runs
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
        family="bart",
        size="base",
        rows=64,
        unit="examples/s",
        goal=">=750",
        per_row=1,
        changes={"length": max(length, targets)},
        batch=batch,
        counts=lambda rows: {"tokens": rows * targets},
        flops={"matrices and attention": lambda shape: flops.bart(shape, length, targets)},
    )


if __name__ == "__main__":
    options = parser(__doc__, case(512, 512))
    options.add_argument("--length", type=int, default=512, help="tokens that are read (default: 512)")
    options.add_argument("--targets", type=int, default=512, help="tokens that are written (default: 512)")
    chosen = options.parse_args()
    sys.exit(main(case(chosen.length, chosen.targets), chosen))
