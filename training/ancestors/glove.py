"""GloVe (Pennington, Socher and Manning 2014): word vectors whose products are the logarithms of co-occurrence counts.

`cooccurrences` counts: X_ij is the sum over all places where word j is within `window` words of word i, on the same line, of
1 / distance (section 3.1 and 4.2). `train` minimises, with AdaGrad, equation 8 (times 1/2, as the authors' glove.c):

    J = 1/2 sum over X_ij > 0 of f(X_ij) (w_i . c_j + a_i + b_j - log X_ij)^2,    f(x) = min(1, (x / x_max)^alpha)

A word's vector is w_i + c_i (section 4.2).

    words "a b a", window 2:    X_ab = 1 + 1 = 2    X_aa = 1/2 + 1/2 = 1    X_bb = 0

Kernels work column by column: the counts of one word against all others are added up in one dense array, so no pair is ever
sorted, and the memory is that of the result.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from training.ancestors.vectors import WordVectors
from training.ancestors.words import Words
from training.kernels import jit

X_MAX, ALPHA = 100.0, 0.75  # section 3: f
LEARNING_RATE = 0.05  # section 4.2


@dataclass(frozen=True, slots=True)
class Counts:
    """The pairs that occur, by word and then by context: X[words[n], contexts[n]] = weights[n]."""

    words: NDArray[np.int32]
    contexts: NDArray[np.int32]
    weights: NDArray[np.float64]


@jit
def _columns(
    ids: Any, lines: Any, places: Any, firsts: Any, window: Any, ends: Any, contexts: Any, weights: Any
) -> Any:  # pragma: no cover (compiled)
    """Count each word's contexts; without room in `contexts` only their number is written to `ends`."""
    size = len(firsts) - 1
    column, met = np.zeros(size), np.empty(size, np.int32)
    written = 0
    for word in range(size):
        different = 0
        for place in places[firsts[word] : firsts[word + 1]]:
            for other in range(max(0, place - window), min(len(ids), place + window + 1)):
                if other == place or lines[other] != lines[place]:
                    continue
                context = ids[other]
                if column[context] == 0:
                    met[different] = context
                    different += 1
                column[context] += 1 / abs(other - place)
        met[:different].sort()
        for context in met[:different]:
            if len(contexts):
                contexts[written], weights[written] = context, column[context]
            column[context] = 0
            written += 1
        ends[word + 1] = written


def cooccurrences(words: Words, window: int = 10) -> Counts:
    """Return the weighted counts of all pairs of words; the module shows an example."""
    size = len(words.vocabulary)
    places = np.argsort(words.ids, kind="stable")
    firsts = np.concatenate([[0], np.cumsum(np.bincount(words.ids, minlength=size))])
    ends = np.zeros(size + 1, np.int64)
    contexts, weights = np.empty(0, np.int32), np.empty(0)
    for _ in range(2):  # how many there are, then what they are
        _columns(words.ids, words.lines, places, firsts, window, ends, contexts, weights)
        contexts, weights = (contexts, weights) if len(contexts) else (np.empty(ends[-1], np.int32), np.empty(ends[-1]))
    return Counts(np.repeat(np.arange(size, dtype=np.int32), np.diff(ends)), contexts, weights)


@numba.njit(cache=True, nogil=True, fastmath=True)  # sums in any order: four times as fast; still the same every time
def adagrad(
    words: Any, contexts: Any, weights: Any, order: Any, vectors: Any, squares: Any, rate: Any
) -> Any:  # pragma: no cover (compiled)
    """Take a step for each pair, in this order, and return J before the steps.

    vectors (2, V, D + 1) are w and c, each with its bias last; squares, of the same shape, are the sums of squared gradients,
    from 1.
    """
    size = vectors.shape[2] - 1
    loss = 0.0
    for pair in order:
        w, c = vectors[0, words[pair]], vectors[1, contexts[pair]]
        of_w, of_c = squares[0, words[pair]], squares[1, contexts[pair]]
        difference = w[size] + c[size] - np.float32(np.log(weights[pair]))
        for d in range(size):
            difference += w[d] * c[d]
        slope = np.float32(min(1.0, (weights[pair] / X_MAX) ** ALPHA)) * difference  # of J by the product
        loss += 0.5 * slope * difference
        for d in range(size):
            by_w, by_c = slope * c[d], slope * w[d]
            w[d] -= rate * by_w / np.sqrt(of_w[d])
            c[d] -= rate * by_c / np.sqrt(of_c[d])
            of_w[d] += by_w * by_w
            of_c[d] += by_c * by_c
        w[size] -= rate * slope / np.sqrt(of_w[size])
        c[size] -= rate * slope / np.sqrt(of_c[size])
        of_w[size] += slope * slope
        of_c[size] += slope * slope
    return loss


def train(words: Words, *, dimensions: int = 128, window: int = 10, iterations: int = 25, seed: int = 1) -> WordVectors:
    """Train word vectors; the same arguments give the same vectors on the same processor."""
    counts = cooccurrences(words, window)
    random = np.random.default_rng(seed)
    shape = (2, len(words.vocabulary), dimensions + 1)
    vectors = ((random.random(shape, np.float32) - np.float32(0.5)) / np.float32(dimensions)).astype(np.float32)
    squares = np.ones(shape, np.float32)
    for _ in range(iterations):
        order = random.permutation(len(counts.weights))
        adagrad(counts.words, counts.contexts, counts.weights, order, vectors, squares, np.float32(LEARNING_RATE))
    return WordVectors(words.vocabulary, vectors[0, :, :-1] + vectors[1, :, :-1])
