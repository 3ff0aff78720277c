"""Mathematics that the families share: attention, feed-forward, the loss. Each family's own file says what it is.

Shapes: B batch, T target length, S memory length, D model width, H heads, K width of a head, F inner width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

IGNORE = -100  # a target that is not predicted
_LOGITS_PER_CHUNK = 2**22  # 16 MiB of float32 logits at a time, whatever the batch and the vocabulary


class SelfAttention(nn.Module):
    """Multi-head self-attention, one matrix for queries, keys and values (Vaswani et al. 2017, 3.2).

    Every token sees itself and those before it when `causal`, else all of its row.
    """

    def __init__(self, width: int, heads: int, *, causal: bool, dropout: float) -> None:
        super().__init__()
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, sees: Tensor | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D); `sees` (B, 1, T, T) bool stands in the place of the rule above."""
        batch, length, width = x.shape
        heads = self.query_key_value(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, H, T, K)
        dropout = self.dropout if self.training else 0.0
        causal = self.causal and sees is None
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=sees, dropout_p=dropout, is_causal=causal)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, width))


def within_documents(documents: Tensor) -> Tensor:
    """Numbers of documents (B, T) -> (B, 1, T, T): whether a token sees another, itself and those before it in its document."""
    length = documents.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()
    return ((documents[:, :, None] == documents[:, None, :]) & causal)[:, None]


class FeedForward(nn.Module):
    """Two matrices with GELU between them; `approximate` is "tanh" (GPT-2) or "none" (erf: BERT, BART)."""

    def __init__(self, width: int, inner: int, *, approximate: str) -> None:
        super().__init__()
        self.approximate = approximate
        self.inner = nn.Linear(width, inner)
        self.output = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.output(functional.gelu(self.inner(x), approximate=self.approximate))


def cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Sum over predicted targets of -log softmax(hidden @ weight.T)[target], in nats: a float32 scalar.

    hidden (…, D), weight (V, D), targets (…) with IGNORE where nothing is predicted. The logits exist in chunks only:
    the gradient is computed in the forward pass, chunk by chunk, so that (B, T, V) is never held.
    """
    learns = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    loss = _ChunkedCrossEntropy.apply(hidden.reshape(-1, hidden.shape[-1]), weight, targets.reshape(-1), learns)
    assert isinstance(loss, Tensor)
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, learns: bool) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_hidden = torch.zeros_like(hidden) if learns else None
        grad_weight = torch.zeros_like(weight) if learns else None
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        rows = max(1, _LOGITS_PER_CHUNK // weight.shape[0])
        for first in range(0, hidden.shape[0], rows):
            chunk = hidden[first : first + rows]
            logits = (chunk @ weight.t()).float()
            target = targets[first : first + rows]
            predicted = target != IGNORE
            at = target.clamp_min(0)[:, None]
            normaliser = logits.logsumexp(dim=-1, keepdim=True)
            loss += ((normaliser - logits.gather(-1, at))[:, 0] * predicted).sum()
            if grad_hidden is None or grad_weight is None:
                continue
            slope = logits.sub_(normaliser).exp_()  # softmax, in the place of the logits
            slope.scatter_add_(-1, at, torch.full_like(at, -1, dtype=slope.dtype))
            slope *= predicted[:, None]
            slope = slope.to(hidden.dtype)
            grad_hidden[first : first + rows] = slope @ weight
            grad_weight += slope.t() @ chunk
        ctx.save_for_backward(grad_hidden, grad_weight)
        return loss

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad_output, grad_weight * grad_output, None, None
