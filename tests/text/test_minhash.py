"""Signatures are datasketch's, bit for bit; bands collide as often as the formula says."""

import datasketch
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text import minhash

DTYPES = {"affine32": np.uint32, "affine64": np.uint64}


def reference(hashes: list[int], permutations: int, seed: int, scheme: str):
    sketch = datasketch.MinHash(num_perm=permutations, seed=seed, scheme=scheme, hashfunc=lambda value: value)
    sketch.update_batch(hashes)
    return sketch


@pytest.mark.parametrize("scheme", minhash.SCHEMES)
@settings(deadline=None)
@given(data=st.data(), permutations=st.integers(1, 130), seed=st.integers(0, 2**32 - 1))
def test_signatures_are_datasketch_bit_for_bit(scheme, data, permutations, seed):
    top = np.iinfo(DTYPES[scheme]).max
    sets = data.draw(st.lists(st.lists(st.integers(0, int(top)), max_size=12), max_size=5))
    offsets = np.cumsum([0, *map(len, sets)])
    hashes = np.array([value for one in sets for value in one], DTYPES[scheme])
    found = minhash.signatures(hashes, offsets, permutations=permutations, seed=seed, scheme=scheme)
    expected = [reference(one, permutations, seed, scheme) for one in sets]
    assert found.dtype == DTYPES[scheme]
    assert found.tolist() == [sketch.hashvalues.tolist() for sketch in expected]
    if len(sets) > 1:
        assert minhash.similarity(found[:1], found[1:2])[0] == np.float32(expected[0].jaccard(expected[1]))


@pytest.mark.parametrize("scheme", minhash.SCHEMES)
def test_a_long_set(scheme):
    hashes = np.random.default_rng(1).integers(0, np.iinfo(DTYPES[scheme]).max, 5_003, DTYPES[scheme])
    found = minhash.signatures(hashes, np.array([0, len(hashes)]), permutations=112, seed=1, scheme=scheme)
    assert found[0].tolist() == reference(hashes.tolist(), 112, 1, scheme).hashvalues.tolist()


def test_the_example_of_the_module():
    hashes, offsets = np.array([1, 2, 3], np.uint32), np.array([0, 3])
    found = minhash.signatures(hashes, offsets, permutations=3, seed=1, scheme="affine32")
    assert found.tolist() == [[2922174949, 3249271488, 1273432351]]


def test_wrong_width_and_scheme_are_refused():
    with pytest.raises(ValueError, match="affine64 takes uint64"):
        minhash.signatures(np.zeros(1, np.uint32), np.array([0, 1]), permutations=2, seed=1, scheme="affine64")
    with pytest.raises(ValueError, match=r"deduplicate\.scheme"):
        minhash.signatures(np.zeros(1, np.uint32), np.array([0, 1]), permutations=2, seed=1, scheme="legacy")


def test_bands_are_equal_where_their_rows_are():
    one = np.arange(12, dtype=np.uint32)[None]
    other = one.copy()
    other[0, 5] += 1
    first, second = minhash.band_hashes(one, 3, 4)[0], minhash.band_hashes(other, 3, 4)[0]
    assert (first == second).tolist() == [True, False, True]


def test_equal_values_in_different_bands_hash_differently():
    found = minhash.band_hashes(np.full((1, 112), 7, np.uint32), 14, 8)
    assert len(np.unique(found)) == 14


@pytest.mark.parametrize("jaccard", [0.7, 0.8, 0.9])
def test_collision_rate_is_the_formula(jaccard):
    """1 - (1 - s^8)^14, measured on 2,000 pairs of sets of 300; the tolerance is four standard deviations."""
    pairs, union = 2_000, 300
    shared = round(union * jaccard)
    generator = np.random.default_rng(5)
    first = generator.integers(0, 2**32, (pairs, union), np.uint32)
    only = (union - shared) // 2
    sets = np.concatenate([first[:, : shared + only], np.delete(first, np.s_[shared : shared + only], axis=1)], axis=0)
    offsets = np.arange(len(sets) + 1) * sets.shape[1]
    found = minhash.signatures(sets.reshape(-1), offsets, permutations=112, seed=1, scheme="affine32")
    bands = minhash.band_hashes(found, 14, 8)
    measured = (bands[:pairs] == bands[pairs:]).any(axis=1).mean()
    true = shared / (shared + 2 * only)
    expected = 1 - (1 - true**8) ** 14
    assert abs(measured - expected) < 4 * np.sqrt(expected * (1 - expected) / pairs) + 1e-3
