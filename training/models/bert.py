"""BERT (Devlin et al. 2019, arXiv 1810.04805): a Post-LN encoder that predicts masked tokens and whether B follows A.

RoBERTa (Liu et al. 2019, arXiv 1907.11692) and DistilBERT (Sanh et al. 2019, arXiv 1910.01108) are BERTs of other numbers:
without pairs, with one kind of segment or none, and RoBERTa's positions count from 2.

Shapes: B batch, T length of the row, P masked positions of a row, D width, H heads, K width of a head, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.contract.errors import UserError
from training.models import attention
from training.models.attention import SelfAttention, refuse_heads
from training.models.blocks import ACTIVATIONS, FeedForward, inner_width, refuse_activation
from training.models.loss import RIGHT, cross_entropy_and_right

NORM_EPSILON = 1e-12  # google-research/bert modeling.py, layer_norm(): that of tf.contrib.layers
INIT_STD = 0.02  # before the cut, see `init`
SEGMENTS = 2  # A and B
GELUS = ("gelu", "gelu_tanh")


@dataclass(frozen=True, slots=True)
class BERTShape:
    """Numbers that make a BERT. Raises ValueError, naming the number, where they contradict."""

    layers: int
    heads: int
    width: int
    vocabulary: int = 30522
    length: int = 512  # positions
    dropout: float = 0.1  # also of attention
    activation: str = "gelu"  # with erf, as in PyTorch and Hugging Face; Google's own checkpoints were trained with "gelu_tanh"
    inner: int | None = None  # of the feed-forward; None: 4 D
    norm_epsilon: float = NORM_EPSILON
    tied: bool = True  # the token head ends in the token embedding
    segments: int = SEGMENTS  # kinds of segments: RoBERTa 1, DistilBERT none
    first_position: int = (
        0  # row of the first position: fairseq counts from its padding id, 1, plus 1; rows before are never read
    )
    pooled: bool = True  # it has a head for pairs
    layer_heads: tuple[int, ...] | None = None  # heads that pruning left in each layer; None: all

    def __post_init__(self) -> None:
        refuse_heads(self.width, self.heads, self.layers, self.layer_heads)
        refuse_activation(self.activation, GELUS)

    @property
    def heads_by_layer(self) -> tuple[int, ...]:
        """Heads of each layer."""
        return self.layer_heads or (self.heads,) * self.layers

    @property
    def head_width(self) -> int:
        """Width of a head."""
        return self.width // self.heads

    @property
    def inner_width(self) -> int:
        """Inner width of the feed-forward."""
        return inner_width(self.inner, self.width)


SIZES: Mapping[str, BERTShape] = {
    "demo": BERTShape(layers=4, heads=4, width=128, vocabulary=4096, length=128, dropout=0.0),
    "tiny": BERTShape(layers=2, heads=2, width=128),  # 4.4 M; this and the next three: Turc et al. 2019, arXiv 1908.08962
    "mini": BERTShape(layers=4, heads=4, width=256),  # 11.3 M
    "small": BERTShape(layers=4, heads=8, width=512),  # 29.1 M
    "medium": BERTShape(layers=8, heads=8, width=512),  # 41.7 M
    "base": BERTShape(layers=12, heads=12, width=768),  # 110 M; the paper, 3
    "large": BERTShape(layers=24, heads=16, width=1024),  # 336 M, 340 M there
}


class Embeddings(nn.Module):
    """Tokens, positions and segments, added and normalised."""

    def __init__(self, shape: BERTShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.first = shape.first_position
        self.positions = nn.Embedding(self.first + shape.length, shape.width)
        self.segments = nn.Embedding(shape.segments, shape.width) if shape.segments else None
        self.norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, inputs: Tensor, segments: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, D); segments (B, T) of 0 and 1, by default all 0."""
        length, most = inputs.shape[1], self.positions.num_embeddings - self.first
        assert length <= most, f"a row of {length} tokens is longer than the model's positions ({most})"
        x = self.tokens(inputs) + self.positions.weight[self.first : self.first + length]
        if self.segments is not None:
            x = x + (self.segments.weight[0] if segments is None else self.segments(segments))
        return self.dropout(self.norm(x))


