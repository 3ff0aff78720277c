"""The memory of rows that are decoded together although their lengths differ: a row keeps its own, and attends to it alone.

A batch of such rows can change between any two steps: a row joins with what it has read, and leaves with it. What attention
computes for a row, and the shapes it computes with, depend on that row only, so there is no padding and nothing to hide.
Everything else in a layer works on each row by itself; training/serving/batching/packed.py makes that hold bit by bit.

Where pruning left fewer heads in some layers, a row has room for those of the layer that has most.

Shapes: B rows, N layers, H heads, K width of a head, S tokens of a row, P its capacity.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.models.attention import Cache, KeysValues, LayerCache, Sees


class RowMemory:
    """Keys and values of one row in all layers: of its own tokens, which grow up to a capacity, and of the encoder's memory."""

    def __init__(self, read: Cache, capacity: int) -> None:
        """Take what a row has read alone (B = 1), with room for `capacity` tokens in all."""
        first = read.layers[0].own
        assert first.key is not None and first.key.shape[0] == 1, "one row that has read something"
        _, _, self.length, width = first.key.shape
        assert self.length <= capacity
        keys = [layer.own.key for layer in read.layers]
        self.heads = [0 if key is None else key.shape[1] for key in keys]  # of each layer
        heads = max(self.heads)
        self.own = first.key.new_empty(len(read.layers), 2, 1, heads, capacity, width)
        self.encoder: list[tuple[Tensor, Tensor]] = []  # keys and values by layer; none without an encoder
        for layer, store in zip(read.layers, self.own.unbind(0), strict=True):
            for kept, part in zip((layer.own.key, layer.own.value), store.unbind(0), strict=True):
                assert kept is not None
                part[:, : kept.shape[1], : self.length] = kept
            if layer.memory.key is not None and layer.memory.value is not None:
                self.encoder.append((layer.memory.key, layer.memory.value))

    def copy(self) -> "RowMemory":
        """Return a row that has read the same; what the encoder read is shared, as it never changes."""
        twin = object.__new__(RowMemory)
        twin.length, twin.heads, twin.own, twin.encoder = self.length, self.heads, self.own.clone(), self.encoder
        return twin


class OwnTokens(KeysValues):
    """The rows' own keys and values in one layer: a step adds a token to each."""

    def __init__(self, places: list[Tensor], seen: list[Tensor]) -> None:
        super().__init__()
        self.places, self.seen = places, seen  # of each row: (2, 1, H, K) for the new token, (2, 1, H, S, K) with it

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new token of each row: (B', H, 1, K); rows beyond B are padding."""
        new = torch.stack([key, value]).squeeze(3).unsqueeze(2).unbind(1)  # B' times (2, 1, H, K)
        for place, token in zip(self.places, new, strict=False):
            place.copy_(token)
        return key, value

    def attend(
        self, query: Tensor, *, sees: Sees | None = None, causal: bool = False, scale: float | None = None, dropout: float = 0.0
    ) -> Tensor:
        """Query (B', H, 1, K) -> (B', H, 1, K). `sees` (1, H, 1, S) are biases by distance, for the longest row."""
        assert dropout == 0 and (sees is None or isinstance(sees, Tensor))
        mixed: list[Tensor] = []
        for one, keys_values in zip(query.split(1), self.seen, strict=False):
            bias = None if sees is None else sees[..., -keys_values.shape[3] :]
            mixed.append(_attend(one, keys_values[0], keys_values[1], bias, scale))
        return _with_padding(mixed, query)

    @property
    def filled(self) -> bool:
        """Whether a token is cached: a row has always read one."""
        return True


class EncoderTokens(KeysValues):
    """What the encoder read for each row, in one layer."""

    def __init__(self, rows: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.rows = rows

    def attend(
        self, query: Tensor, *, sees: Sees | None = None, causal: bool = False, scale: float | None = None, dropout: float = 0.0
    ) -> Tensor:
        """Query (B', H, 1, K) -> (B', H, 1, K)."""
        assert dropout == 0 and sees is None
        mixed = [_attend(one, *keys_values, None, scale) for one, keys_values in zip(query.split(1), self.rows, strict=False)]
        return _with_padding(mixed, query)

    @property
    def filled(self) -> bool:
        """Whether the memory is projected already."""
        return True


class RowsCache(Cache):
    """The cache of one step for rows of different lengths. After the step, call `grown`."""

    def __init__(self, rows: Sequence[RowMemory]) -> None:
        self.rows = rows
        places = [row.own[:, :, :, :, row.length].unbind(0) for row in rows]
        seen = [row.own[:, :, :, :, : row.length + 1].unbind(0) for row in rows]
        self.layers = [
            LayerCache(
                OwnTokens(*(_with_heads([one[layer] for one in parts], heads) for parts in (places, seen))),
                EncoderTokens([row.encoder[layer] for row in rows if row.encoder]),
            )
            for layer, heads in enumerate(rows[0].heads)
        ]

    @property
    def length(self) -> int:
        """Tokens of the longest row."""
        return max(row.length for row in self.rows)

    def grown(self) -> None:
        """Count the token that the step has added to each row."""
        for row in self.rows:
            row.length += 1


def _with_heads(parts: list[Tensor], heads: int) -> list[Tensor]:
    """Cut parts (2, 1, H, …) to the heads of a layer."""
    return parts if parts[0].shape[2] == heads else [part[:, :, :heads] for part in parts]


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float | None) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)


def _with_padding(rows: list[Tensor], query: Tensor) -> Tensor:
    if len(rows) < len(query):
        rows.append(torch.zeros_like(query[len(rows) :]))
    return torch.cat(rows)
