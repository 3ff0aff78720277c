"""BART (Lewis et al. 2020, arXiv 1910.13461): a Post-LN encoder and decoder with learned positions and a tied head.

Shapes: B batch, S length of the encoder's row, T of the decoder's, D width, H heads, K width of a head, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.contract.errors import UserError
from training.data.rows.batch import IGNORE
from training.models import attention
from training.models.attention import Cache, CrossAttention, LayerCache, SelfAttention
from training.models.blocks import FeedForward, inner_width, refuse_activation
from training.models.loss import cross_entropy

NORM_EPSILON = 1e-5  # fairseq modules/layer_norm.py
INIT_STD = 0.02  # fairseq models/bart: init_bert_params
OFFSET = 2  # the first position is row 2: fairseq counts positions from its padding id, 1, plus 1; rows 0 and 1 are never read


@dataclass(frozen=True, slots=True)
class BARTShape:
    """Numbers that make a BART. Raises ValueError, naming the number, where they contradict."""

    encoder_layers: int
    decoder_layers: int
    heads: int
    width: int
    vocabulary: int = 50265
    length: int = 1024  # positions of each stack
    dropout: float = 0.1  # of the published config.json: also of attention and of the feed-forward's inside
    inner: int | None = None  # of the feed-forward; None: 4 D
    decoder_inner: int | None = None  # None: as the encoder's
    decoder_heads: int | None = None  # None: as the encoder's
    activation: str = "gelu"
    tied: bool = True  # the head is the token embedding

    def __post_init__(self) -> None:
        for name in ("heads", "decoder_heads"):
            heads = getattr(self, name)
            if heads is not None and self.width % heads:
                raise UserError(f"{name} must divide width, and {heads} does not divide {self.width}")
        refuse_activation(self.activation)

    @property
    def inner_widths(self) -> tuple[int, int]:
        """Inner widths of the feed-forward in the encoder and the decoder."""
        encoder = inner_width(self.inner, self.width)
        return encoder, encoder if self.decoder_inner is None else self.decoder_inner


SIZES: Mapping[str, BARTShape] = {
    "demo": BARTShape(encoder_layers=2, decoder_layers=2, heads=4, width=128, vocabulary=4096, length=128, dropout=0.0),
    "base": BARTShape(encoder_layers=6, decoder_layers=6, heads=12, width=768),  # 139 M; the paper, 2.1
    "large": BARTShape(encoder_layers=12, decoder_layers=12, heads=16, width=1024),  # 406 M; the paper, 2.1
}


class Embeddings(nn.Module):
    """Tokens, which both stacks and the head share; the positions are those of a stack."""

    def __init__(self, shape: BARTShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)

    def forward(self, inputs: Tensor, positions: nn.Embedding, first: int, places: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, T, D); the first token is at position `first`, unless `places` (B, T) gives each its own."""
        if places is not None:
            return self.tokens(inputs) + positions(OFFSET + places)
        last, most = first + inputs.shape[1], positions.num_embeddings - OFFSET
        assert last <= most, f"a row of {last} tokens is longer than the model's positions ({most})"
        return self.tokens(inputs) + positions.weight[OFFSET + first : OFFSET + last]


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each added to what it read and then normalised (Post-LN)."""

    def __init__(self, shape: BARTShape) -> None:
        super().__init__()
        self.attention = SelfAttention(shape.width, shape.heads, causal=False, dropout=shape.dropout)
        self.attention_norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.feed_forward = FeedForward(shape.width, shape.inner_widths[0], shape.activation, dropout=shape.dropout)
        self.feed_forward_norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor | None) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, sees)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class DecoderLayer(nn.Module):
    """Causal attention, attention to the memory and feed-forward, with norms as in the encoder."""

    def __init__(self, shape: BARTShape) -> None:
        super().__init__()
        heads = shape.decoder_heads or shape.heads
        self.attention = SelfAttention(shape.width, heads, causal=True, dropout=shape.dropout)
        self.attention_norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.memory_attention = CrossAttention(shape.width, heads, dropout=shape.dropout)
        self.memory_attention_norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.feed_forward = FeedForward(shape.width, shape.inner_widths[1], shape.activation, dropout=shape.dropout)
        self.feed_forward_norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(
        self, x: Tensor, sees: Tensor | None, memory: Tensor, sees_memory: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        """(B, T, D), memory (B, S, D) -> (B, T, D)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, sees, cache and cache.own)))
        mixed = self.memory_attention(x, memory, sees_memory, cache and cache.memory)
        x = self.memory_attention_norm(x + self.dropout(mixed))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class Encoder(nn.Module):
    """Reads the whole row in both directions."""

    def __init__(self, shape: BARTShape) -> None:
        super().__init__()
        self.positions = nn.Embedding(shape.length + OFFSET, shape.width)
        self.embeddings_norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.layers = nn.ModuleList([EncoderLayer(shape) for _ in range(shape.encoder_layers)])
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor | None) -> Tensor:
        """Embeddings (B, S, D) -> the memory (B, S, D)."""
        x = self.dropout(self.embeddings_norm(x))
        for layer in self.layers:
            x = layer(x, sees)
        return x


