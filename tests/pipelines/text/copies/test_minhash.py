"""Signatures are datasketch's, bit for bit; bands collide as often as the formula says."""

import datasketch
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters import comparison
from pipelines.text.copies import minhash, shingles

DTYPES = {"affine32": np.uint32, "affine64": np.uint64}


def reference(hashes: list[int], permutations: int, seed: int, scheme: str):
    sketch = datasketch.MinHash(num_perm=permutations, seed=seed, scheme=scheme, hashfunc=lambda value: value)
    sketch.update_batch(hashes)
    return sketch


@pytest.mark.parametrize("scheme", minhash.SCHEMES)
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


# Words of several scripts and lengths, with marks, digits, symbols and separators between them.
PIECES = st.sampled_from(["a", "The", "naïve", "Straße", "２", "42", "漢字", "かな", "ไม่มี", "ភាសា", "ລາວ", "မြန်မာ", "한국어",
                          "हिन्दी", " ", " ", "\n", ", ", "…", "★", "\u200b", "\0", "\ufffd", "👍"])  # fmt: skip
TEXTS = st.lists(st.lists(PIECES, max_size=40).map("".join), min_size=1, max_size=8)


@pytest.mark.parametrize("scheme", minhash.SCHEMES)
@given(texts=TEXTS, ngram=st.integers(1, 8), permutations=st.integers(1, 130), seed=st.integers(0, 2**32 - 1))
def test_signatures_of_texts_are_datasketch_of_their_shingles(scheme, texts, ngram, permutations, seed):
    """From text to signature, each text against datasketch fed with the shingles of that text alone."""
    scan = shingles.scan(pa.array(texts), ngram)
    hashes = minhash.narrowed(scan.shingles, scheme)
    found = minhash.signatures(hashes, scan.offsets, permutations=permutations, seed=seed, scheme=scheme)
    for row, text in enumerate(texts):
        alone = shingles.scan(pa.array([text]), ngram).shingles
        words = [word for word in comparison.normalised(pa.array([text]))[0].as_py().split(" ") if word]
        assert len(alone) == max(1, len(words) - ngram + 1)
        one = minhash.narrowed(alone, scheme).tolist()
        assert found[row].tolist() == reference(one, permutations, seed, scheme).hashvalues.tolist()


@pytest.mark.parametrize("scheme", minhash.SCHEMES)
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 9, 1_000])
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_every_size_of_set_between_others(scheme, size, seed):
    """The kernels take shingles in groups: a set may end within a group, and the next set starts a new one."""
    generator = np.random.default_rng(size)
    sets = [
        generator.integers(0, np.iinfo(DTYPES[scheme]).max, length, DTYPES[scheme]).tolist() for length in (3, size, 0, size, 2)
    ]
    offsets = np.cumsum([0, *map(len, sets)])
    hashes = np.array([value for one in sets for value in one], DTYPES[scheme])
    found = minhash.signatures(hashes, offsets, permutations=33, seed=seed, scheme=scheme)
    assert found.tolist() == [reference(one, 33, seed, scheme).hashvalues.tolist() for one in sets]


@pytest.mark.parametrize("scheme", minhash.SCHEMES)
def test_fewer_permutations_are_not_the_first_of_more(scheme):
    """As in datasketch, which draws the parameters of all permutations at once: signatures of two lengths share nothing."""
    hashes = np.array([5, 6, 7], DTYPES[scheme])
    few, many = (
        minhash.signatures(hashes, np.array([0, 3]), permutations=n, seed=1, scheme=scheme)[0].tolist() for n in (112, 128)
    )
    assert few != many[:112]
    assert many == reference([5, 6, 7], 128, 1, scheme).hashvalues.tolist()
