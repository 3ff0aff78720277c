"""The attention weights of every head, computed again from what each attention of a forward pass read.

Shapes: T queries, S keys, D width, H heads, K width of a head.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from training.models import attention
from training.models.attention import CrossAttention, SelfAttention


class Weights(NamedTuple):
    """The weights of an attention for one row."""

    name: str  # of the module, e.g. layers.0.attention
    heads: Tensor  # (H, T, S), the sums over S are 1
    of_memory: bool  # keys are the encoder's tokens


def weights(body: nn.Module, forward: Callable[[], object]) -> list[Weights]:
    """Return the weights of each attention that `forward`, which runs the body on one row, calls; in the order of the calls.

    Attentions of other kinds (an encoder of composed blocks, a tuned prefix) are left out.
    """
    found: list[Weights] = []
    hooks: list[Any] = []
    for name, layer in body.named_modules():
        if type(layer) is SelfAttention or isinstance(layer, CrossAttention):

            def look(layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any], name: str = name) -> None:
                assert isinstance(layer, SelfAttention | CrossAttention)
                found.append(Weights(name, _weights(layer, given, named)[0], isinstance(layer, CrossAttention)))

            hooks.append(layer.register_forward_pre_hook(look, with_kwargs=True))
    try:
        with torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _weights(layer: SelfAttention | CrossAttention, given: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
    """Return softmax(query key' scale + mask): (B, H, T, S). The arguments are those of the layer's forward."""
    if isinstance(layer, SelfAttention):
        x, sees, cache, rotation = (*given, *[None] * (4 - len(given)))
        query, key, _ = attention.split_heads(layer.query_key_value(x), layer.heads, 3)
        rotation = named.get("rotation", rotation)
        if rotation is not None:
            query, key = attention.rotate(query, rotation), attention.rotate(key, rotation)
        causal = layer.causal
    else:
        x, memory, sees, cache = (*given, *[None] * (4 - len(given)))
        (query,), (key, _) = (
            attention.split_heads(layer.query(x), layer.heads, 1),
            attention.split_heads(layer.key_value(memory), layer.heads, 2),
        )
        causal = False
    sees = named.get("sees", sees)
    assert cache is None and named.get("cache") is None, "a row is read at once"
    logits = query @ key.transpose(2, 3) * (query.shape[3] ** -0.5 if layer.scale is None else layer.scale)
    if sees is None and causal:
        sees = attention.past(query.shape[2], key.shape[2], query.device)
    if isinstance(sees, Tensor):
        logits = logits.masked_fill(~sees, -torch.inf) if sees.dtype == torch.bool else logits + sees
    return logits.softmax(-1)
