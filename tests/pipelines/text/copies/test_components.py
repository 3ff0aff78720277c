"""Large-star and small-star find the connected components."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.copies import clusters, components
from pipelines.text.copies.clusters import distinct
from pipelines.text.copies.components import both_directions, large_star, range_of, small_star


def by_rounds(first, second, ranges=1, limit=100):
    """Node to component, and the rounds that it took; the nodes spread over ranges, as the exchange does it."""

    def spread(step, node, neighbour):
        keys = range_of(node, ranges)
        return [step(node[keys == key], neighbour[keys == key]) for key in range(ranges)]

    node, neighbour = both_directions(first, second)
    for rounds in range(1, limit):
        large = spread(large_star, node, neighbour)
        joined = [np.concatenate([getattr(star, end) for star in large]) for end in ("node", "centre")]
        small = spread(small_star, *joined)
        stars = [np.concatenate([getattr(star, end) for star in small]) for end in ("node", "centre")]
        if not any(star.changes for star in large + small):
            return dict(zip(stars[0].tolist(), stars[1].tolist(), strict=True)), rounds
        node, neighbour = both_directions(*stars)
    raise AssertionError("no end")


def at_once(first, second):
    nodes, best = clusters.components(first, second)
    return {node: component for node, component in zip(nodes.tolist(), best.tolist(), strict=True) if node != component}


def ranks(values):
    return np.array(values, np.uint32)


def test_documented_examples():
    assert doctest.testmod(components).failed == 0


nodes = st.integers(0, 30) | st.sampled_from([2**31, 2**32 - 2, 2**32 - 1])
edges = st.lists(st.tuples(nodes, nodes).filter(lambda edge: edge[0] != edge[1]), max_size=40)


@given(edges, st.integers(1, 5))
def test_random_graphs(pairs, ranges):
    first, second = ranks([min(pair) for pair in pairs]), ranks([max(pair) for pair in pairs])
    assert by_rounds(first, second, ranges)[0] == at_once(first, second)


@pytest.mark.parametrize(("shuffled", "most"), [(False, 18), (True, 14)])
def test_a_path_of_100_000_nodes(shuffled, most):
    path = np.arange(100_000)
    path = ranks(np.random.default_rng(0).permutation(path) if shuffled else path)
    found, rounds = by_rounds(path[:-1], path[1:], ranges=3)
    assert set(found) == set(range(1, 100_000))
    assert set(found.values()) == {0}
    assert rounds <= most


@pytest.mark.parametrize("centre", [0, 500_000, 999_999])
def test_a_star_of_a_million(centre):
    others = ranks(np.delete(np.arange(1_000_000), centre))
    found, rounds = by_rounds(np.full(len(others), centre, np.uint32), others, ranges=2)
    assert len(found) == 999_999
    assert set(found.values()) == {0}
    assert rounds <= 2


def test_neither_step_adds_edges():
    generator = np.random.default_rng(1)
    first, second = generator.integers(0, 1000, (2, 3000), dtype=np.uint32)
    first, second = first[first != second], second[first != second]
    edges = len(distinct(np.minimum(first, second).astype(np.uint64) << np.uint64(32) | np.maximum(first, second)))
    large = large_star(*both_directions(first, second))
    small = small_star(large.node, large.centre)
    assert len(small.node) <= len(large.node) <= edges
    assert (small.node > small.centre).all()


def test_ranges_are_of_one_size():
    for values in (np.arange(100_000, dtype=np.uint32), np.arange(100_000, dtype=np.uint64) << np.uint64(32)):
        counts = np.bincount(range_of(values, 7), minlength=7)
        assert counts.max() < 1.05 * counts.min()
    assert range_of(np.array([2**64 - 1], np.uint64), 1).tolist() == [0]


def test_distinct_is_unique():
    values = np.random.default_rng(2).integers(0, 50, 200).astype(np.uint64)
    assert distinct(values).tolist() == np.unique(values).tolist()
    assert distinct(values[:0]).tolist() == []
