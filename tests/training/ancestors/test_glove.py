"""GloVe: counts of a tiny text, and the kernel's steps against autograd and AdaGrad's rule."""

import numpy as np
import pytest
import torch

from training.ancestors import glove
from training.ancestors.words import Words, words_of


def tiny(ids: list[int], lines: list[int]) -> Words:
    size = max(ids) + 1
    return Words([chr(97 + n) for n in range(size)], np.bincount(ids), np.array(ids, np.int32), np.array(lines, np.int32))


def dense(counts: glove.Counts, size: int) -> list[list[float]]:
    matrix = np.zeros((size, size))
    np.add.at(matrix, (counts.words, counts.contexts), counts.weights)
    return matrix.tolist()


def test_the_example_of_the_module():
    counts = glove.cooccurrences(tiny([0, 1, 0], [0, 0, 0]), window=2)
    assert dense(counts, 2) == [[1.0, 2.0], [2.0, 0.0]]
    assert counts.words.tolist() == [0, 0, 1] and counts.contexts.tolist() == [0, 1, 0]


def test_windows_end_with_the_line_and_weigh_by_distance():
    counts = glove.cooccurrences(tiny([0, 1, 2, 3, 0], [0, 0, 0, 0, 1]), window=2)
    third = 1 / 2
    assert dense(counts, 4) == [[0, 1, third, 0], [1, 0, 1, third], [third, 1, 0, 1], [0, third, 1, 0]]


def test_counts_equal_those_of_a_plain_loop():
    random = np.random.default_rng(2)
    words = tiny(random.integers(0, 12, 300).tolist(), np.sort(random.integers(0, 9, 300)).tolist())
    wanted = np.zeros((12, 12))
    for left in range(300):
        for right in range(left + 1, min(300, left + 8)):
            if words.lines[left] == words.lines[right]:
                wanted[words.ids[left], words.ids[right]] += 1 / (right - left)
                wanted[words.ids[right], words.ids[left]] += 1 / (right - left)
    assert np.allclose(dense(glove.cooccurrences(words, window=7), 12), wanted, rtol=1e-12)


def test_a_step_is_the_gradient_of_equation_8():
    random = np.random.default_rng(3)
    vectors = random.normal(size=(2, 3, 5)).astype(np.float32)
    squares = random.uniform(1, 4, vectors.shape).astype(np.float32)
    word, context, weight, rate = 1, 2, 7.0, np.float32(0.05)
    leaf = torch.tensor(vectors, dtype=torch.float64, requires_grad=True)
    w, c = leaf[0, word], leaf[1, context]
    loss = 0.5 * (weight / glove.X_MAX) ** glove.ALPHA * (w[:-1] @ c[:-1] + w[-1] + c[-1] - np.log(weight)) ** 2
    loss.backward()
    assert leaf.grad is not None
    gradient = leaf.grad.numpy()
    after, squares_after = vectors.copy(), squares.copy()
    pair = (np.array([word], np.int32), np.array([context], np.int32), np.array([weight]), np.array([0]))
    assert glove.adagrad(*pair, after, squares_after, rate) == pytest.approx(loss.item(), rel=1e-5)
    assert np.allclose(after, vectors - rate * gradient / np.sqrt(squares), rtol=1e-5, atol=1e-6)
    assert np.allclose(squares_after, squares + gradient**2, rtol=1e-4)


def test_frequent_pairs_weigh_1():
    vectors, squares = np.zeros((2, 1, 3), np.float32), np.ones((2, 1, 3), np.float32)
    pair = (np.array([0], np.int32), np.array([0], np.int32), np.array([1000.0]), np.array([0]))
    assert glove.adagrad(*pair, vectors, squares, np.float32(0.05)) == pytest.approx(0.5 * np.log(1000) ** 2, rel=1e-5)


def test_training_repeats_itself_and_finds_words_that_are_alike():
    animals, tools = ["cat", "dog", "horse"], ["saw", "axe", "drill"]
    random = np.random.default_rng(4)
    lines = [" ".join(random.permutation([random.choice(animals), "eats", "grass", "sleeps"])) for _ in range(150)] + [
        " ".join(random.permutation([random.choice(tools), "cuts", "wood", "breaks"])) for _ in range(150)
    ]
    words = words_of(lines, least=5)
    once, again = (glove.train(words, dimensions=8, window=5, iterations=20, seed=5) for _ in range(2))
    assert np.array_equal(once.matrix, again.matrix)
    other = glove.train(words, dimensions=8, window=5, iterations=20, seed=6)
    assert not np.array_equal(once.matrix, other.matrix)
    unit = dict(zip(once.vocabulary, once.matrix / np.linalg.norm(once.matrix, axis=1, keepdims=True), strict=True))
    assert unit["cat"] @ unit["dog"] > unit["cat"] @ unit["saw"] + 0.3
