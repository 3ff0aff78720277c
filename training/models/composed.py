"""A Transformer put together from blocks that its shape names: what the literature compares, side by side.

The defaults are GPT-2's blocks (gpt.py) and its initialisation, which stays whatever is changed, so that an ablation differs
from the baseline in one block only. "rms", "rotary", "swiglu" and no biases are Llama's (Touvron et al. 2023). A shape that is
not causal is an encoder of the same blocks (composed_encoder.py); the sizes "modernbert-…" are ModernBERT's (Warner et al. 2024,
arXiv 2412.13663, 2.1 and table 4).

Shapes: B batch, T length of the row, S keys (T plus the cache's tokens), D width, H heads, K width of a head,
V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.contract.errors import UserError
from training.models import attention
from training.models.attention import Cache, LayerCache, SelfAttention
from training.models.blocks import FeedForward, GatedFeedForward, RMSNorm
from training.models.loss import cross_entropy
from training.models.positions import RelativeBias, rotation, sinusoids

NORM_EPSILONS = {
    "layer": 1e-5,  # openai/gpt-2 model.py, norm()
    "rms": 1e-6,  # Llama's first release, T5
}
INIT_STD = 0.02  # openai/gpt-2
NORMS = ("layer", "rms")  # Ba et al. 2016, arXiv 1607.06450; Zhang and Sennrich 2019, arXiv 1910.07467
NORM_PLACES = ("pre", "post")  # compared by Xiong et al. 2020, arXiv 2002.04745
POSITIONS = ("learned", "sinusoidal", "rotary", "relative", "none")
PLAIN = ("gelu", "gelu_tanh", "relu", "silu")
GATED = {  # Shazeer 2020, arXiv 2002.05202; GELU as in T5 1.1 and, with erf, as in ModernBERT
    "geglu": "gelu_tanh",
    "swiglu": "silu",
    "reglu": "relu",
    "geglu_erf": "gelu",
}


@dataclass(frozen=True, slots=True)
class ComposedShape:
    """Numbers and blocks that make a model. Raises ValueError, naming the number, where they contradict."""

    layers: int
    heads: int
    width: int
    vocabulary: int = 50257
    length: int = 1024  # longest row; size of the table of learned or sinusoidal positions
    dropout: float = 0.1
    norm: str = "layer"
    norm_place: str = "pre"
    positions: str = "learned"
    feed_forward: str = "gelu_tanh"
    biases: bool = True  # of all matrices and of LayerNorm
    causal: bool = True  # a token sees those before it; false: an encoder, in which it sees its whole row, and masks are filled
    inner: int | None = None  # of the feed-forward; None: see inner_width
    norm_epsilon: float | None = None  # None: that of the norm's publication
    embedding_norm: bool = False  # tokens are normalised; the first attention of Pre-LN then reads them as they are (ModernBERT)
    rotary_base: int = 10_000  # of the longest wave
    window: int | None = None  # tokens around a token that it sees in a local layer, half of them on each side; encoders only
    global_every: int = 3  # with a window: layers 0, 3, 6, … see the whole row
    local_rotary_base: int | None = None  # of local layers; None: rotary_base

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "norm": NORMS,
        "norm_place": NORM_PLACES,
        "positions": POSITIONS,
        "feed_forward": (*PLAIN, *GATED),
    }

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise UserError(f"heads must divide width, and {self.heads} does not divide {self.width}")
        for name, choices in self.CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(f"{name}: must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if self.positions == "rotary" and self.width // self.heads % 2:
            raise UserError(f"heads: rotary positions turn pairs of channels, and a head has {self.width // self.heads}")
        if self.window is not None and (self.causal or self.window < 2):
            raise UserError(f"window: is of an encoder (causal = false) and 2 or more, not {self.window}; remove it")

    @property
    def inner_width(self) -> int:
        """Inner width of the feed-forward: by default 4 D, with a gate about two thirds of that, for as many weights."""
        if self.inner is not None:
            return self.inner
        if self.feed_forward not in GATED:
            return 4 * self.width
        return max(8, round(4 * self.width * 2 / 3 / 8) * 8)

    @property
    def activation(self) -> str:
        """Name of the activation in the feed-forward."""
        return GATED.get(self.feed_forward, self.feed_forward)

    def is_local(self, layer: int) -> bool:
        """Whether the tokens of a layer (from 0) see their window only."""
        return self.window is not None and layer % self.global_every > 0


_MODERNBERT = ComposedShape(
    layers=22,
    heads=12,
    width=768,
    inner=1152,
    vocabulary=50368,
    length=8192,
    dropout=0.0,
    positions="rotary",
    feed_forward="geglu_erf",
    biases=False,
    causal=False,
    embedding_norm=True,
    rotary_base=160_000,
    window=128,
    local_rotary_base=10_000,
)
SIZES: Mapping[str, ComposedShape] = {
    "demo": ComposedShape(layers=4, heads=4, width=128, vocabulary=4096, length=128, dropout=0.0),
    "small": ComposedShape(layers=12, heads=12, width=768),  # as GPT-2's
    "medium": ComposedShape(layers=24, heads=16, width=1024),
    "modernbert-demo": replace(_MODERNBERT, layers=4, heads=4, width=128, inner=192, vocabulary=4096, length=128, window=32),
    "modernbert-base": _MODERNBERT,  # 149 M
    "modernbert-large": replace(_MODERNBERT, layers=28, heads=16, width=1024, inner=2624),  # 395 M
}


class Sinusoids(nn.Module):
    """Positions that are not learned (Vaswani et al. 2017, 3.5)."""

    table: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(length, width), persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        """(B, T) -> (B, T, D)."""
        return self.table[positions]


class Embeddings(nn.Module):
    """Tokens, with positions added where these are vectors, and normalised if the shape says so.

    Beside sinusoids, tokens are sqrt(D) times as large (3.4).
    """

    def __init__(self, shape: ComposedShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions: nn.Module | None = None
        self.scale = 1.0
        if shape.positions == "learned":
            self.positions = nn.Embedding(shape.length, shape.width)
        elif shape.positions == "sinusoidal":
            self.positions, self.scale = Sinusoids(shape.length, shape.width), shape.width**0.5
        self.norm = norm(shape) if shape.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, inputs: Tensor, positions: Tensor) -> Tensor:
        """(B, T), positions (B | 1, T) -> (B, T, D)."""
        x = self.tokens(inputs) * self.scale
        return self.dropout(self.norm(x if self.positions is None else x + self.positions(positions)))


class PreNormLayer(nn.Module):
    """Attention and feed-forward, each normalised before and added to the residual stream after (Pre-LN)."""

    def __init__(self, shape: ComposedShape, number: int) -> None:
        super().__init__()
        self.attention_norm = attention_norm(shape, number)
        self.attention = SelfAttention(shape.width, shape.heads, causal=True, dropout=shape.dropout, bias=shape.biases)
        self.feed_forward_norm = norm(shape)
        self.feed_forward = feed_forward(shape)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor | None, cache: LayerCache | None, turned: Tensor | None) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), sees, cache and cache.own, turned))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class PostNormLayer(PreNormLayer):
    """The same parts; the sum is normalised, and nothing goes past the norms (Post-LN, Vaswani et al. 2017)."""

    def forward(self, x: Tensor, sees: Tensor | None, cache: LayerCache | None, turned: Tensor | None) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, sees, cache and cache.own, turned)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


def norm(shape: ComposedShape) -> nn.Module:
    """The shape's norm."""
    epsilon = NORM_EPSILONS[shape.norm] if shape.norm_epsilon is None else shape.norm_epsilon
    if shape.norm == "rms":
        return RMSNorm(shape.width, eps=epsilon)
    return nn.LayerNorm(shape.width, eps=epsilon, bias=shape.biases)