class Layer(nn.Module):
    """Attention and feed-forward, each added to what it read and then normalised (Post-LN)."""

    def __init__(self, shape: BERTShape, heads: int) -> None:
        super().__init__()
        self.attention = SelfAttention(shape.width, heads, causal=False, dropout=shape.dropout, head_width=shape.head_width)
        self.attention_norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        self.feed_forward = FeedForward(shape.width, shape.inner_width, shape.activation)
        self.feed_forward_norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor | None, read: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D), or at the positions `read` (B, P) of each row only: (B, P, D)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, sees)))
        x = x if read is None else at_positions(x, read)
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class TokenHead(nn.Module):
    """The layers between a hidden state and the token embedding that predicts tokens, and the output bias."""

    def __init__(self, shape: BERTShape) -> None:
        super().__init__()
        self.dense = nn.Linear(shape.width, shape.width)
        self.activation = ACTIVATIONS[shape.activation]
        self.norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return self.norm(self.activation(self.dense(hidden)))


class BERT(nn.Module):
    """The whole model."""

    def __init__(self, shape: BERTShape) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = Embeddings(shape)
        self.layers = nn.ModuleList([Layer(shape, heads) for heads in shape.heads_by_layer])
        self.token_head = TokenHead(shape)
        self.head = None if shape.tied else nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.pooler = nn.Linear(shape.width, shape.width) if shape.pooled else None
        self.pair_head = nn.Linear(shape.width, 2) if shape.pooled else None
        init(self)

    def hidden(
        self, inputs: Tensor, segments: Tensor | None = None, real: Tensor | None = None, *, read: Tensor | None = None
    ) -> Tensor:
        """Token ids (B, T) -> (B, T, D), what the heads see.

        segments (B, T): 0 in A, 1 in B, by default 0. real (B, T) bool: which tokens are not padding, by default all.
        read (B, P): positions of each row; the result is (B, P, D), and the last feed-forward skips the other positions.
        """
        x = self.embeddings(inputs, segments)
        sees = None if real is None else attention.sees_real(real)
        *before, last = self.layers
        for layer in before:
            x = layer(x, sees)
        return last(x, sees, read)

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, D) -> (…, V): logits of the token at each position."""
        return functional.linear(self.token_head(hidden), self._head_weight(), self.token_head.bias)

    def pair_logits(self, hidden: Tensor) -> Tensor:
        """(B, T, D) -> (B, 2): B follows A, B is from another document. Read at the first token, [CLS]."""
        if self.pooler is None or self.pair_head is None:
            raise UserError("the model has no head for pairs (model.pooled is false); set objective.next_sentence to false")
        return self.pair_head(self.pooler(hidden[:, 0]).tanh())

    def forward(self, inputs: Tensor, segments: Tensor | None = None, real: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Token ids (B, T), and as in `hidden` -> logits of tokens (B, T, V), and of the pair (B, 2) if the model is pooled."""
        hidden = self.hidden(inputs, segments, real)
        return self.logits(hidden), self.pair_logits(hidden) if self.shape.pooled else None

    def losses(self, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Examples of `masked_lm` -> sums of the loss in nats: over masked tokens and, where there are pairs, over the rows.

        Beside each is the number of its right predictions (training/models/loss.py).

        Only [CLS] and the masked positions are read, about 15 % of a row.
        """
        inputs, masked = examples["inputs"], examples["masked_positions"]
        read = torch.cat([torch.zeros_like(masked[:, :1]), masked], dim=1)
        real = attention.real_tokens(examples["lengths"], inputs.shape[1])
        hidden = self.hidden(inputs, examples["segments"], real, read=read)
        weight, bias = self._head_weight(), self.token_head.bias
        tokens, right = cross_entropy_and_right(self.token_head(hidden[:, 1:]), weight, examples["targets"], bias)
        sums = {"tokens": tokens, f"tokens{RIGHT}": right}
        if "next_sentence" in examples:
            pairs = self.pair_logits(hidden)
            pairs = pairs.to(torch.promote_types(pairs.dtype, torch.float32))
            sums["pairs"] = functional.cross_entropy(pairs, examples["next_sentence"], reduction="sum")
            sums[f"pairs{RIGHT}"] = (pairs.argmax(-1) == examples["next_sentence"]).sum()
        return sums

    def _head_weight(self) -> Tensor:
        return self.embeddings.tokens.weight if self.head is None else self.head.weight


def at_positions(hidden: Tensor, positions: Tensor) -> Tensor:
    """(B, T, D) at positions (B, P) of each row -> (B, P, D)."""
    rows = torch.arange(hidden.shape[0], device=hidden.device)[:, None] * hidden.shape[1] + positions
    return hidden.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, positions.shape)


def init(model: BERT) -> None:
    """Draw the weights: N(0, 0.02) cut at two deviations (google-research/bert modeling.py, create_initializer), biases 0.

    Hugging Face draws the same without the cut, and 0 for the embedding of [PAD].
    """
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif "norm" not in name:
            nn.init.trunc_normal_(parameter, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD)
