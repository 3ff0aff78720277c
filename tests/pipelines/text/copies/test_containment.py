"""Containment: exactly the runs of words that texts share with items, whatever their scripts, order and number."""

import doctest
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters import word_spans
from pipelines.text.copies import containment, cuts

WORDS = st.lists(st.sampled_from(["a", "b", "c", "漢", "字"]), max_size=25)


def index_of(items: list[str], ngram: int = 13, min_words: int = 8) -> containment.Index:
    return containment.index(containment.windows(pa.array(items, pa.string()), ngram=ngram, min_words=min_words)[0])


def found(texts: list[str], index: containment.Index) -> list[tuple[int, int, int, int]]:
    runs = containment.matches(pa.array(texts, pa.string()), index)
    return list(zip(*(x.tolist() for x in (runs.rows, runs.items, runs.first, runs.last)), strict=True))


def numbered(first: int, behind: int) -> str:
    return " ".join(f"w{i}" for i in range(first, behind))


def test_thirteen_words_are_shared_and_twelve_are_not():
    index = index_of([numbered(0, 30)])
    texts = [
        f"x {numbered(5, 18)} y",
        f"x {numbered(5, 17)} y",
        f"{numbered(0, 30)}",
        "",
        numbered(0, 12) + " x " + numbered(13, 26),
    ]
    assert found(texts, index) == [(0, 0, 1, 13), (2, 0, 0, 29), (4, 0, 13, 25)]


def test_case_marks_and_line_breaks_do_not_matter_and_bytes_are_those_of_the_text():
    text = "Sie sagte: „DIE Straße — nach\nCafé, Numero 2; führt, führt & führt zum See hin und zurück!“ Ja."
    index = index_of(["die strasse nach cafe numero ２ führt führt führt zum see hin und zuruck"])
    runs = containment.matches(pa.array(["", text]), index)
    assert (runs.rows.tolist(), runs.first.tolist(), runs.last.tolist()) == ([1], [2], [15])
    data = text.encode()
    assert data[runs.starts[0] : runs.ends[0]].decode() == text[text.index("DIE") : text.index("!“")]


def test_a_short_item_must_be_contained_whole():
    index = index_of([numbered(0, 9), numbered(20, 27)], min_words=8)
    texts = [f"a {numbered(0, 9)} b", numbered(0, 8), numbered(1, 9), numbered(20, 27), numbered(0, 5) + " x " + numbered(5, 9)]
    assert found(texts, index) == [(0, 0, 1, 9)]


def test_items_too_short_are_marked():
    windows, too_short = containment.windows(
        pa.array([numbered(0, 7), numbered(0, 8), "", None, "!?", numbered(0, 14)]), ngram=13, min_words=8
    )
    assert too_short.tolist() == [True, False, True, True, True, False]
    assert windows.weights.tolist() == [16, 26]
    assert len(windows.hashes) == 3


def test_a_character_of_a_script_without_spaces_is_half_a_word():
    item = "中华人民共和国全国人民代表大会常务委员会今天在北京举行会议讨论"
    assert len(item) == 31
    index = index_of([item])
    assert found([item[:25], "甲" + item[2:28] + "乙", item[:20] + "甲" + item[20:]], index) == [(1, 0, 1, 26)]


def test_scripts_mix():
    item = "我们 use the quick brown fox in 北京 for every little test"  # 4 characters and 10 words weigh 24
    assert found(["see: " + item.upper() + "!"], index_of([item])) == [(0, 0, 1, 14)]
    assert found(["see: " + item + "."], index_of([item + " of ours and ends"])) == []
    assert found(["see: " + item + " of."], index_of([item + " of ours and ends"])) == [(0, 0, 1, 15)]


def test_the_first_item_that_has_a_window_is_named():
    index = index_of([numbered(0, 20), numbered(0, 26), numbered(0, 20)])
    assert found([numbered(0, 40)], index) == [(0, 0, 0, 19), (0, 1, 8, 25)]


def test_runs_of_one_item_at_several_places():
    index = index_of([numbered(0, 13), numbered(50, 58)])
    text = " ".join([numbered(0, 13), "x", numbered(0, 13), numbered(0, 13), numbered(50, 58), "y"])
    assert found([text], index) == [(0, 0, 0, 12), (0, 0, 14, 39), (0, 1, 40, 47)]  # runs that touch are one


