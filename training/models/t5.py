"""T5 (Raffel et al. 2020, arXiv 1910.10683) and its 1.1: a Pre-norm encoder and decoder with relative positions only.

Shapes: B batch, S length of the encoder's row, T of the decoder's, D width, H heads, K width of a head, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.contract.errors import UserError
from training.models import attention
from training.models.attention import Cache, CrossAttention, LayerCache, SelfAttention
from training.models.blocks import FeedForward, GatedFeedForward, RMSNorm, refuse_activation
from training.models.loss import cross_entropy
from training.models.positions import RelativeBias

NORM_EPSILON = 1e-6  # mesh_tensorflow/transformer/transformer.py, layer_norm


@dataclass(frozen=True, slots=True)
class T5Shape:
    """Numbers that make a T5. Raises ValueError, naming the number, where they contradict.

    1.0 and 1.1 differ in `gated` and `tied` (t5/models/README, "t5.1.1.*").
    """

    encoder_layers: int
    decoder_layers: int  # 0: an encoder alone
    heads: int
    head_width: int  # heads * head_width need not be the width: 16 times as much in 11b
    width: int
    inner: int  # of the feed-forward
    vocabulary: int = 32128  # 32,000 pieces and 100 sentinels, padded to a multiple of 128
    buckets: int = 32  # of distances, by which attention is biased
    max_distance: int = 128  # all longer distances share a bucket
    gated: bool = False  # 1.0: ReLU; 1.1: GEGLU
    tied: bool = True  # 1.0: the head is the token embedding, and what it reads is scaled by D ** -0.5; 1.1: neither
    dropout: float = 0.1
    activation: str | None = None  # of the feed-forward; None: as published, relu, and with a gate gelu_tanh
    norm_epsilon: float = NORM_EPSILON

    def __post_init__(self) -> None:
        refuse_activation(self.inner_activation)
        if self.buckets % 4 or self.buckets < 4:
            raise UserError(f"buckets must be a multiple of 4 (two directions, near and far), and {self.buckets} is not")
        if self.max_distance <= self.buckets // 2:
            raise UserError(f"max_distance must be more than buckets / 2, and {self.max_distance} is not")

    @property
    def inner_activation(self) -> str:
        """Activation of the feed-forward."""
        return self.activation or ("gelu_tanh" if self.gated else "relu")


def _published(layers: int, heads: int, width: int, inner: int, head_width: int = 64) -> T5Shape:
    return T5Shape(layers, layers, heads, head_width, width, inner)


def _published_1_1(layers: int, heads: int, width: int, inner: int) -> T5Shape:
    return T5Shape(layers, layers, heads, 64, width, inner, gated=True, tied=False, dropout=0.0)


SIZES: Mapping[str, T5Shape] = {
    "demo": T5Shape(2, 2, heads=4, head_width=32, width=128, inner=512, vocabulary=4096, dropout=0.0),
    # Raffel et al. 2020, 3.7
    "small": _published(layers=6, heads=8, width=512, inner=2048),  # 60.5 M
    "base": _published(layers=12, heads=12, width=768, inner=3072),  # 223 M
    "large": _published(layers=24, heads=16, width=1024, inner=4096),  # 738 M
    "3b": _published(layers=24, heads=32, width=1024, inner=16384, head_width=128),  # 2.85 B
    "11b": _published(layers=24, heads=128, width=1024, inner=65536, head_width=128),  # 11.3 B
    # google-research/text-to-text-transfer-transformer, released_checkpoints.md: no dropout in pretraining
    "v1.1-small": _published_1_1(layers=8, heads=6, width=512, inner=1024),  # 77 M
    "v1.1-base": _published_1_1(layers=12, heads=12, width=768, inner=2048),  # 248 M
    "v1.1-large": _published_1_1(layers=24, heads=16, width=1024, inner=2816),  # 783 M
    "v1.1-xl": _published_1_1(layers=24, heads=32, width=2048, inner=5120),  # 2.85 B
    "v1.1-xxl": _published_1_1(layers=24, heads=64, width=4096, inner=10240),  # 11.1 B
}


class Embeddings(nn.Module):
    """Tokens, shared by both stacks, without positions."""

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T) -> (B, T, D)."""
        return self.dropout(self.tokens(inputs))


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each normalised before and added to the residual stream after (Pre-norm)."""

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attention = _self_attention(shape, causal=False)
        self.feed_forward_norm = RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.feed_forward = _feed_forward(shape)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), sees))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class DecoderLayer(nn.Module):
    """Causal attention, attention to the memory and feed-forward, with norms as in the encoder."""

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attention = _self_attention(shape, causal=True)
        self.memory_attention_norm = RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.memory_attention = CrossAttention(
            shape.width, shape.heads, head_width=shape.head_width, bias=False, scale=1.0, dropout=shape.dropout
        )
        self.feed_forward_norm = RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.feed_forward = _feed_forward(shape)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor, memory: Tensor, sees_memory: Tensor | None, cache: LayerCache | None) -> Tensor:
        """(B, T, D), memory (B, S, D) -> (B, T, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), sees, cache and cache.own))
        mixed = self.memory_attention(self.memory_attention_norm(x), memory, sees_memory, cache and cache.memory)
        x = x + self.dropout(mixed)
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


def _self_attention(shape: T5Shape, *, causal: bool) -> SelfAttention:
    """Its logits are not divided by sqrt(head_width): the initial weights are smaller instead."""
    return SelfAttention(
        shape.width, shape.heads, head_width=shape.head_width, causal=causal, bias=False, scale=1.0, dropout=shape.dropout
    )


