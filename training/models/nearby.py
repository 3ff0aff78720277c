"""Rows without their padding, and attention to the tokens nearby: what an encoder of long texts saves.

ModernBERT (Warner et al. 2024, arXiv 2412.13663, 2.1.2 and 2.1.3) computes no padding and lets most layers see a window only.
Here the layers that treat each token by itself get the real tokens of all rows in one long row; attention puts them back into
rows, where its kernels are fast. A token of a local layer sees those at a distance of up to half a window: with long rows, a
block of queries is multiplied with the keys of its surroundings only, so that the cost grows with T, not with T squared.

Shapes: B batch, T length of the row, N real tokens of all rows, H heads, K width of a head, C blocks of a row,
S keys that a block sees.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.models.attention import attend

BLOCK = 128  # queries of a block
PADDING = -1  # the document of padding


@dataclass(frozen=True, slots=True)
class Unpadded:
    """The places of the real tokens (N,) among all of the batch, ascending.

    >>> rows = unpadded(torch.tensor([[True, True, False], [True, False, False]]))
    >>> rows.places.tolist(), rows.drop(torch.tensor([[[5], [6], [0]], [[7], [0], [0]]])).tolist()
    ([0, 1, 3], [[[5], [6], [7]]])
    """

    places: Tensor
    batch: int
    length: int

    def drop(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (1, N, D)."""
        return x.flatten(0, 1).index_select(0, self.places)[None]

    def pad(self, x: Tensor) -> Tensor:
        """(1, N, D) -> (B, T, D), 0 at padding."""
        whole = x.new_zeros(self.batch * self.length, x.shape[2])
        return whole.index_copy(0, self.places, x[0]).unflatten(0, (self.batch, self.length))

    def find(self, places: Tensor) -> Tensor:
        """Places of real tokens among all of the batch (M,) -> among the real ones (M,)."""
        return torch.searchsorted(self.places, places)


def unpadded(real: Tensor | None) -> Unpadded | None:
    """Return the places of the tokens (B, T) that are real; None if all are."""
    if real is None or bool(real.all()):
        return None
    return Unpadded(real.flatten().nonzero()[:, 0], *real.shape)


@dataclass(frozen=True, slots=True)
class Blocks:
    """What the tokens of a local layer see, by blocks of queries: (B * C | C, 1, BLOCK, S) bool, and half the window."""

    sees: Tensor
    half: int


@dataclass(frozen=True, slots=True)
class Around:
    """What attention needs to know beside its input: the places without padding, turns of positions, and what a token sees."""

    rows: Unpadded | None
    rotation: Tensor | None  # see positions.rotation
    sees: Tensor | None = None  # see attention.py
    blocks: Blocks | None = None  # instead of sees


def documents_of(real: Tensor | None, documents: Tensor | None) -> Tensor | None:
    """Return numbers of documents (B, T), in which padding is one of its own; None if each row is one document.

    Padding sees padding: a token that sees nothing would be NaN.
    """
    if real is None:
        return documents
    return torch.where(real, 0 if documents is None else documents, PADDING)


def alike(documents: Tensor) -> Tensor:
    """Numbers of documents (B, T) -> (B, 1, T, T): a token sees all of its document."""
    return documents[:, None, :, None] == documents[:, None, None, :]


def within(documents: Tensor | None, length: int, half: int, device: torch.device) -> Tensor:
    """Return what a token sees at a distance of up to `half`: documents (B, T) or None -> (B | 1, 1, T, T) bool."""
    places = torch.arange(length, device=device)
    near = ((places[:, None] - places).abs() <= half)[None, None]
    return near if documents is None else near & alike(documents)


def blocks_within(documents: Tensor | None, length: int, half: int, device: torch.device) -> Blocks:
    """Return the same as `within` by blocks of queries, the last of which may go beyond the row."""
    over = -length % BLOCK
    if documents is None:
        documents = torch.zeros(1, length, dtype=torch.int64, device=device)
    queries = functional.pad(documents, (0, over), value=PADDING).unflatten(1, (-1, BLOCK))  # (B, C, BLOCK)
    keys = functional.pad(documents, (half, half + over), value=PADDING).unfold(1, BLOCK + 2 * half, BLOCK)  # (B, C, S)
    distances = torch.arange(-half, BLOCK + half, device=device) - torch.arange(BLOCK, device=device)[:, None]
    sees = (queries[..., None] == keys[..., None, :]) & (distances.abs() <= half)
    return Blocks(sees.flatten(0, 1)[:, None], half)


def attend_in_blocks(query: Tensor, key: Tensor, value: Tensor, blocks: Blocks, dropout: float) -> Tensor:
    """Attention (B, H, T, K) of each block of queries to the keys that it can see; see `attention.attend`."""
    batch, length, half = query.shape[0], query.shape[2], blocks.half
    over = -length % BLOCK
    chunks = length + over
    queries = functional.pad(query, (0, 0, 0, over)).unflatten(2, (-1, BLOCK)).transpose(1, 2).flatten(0, 1)
    keys, values = (
        functional.pad(part, (0, 0, half, half + over)).unfold(2, BLOCK + 2 * half, BLOCK).permute(0, 2, 1, 4, 3).flatten(0, 1)
        for part in (key, value)
    )  # (B * C, H, S, K)
    sees = blocks.sees
    if len(sees) < len(queries):  # the same in all rows
        sees = sees.repeat(batch, 1, 1, 1)
    mixed = attend(queries, keys, values, sees=sees, causal=False, scale=None, dropout=dropout)  # (B * C, H, BLOCK, K)
    return mixed.unflatten(0, (batch, -1)).transpose(1, 2).reshape(batch, -1, chunks, query.shape[3])[:, :, :length]
