"""N-gram models with interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998, TR-10-98; Heafield et al. 2013).

    model = train(text.documents, order=5, end=text.end, pieces=len(possible))
    model.log_probabilities(held_out.documents)          # in nats, one for each piece and each end of a document

A document is <s> w_1 … w_n </s>; <s> is never predicted. An n-gram's adjusted count a is its count if it has the highest order or
begins with <s>, otherwise the number of different pieces seen before it. With g = h w, h' = h without its first piece:

    p(w | h) = (a(g) - D(a(g))) / sum over v of a(h v)  +  b(h) p(w | h')
    b(h)     = sum over v of D(a(h v)) / sum over v of a(h v)
    D(k)     = k - (k + 1) t_1 t_{k+1} / ((t_1 + 2 t_2) t_k)   for k = 1, 2, and 3 or more;  t_k n-grams have a = k

The order below the first is uniform over all pieces, so that every text has a probability and each context's sum to 1.

This is a small exact implementation (KenLM's package can only read models): with the same text its probabilities are those of
KenLM's lmplz. It works on columns. Each n-gram is a number; that of the n-gram which ends at place t follows from two numbers
of the order before, which are all that smoothing needs: the (n-1)-gram that ends at t - 1 is its context h, the one that ends at
t is its suffix h' w.

    text                 <s>  a   b   a   b  </s>
    number of 1-gram      3   0   1   0   1   2        (numbers follow the order of the keys)
    key of 2-gram             3a  0b  1a  0b  1$
    number of 2-gram          3   0   1   0   2

Limits: all n-grams are kept (no pruning), in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]
_FALLBACK = (0.5, 1.0, 1.5)  # discounts where too few n-grams have a count (lmplz --discount_fallback)


@dataclass(frozen=True, slots=True)
class Order:
    """The n-grams of one order, by number."""

    keys: Numbers  # ascending: number of the context in the order before * base + piece
    own: Floats  # the first term of p
    backoff: Floats  # b of the n-gram as a context; 1 if nothing follows it


@dataclass(frozen=True, slots=True)
class NGrams:
    """A model of pieces."""

    orders: tuple[Order, ...]
    rest: float  # b of the empty context
    pieces: int  # how many pieces may follow a context, the end of a document included
    begin: int  # the number of <s>, above all pieces
    end: int

    @property
    def parameters(self) -> int:
        """Probabilities and back-off weights."""
        return sum(len(order.keys) for order in self.orders) + sum(len(order.keys) for order in self.orders[:-1])

    def log_probabilities(self, documents: Sequence[NDArray[np.integer]]) -> Floats:
        """Return log p of every piece of the documents and of their ends, in nats: (pieces + documents,)."""
        stream, places = _stream(documents, self.begin, self.end)
        p = np.full(len(stream), 1 / self.pieces)
        before = np.zeros(len(stream), np.int64)  # n-gram of the order before that ends at each place, or -1
        weights = np.array([self.rest])
        for order in self.orders:
            context = _previous(before)
            numbers = _find(order.keys, context * (self.begin + 1) + stream, context >= 0)
            p *= np.where(context >= 0, weights[context], 1.0)
            p += np.where(numbers >= 0, order.own[numbers], 0.0)
            before, weights = numbers, order.backoff
        return np.log(p[places > 0])


def train(documents: Sequence[NDArray[np.integer]], *, order: int, end: int, pieces: int) -> NGrams:
    """Count and smooth. `end` is the piece of </s>; `pieces` is the number of pieces that can occur, `end` included."""
    begin = max(end, *(int(document.max(initial=0)) for document in documents)) + 1
    stream, places = _stream(documents, begin, end)
    grams = _gram_columns(stream, places, begin + 1, order)
    adjusted = _adjusted(grams, begin)
    orders: list[Order] = []
    rest = 1.0
    for n, (columns, counts) in enumerate(zip(grams, adjusted, strict=True)):
        contexts = len(grams[n - 1].keys) if n else 1
        own, backoff = _smoothed(columns.context, counts, contexts)
        if n:
            orders[-1] = Order(orders[-1].keys, orders[-1].own, backoff)
        else:
            rest = float(backoff[0])
        orders.append(Order(columns.keys, own, np.ones(len(columns.keys))))
    return NGrams(tuple(orders), rest, pieces, begin, end)


@dataclass(frozen=True, slots=True)
class _Grams:
    """The distinct n-grams of one order, by number."""

    keys: Numbers
    context: Numbers  # number in the order before
    suffix: Numbers  # likewise
    counts: Numbers


def _stream(documents: Sequence[NDArray[np.integer]], begin: int, end: int) -> tuple[Numbers, Numbers]:
    """Return <s> … </s> of all documents in one array, and each piece's place in its document."""
    parts = [np.concatenate([[begin], document, [end]]).astype(np.int64) for document in documents]
    return np.concatenate(parts), np.concatenate([np.arange(len(part)) for part in parts])


def _previous(numbers: Numbers) -> Numbers:
    return np.concatenate([numbers[:1], numbers[:-1]])


def _gram_columns(stream: Numbers, places: Numbers, base: int, highest: int) -> list[_Grams]:
    columns: list[_Grams] = []
    before = np.zeros(len(stream), np.int64)
    for n in range(highest):
        context = _previous(before)
        whole = np.flatnonzero(places >= n)  # the n-gram lies in one document
        keys, first, number, counts = np.unique(
            context[whole] * base + stream[whole], return_index=True, return_inverse=True, return_counts=True
        )
        columns.append(_Grams(keys, keys // base, before[whole[first]], counts))
        before = np.full(len(stream), -1)
        before[whole] = number
    return columns


def _adjusted(grams: Sequence[_Grams], begin: int) -> list[Numbers]:
    """Return a of every n-gram; <s> alone, which is never predicted, has 0."""
    adjusted: list[Numbers] = []
    begins = np.zeros(1, bool)  # whether an n-gram begins with <s>
    for n, columns in enumerate(grams):
        begins = columns.keys == begin if n == 0 else begins[columns.context]
        counts = columns.counts
        if n + 1 < len(grams):
            different = np.bincount(grams[n + 1].suffix, minlength=len(counts))
            counts = np.where(begins, counts, different)
        adjusted.append(np.where(begins, 0, counts) if n == 0 else counts)
    return adjusted


def _smoothed(context: Numbers, counts: Numbers, contexts: int) -> tuple[Floats, Floats]:
    """Return the first term of p of each n-gram, and b of each context of the order before."""
    discounts = np.array([0.0, *discounts_of(counts)])[np.minimum(counts, 3)]
    total = np.bincount(context, weights=counts, minlength=contexts)
    left = np.bincount(context, weights=discounts, minlength=contexts)
    return (counts - discounts) / np.maximum(total, 1)[context], np.where(total > 0, left / np.maximum(total, 1), 1.0)


def discounts_of(counts: Numbers) -> tuple[float, ...]:
    """Return D(1), D(2) and D(3 or more), or 0.5, 1 and 1.5 where they cannot be estimated or are out of range."""
    t = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)
    if not t[:3].all():
        return _FALLBACK
    scale = t[0] / (t[0] + 2 * t[1])
    found = tuple(float(k - (k + 1) * scale * t[k] / t[k - 1]) for k in (1, 2, 3))
    return found if all(0 <= discount <= k for k, discount in enumerate(found, start=1)) else _FALLBACK


def _find(keys: Numbers, wanted: Numbers, known: NDArray[np.bool_]) -> Numbers:
    """Return the numbers of keys, -1 for those that are not there or not `known`."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(known & (keys[at] == wanted), at, -1)
