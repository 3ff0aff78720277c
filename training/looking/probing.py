"""How well a linear classifier reads labels off each layer of a body (Alain and Bengio 2016, arXiv 1610.01644).

The vector of a text is the mean of its tokens' states. A logistic regression on standardised vectors is cross-validated in five
folds of equal shares of the labels; its accuracy stands beside that of the commonest label. Of an encoder-decoder the encoder is
probed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.models import attention
from training.models.bart import BART
from training.models.families import Model, layers
from training.models.t5 import T5
from training.tasks import features
from training.tasks.input.rows import INPUTS, LENGTHS

FOLDS = 5
_SEED = 1  # of the folds


class Probe(NamedTuple):
    """What a layer gives."""

    layer: int  # 0: the embeddings
    accuracy: float  # mean over folds
    deviation: float  # over folds


class Probed(NamedTuple):
    """The probes of all layers."""

    layers: tuple[Probe, ...]
    commonest: float  # the share of the commonest label, which a classifier without a model reaches
    records: int


def probe(states: Sequence[NDArray[np.float32]], labels: Sequence[str]) -> Probed | None:
    """Return the probes of vectors (N, D) of each layer.

    Labels with fewer records than there are folds are left out; None if fewer than two remain.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _, numbers, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    if np.count_nonzero(counts >= FOLDS) < 2:
        return None
    chosen = (counts >= FOLDS)[numbers]
    wanted = numbers[chosen]
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=_SEED)
    found: list[Probe] = []
    for number, vectors in enumerate(states):
        reader: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        scores: Any = cross_val_score(reader, vectors[chosen], wanted, cv=folds)
        found.append(Probe(number, float(np.mean(scores)), float(np.std(scores))))
    return Probed(tuple(found), float(counts.max() / len(wanted)), len(wanted))


def _after(keep: Callable[[Tensor], None]) -> Callable[[nn.Module, Any, Any], None]:
    def hook(layer: nn.Module, given: Any, made: Any) -> None:
        keep(made)

    return hook


@torch.no_grad()
def states(body: Model, examples: Mapping[str, Tensor]) -> list[NDArray[np.float32]]:
    """Return the mean vector of each row's tokens before the first layer and after each: inputs (B, T) -> (B, D) of each."""
    stack: nn.Module = body.encoder if isinstance(body, BART | T5) else body
    lengths: list[int] = examples[LENGTHS].tolist()
    found: list[NDArray[np.float32]] = []

    def keep(state: Tensor) -> None:
        rows = state.split(lengths) if state.ndim == 2 else [row[:length] for row, length in zip(state, lengths, strict=True)]
        found.append(torch.stack([row.float().mean(0) for row in rows]).cpu().numpy())

    *_, last = all_layers = layers(stack)
    hooks: list[Any] = [layer.register_forward_pre_hook(lambda _, given: keep(given[0])) for layer in all_layers]
    hooks.append(last.register_forward_hook(_after(keep)))
    try:
        if isinstance(body, BART | T5):
            body.encode(examples[INPUTS], real=attention.real_tokens(examples[LENGTHS], examples[INPUTS].shape[1]))
        else:
            features.tokens(body, examples)
    finally:
        for hook in hooks:
            hook.remove()
    return found
