"""Tuning without changing the body: trained vectors that it reads beside each row.

prompt   P vectors in place of the embeddings of P more tokens at the beginning of the row (Lester et al. 2021, arXiv 2104.08691):
         they have ids after the vocabulary's, positions, segments and masks as tokens have. At first they are the embeddings of
         P pieces of the vocabulary (3.1 there).
prefix   P keys and values in each self-attention, of encoder and decoder, which every token sees (Li and Liang 2021, arXiv
         2101.00190, 4.2; trained as they are, without a network that makes them, as P-tuning v2, arXiv 2110.07602, allows). They
         have no position, and T5's biases by distance do not reach them. At first they are those of P pieces that the body
         reads as a text (7.4 there).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models import attention
from training.models.attention import KeysValues, Sees, SelfAttention
from training.models.families import Model
from training.models.t5 import T5
from training.tasks import features
from training.tasks.errors import TaskError
from training.tasks.input.rows import INPUTS, LENGTHS

PROMPT, PREFIXES = "prompt", ("prefix_key", "prefix_value")  # names of the weights


class Prompted(nn.Embedding):
    """An embedding of tokens, frozen, whose ids from its size on are those of a trained prompt."""

    def __init__(self, tokens: nn.Embedding, ids: Tensor) -> None:
        super().__init__(tokens.num_embeddings, tokens.embedding_dim, device="meta")
        self.weight = nn.Parameter(tokens.weight.detach(), requires_grad=False)
        self.prompt = nn.Parameter(tokens.weight.detach()[ids].clone())

    def forward(self, input: Tensor) -> Tensor:
        """(…) -> (…, D)."""
        known = functional.embedding(input.clamp_max(self.num_embeddings - 1), self.weight)
        trained = functional.embedding((input - self.num_embeddings).clamp_min(0), self.prompt)
        return torch.where((input >= self.num_embeddings)[..., None], trained, known)


class Prefixed(SelfAttention):
    """A self-attention, frozen, whose tokens also see a trained prefix of keys and values: (P, H K) each."""

    def __init__(self, layer: SelfAttention, keys: Tensor, values: Tensor) -> None:
        inner, width = layer.output.in_features, layer.output.out_features
        super().__init__(
            width, layer.heads, causal=layer.causal, dropout=layer.dropout, head_width=inner // layer.heads, scale=layer.scale
        )
        self.query_key_value, self.output = layer.query_key_value, layer.output
        self.prefix_key, self.prefix_value = nn.Parameter(keys.clone()), nn.Parameter(values.clone())

    def forward(
        self, x: Tensor, sees: Sees | None = None, cache: KeysValues | None = None, rotation: Tensor | None = None
    ) -> Tensor:
        """(B, T, D) -> (B, T, D), as SelfAttention's; the cache does not hold the prefix."""
        query, key, value = attention.split_heads(self.query_key_value(x), self.heads, 3)
        if rotation is not None:
            query, key = attention.rotate(query, rotation), attention.rotate(key, rotation)
        key, value = (KeysValues() if cache is None else cache).append(key, value)
        if sees is None and self.causal:
            sees = attention.past(query.shape[2], key.shape[2], x.device)[None, None]
        key, value = (
            torch.cat([self._by_head(prefix, len(x)), own], 2)
            for prefix, own in ((self.prefix_key, key), (self.prefix_value, value))
        )
        dropout = self.dropout if self.training else 0.0
        seen = _sees_prefix(sees, len(self.prefix_key))
        mixed = attention.attend(query, key, value, sees=seen, causal=False, scale=self.scale, dropout=dropout)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _by_head(self, prefix: Tensor, rows: int) -> Tensor:
        """(P, H K) -> (B, H, P, K)."""
        return prefix.unflatten(1, (self.heads, -1)).transpose(0, 1).expand(rows, -1, -1, -1)


def _sees_prefix(sees: Sees | None, count: int) -> Tensor | None:
    """Let every query see `count` more keys before the others: (…, T, S) -> (…, T, P + S)."""
    if sees is None:
        return None
    assert isinstance(sees, Tensor)
    shape = (*sees.shape[:-1], count)
    return torch.cat([sees.new_ones(shape) if sees.dtype == torch.bool else sees.new_zeros(shape), sees], -1)


def prompt_ids(body: Model, count: int) -> list[int]:
    """Return the ids of a prompt's tokens: those after the vocabulary's."""
    return list(range(body.embeddings.tokens.num_embeddings, body.embeddings.tokens.num_embeddings + count))


def add_prompt(body: Model, first: Sequence[int]) -> None:
    """Freeze a body and let it read a prompt, which begins as the embeddings of these ids: (P,)."""
    body.requires_grad_(False)
    body.embeddings.tokens = Prompted(body.embeddings.tokens, torch.tensor(first))


def add_prefix(body: Model, first: Sequence[int]) -> None:
    """Freeze a body and give each self-attention a prefix, which begins as what these ids, read as a row, have there: (P,).

    Raises TaskError for a body with attentions of another kind.
    """
    body.requires_grad_(False)
    places = [
        (parent, name, layer)
        for parent in body.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, SelfAttention)
    ]
    if not places:
        raise TaskError('model.tuning: "prefix" is not made for this encoder of composed blocks; use "prompt" or "lora"')
    seen = _keys_and_values(body, [layer for _, _, layer in places], torch.tensor([list(first)]))
    for (parent, name, layer), (keys, values) in zip(places, seen, strict=True):
        setattr(parent, name, Prefixed(layer, keys, values))


def _keys_and_values(body: Model, layers: Sequence[SelfAttention], ids: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the keys and values (P, H K) that each attention makes of a row: (1, P)."""
    made: list[Tensor] = []
    hooks = [layer.query_key_value.register_forward_hook(lambda _, __, out: made.append(out[0])) for layer in layers]
    was_training = body.training
    body.eval()
    with torch.no_grad():
        if isinstance(body, T5):
            body.decode(ids, body.encode(ids))
        else:
            features.tokens(body, {INPUTS: ids, LENGTHS: torch.tensor([ids.shape[1]])})
    body.train(was_training)
    for hook in hooks:
        hook.remove()
    assert len(made) == len(layers), "each attention is called once, in the order of the modules"
    return [(keys, values) for _, keys, values in (one.chunk(3, dim=-1) for one in made)]
