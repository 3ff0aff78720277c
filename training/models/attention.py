"""Attention, what a token may see, and the memory of tokens seen before.

Shapes: B batch, T queries, S keys, D width of the model, H heads, K width of a head.

`sees` says which keys a query may attend to; if it is given, it replaces the causal rule:

    bool (B | 1, 1 | H, T | 1, S)     True: the query sees the key
    float, same shapes                added to the logits before the softmax: -inf hides a key, another number is T5's bias
    BlockMask                         on a GPU: which blocks of 128 x 128 are computed, and by what rule
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from pipelines.contract.errors import UserError

Sees = Tensor | BlockMask


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, sees: Sees | None, causal: bool, scale: float | None, dropout: float
) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, 3.2.1): query (B, H, T, K), key, value (B, H, S, K) -> (B, H, T, K).

    `causal`: a query sees its own key and those before it, the last query the last key. `scale` None is 1 / sqrt(K), T5's is 1.
    """
    if isinstance(sees, BlockMask):
        return _attend_in_blocks(query, key, value, sees, scale, dropout)
    queries, keys = query.shape[2], key.shape[2]
    if causal and queries != keys:  # PyTorch aligns the first query with the first key
        sees, causal = (None if queries == 1 else past(queries, keys, query.device)), False
    if sees is not None and sees.requires_grad and dropout == 0 and query.device.type == "cpu" and query.dtype == sees.dtype:
        mixed = _LearntBias.apply(query, key, value, sees, query.shape[3] ** -0.5 if scale is None else scale)
        assert isinstance(mixed, Tensor)
        return mixed
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=sees, dropout_p=dropout, is_causal=causal, scale=scale
    )


def _attend_in_blocks(query: Tensor, key: Tensor, value: Tensor, sees: BlockMask, scale: float | None, dropout: float) -> Tensor:
    """Apply FlexAttention (Dong et al. 2024, arXiv 2412.05496), which skips blocks without a visible key."""
    assert dropout == 0, "FlexAttention has no dropout: make the mask with document_mask, which takes the dropout into account"
    flex = flex_attention if query.device.type == "cpu" or torch.compiler.is_compiling() else _compiled_flex_attention()
    mixed = flex(query, key, value, block_mask=sees, scale=scale)
    assert isinstance(mixed, Tensor)
    return mixed


@functools.cache
def _compiled_flex_attention() -> Callable[..., Any]:
    """Return the compiled function: without compilation it would hold all logits."""
    return torch.compile(flex_attention)


class _LearntBias(torch.autograd.Function):
    """Attention on the CPU with a gradient for its bias: PyTorch's fused CPU kernel has none and falls back to slower steps.

    It keeps the attention weights (B, H, T, S). A row that sees no key must not be hidden by -inf.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float
    ) -> Tensor:
        batch, heads = query.shape[:2]
        query, key, value = (part.flatten(0, 1) for part in (query, key, value))
        logits = torch.bmm(query, key.transpose(1, 2))
        if scale != 1:
            logits *= scale
        logits.unflatten(0, (batch, heads)).add_(bias)
        shares = torch.softmax(logits, -1, out=logits)
        mixed = torch.bmm(shares, value)
        ctx.save_for_backward(query, key, value, shares, mixed)
        ctx.scale, ctx.bias_shape = scale, bias.shape
        return mixed.unflatten(0, (batch, heads))

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, shares, mixed = ctx.saved_tensors
        batch_and_heads, grad = grad_output.shape[:2], grad_output.flatten(0, 1)
        of_value = torch.bmm(shares.transpose(1, 2), grad)
        slope = torch.bmm(grad, value.transpose(1, 2))
        slope -= (grad * mixed).sum(-1, keepdim=True)
        slope *= shares
        of_bias = slope.unflatten(0, batch_and_heads).sum_to_size(ctx.bias_shape) if ctx.needs_input_grad[3] else None
        if ctx.scale != 1:
            slope = slope * ctx.scale
        of_query, of_key = torch.bmm(slope, key), torch.bmm(slope.transpose(1, 2), query)
        return *(part.unflatten(0, batch_and_heads) for part in (of_query, of_key, of_value)), of_bias, None


@dataclass(slots=True)
class KeysValues:
    """Cached key and value (B, H, S, K) of one attention, or None before the first token."""

    key: Tensor | None = None
    value: Tensor | None = None

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values of new tokens; return those of all tokens."""
        if self.key is not None and self.value is not None:
            key, value = torch.cat([self.key, key], dim=2), torch.cat([self.value, value], dim=2)
        self.key, self.value = key, value
        return key, value

    def attend(
        self, query: Tensor, *, sees: Sees | None = None, causal: bool = False, scale: float | None = None, dropout: float = 0.0
    ) -> Tensor:
        """Attend to all cached tokens: query (B, H, T, K) -> (B, H, T, K). The arguments are those of the function `attend`."""
        assert self.key is not None and self.value is not None
        return attend(query, self.key, self.value, sees=sees, causal=causal, scale=scale, dropout=dropout)

    @property
    def filled(self) -> bool:
        """Whether a token is cached."""
        return self.key is not None


@dataclass(slots=True)
class LayerCache:
    """Cache of a decoder layer: its own tokens, which grow, and the encoder's memory, computed once."""

    own: KeysValues = field(default_factory=KeysValues)
    memory: KeysValues = field(default_factory=KeysValues)


