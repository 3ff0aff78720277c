"""Heads of attention that are taken out of a model, or put back.

What is left computes what the whole model does whose other heads give 0. Heads of a layer are numbered as they are in it.

Shapes: H heads, K width of a head, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pipelines.contract.errors import UserError
from training.models import families
from training.models.bert import BERT
from training.models.families import Model
from training.models.gpt import GPT


def without_heads(model: Model, kept: Sequence[Sequence[int]]) -> Model:
    """Return a model with these heads of each layer only, at least one in each. Raises UserError for another family."""
    model = can_lose_heads(model)
    return _rebuilt(model, [len(heads) for heads in kept], lambda layer, parts: parts[:, list(kept[layer])])


def with_all_heads(model: Model) -> Model:
    """Return the same model with the heads that were taken out: they give 0. One from which none was taken is returned itself."""
    if not isinstance(model, BERT | GPT) or model.shape.layer_heads is None:
        return model
    most = model.shape.heads

    def filled(_layer: int, parts: Tensor) -> Tensor:
        empty = parts.new_zeros(len(parts), most - parts.shape[1], *parts.shape[2:])
        return torch.cat([parts, empty], 1)

    return _rebuilt(model, None, filled)


def can_lose_heads(model: Model) -> BERT | GPT:
    """Return a model whose heads can be taken out. Raises UserError for another."""
    if not isinstance(model, BERT | GPT):
        raise UserError(f"heads can be taken out of BERT and GPT, and this is a {type(model).__name__}")
    return model


def _rebuilt(model: BERT | GPT, heads: Sequence[int] | None, change: Callable[[int, Tensor], Tensor]) -> Model:
    """Return a model whose attentions have changed heads: `change` (layer, parts) has the heads in the second dimension."""
    rebuilt = families.build(replace(model.shape, layer_heads=None if heads is None else tuple(heads)))
    weights = model.state_dict()
    for layer in range(model.shape.layers):
        for kind in ("weight", "bias"):  # (3 H K, D), (3 H K)
            name = f"layers.{layer}.attention.query_key_value.{kind}"
            parts = weights[name].unflatten(0, (3, -1, model.shape.head_width))
            weights[name] = change(layer, parts).flatten(0, 2)
        name = f"layers.{layer}.attention.output.weight"  # (D, H K)
        weights[name] = change(layer, weights[name].unflatten(1, (-1, model.shape.head_width))).flatten(1)
    rebuilt.load_state_dict(weights)
    return rebuilt.train(model.training)
