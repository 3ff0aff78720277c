"""GPT-2 (Radford et al. 2019): a causal Pre-LN Transformer with learned positions and a tied head.

Shapes: B batch, T length of the row, D width, H heads, K = D / H, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.blocks import FeedForward, SelfAttention, cross_entropy, within_documents

NORM_EPSILON = 1e-5  # openai/gpt-2 model.py, norm()
INIT_STD = 0.02  # of weights and, as in Hugging Face, of both embeddings (openai/gpt-2 drew positions with 0.01)


@dataclass(frozen=True, slots=True)
class GPTShape:
    """Numbers that make a GPT."""

    vocabulary: int
    length: int
    layers: int
    heads: int
    width: int
    dropout: float = 0.0


SMALL = GPTShape(vocabulary=50257, length=1024, layers=12, heads=12, width=768)  # GPT-2 124M


class Embeddings(nn.Module):
    """Tokens and positions, added."""

    def __init__(self, shape: GPTShape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.length, shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, inputs: Tensor, positions: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, D)."""
        places = self.positions.weight[: inputs.shape[1]] if positions is None else self.positions(positions)
        return self.dropout(self.tokens(inputs) + places)


class Layer(nn.Module):
    """Attention and feed-forward, each normalised before and added to the residual stream after (Pre-LN)."""

    def __init__(self, shape: GPTShape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.attention = SelfAttention(shape.width, shape.heads, causal=True, dropout=shape.dropout)
        self.feed_forward_norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.feed_forward = FeedForward(shape.width, 4 * shape.width, approximate="tanh")
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, sees: Tensor | None) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), sees))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class GPT(nn.Module):
    """The whole model; its head is the token embedding."""

    def __init__(self, shape: GPTShape) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = Embeddings(shape)
        self.layers = nn.ModuleList([Layer(shape) for _ in range(shape.layers)])
        self.norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.apply(_init)
        for name, parameter in self.named_parameters():
            if name.endswith("output.weight"):  # what is added to the residual stream, twice a layer
                nn.init.normal_(parameter, std=INIT_STD / (2 * shape.layers) ** 0.5)

    def hidden(self, inputs: Tensor, positions: Tensor | None = None, documents: Tensor | None = None) -> Tensor:
        """Token ids (B, T) -> (B, T, D), what the head sees.

        Positions (B, T) are 0 .. T - 1 unless given; with the numbers of documents (B, T), none sees another.
        """
        x = self.embeddings(inputs, positions)
        sees = None if documents is None else within_documents(documents)
        for layer in self.layers:
            x = layer(x, sees)
        return self.norm(x)

    def forward(self, inputs: Tensor, positions: Tensor | None = None, documents: Tensor | None = None) -> Tensor:
        """Token ids (B, T), and as in `hidden` -> logits (B, T, V)."""
        return functional.linear(self.hidden(inputs, positions, documents), self.embeddings.tokens.weight)

    def losses(self, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Examples of `causal_lm` -> the sum of the loss over all targets, in nats."""
        hidden = self.hidden(examples["inputs"], examples.get("positions"), examples.get("documents"))
        return {"tokens": cross_entropy(hidden, self.embeddings.tokens.weight, examples["targets"])}


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def parameters(model: nn.Module) -> int:
    """Number of weights, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def make(shape: GPTShape, seed: int) -> GPT:
    """A new model; the seed decides its weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT(shape)
