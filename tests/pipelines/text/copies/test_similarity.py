"""Exact similarities, against brute force."""

import numpy as np
import pyarrow as pa
import pytest
from examples import few, many
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.copies import shingles, similarity
from pipelines.text.copies.similarity import Sequences

WORDS = st.lists(st.integers(0, 3), max_size=14)  # few different words: n-grams repeat, alignments are ambiguous
TEXTS = st.lists(WORDS, min_size=1, max_size=6)


def sequences(texts: list[list[int]]) -> Sequences:
    return Sequences.of(pa.array(texts, pa.list_(pa.uint32())))


def every_pair(texts: list[list[int]]) -> tuple[Sequences, Sequences, list[tuple[list[int], list[int]]]]:
    """Both sides of all pairs in columns, and the pairs."""
    first, second = np.divmod(np.arange(len(texts) ** 2), len(texts))
    every = sequences(texts)
    return every.take(first), every.take(second), [(texts[a], texts[b]) for a, b in zip(first, second, strict=True)]


def pair(first: list[int], second: list[int]) -> tuple[Sequences, Sequences]:
    return sequences([first]), sequences([second])


def ngrams(words: list[int], n: int) -> set[tuple[int, ...]]:
    return {tuple(words[i : i + n]) for i in range(max(len(words) - n + 1, 1))}


def distance(a: list[int], b: list[int]) -> int:
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1]


@given(TEXTS, st.integers(1, 5))
def test_jaccard_is_that_of_the_sets_of_ngrams(texts, n):
    first, second, pairs = every_pair(texts)
    expected = [len(ngrams(a, n) & ngrams(b, n)) / len(ngrams(a, n) | ngrams(b, n)) for a, b in pairs]
    assert similarity.jaccard(first, second, n).tolist() == np.float32(expected).tolist()


@many
@given(TEXTS, st.sampled_from([0.0, 0.3, 0.5, 0.8, 0.9, 1.0]) | st.floats(0, 1))
def test_edit_similarity_is_exact_from_the_threshold_on_and_a_bound_below(texts, threshold):
    first, second, pairs = every_pair(texts)
    found = similarity.edit_similarity(first, second, threshold)
    for (a, b), value in zip(pairs, found, strict=True):
        expected = np.float32(1 - distance(a, b) / max(len(a), len(b), 1))
        assert value == expected if expected >= np.float32(threshold) else expected <= value < np.float32(threshold)


@few
@given(st.data(), st.sampled_from([0.5, 0.8, 0.95]))
def test_long_texts_with_some_edits(data, threshold):
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    text = generator.integers(0, 40, 150).tolist()
    other = list(text)
    for _ in range(data.draw(st.integers(0, 60))):
        place = int(generator.integers(0, len(other)))
        other[place : place + int(generator.integers(0, 2))] = generator.integers(0, 40, int(generator.integers(0, 3))).tolist()
    expected = np.float32(1 - distance(text, other) / max(len(text), len(other)))
    (value,) = similarity.edit_similarity(*pair(text, other), threshold)
    assert value == expected if expected >= np.float32(threshold) else expected <= value < np.float32(threshold)


def test_a_threshold_that_is_met_to_the_word():
    text = list(range(10))
    others = [[*range(8), 50, 51], [*range(7), 50, 51, 52]]  # 8 and 7 of 10: 0.8 as a float is not below 8 / 10
    found = similarity.edit_similarity(sequences([text, text]), sequences(others), 0.8)
    assert found.tolist() == np.float32([0.8, 0.7]).tolist()
    assert (found >= 0.8).tolist() == [True, False]


@pytest.mark.parametrize(("first", "second", "expected"), [([], [], 1.0), ([], [1], 0.0), ([1], [1], 1.0)])
def test_empty_texts(first, second, expected):
    assert similarity.edit_similarity(*pair(first, second), 0.0).tolist() == [expected]
    assert similarity.jaccard(*pair(first, second), 5).tolist() == [expected]


def test_no_pairs():
    assert similarity.jaccard(sequences([]), sequences([]), 5).tolist() == []
    assert similarity.edit_similarity(sequences([]), sequences([]), 0.8).tolist() == []
    assert Sequences.joined([]).words.tolist() == []


def test_a_slice_reads_its_own_rows():
    lists = pa.array([[9, 9], [1, 2, 3], [1, 2, 4]], pa.list_(pa.uint32()))
    assert similarity.jaccard(Sequences.of(lists.slice(1, 1)), Sequences.of(lists.slice(2)), 1).tolist() == [0.5]


def test_rows_of_several_parts_are_put_together():
    one, other = sequences([[1], [2, 3], []]), sequences([[4, 5, 6]])
    joined = Sequences.joined([one.take(np.array([1, 1, 2])), other, one.take(np.array([0]))])
    assert joined.words.tolist() == [2, 3, 2, 3, 4, 5, 6, 1]
    assert joined.starts.tolist() == [0, 2, 4, 4, 7]
    assert joined.lengths.tolist() == [2, 2, 0, 3, 1]


def test_jaccard_of_words_is_that_of_shingles():
    words = np.random.default_rng(4).integers(0, 30, (20, 60)).astype(str)
    texts = [" ".join(row) for row in words] + ["", "one", "!!", "短い文章です。"]
    scan = shingles.scan(pa.array(texts), 2)
    rows = [set(scan.shingles[a:b].tolist()) for a, b in zip(scan.offsets, scan.offsets[1:], strict=False)]
    expected = [len(a & b) / len(a | b) for a in rows for b in rows]
    first, second = np.divmod(np.arange(len(texts) ** 2), len(texts))
    found = Sequences.of(scan.words())
    assert similarity.jaccard(found.take(first), found.take(second), 2).tolist() == np.float32(expected).tolist()


def test_a_word_a_million_times_and_a_million_words_take_no_square():
    """A band of 200,000 diagonals would have 10^11 cells; two edits are found in a single pass."""
    text = np.arange(1_000_000, dtype=np.uint32)
    other = text.copy()
    other[[10, 500_000]] = 0
    same = np.zeros(1_000_000, np.uint32)
    starts = np.arange(4) * 10**6
    texts = Sequences(np.concatenate([text, other, same, same]), starts, np.array([10**6, 10**6, 10**6, 10**6 - 1]))
    first, second = texts.take(np.array([0, 2])), texts.take(np.array([1, 3]))
    assert similarity.edit_similarity(first, second, 0.8).tolist() == np.float32([1 - 2e-6, 1 - 1e-6]).tolist()
    assert similarity.jaccard(first, second, 5).tolist() == np.float32([(10**6 - 14) / (10**6 + 6), 1]).tolist()
