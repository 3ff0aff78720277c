"""Causal language modelling (GPT): every token is predicted from those before it in its row.

    row      [5 6 7 0]
    inputs   [5 6 7]
    targets  [6 7 0]

A row of concatenated documents is not masked at document ends, as in GPT-2 and nanoGPT: the first token of a document
is predicted from the end-of-text before it and, through attention, from the document before that.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1

Examples = dict[str, NDArray[np.int64]]


def causal_lm(rows: NDArray[Any]) -> Examples:
    """Rows (B, T + 1) of any integer type -> inputs and targets, each (B, T) int64."""
    wide = rows.astype(np.int64)
    return {"inputs": wide[:, :-1].copy(), "targets": wide[:, 1:].copy()}


def counts(examples: Examples) -> dict[str, int]:
    """By how many predictions each term of the loss is divided: here all targets."""
    return {"tokens": examples["targets"].size}
