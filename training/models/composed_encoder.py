"""An encoder of composed.py's blocks that predicts masked tokens; with the sizes "modernbert-…" it is ModernBERT.

ModernBERT (Warner et al. 2024, arXiv 2412.13663): Pre-LN without biases, rotary positions, GEGLU, a norm after the embeddings,
local attention in two of three layers, no computation on padding; the head is BERT's.

Shapes: B batch, T length of the row, N real tokens of all rows, P masked positions of a row, M masked tokens of all rows,
D width, V vocabulary.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data.rows.batch import IGNORE
from training.models import nearby
from training.models.attention import attend, real_tokens, rotate, sees_real, split_heads
from training.models.blocks import ACTIVATIONS
from training.models.composed import ComposedShape, Embeddings, attention_norm, feed_forward, init, norm
from training.models.loss import RIGHT, cross_entropy_and_right
from training.models.nearby import Around, Unpadded
from training.models.positions import RelativeBias, rotation


class Attention(nn.Module):
    """Multi-head self-attention to the tokens around; queries, keys and values as in attention.SelfAttention."""

    def __init__(self, shape: ComposedShape) -> None:
        super().__init__()
        self.heads, self.dropout = shape.heads, shape.dropout
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width, bias=shape.biases)
        self.output = nn.Linear(shape.width, shape.width, bias=shape.biases)

    def forward(self, x: Tensor, around: Around) -> Tensor:
        """(B, T, D), or without padding (1, N, D) -> the same."""
        rows, dropout = around.rows, self.dropout if self.training else 0.0
        joined = self.query_key_value(x)
        query, key, value = split_heads(joined if rows is None else rows.pad(joined), self.heads, 3)
        if around.rotation is not None:
            query, key = rotate(query, around.rotation), rotate(key, around.rotation)
        if around.blocks is not None:
            mixed = nearby.attend_in_blocks(query, key, value, around.blocks, dropout)
        else:
            mixed = attend(query, key, value, sees=around.sees, causal=False, scale=None, dropout=dropout)
        mixed = mixed.transpose(1, 2).flatten(2)
        return self.output(mixed if rows is None else rows.drop(mixed))


class PreNormLayer(nn.Module):
    """Attention and feed-forward, each normalised before and added to the residual stream after (Pre-LN)."""

    def __init__(self, shape: ComposedShape, number: int) -> None:
        super().__init__()
        self.attention_norm = attention_norm(shape, number)
        self.attention = Attention(shape)
        self.feed_forward_norm = norm(shape)
        self.feed_forward = feed_forward(shape)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, around: Around, read: Tensor | None = None) -> Tensor:
        """(B, T, D) or (1, N, D) -> the same, or at the places `read` (M,) of all tokens only: (M, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), around))
        x = x if read is None else x.flatten(0, 1).index_select(0, read)
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class PostNormLayer(PreNormLayer):
    """The same parts; the sum is normalised, and nothing goes past the norms (Post-LN, Vaswani et al. 2017)."""

    def forward(self, x: Tensor, around: Around, read: Tensor | None = None) -> Tensor:
        """(B, T, D) or (1, N, D) -> the same, or at the places `read` (M,) of all tokens only: (M, D)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, around)))
        x = x if read is None else x.flatten(0, 1).index_select(0, read)
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class TokenHead(nn.Module):
    """The layers between a hidden state and the token embedding that predicts tokens, and the output bias."""

    def __init__(self, shape: ComposedShape) -> None:
        super().__init__()
        self.dense = nn.Linear(shape.width, shape.width, bias=shape.biases)
        self.activation = ACTIVATIONS[shape.activation]
        self.norm = norm(shape)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return self.norm(self.activation(self.dense(hidden)))


class ComposedEncoder(nn.Module):
    """The whole model."""

    def __init__(self, shape: ComposedShape) -> None:
        super().__init__()
        assert not shape.causal
        self.shape = shape
        self.unpads = True  # false: padding is computed, too, with the same result; for tests and measurements
        self.embeddings = Embeddings(shape)
        self.relative = RelativeBias(shape.heads, bidirectional=True) if shape.positions == "relative" else None
        layer = PreNormLayer if shape.norm_place == "pre" else PostNormLayer
        self.layers = nn.ModuleList([layer(shape, number) for number in range(shape.layers)])
        self.norm = norm(shape) if shape.norm_place == "pre" else nn.Identity()  # Post-LN's stream is normalised already
        self.token_head = TokenHead(shape)
        init(self, shape.layers)

    def hidden(
        self,
        inputs: Tensor,
        *,
        real: Tensor | None = None,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Token ids (B, T) -> (B, T, D), what the head sees; at padding it is of no meaning.

        real (B, T) bool: which tokens are not padding, by default all. positions (B, T): by default from 0. documents (B, T):
        numbers of documents; a token sees only its own. Windows and relative positions are distances in the row.
        """
        rows = nearby.unpadded(real) if self.unpads else None
        x = self._layers(inputs, rows, real, positions, documents)
        return x if rows is None else rows.pad(x)

    def _layers(
        self,
        inputs: Tensor,
        rows: Unpadded | None,
        real: Tensor | None,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        read: Tensor | None = None,
    ) -> Tensor:
        """Return the hidden states of all tokens, (B, T, D) or without padding (1, N, D), or at the places `read`: (M, D)."""
        length, most = inputs.shape[1], self.shape.length
        assert length <= most, f"a row of {length} tokens is longer than the model's positions ({most})"
        if positions is None:
            positions = torch.arange(length, device=inputs.device)[None]
        around = self._around(rows, real, positions, documents, length)
        if rows is not None:
            positions = rows.drop(positions.expand(inputs.shape)[..., None])[..., 0]
            inputs = rows.drop(inputs[..., None])[..., 0]
        x = self.embeddings(inputs, positions)
        *before, last = self.layers
        for number, layer in enumerate(before):
            x = layer(x, around[self.shape.is_local(number)])
        return self.norm(last(x, around[self.shape.is_local(len(before))], read))

    def _around(
        self, rows: Unpadded | None, real: Tensor | None, positions: Tensor, documents: Tensor | None, length: int
    ) -> Sequence[Around]:
        """Return what the tokens of a global layer see, and those of a local one."""
        shape, device = self.shape, positions.device
        apart = nearby.documents_of(real, documents)
        sees = None if real is None else sees_real(real)
        if documents is not None:
            assert apart is not None
            sees = nearby.alike(apart)
        whole = Around(rows, self._turns(positions, shape.rotary_base), self._biased(sees, length))
        if shape.window is None:
            return whole, whole
        turns, half = self._turns(positions, shape.local_rotary_base or shape.rotary_base), shape.window // 2
        if self.relative is None and length > nearby.BLOCK + 2 * half:
            return whole, Around(rows, turns, blocks=nearby.blocks_within(apart, length, half, device))
        return whole, Around(rows, turns, self._biased(nearby.within(apart, length, half, device), length))

    def _turns(self, positions: Tensor, base: int) -> Tensor | None:
        """Return the turns of rotary positions (2, B | 1, 1, T, K / 2), the same for all heads."""
        if self.shape.positions != "rotary":
            return None
        return rotation(positions, self.shape.width // self.shape.heads, base)[:, :, None]

    def _biased(self, sees: Tensor | None, length: int) -> Tensor | None:
        """Return what a token sees, as relative biases where the shape has them."""
        return sees if self.relative is None else self.relative(length, length, sees)

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, D) -> (…, V): logits of the token at each position."""
        return functional.linear(self.token_head(hidden), self.embeddings.tokens.weight, self.token_head.bias)

    def forward(
        self,
        inputs: Tensor,
        *,
        real: Tensor | None = None,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """Token ids (B, T), and as in `hidden` -> logits (B, T, V)."""
        return self.logits(self.hidden(inputs, real=real, positions=positions, documents=documents))

    def losses(self, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Examples of `masked_lm` without pairs -> the sum of the loss over masked tokens, in nats, and how many are right.

        The last feed-forward and the head read masked tokens only.
        """
        inputs, targets = examples["inputs"], examples["targets"]
        real, predicted = real_tokens(examples["lengths"], inputs.shape[1]), targets != IGNORE
        rows = nearby.unpadded(real) if self.unpads else None
        firsts = torch.arange(0, inputs.numel(), inputs.shape[1], device=inputs.device)[:, None]
        read = (firsts + examples["masked_positions"])[predicted]  # (M,)
        hidden = self._layers(inputs, rows, real, read=read if rows is None else rows.find(read))
        weight, bias = self.embeddings.tokens.weight, self.token_head.bias
        tokens, right = cross_entropy_and_right(self.token_head(hidden), weight, targets[predicted], bias)
        return {"tokens": tokens, f"tokens{RIGHT}": right}
