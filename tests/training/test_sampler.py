import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.draws import key
from training.data.rows import Stream
from training.data.sampler import BLOCK_SLOTS, permute, quotas, sampler


def streams(*sizes: int) -> list[Stream]:
    first, made = 0, []
    for number, size in enumerate(sizes):
        made.append(Stream(f"source{number}", first, size, size * 10))
        first += size
    return made


def test_every_size_up_to_2000_is_permuted_one_to_one() -> None:
    for size in range(1, 2001):
        image = permute(np.arange(size), size, key(7, size))
        assert np.array_equal(np.sort(image), np.arange(size)), size


@given(st.integers(2, 10**12), st.integers(0, 2**64 - 1))
@settings(max_examples=30, deadline=None)
def test_a_large_permutation_stays_inside_and_never_meets(size: int, seed: int) -> None:
    positions = np.unique(np.random.default_rng(seed).integers(0, size, 1000))
    image = permute(positions, size, key(seed))
    assert image.min() >= 0 and image.max() < size
    assert len(np.unique(image)) == len(positions)


def test_a_large_permutation_looks_random() -> None:
    size = 1_000_003
    image = permute(np.arange(size), size, key(3))
    first = image[:100_000] / size
    assert abs(first.mean() - 0.5) < 4 * (1 / 12 / 100_000) ** 0.5  # four standard errors
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 4 / 100_000**0.5
    assert np.histogram(first, bins=100, range=(0, 1))[0].std() < 1.5 * 1000**0.5
    assert (np.diff(image) == 1).sum() < 10  # neighbours are torn apart: about one pair stays in a random permutation
    assert (image == np.arange(size)).sum() < 10


def test_the_order_is_this_order_for_ever() -> None:
    """Another answer needs another VERSION: a resumed run would see other rows."""
    assert permute(np.arange(10), 10, key(1, 2)).tolist() == [2, 4, 3, 7, 1, 6, 9, 0, 8, 5]
    assert sampler(streams(60, 40), 5).rows(95, 10).tolist() == [18, 64, 0, 33, 29, 60, 55, 68, 52, 47]


def test_every_row_comes_once_an_epoch_in_another_order_each() -> None:
    drawn = sampler(streams(60, 0, 40), seed=5).rows(0, 300).reshape(3, 100)
    for epoch in drawn:
        assert np.array_equal(np.sort(epoch), np.arange(100))
    assert not np.array_equal(drawn[0], drawn[1])


@given(st.integers(1, 300), st.integers(1, 64), st.integers(0, 200))
@settings(max_examples=50, deadline=None)
def test_a_batch_is_a_piece_of_the_slots_whatever_was_asked_before(size: int, rows: int, step: int) -> None:
    for mixture in (None, {"source0": 1.0, "source1": 2.5}):
        made = sampler(streams(size, 7), 9, mixture)
        whole = made.rows(0, (step + 1) * rows)
        assert np.array_equal(made.batch(step, rows), whole[step * rows :])


def test_a_mixture_gives_every_block_its_quotas_and_every_source_its_epochs() -> None:
    made = sampler(streams(100, 3000, 50), 11, {"source0": 3, "source1": 1})
    drawn = made.rows(0, 4 * BLOCK_SLOTS)
    of_first = drawn < 100
    assert of_first.reshape(4, BLOCK_SLOTS).sum(axis=1).tolist() == [768] * 4
    assert drawn.max() < 3100  # source2 has no weight
    assert np.unique(drawn[~of_first], return_counts=True)[1].max() == 1  # 1,024 draws of 3,000: none twice
    counts = np.bincount(drawn[of_first], minlength=100)  # 3,072 draws of 100 rows: 30 or 31 epochs
    assert set(counts.tolist()) == {30, 31}
    assert not np.array_equal(of_first[:BLOCK_SLOTS], of_first[BLOCK_SLOTS : 2 * BLOCK_SLOTS])  # a new order each block


def test_quotas_are_exact() -> None:
    assert quotas([1]).tolist() == [1024]
    assert quotas([1, 1, 1]).tolist() == [342, 341, 341]
    assert quotas([1e-9, 1]).tolist() == [1, 1023]
    assert quotas([1.0] * 1024).tolist() == [1] * 1024


@pytest.mark.parametrize("weights", [[], [0.0, 1.0], [1.0] * 1025])
def test_impossible_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="a mixture needs"):
        quotas(weights)


def test_an_unknown_source_in_the_mixture_is_named() -> None:
    with pytest.raises(ValueError, match=r"data\.mixture: 'books' has no rows; the sources with rows are \['source0'\]"):
        sampler(streams(5, 0), 1, {"books": 1})