def attention_norm(shape: ComposedShape, layer: int) -> nn.Module:
    """The norm beside the attention of a layer (from 0): none in a first layer whose tokens come normalised."""
    normed = layer == 0 and shape.embedding_norm and shape.norm_place == "pre"
    return nn.Identity() if normed else norm(shape)


def feed_forward(shape: ComposedShape) -> nn.Module:
    """The shape's feed-forward block."""
    if shape.feed_forward in GATED:
        return GatedFeedForward(shape.width, shape.inner_width, shape.activation, bias=shape.biases)
    return FeedForward(shape.width, shape.inner_width, shape.activation, bias=shape.biases)


class Composed(nn.Module):
    """The whole causal model; its head is the token embedding."""

    def __init__(self, shape: ComposedShape) -> None:
        super().__init__()
        assert shape.causal
        self.shape = shape
        self.embeddings = Embeddings(shape)
        self.relative = RelativeBias(shape.heads, bidirectional=False) if shape.positions == "relative" else None
        layer = PreNormLayer if shape.norm_place == "pre" else PostNormLayer
        self.layers = nn.ModuleList([layer(shape, number) for number in range(shape.layers)])
        self.norm = norm(shape) if shape.norm_place == "pre" else nn.Identity()  # Post-LN's stream is normalised already
        init(self, shape.layers)

    def empty_cache(self) -> Cache:
        """Return a cache for `hidden`: with it a call needs only the new tokens."""
        return Cache(self.shape.layers)

    def hidden(
        self,
        inputs: Tensor,
        *,
        real: Tensor | None = None,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Token ids (B, T) -> (B, T, D), what the head sees.

        real (B, S) bool: which tokens are not padding, including those of the cache. positions (B, T): by default from 0, or from
        the cache's length on; relative ones are always distances in the row. documents (B, T): document numbers; a token
        sees only its own document.
        """
        first = cache.length if cache else 0
        if positions is None:
            last, most = first + inputs.shape[1], self.shape.length
            assert last <= most, f"a row of {last} tokens is longer than the model's positions ({most})"
            positions = torch.arange(first, first + inputs.shape[1], device=inputs.device)[None]
        x = self.embeddings(inputs, positions)
        sees = self._sees(real, documents, inputs.shape[1], first + inputs.shape[1])
        turned = None
        if self.shape.positions == "rotary":
            turned = rotation(positions, self.shape.width // self.shape.heads, self.shape.rotary_base)[
                :, :, None
            ]  # for all heads
        for number, layer in enumerate(self.layers):
            x = layer(x, sees, cache and cache.layers[number], turned)
        return self.norm(x)

    def _sees(self, real: Tensor | None, documents: Tensor | None, queries: int, keys: int) -> Tensor | None:
        """Return the mask as attention.py defines it; None: a token sees all before it."""
        sees = None if real is None else attention.sees_past(real, queries)
        if documents is not None:
            within = attention.within_documents(documents)
            sees = within if sees is None else within & sees
        if self.relative is None:
            return sees
        if sees is None:
            sees = attention.past(queries, keys, self.relative.weight.device)
        return self.relative(queries, keys, sees)

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, V)."""
        return functional.linear(hidden, self.embeddings.tokens.weight)

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

    def losses(self, examples: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> dict[str, Tensor]:
        """Examples of `causal_lm` -> the sum of the loss over all targets, in nats."""
        hidden = self.hidden(examples["inputs"], positions=examples.get("positions"), documents=examples.get("documents"))
        weight = self.embeddings.tokens.weight
        return {"tokens": cross_entropy(hidden, weight, examples["targets"], label_smoothing=label_smoothing)}


def init(model: nn.Module, layers: int) -> None:
    """Draw the weights as GPT-2's: N(0, 0.02), into the residual stream N(0, 0.02 / sqrt(2 layers)), biases 0."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif "norm" not in name:
            into_residual = name.endswith("output.weight")
            nn.init.normal_(parameter, std=INIT_STD / (2 * layers) ** 0.5 if into_residual else INIT_STD)
