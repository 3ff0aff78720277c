"""All trees at once give, to the last bit, what a walk down each tree gives."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.text.extraction.pages.forest import Forest
from pipelines.text.extraction.pages.masks import MOST_LEAVES, masks, scores

FEATURES = 5


def forest(trees: int, leaves: int, seed: int) -> Forest:
    """Return random trees of up to so many leaves, numbered from the left."""
    draw = random.Random(seed)
    first: list[int] = []
    nodes: list[tuple[int, float]] = []
    sides: list[list[int]] = []
    values: list[float] = []

    def add(count: int) -> int:
        if count == 1:
            values.append(draw.uniform(-1, 1))
            return ~(len(values) - 1)
        node, left = len(nodes), draw.randint(1, count - 1)
        nodes.append((draw.randrange(FEATURES), draw.choice([-1.0, 0.0, 0.5, 2.0])))
        sides.append([0, 0])
        sides[node] = [add(left), add(count - left)]
        return node

    for _ in range(trees):
        first.append(len(nodes))
        add(draw.randint(2, leaves))
    children = np.array(sides, np.int32)
    return Forest(
        np.array(first, np.int32),
        np.array([feature for feature, _ in nodes], np.int16),
        np.array([threshold for _, threshold in nodes], np.float32),
        np.ascontiguousarray(children[:, 0]),
        np.ascontiguousarray(children[:, 1]),
        np.array(values, np.float32),
    )


def walked(trees: Forest, row: NDArray[np.float32]) -> np.float32:
    total = np.float32(0)
    for node in trees.first.tolist():
        while node >= 0:
            goes_left = row[trees.feature[node]] <= trees.threshold[node]
            node = int((trees.left if goes_left else trees.right)[node])
        total += trees.leaf[~node]
    return total


@given(trees=st.integers(1, 5), leaves=st.integers(2, MOST_LEAVES), rows=st.integers(0, 140), seed=st.integers(0, 2**32))
def test_scores_are_those_of_a_walk(trees: int, leaves: int, rows: int, seed: int) -> None:
    known = forest(trees, leaves, seed)
    values = np.random.default_rng(seed).choice(np.array([-2, -1, 0, 0.5, 1, 2, 3, np.nan, np.inf], np.float32), (rows, FEATURES))
    assert scores(masks(known), values).tolist() == [walked(known, row) for row in values]


def test_a_tree_with_more_leaves_than_bits_is_refused() -> None:
    larger = forest(1, 2, 0)
    while len(larger.leaf) <= MOST_LEAVES:
        larger = forest(1, 2 * MOST_LEAVES, len(larger.leaf))
    with pytest.raises(ValueError, match=f"a tree of {len(larger.leaf)} leaves, more than 32"):
        masks(larger)