def test_lists_of_items_joined_are_the_windows_of_all():
    lists = [[numbered(0, 20), "x"], [numbered(5, 30), numbered(60, 70)], [numbered(0, 14)]]
    parts = [containment.windows(pa.array(part), ngram=13, min_words=8)[0] for part in lists]
    joined = containment.joined(parts, [len(part) for part in lists])
    whole, _ = containment.windows(pa.array([item for part in lists for item in part]), ngram=13, min_words=8)
    for name in ("hashes", "items", "anchors", "weights"):
        assert getattr(joined, name).tolist() == getattr(whole, name).tolist()
        assert getattr(joined, name).dtype == getattr(whole, name).dtype


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, max_size=4), st.integers(3, 6), st.integers(3, 6))
def test_as_by_brute_force(items, texts, ngram, min_words):
    min_words = min(min_words, ngram)
    windows, too_short = containment.windows(pa.array([" ".join(i) for i in items]), ngram=ngram, min_words=min_words)
    by_hand = _windows_by_hand(items, ngram, min_words)
    assert [not any(i == owner for owner in by_hand.values()) and too_short[i] for i in range(len(items))] == too_short.tolist()
    assert len(windows.hashes) == len(by_hand)
    if not by_hand:
        return
    expected: list[tuple[int, int, int, int]] = []
    for row, words in enumerate(texts):
        covered: dict[int, list[tuple[int, int]]] = {}
        for first in range(len(words)):
            for last in range(first, len(words)):
                owner = by_hand.get(tuple(words[first : last + 1]))
                if owner is not None:
                    covered.setdefault(owner, []).append((first, last))
        for owner, places in sorted(covered.items()):
            expected += [(row, owner, *run) for run in _union(places)]
    assert found([" ".join(text) for text in texts], containment.index(windows)) == expected


def _windows_by_hand(items: list[list[str]], ngram: int, min_words: int) -> dict[tuple[str, ...], int]:
    windows: dict[tuple[str, ...], int] = {}
    for number, words in enumerate(items):
        weights = [1 if word in "漢字" else 2 for word in words]
        mine = []
        for first in range(len(words)):
            behind = next((b for b in range(first, len(words) + 1) if sum(weights[first:b]) >= 2 * ngram), None)
            mine += [words[first:behind]] if behind else []
        if not mine and sum(weights) >= 2 * min_words:
            mine = [words]
        for window in mine:
            windows.setdefault(tuple(window), number)
    return windows


def _union(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for first, last in sorted(places):
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], max(runs[-1][1], last))
        else:
            runs.append((first, last))
    return runs


@given(st.lists(WORDS, min_size=2, max_size=5))
def test_rows_are_independent(texts):
    joined = [" ".join(text) for text in texts]
    index = index_of(["a b c", "漢 字 a b c c"], ngram=3, min_words=3)
    alone = [(row, *run[1:]) for row, text in enumerate(joined) for run in found([text], index)]
    assert found(joined, index) == alone


def test_many_runs_have_room():
    index = index_of([numbered(0, 13)])
    text = f"{numbered(0, 13)} x " * 3_000
    runs = containment.matches(pa.array([text, text]), index)
    assert len(runs.rows) == 6_000
    assert np.unique(runs.last - runs.first).tolist() == [12]


@pytest.mark.parametrize("item", ["word " * 13, numbered(0, 13)])
def test_a_word_a_million_times(item):
    """As a text and as an item: memory is linear in the words, there is one run, and it takes hardly any time."""
    text = pa.array(["word " * 1_000_000])
    index = index_of([item])
    containment.matches(text.slice(0, 0), index)
    tracemalloc.start()
    runs = containment.matches(text, index)
    windows, _ = containment.windows(text, ngram=13, min_words=8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert list(zip(runs.first.tolist(), runs.last.tolist(), strict=True)) == ([(0, 999_999)] if "word" in item else [])
    assert (len(windows.hashes), len(windows.anchors)) == (1, 1)
    assert peak < 120 * 2**20


def test_hashes_are_fixed():
    """They go into files: another value needs another VERSION."""
    windows, _ = containment.windows(pa.array(["a b c d"]), ngram=3, min_words=3)
    assert windows.hashes.tolist() == [5703214278670488347, 18446026937662052094]
    assert containment.VERSION.startswith("1/words-")


@pytest.mark.parametrize("module", [containment, cuts, word_spans])
def test_examples_of_the_documentation(module):
    names = {"pa": pa, "words": word_spans.words, "words_of": word_spans.words}
    assert doctest.testmod(module, extraglobs=names).failed == 0
    assert doctest.testmod(module, extraglobs=names).attempted > 0
