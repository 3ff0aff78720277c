"""The vector of a row that each family offers to a head.

BERT   tanh(pooler(first token)) (arXiv 1810.04805, 4.1); without a pooler the head has one (RoBERTa, ModernBERT)
GPT    the last token, which has seen all others (Radford et al. 2018, 3.1)
BART   the decoder's last token; encoder and decoder read the same row (arXiv 1910.13461, 3.1)
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from training.models import attention
from training.models.bart import BART
from training.models.bert import BERT
from training.models.composed_encoder import ComposedEncoder
from training.models.families import Model
from training.models.t5 import T5
from training.tasks.errors import TaskError
from training.tasks.input.rows import INPUTS, LENGTHS

# What `computed_once` keeps: the examples, which must not go while their id is a name, and their vectors.
_KEPT: ContextVar[dict[tuple[int, int], tuple[Mapping[str, Tensor], Tensor]] | None] = ContextVar("kept", default=None)


class Head(nn.Module):
    """Classes, or a number, from the vector of a row: (B, D) -> (B, C). Without a pooler in the body it has one of its own."""

    def __init__(self, width: int, classes: int, *, dense: bool, dropout: float, std: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width) if dense else None
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, classes)
        for layer in (self.dense, self.output):
            if layer is not None:
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, D) -> (B, C)."""
        if self.dense is not None:
            vectors = self.dense(self.dropout(vectors)).tanh()
        return self.output(self.dropout(vectors))


def head(body: Model, classes: int) -> Head:
    """Return a new head for the vectors of a body."""
    dense = isinstance(body, BART | ComposedEncoder) or (isinstance(body, BERT) and body.pooler is None)
    return Head(body.shape.width, classes, dense=dense, dropout=0.1, std=0.02)


def token_head(body: Model, classes: int, *, vectors: int = 1) -> Head:
    """Return a new head for the vector of each token, or for several beside each other. Raises TaskError as `need_encoder`."""
    need_encoder(body)
    return Head(vectors * body.shape.width, classes, dense=False, dropout=0.1, std=0.02)


def need_encoder(body: Model) -> None:
    """Raise TaskError for a family whose tokens do not see both sides."""
    if not isinstance(body, BERT | ComposedEncoder):
        raise TaskError("this task reads the vectors of tokens, which need an encoder (BERT); name one in model.base")


@contextmanager
def computed_once() -> Generator[None]:
    """Within it, the vectors of the same examples by the same body are computed once: for their loss and their outputs."""
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def tokens(body: Model, examples: Mapping[str, Tensor]) -> Tensor:
    """Return a vector for each token: inputs (B, T) -> (B, T, D)."""
    kept = _KEPT.get()
    if kept is None:
        return _tokens(body, examples)
    name = id(body), id(examples)
    if name not in kept:
        kept[name] = examples, _tokens(body, examples)
    return kept[name][1]


def _tokens(body: Model, examples: Mapping[str, Tensor]) -> Tensor:
    inputs, lengths = examples[INPUTS], examples[LENGTHS]
    real = attention.real_tokens(lengths, inputs.shape[1])
    if isinstance(body, BERT):
        return body.hidden(inputs, examples.get("segments"), real)
    if isinstance(body, ComposedEncoder):
        return body.hidden(inputs, real=real)
    if isinstance(body, BART):
        shifted = torch.cat([inputs.gather(1, lengths[:, None] - 1), inputs[:, :-1]], dim=1)  # </s> first, as in training
        return body.decode(shifted, body.encode(inputs, real=real), real=real)
    if isinstance(body, T5):
        raise TaskError("a T5 has no head: it answers in words; its classification is text to text")
    return body.hidden(inputs)  # padding comes after all tokens, and no token sees later ones


def token_logits(body: Model, states: Tensor) -> Tensor:
    """Return the logits of the token at each state, by the pretrained head: (…, D) -> (…, V)."""
    assert isinstance(body, BERT | ComposedEncoder)
    return body.logits(states)


def vectors(body: Model, examples: Mapping[str, Tensor]) -> Tensor:
    """Return the vector of each row: inputs (B, T) -> (B, D)."""
    hidden = tokens(body, examples)
    if isinstance(body, ComposedEncoder):
        return hidden[:, 0]
    if isinstance(body, BERT):
        first = hidden[:, 0]
        return first if body.pooler is None else body.pooler(first).tanh()
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, examples[LENGTHS] - 1]
