"""GPT-2 124M on one GPU: tokens per second over rows of 1,024, its vocabulary padded to 50,304.

    python benchmarks/gpu/gpt.py
    python benchmarks/gpu/gpt.py --device cpu --size demo --length 64 --rows 2 --steps 2     to see that it runs

`--documents` packs rows of eight documents that do not see each other (FlexAttention).
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from measure import Case, main, parser
from torch import Tensor

from training.models.gpt import GPTShape
from training.run.resources import flops

VOCABULARY = 50304  # 50,257 padded to a multiple of 128, which matrix products want


def case(length: int, documents: bool, vocabulary: int | None) -> Case:
    def batch(shape: Any, rows: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        ids = torch.randint(0, shape.vocabulary, (rows, length + 1), generator=generator)
        examples = {"inputs": ids[:, :-1].contiguous(), "targets": ids[:, 1:].contiguous()}
        if documents:
            places = torch.arange(length)
            eighth = max(1, length // 8)
            examples |= {"documents": (places // eighth).expand(rows, -1).contiguous()}
            examples |= {"positions": (places % eighth).expand(rows, -1).contiguous()}
        return examples

    return Case(
        family="gpt",
        size="small",
        rows=64,
        unit="tokens/s",
        goal=">=500000 (578000)",
        per_row=length,
        changes={"length": length, **({"vocabulary": vocabulary} if vocabulary else {})},
        batch=batch,
        counts=lambda rows: {"tokens": rows * length},
        flops={name: partial(_of_row, of_row, length) for name, of_row in flops.GPT_CONVENTIONS.items()},
    )


def _of_row(convention: Callable[[GPTShape, int], int], length: int, shape: Any) -> float:
    return convention(shape, length)


if __name__ == "__main__":
    options = parser(__doc__, case(1024, False, None))
    options.add_argument("--length", type=int, default=1024)
    options.add_argument("--documents", action="store_true", help="eight in a row that do not see each other")
    options.add_argument("--vocabulary", type=int, help=f"default: {VOCABULARY}, but for demo")
    chosen = options.parse_args()
    size = chosen.vocabulary or (None if chosen.size == "demo" else VOCABULARY)
    sys.exit(main(case(chosen.length, chosen.documents, size), chosen))