class Cache:
    """Keys and values of all layers of a decoder, so that only new tokens are computed."""

    def __init__(self, layers: int) -> None:
        self.layers = [LayerCache() for _ in range(layers)]

    @property
    def length(self) -> int:
        """Tokens that the decoder has seen."""
        key = self.layers[0].own.key
        return 0 if key is None else key.shape[2]

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch (B',), in this order and with repetitions: beams continue other beams."""
        for layer in self.layers:
            for kept in (layer.own, layer.memory):
                if kept.key is not None and kept.value is not None:
                    kept.key, kept.value = kept.key.index_select(0, rows), kept.value.index_select(0, rows)


class SelfAttention(nn.Module):
    """Multi-head self-attention, one matrix for queries, keys and values (Vaswani et al. 2017, 3.2.2).

    Every token sees itself and those before it when `causal`, else all of its row, unless `sees` says otherwise.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        causal: bool,
        dropout: float,
        head_width: int | None = None,
        bias: bool = True,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.causal, self.dropout, self.scale = heads, causal, dropout, scale
        inner = heads * (head_width or width // heads)
        self.query_key_value = nn.Linear(width, 3 * inner, bias=bias)
        self.output = nn.Linear(inner, width, bias=bias)

    def forward(
        self, x: Tensor, sees: Sees | None = None, cache: KeysValues | None = None, rotation: Tensor | None = None
    ) -> Tensor:
        """(B, T, D) -> (B, T, D). With a cache, its tokens come before these. `rotation`: see positions.rotation."""
        query, key, value = split_heads(self.query_key_value(x), self.heads, 3)
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        if cache is None:
            cache = KeysValues()
        cache.append(key, value)
        dropout = self.dropout if self.training else 0.0
        mixed = cache.attend(query, sees=sees, causal=self.causal and sees is None, scale=self.scale, dropout=dropout)
        return self.output(mixed.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Multi-head attention of a decoder to the encoder's memory; one matrix for keys and values."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        dropout: float,
        head_width: int | None = None,
        bias: bool = True,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.dropout, self.scale = heads, dropout, scale
        inner = heads * (head_width or width // heads)
        self.query = nn.Linear(width, inner, bias=bias)
        self.key_value = nn.Linear(width, 2 * inner, bias=bias)
        self.output = nn.Linear(inner, width, bias=bias)

    def forward(self, x: Tensor, memory: Tensor, sees: Tensor | None = None, cache: KeysValues | None = None) -> Tensor:
        """(B, T, D), memory (B, S, D) -> (B, T, D). With a cache, the memory is projected only the first time."""
        (query,) = split_heads(self.query(x), self.heads, 1)
        if cache is None:
            cache = KeysValues()
        if not cache.filled:
            cache.append(*split_heads(self.key_value(memory), self.heads, 2))
        dropout = self.dropout if self.training else 0.0
        mixed = cache.attend(query, sees=sees, scale=self.scale, dropout=dropout)
        return self.output(mixed.transpose(1, 2).flatten(2))


def refuse_heads(width: int, heads: int, layers: int, left: tuple[int, ...] | None) -> None:
    """Raise UserError if heads do not divide the width, or if those that pruning left in each layer do not fit."""
    if width % heads:
        raise UserError(f"heads must divide width, and {heads} does not divide {width}")
    if left is not None and (len(left) != layers or not all(1 <= one <= heads for one in left)):
        raise UserError(f"layer_heads must be {layers} numbers from 1 to {heads}, one for each layer, not {list(left)}")


def split_heads(joined: Tensor, heads: int, parts: int) -> tuple[Tensor, ...]:
    """(B, T, parts * H * K) -> that many (B, H, T, K)."""
    return tuple(part.unflatten(2, (heads, -1)).transpose(1, 2) for part in joined.chunk(parts, dim=2))


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn pairs of channels n and n + K / 2 of (B, H, T, K) by an angle each: rotation (2, …, T, K / 2), cosines and sines."""
    cosine, sine = rotation.unbind(0)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def past(queries: int, keys: int, device: torch.device) -> Tensor:
    """(T, S) bool: the last query sees all keys, each one before it one key less."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def real_tokens(lengths: Tensor, width: int) -> Tensor:
    """Numbers of real tokens (B,) -> (B, S) bool: padding comes after them."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def sees_real(real: Tensor) -> Tensor:
    """Which tokens are real (B, S) -> (B, 1, 1, S): no query sees padding."""
    return real[:, None, None, :]


def sees_past(real: Tensor, queries: int) -> Tensor:
    """Which of the S keys are real (B, S) -> (B, 1, T, S): the last T tokens, each sees the real ones up to itself."""
    return real[:, None, None, :] & past(queries, real.shape[1], real.device)


def within_documents(documents: Tensor) -> Tensor:
    """Numbers of documents (B, T) -> (B, 1, T, T): a token sees itself and those before it in its document."""
    length = documents.shape[1]
    return (documents[:, None, :, None] == documents[:, None, None, :]) & past(length, length, documents.device)


def document_mask(documents: Tensor, sees: Tensor | None, dropout: float) -> Sees:
    """`within_documents`, restricted to the keys that `sees` allows, in the form that is fastest on the device.

    On a GPU these are blocks (a row costs the sum of its documents' squared lengths, not T squared). Blocks support neither
    dropout nor another mask: with either, and on the CPU, where blocks have no gradient, the mask is dense.
    """
    if documents.device.type == "cuda" and sees is None and dropout == 0:
        return document_blocks(documents)
    within = within_documents(documents)
    return within if sees is None else within & sees


def document_blocks(documents: Tensor) -> BlockMask:
    """Numbers of documents (B, T) -> what `within_documents` says, by blocks."""

    def sees(row: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (documents[row, query] == documents[row, key]) & (query >= key)

    batch, length = documents.shape
    return create_block_mask(sees, batch, None, length, length, device=documents.device)
