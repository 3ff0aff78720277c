"""Stars, verification, components and survivors, on graphs made by hand and at random."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.copies import clusters


def ranks(*values: int):
    return np.array(values, np.uint32)


THRESHOLD = 0.7
NO_LIMIT = 10**9


def comparing(similar: dict[tuple[int, int], float]):
    """A compare function from a table of pairs; what is not in it has nothing in common."""

    def compare(first, second):
        pairs = zip(first.tolist(), second.tolist(), strict=True)
        similarity = np.array([similar.get((min(p), max(p)), 0.0) for p in pairs], np.float32)
        return clusters.Likeness(similarity, similarity >= np.float32(THRESHOLD))

    return compare


def bucket(*members: int, name: int = 1):
    return clusters.stars(np.full(len(members), name, np.uint64), ranks(*members))


def pairs(verified) -> set[tuple[int, int]]:
    return set(zip(verified.first.tolist(), verified.second.tolist(), strict=True))


def test_rank_is_published_then_passes_then_priority_then_length_then_id():
    ids = np.array([[0, 9], [0, 8], [0, 7], [0, 6], [0, 5], [1, 0], [9, 9]], np.uint64)
    published = np.array([False] * 6 + [True])
    passes = np.array([False, True, True, True, True, True, False])
    priority, characters = np.array([9, 0, 1, 1, 1, 1, 0]), np.array([99, 99, 5, 7, 7, 7, 1])
    assert clusters.rank_order(ids, published, passes, priority, characters).tolist() == [6, 4, 3, 5, 2, 1, 0]


def test_stars_have_the_best_ranked_centre_and_singletons_vanish():
    found = clusters.stars(np.array([5, 7, 5, 7, 6, 5], np.uint64), ranks(4, 3, 2, 8, 1, 9))
    assert list(zip(found.bucket.tolist(), found.centre.tolist(), found.member.tolist(), strict=True)) == [
        (5, 2, 4),
        (5, 2, 9),
        (7, 3, 8),
    ]


def test_a_template_as_centre_does_not_hide_the_pairs_in_its_bucket():
    """0 is a template that all share a band with; 1~2 and 3~4 are true pairs."""
    compare = comparing({(1, 2): 0.9, (3, 4): 0.8, (0, 1): 0.3})
    found = clusters.verify(bucket(0, 1, 2, 3, 4), compare, NO_LIMIT)
    assert pairs(found) == {(1, 2), (3, 4)}
    assert (found.counts.rounds, found.counts.failed, found.counts.unresolved) == (2, 4 + 2, 0)


def test_new_centres_are_bounded_and_remaining_members_are_counted():
    found = clusters.verify(bucket(*range(10)), comparing({(8, 9): 1.0}), NO_LIMIT, rounds=3)
    assert pairs(found) == set()
    assert (found.counts.rounds, found.counts.unresolved) == (3, 5)  # 0, 1, 2 and 3 were centres; 4 would be the next


def test_members_beyond_a_buckets_limit_meet_only_its_first_centre():
    """0 is a template; of the five that are not like it, the two best look for another centre."""
    similar = comparing({(0, 6): 0.9, (1, 2): 0.8, (4, 5): 0.9})
    found = clusters.verify(bucket(0, 1, 2, 3, 4, 5, 6), similar, bucket_limit=2)
    assert pairs(found) == {(0, 6), (1, 2)}
    assert (found.counts.capped_buckets, found.counts.capped) == (1, 3)
    whole = clusters.verify(bucket(0, 1, 2, 3, 4, 5, 6), similar, bucket_limit=5)
    assert pairs(whole) == {(0, 6), (1, 2), (4, 5)}
    assert (whole.counts.capped_buckets, whole.counts.capped) == (0, 0)


def test_a_pair_of_many_buckets_is_compared_once():
    seen = []

    def compare(first, second):
        seen.append(len(first))
        return clusters.Likeness(np.ones(len(first), np.float32), np.ones(len(first), np.bool_))

    edges = clusters.stars(np.repeat(np.arange(5, dtype=np.uint64), 2), ranks(*[3, 4] * 5))
    assert pairs(clusters.verify(edges, compare, NO_LIMIT)) == {(3, 4)}
    assert seen == [1]


def test_a_chain_removes_only_what_is_close_to_a_survivor():
    """0~1~2, but 2 is not like 0: it stays, though all three are one cluster."""
    nodes, best = clusters.components(ranks(0, 1), ranks(1, 2))
    assert best.tolist() == [0, 0, 0]
    found = clusters.choose(nodes, best, comparing({(0, 1): 0.8, (1, 2): 0.8, (0, 2): 0.6}))
    assert found.removed.tolist() == [1]
    assert found.survivor.tolist() == [0]
    assert found.similarity.tolist() == [np.float32(0.8)]


def test_a_longer_chain_has_every_other_survivor():
    edges = [(i, i + 1) for i in range(9)]
    nodes, best = clusters.components(*(ranks(*side) for side in zip(*edges, strict=True)))
    found = clusters.choose(nodes, best, comparing(dict.fromkeys(edges, 0.9)))
    assert found.removed.tolist() == [1, 3, 5, 7, 9]
    assert found.survivor.tolist() == [0, 2, 4, 6, 8]


def test_documents_of_an_earlier_corpus_stay_and_remove_their_copies():
    """0 and 1 are published and alike; 2 is like 1 only."""
    nodes, best = clusters.components(ranks(0, 1), ranks(1, 2))
    compare = comparing({(0, 1): 0.9, (1, 2): 0.8})
    found = clusters.choose(nodes, best, compare, published=2)
    assert list(zip(found.removed.tolist(), found.survivor.tolist(), strict=True)) == [(2, 1)]
    assert clusters.choose(nodes, best, compare).removed.tolist() == [1]


def test_empty_input_gives_empty_output():
    none = clusters.stars(np.empty(0, np.uint64), ranks())
    verified = clusters.verify(none, comparing({}), NO_LIMIT)
    nodes, best = clusters.components(verified.first, verified.second)
    assert len(clusters.choose(nodes, best, comparing({})).removed) == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(lambda e: e[0] != e[1]), max_size=40))
def test_components_are_those_of_a_search(edges):
    nodes, best = clusters.components(ranks(*[a for a, _ in edges]), ranks(*[b for _, b in edges]))
    neighbours = {int(n): {b for a, b in edges if a == n} | {a for a, b in edges if b == n} for n in nodes}
    for node, least in zip(nodes.tolist(), best.tolist(), strict=True):
        reached, todo = {node}, [node]
        while todo:
            new = neighbours[todo.pop()] - reached
            reached |= new
            todo += new
        assert least == min(reached)


@given(st.sets(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda e: e[0] < e[1]), max_size=30))
def test_survivors_are_those_of_the_plain_loop(edges):
    similar = {edge: 0.7 + sum(edge) / 100 for edge in edges}
    nodes, best = clusters.components(ranks(*[a for a, _ in edges]), ranks(*[b for _, b in edges]))
    expected, kept = {}, []
    for node in nodes.tolist():  # greedy over all: other components have nothing in common with a node
        close = [s for s in kept if (s, node) in similar]
        if close:
            expected[node] = close[0]
        else:
            kept.append(node)
    found = clusters.choose(nodes, best, comparing(similar))
    assert dict(zip(found.removed.tolist(), found.survivor.tolist(), strict=True)) == expected


@pytest.mark.parametrize("shape", ["path", "star"])
def test_large_components(shape):
    n = 100_000 if shape == "path" else 1_000_000
    second = np.arange(1, n, dtype=np.uint32)
    first = second - 1 if shape == "path" else np.zeros_like(second)
    order = np.random.default_rng(0).permutation(len(first))
    nodes, best = clusters.components(second[order], first[order])
    assert len(nodes) == n
    assert not best.any()
