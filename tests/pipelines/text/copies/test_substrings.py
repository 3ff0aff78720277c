"""Runs of words that occur twice, compared with a brute-force search."""

from collections import defaultdict

import numpy as np
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.copies import substrings

HASHES = np.random.default_rng(0).integers(0, 2**64, 100, dtype=np.uint64)  # of the words 0, 1, …

Texts = list[list[int]]
TEXTS = st.lists(st.lists(st.integers(0, 2), max_size=14), max_size=6)


def columns(texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    words = np.array([word for text in texts for word in text], np.int64)
    return HASHES[words], np.cumsum([0, *(len(text) for text in texts)])


def found(texts: Texts, ranks: list[int], length: int, ranges: int = 1) -> list[list[bool]]:
    words, offsets = columns(texts)
    hashes, places = substrings.windows(words, offsets, length, np.array(ranks, np.int64))
    of_range = hashes % np.uint64(ranges)
    worse = [substrings.repeated(hashes[of_range == i], places[of_range == i]) for i in range(ranges)]
    rank, first, behind = substrings.spans(np.sort(np.concatenate(worse)), length)
    row = np.array([ranks.index(r) for r in rank.tolist()], np.int64)
    goes = substrings.covered(offsets, row, first, behind)
    return [part.tolist() for part in np.split(goes, offsets[1:-1])] if texts else []


def expected(texts: Texts, ranks: list[int], length: int) -> list[list[bool]]:
    places = defaultdict(list)
    for text, rank in zip(texts, ranks, strict=True):
        for i in range(len(text) - length + 1) if rank >= 0 else ():
            places[tuple(text[i : i + length])].append((rank, i))
    goes = [[False] * len(text) for text in texts]
    for same in places.values():
        for rank, i in sorted(same)[1:]:
            for word in range(i, i + length):
                goes[ranks.index(rank)][word] = True
    return goes


@many
@given(TEXTS, st.integers(1, 4), st.integers(1, 3), st.randoms(use_true_random=False))
def test_a_word_is_removed_exactly_if_a_window_with_it_has_a_better_place(texts, length, ranges, random):
    ranks = list(range(len(texts)))
    random.shuffle(ranks)
    assert found(texts, ranks, length, ranges) == expected(texts, ranks, length)


@given(TEXTS, st.integers(1, 4))
def test_every_window_is_left_in_one_place_or_made_of_windows_that_are(texts, length):
    """No word is lost: it stays, or the same word stays in a better place."""
    goes = expected(texts, list(range(len(texts))), length)
    stays = {word for text, flags in zip(texts, goes, strict=True) for word, gone in zip(text, flags, strict=True) if not gone}
    assert stays == {word for text in texts for word in text}


def test_texts_of_rank_minus_one_are_ignored():
    assert found([[1, 2, 3], [1, 2, 3], [1, 2, 3]], [-1, 1, 0], 3) == [[False] * 3, [True] * 3, [False] * 3]


def test_a_text_that_repeats_itself_keeps_one_period():
    assert found([[1, 2] * 5], [0], 3) == [[False, False] + [True] * 8]


def test_a_word_a_million_times_is_fast():
    hashes, places = substrings.windows(np.repeat(HASHES[:1], 2**20), np.array([0, 2**20]), 50, np.array([2**32 - 2]))
    worse = substrings.repeated(hashes, places)
    assert [column.tolist() for column in substrings.spans(worse, 50)] == [[2**32 - 2], [1], [2**20]]


def test_windows_that_touch_make_one_run_and_places_keep_their_documents_apart():
    at = np.array([3, 4, 6, 9, 2**substrings.WORD_BITS], np.uint64)
    assert [column.tolist() for column in substrings.spans(at, 2)] == [[0, 0, 1], [3, 9, 0], [8, 11, 2]]
    assert [len(column) for column in substrings.spans(at[:0], 2)] == [0, 0, 0]
    renamed = substrings.renumber(at, np.array([7, 5]))
    assert substrings.documents(renamed).tolist() == [7, 7, 7, 7, 5]
    assert (renamed % np.uint64(2**substrings.WORD_BITS)).tolist() == [3, 4, 6, 9, 0]


def test_the_order_of_a_windows_words_counts():
    words, offsets = columns([[1, 2, 3, 4], [2, 1, 3, 4]])
    hashes, _ = substrings.windows(words, offsets, 2, np.array([0, 1]))
    assert len(set(hashes.tolist())) == 5  # "3 4" stands twice
