"""N-grams of items: which there are, which items have them, and where texts have them."""

import doctest
import tracemalloc
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.copies import item_grams
from pipelines.text.copies.item_grams import Items, collected, grams, hits, index, run_hashes


def numbered(first: int, behind: int) -> str:
    return " ".join(f"w{i}" for i in range(first, behind))


def items_of(texts: list[str], ngram: int = 3) -> Items:
    return collected([grams(pa.array(texts, pa.string()), ngram=ngram)])


def found(texts: list[str], items: Items, ngram: int = 3) -> list[tuple[int, int, int, list[int]]]:
    """Row, first and last word of each hit, and the items that have the n-gram."""
    hit = hits(pa.array(texts, pa.string()), index(items, ngram=ngram))
    return [
        (row, first, last, items.owners_of(gram).tolist())
        for row, first, last, gram in zip(*(column.tolist() for column in hit[:4]), strict=True)
    ]


def test_every_run_of_n_words_of_an_item_is_found() -> None:
    items = items_of([numbered(0, 6)])
    assert found(["", f"x {numbered(1, 5)} y", numbered(0, 2), numbered(4, 8)], items) == [(1, 1, 3, [0]), (1, 2, 4, [0])]


def test_case_marks_line_breaks_and_markup_do_not_matter() -> None:
    items = items_of(["die strasse nach cafe"])
    assert [hit[:3] for hit in found(["Auf <b>DIE</b>&nbsp;Straße —\nnach <i>dem"], items)] == [(0, 1, 3)]


def test_a_character_of_a_script_without_spaces_is_half_a_word() -> None:
    items = items_of(["中华人民共和国全国"])
    assert items.weights.tolist() == [9]
    assert len(items.hashes) == 4  # of six characters
    assert found(["甲人民共和国全乙"], items) == [(0, 1, 6, [0])]
    mixed = items_of(["我们 use the fox"])
    assert found(["see: 我们 USE THE fox"], mixed) == [(0, 1, 4, [0]), (0, 2, 5, [0]), (0, 3, 5, [0])]


def test_what_several_items_have_is_listed_with_all_of_them() -> None:
    items = items_of([numbered(0, 4), "x", numbered(1, 5), numbered(0, 3) + " x " + numbered(0, 3)])
    assert found([numbered(0, 5)], items) == [(0, 0, 2, [0, 3]), (0, 1, 3, [0, 2]), (0, 2, 4, [2])]
    assert items.sizes.tolist() == [2, 0, 2, 4]  # the last has "w0 w1 w2" twice
    assert items.words.tolist() == [4, 1, 4, 7]


def test_what_too_many_items_have_is_a_template() -> None:
    limit = item_grams.OWNERS_LIMIT
    assert found(["a b c"], items_of(["a b c d"] * limit)) == [(0, 0, 2, list(range(limit)))]
    texts = ["a b c"] * (limit + 1) + ["x y z"]
    assert found(["a b c", "x y z"], items_of(texts)) == [(1, 0, 2, [limit + 1])]
    assert items_of(texts).sizes.tolist() == [0] * (limit + 1) + [1]


def test_lists_of_items_joined_are_the_items_of_all() -> None:
    lists = [[numbered(0, 20), "x"], [], [numbered(5, 30), numbered(60, 70)], [numbered(0, 14)]]
    joined = collected([grams(pa.array(part, pa.string()), ngram=5) for part in lists])
    whole = items_of([item for part in lists for item in part], ngram=5)
    for name in ("hashes", "starts", "owners", "sizes", "words", "weights"):
        assert getattr(joined, name).tolist() == getattr(whole, name).tolist()
        assert getattr(joined, name).dtype == getattr(whole, name).dtype


def test_no_items_have_no_ngrams() -> None:
    for items in (items_of([]), items_of(["", "a b"])):
        assert (len(items.hashes), items.starts.tolist(), len(items.owners)) == (0, [0], 0)


WORDS = st.lists(st.sampled_from(["a", "b", "c", "漢", "字"]), max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, max_size=4), st.integers(2, 4))
def test_as_by_brute_force(items: list[list[str]], texts: list[list[str]], ngram: int) -> None:
    owners: dict[tuple[str, ...], set[int]] = {}
    for number, words in enumerate(items):
        for _, _, run in _runs(words, ngram):
            owners.setdefault(run, set()).add(number)
    made = items_of([" ".join(words) for words in items], ngram)
    assert len(made.hashes) == len(owners)
    if owners:
        expected = [
            (row, first, last, sorted(owners[run]))
            for row, words in enumerate(texts)
            for first, last, run in _runs(words, ngram)
            if run in owners
        ]
        assert found([" ".join(words) for words in texts], made, ngram) == expected


def _runs(words: list[str], ngram: int) -> list[tuple[int, int, tuple[str, ...]]]:
    weights = [1 if word in "漢字" else 2 for word in words]
    runs: list[tuple[int, int, tuple[str, ...]]] = []
    for first in range(len(words)):
        last = next((b for b in range(first, len(words)) if sum(weights[first : b + 1]) >= 2 * ngram), None)
        runs += [(first, last, tuple(words[first : last + 1]))] if last is not None else []
    return runs


def test_the_first_words_of_texts() -> None:
    hashes, counts = run_hashes(pa.array(["A b, c!", "a B", "", "a b c d e", "…"]), 3)
    assert counts.tolist() == [3, 2, 0, 3, 0]
    assert hashes[0] == hashes[3] != hashes[1]


@pytest.mark.parametrize("item", ["word " * 13, numbered(0, 13)])
def test_a_word_a_million_times(item: str) -> None:
    """Memory is linear in the words."""
    text = pa.array(["word " * 1_000_000])
    reference = index(items_of([item], 5), ngram=5)
    hits(text.slice(0, 0), reference)
    tracemalloc.start()
    rows = hits(text, reference).rows
    assert len(grams(text, ngram=5).hashes) == 999_996
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == (999_996 if "word" in item else 0)
    assert peak < 200 * 2**20


def test_many_hits_have_room() -> None:
    hit = hits(pa.array([f"{numbered(0, 5)} x " * 3_000] * 2), index(items_of([numbered(0, 5)], 5), ngram=5))
    assert len(hit.rows) == 6_000
    assert all(b - a == 6 for a, b in pairwise(hit.first[:3_000].tolist()))


def test_hashes_are_fixed() -> None:
    """They go into files: another value needs another VERSION."""
    assert items_of(["a b c d"]).hashes.tolist() == [5703214278670488347, 18446026937662052094]
    assert np.all(np.diff(items_of([numbered(0, 50)]).hashes.astype(np.float64)) > 0)


def test_examples_of_the_documentation() -> None:
    result = doctest.testmod(item_grams, extraglobs={"pa": pa})
    assert (result.failed, result.attempted > 0) == (0, True)
