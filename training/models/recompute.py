"""Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): layers compute twice instead of remembering."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(layers: Sequence[nn.Module]) -> None:
    """Have these layers compute twice instead of keeping what they computed: the same gradients, less memory.

    Names of weights do not change. Dropout repeats its draws.
    """
    for layer in layers:
        layer.forward = _twice(layer.forward)


def _twice(forward: Callable[..., Any]) -> Callable[..., Any]:
    def checkpointed(*arguments: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*arguments, **named)
        return checkpoint(forward, *arguments, use_reentrant=False, **named)

    return checkpointed