def _feed_forward(shape: T5Shape) -> FeedForward | GatedFeedForward:
    if shape.gated:
        return GatedFeedForward(shape.width, shape.inner, shape.inner_activation, dropout=shape.dropout)
    return FeedForward(shape.width, shape.inner, shape.inner_activation, bias=False, dropout=shape.dropout)


class Encoder(nn.Module):
    """Reads the whole row in both directions; its layers share a bias by distance."""

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.relative_bias = RelativeBias(shape.heads, bidirectional=True, buckets=shape.buckets, max_distance=shape.max_distance)
        self.layers = nn.ModuleList([EncoderLayer(shape) for _ in range(shape.encoder_layers)])
        self.norm = RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor | None) -> Tensor:
        """Embeddings (B, S, D) -> the memory (B, S, D)."""
        biased = self.relative_bias(x.shape[1], x.shape[1], sees)
        for layer in self.layers:
            x = layer(x, biased)
        return self.dropout(self.norm(x))


class Decoder(nn.Module):
    """Reads its row from left to right, and the memory; its layers share a bias by distance, the memory has none."""

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.relative_bias = RelativeBias(
            shape.heads, bidirectional=False, buckets=shape.buckets, max_distance=shape.max_distance
        )
        self.layers = nn.ModuleList([DecoderLayer(shape) for _ in range(shape.decoder_layers)])
        self.norm = RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor | None, memory: Tensor, sees_memory: Tensor | None, cache: Cache | None) -> Tensor:
        """Embeddings (B, T, D), memory (B, S, D) -> (B, T, D)."""
        queries = x.shape[1]
        keys = queries + (cache.length if cache else 0)
        biased = self.relative_bias(queries, keys, attention.past(queries, keys, x.device) if sees is None else sees)
        for number, layer in enumerate(self.layers):
            x = layer(x, biased, memory, sees_memory, cache and cache.layers[number])
        return self.dropout(self.norm(x))


class T5(nn.Module):
    """The whole model; without layers of a decoder an encoder alone, which gives its memory (`encode`) and no logits."""

    def __init__(self, shape: T5Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = Embeddings(shape)
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape) if shape.decoder_layers else None
        self.head = None if shape.tied or self.decoder is None else nn.Linear(shape.width, shape.vocabulary, bias=False)
        init(self)

    def empty_cache(self) -> Cache:
        """Return a cache for `decode`: with it a call needs only the new tokens."""
        return Cache(self.shape.decoder_layers)

    def encode(self, inputs: Tensor, *, real: Tensor | None = None) -> Tensor:
        """Token ids (B, S) -> the memory (B, S, D). real (B, S) bool: which tokens are not padding."""
        return self.encoder(self.embeddings(inputs), None if real is None else attention.sees_real(real))

    def decode(
        self,
        decoder_inputs: Tensor,
        memory: Tensor,
        *,
        real: Tensor | None = None,
        decoder_real: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Token ids (B, T) and the memory (B, S, D) -> (B, T, D), what `logits` sees.

        real (B, S) bool: which tokens of the memory are not padding. decoder_real (B, T) bool: the same for the decoder's
        tokens, including those of the cache; padding after the last token needs no mask, as no token sees later ones.
        """
        if self.decoder is None:
            raise UserError("the model is a T5 encoder alone (decoder_layers is 0), so it writes nothing and is not trained here")
        sees = None if decoder_real is None else attention.sees_past(decoder_real, decoder_inputs.shape[1])
        sees_memory = None if real is None else attention.sees_real(real)
        return self.decoder(self.embeddings(decoder_inputs), sees, memory, sees_memory, cache)

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, V)."""
        return functional.linear(*self._head(hidden))

    def forward(
        self, inputs: Tensor, decoder_inputs: Tensor, *, real: Tensor | None = None, decoder_real: Tensor | None = None
    ) -> Tensor:
        """Token ids (B, S) and (B, T), and as in `decode` -> logits (B, T, V)."""
        memory = self.encode(inputs, real=real)
        return self.logits(self.decode(decoder_inputs, memory, real=real, decoder_real=decoder_real))

    def losses(self, examples: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> dict[str, Tensor]:
        """Examples of `span_corruption` -> the sum of the loss over all targets, in nats."""
        real = _real_tokens(examples["lengths"], examples["inputs"].shape[1])
        hidden = self.decode(examples["decoder_inputs"], self.encode(examples["inputs"], real=real), real=real)
        return {"tokens": cross_entropy(*self._head(hidden), examples["targets"], label_smoothing=label_smoothing)}

    def _head(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input of the head (…, D) and its matrix (V, D)."""
        if self.head is None:
            return hidden * self.shape.width**-0.5, self.embeddings.tokens.weight
        return hidden, self.head.weight


def _real_tokens(lengths: Tensor, width: int) -> Tensor | None:
    """(B,) -> (B, S) bool, or None where nothing is padding: one bias then serves all rows.

    Only on the CPU: on a GPU the test would synchronise the device, and a compiled graph cannot branch on it.
    """
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling() and bool((lengths == width).all()):
        return None
    return attention.real_tokens(lengths, width)


def init(model: T5) -> None:
    """Draw the weights as mesh_tensorflow does: tokens N(0, 1), all others so that their outputs have variance 1.

    Queries are also divided by sqrt(head_width), which replaces the division of attention's logits.
    """
    shape = model.shape
    for name, parameter in model.named_parameters():
        if "norm" in name:
            continue
        if name == "embeddings.tokens.weight":
            nn.init.normal_(parameter)
            continue
        nn.init.normal_(parameter, std=(shape.width if "relative_bias" in name else parameter.shape[1]) ** -0.5)
        if name.endswith((".query_key_value.weight", ".query.weight")):
            with torch.no_grad():
                parameter[: shape.heads * shape.head_width] *= shape.head_width**-0.5
