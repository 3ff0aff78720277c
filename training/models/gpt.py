"""GPT-2 (Radford et al. 2019): a causal Pre-LN Transformer with learned positions and a tied head.

Shapes: B batch, T length of the row, D width, H heads, K width of a head, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from training.models import attention
from training.models.attention import Cache, LayerCache, SelfAttention, refuse_heads
from training.models.blocks import FeedForward, inner_width, refuse_activation
from training.models.loss import cross_entropy

NORM_EPSILON = 1e-5  # openai/gpt-2 model.py, norm()
INIT_STD = 0.02  # of weights and, as in Hugging Face, of both embeddings (openai/gpt-2 drew positions with 0.01)


@dataclass(frozen=True, slots=True)
class GPTShape:
    """Numbers that make a GPT. Raises ValueError, naming the number, where they contradict."""

    layers: int
    heads: int
    width: int
    vocabulary: int = 50257
    length: int = 1024  # positions
    dropout: float = 0.1
    inner: int | None = None  # of the feed-forward; None: 4 D
    activation: str = "gelu_tanh"
    norm_epsilon: float = NORM_EPSILON
    tied: bool = True  # the head is the token embedding
    layer_heads: tuple[int, ...] | None = None  # heads that pruning left in each layer; None: all

    def __post_init__(self) -> None:
        refuse_heads(self.width, self.heads, self.layers, self.layer_heads)
        refuse_activation(self.activation)

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


SIZES: Mapping[str, GPTShape] = {
    "demo": GPTShape(layers=4, heads=4, width=128, vocabulary=4096, length=128, dropout=0.0),
    "small": GPTShape(layers=12, heads=12, width=768),  # 124 M; the GPT-2 paper, table 2
    "medium": GPTShape(layers=24, heads=16, width=1024),  # 355 M
    "large": GPTShape(layers=36, heads=20, width=1280),  # 774 M
    "xl": GPTShape(layers=48, heads=25, width=1600),  # 1,558 M
}


class Embeddings(nn.Module):
    """Tokens and positions, added."""

    def __init__(self, shape: GPTShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.length, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, inputs: Tensor, positions: Tensor | None, first: int) -> Tensor:
        """(B, T) -> (B, T, D); positions (B, T) are `first` and those after it unless given."""
        if positions is not None:
            return self.dropout(self.tokens(inputs) + self.positions(positions))
        last = first + inputs.shape[1]
        most = self.positions.num_embeddings
        assert last <= most, f"a row of {last} tokens is longer than the model's positions ({most})"
        return self.dropout(self.tokens(inputs) + self.positions.weight[first:last])


class Layer(nn.Module):
    """Attention and feed-forward, each normalised before and added to the residual stream after (Pre-LN)."""

    def __init__(self, shape: GPTShape, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        self.attention = SelfAttention(shape.width, heads, causal=True, dropout=shape.dropout, head_width=shape.head_width)
        self.feed_forward_norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        self.feed_forward = FeedForward(shape.width, shape.inner_width, shape.activation)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor | None, cache: LayerCache | None) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), sees, cache and cache.own))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class GPT(nn.Module):
    """The whole model."""

    def __init__(self, shape: GPTShape) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = Embeddings(shape)
        self.layers = nn.ModuleList([Layer(shape, heads) for heads in shape.heads_by_layer])
        self.norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        self.head = None if shape.tied else nn.Linear(shape.width, shape.vocabulary, bias=False)
        init(self)

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
        the cache's length on. documents (B, T): document numbers; a token sees only its own document.
        """
        x = self.embeddings(inputs, positions, cache.length if cache else 0)
        sees = None if real is None else attention.sees_past(real, inputs.shape[1])
        if documents is not None:
            sees = attention.document_mask(documents, sees, self.shape.dropout if self.training else 0.0)
        for number, layer in enumerate(self.layers):
            x = layer(x, sees, cache and cache.layers[number])
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, V)."""
        return functional.linear(hidden, self._head_weight())

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
        loss = cross_entropy(hidden, self._head_weight(), examples["targets"], label_smoothing=label_smoothing)
        return {"tokens": loss}

    def _head_weight(self) -> Tensor:
        return self.embeddings.tokens.weight if self.head is None else self.head.weight


def init(model: GPT) -> None:
    """Draw the weights: N(0, 0.02), what is added to the residual stream N(0, 0.02 / sqrt(2 layers)), biases 0."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif "norm" not in name:
            into_residual = name.endswith("output.weight")
            nn.init.normal_(parameter, std=INIT_STD / (2 * model.shape.layers) ** 0.5 if into_residual else INIT_STD)