class Decoder(nn.Module):
    """Reads its row from left to right, and the memory."""

    def __init__(self, shape: BARTShape) -> None:
        super().__init__()
        self.positions = nn.Embedding(shape.length + OFFSET, shape.width)
        self.embeddings_norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.layers = nn.ModuleList([DecoderLayer(shape) for _ in range(shape.decoder_layers)])
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor | None, memory: Tensor, sees_memory: Tensor | None, cache: Cache | None) -> Tensor:
        """Embeddings (B, T, D), memory (B, S, D) -> (B, T, D)."""
        x = self.dropout(self.embeddings_norm(x))
        for number, layer in enumerate(self.layers):
            x = layer(x, sees, memory, sees_memory, cache and cache.layers[number])
        return x


class BART(nn.Module):
    """The whole model."""

    def __init__(self, shape: BARTShape) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = Embeddings(shape)
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        self.head = None if shape.tied else nn.Linear(shape.width, shape.vocabulary, bias=False)
        init(self)

    def empty_cache(self) -> Cache:
        """Return a cache for `decode`: with it a call needs only the new tokens."""
        return Cache(self.shape.decoder_layers)

    def encode(self, inputs: Tensor, *, real: Tensor | None = None) -> Tensor:
        """Token ids (B, S) -> the memory (B, S, D). real (B, S) bool: which tokens are not padding."""
        x = self.embeddings(inputs, self.encoder.positions, 0)
        return self.encoder(x, None if real is None else attention.sees_real(real))

    def decode(
        self,
        decoder_inputs: Tensor,
        memory: Tensor,
        *,
        real: Tensor | None = None,
        decoder_real: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Token ids (B, T) and the memory (B, S, D) -> (B, T, D), what the head sees.

        real (B, S) bool: which tokens of the memory are not padding. decoder_real (B, T) bool: the same for the decoder's
        tokens, including those of the cache; padding after the last token needs no mask, as no token sees later ones.
        positions (B, T) of the decoder's tokens: by default from 0, or from the cache's length on.
        """
        x = self.embeddings(decoder_inputs, self.decoder.positions, cache.length if cache else 0, positions)
        sees = None if decoder_real is None else attention.sees_past(decoder_real, decoder_inputs.shape[1])
        return self.decoder(x, sees, memory, None if real is None else attention.sees_real(real), cache)

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, V)."""
        return functional.linear(hidden, self._head_weight())

    def forward(
        self, inputs: Tensor, decoder_inputs: Tensor, *, real: Tensor | None = None, decoder_real: Tensor | None = None
    ) -> Tensor:
        """Token ids (B, S) and (B, T), and as in `decode` -> logits (B, T, V)."""
        memory = self.encode(inputs, real=real)
        return self.logits(self.decode(decoder_inputs, memory, real=real, decoder_real=decoder_real))

    def losses(self, examples: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> dict[str, Tensor]:
        """Examples of `text_infilling` -> the sum of the loss over all targets, in nats."""
        inputs, decoder_inputs, targets, real = _without_common_padding(examples)
        hidden = self.decode(decoder_inputs, self.encode(inputs, real=real), real=real)
        return {"tokens": cross_entropy(hidden, self._head_weight(), targets, label_smoothing=label_smoothing)}

    def _head_weight(self) -> Tensor:
        return self.embeddings.tokens.weight if self.head is None else self.head.weight


def _without_common_padding(examples: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return inputs, decoder inputs, targets, and which inputs are real (None: all); on the CPU cut to the longest rows.

    Infilling makes inputs a fifth shorter than the row they are padded to. On other devices nothing is cut: reading a length
    would synchronise the device, and other shapes would be compiled again.
    """
    inputs, lengths, targets = examples["inputs"], examples["lengths"], examples["targets"]
    decoder_inputs = examples["decoder_inputs"]
    if inputs.device.type == "cpu" and not torch.compiler.is_compiling():
        inputs = inputs[:, : int(lengths.max())]
        last = int((targets != IGNORE).sum(dim=1).max())
        decoder_inputs, targets = decoder_inputs[:, :last], targets[:, :last]
        if int(lengths.min()) == inputs.shape[1]:
            return inputs, decoder_inputs, targets, None
    return inputs, decoder_inputs, targets, attention.real_tokens(lengths, inputs.shape[1])


def init(model: BART) -> None:
    """Draw the weights: N(0, 0.02), biases 0."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif "norm" not in name:
            nn.init.normal_(parameter, std=INIT_STD)
