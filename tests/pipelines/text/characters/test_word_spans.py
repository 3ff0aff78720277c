"""Words with their places: the same words as `shingles` compares, and bytes that belong to them."""

import itertools
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.text.characters import comparison, word_spans
from pipelines.text.copies import shingles

TEXTS = st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60), max_size=6)
# Characters at which rules meet: spaces, marks, scripts without spaces, expansions of one and of several words, invisible ones.
AWKWARD = st.lists(st.text(alphabet="aB1 \n.é\u0301漢かｶﾞไ่한ßﬁﷺ㍿½㌀\u200b\u00ad👍\u0903\ufe0f\x00", max_size=30), max_size=6)


def spans(text: str) -> list[str]:
    """The bytes of each word of a text."""
    found = word_spans.words(pa.array([text]))
    data = text.encode()
    return [data[a:b].decode() for a, b in zip(found.starts.tolist(), found.ends.tolist(), strict=True)]


def hashes(*texts: str) -> list[int]:
    return word_spans.words(pa.array(texts, pa.string())).hashes.tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Über  den Café, 2.Ⅳ", ["Über", "den", "Café", "2", "Ⅳ"]),
        ("don't – «stop» a+b", ["don", "t", "stop", "a", "b"]),
        ("漢字かなabcがぎ", ["漢", "字", "か", "な", "abc", "が", "ぎ"]),
        ("ไม่มี", ["ไ", "ม่", "มี"]),
        ("cafe\u0301s cafe\u0301. x", ["cafe\u0301s", "cafe\u0301", "x"]),  # a mark behind a word goes with it
        ("\u00adco\u00adop\u00ad a\u200bb", ["co\u00adop\u00ad", "a", "b"]),
        ("مُحَمَّدُ ١٢", ["مُحَمَّدُ", "١٢"]),
        ("a½b", ["a½", "½b"]),  # "a1 2b"
        ("x㍿", ["x", "㍿", "㍿", "㍿", "㍿"]),
        ("★ !!! \x00 ★", []),
        ("", []),
    ],
)
def test_bytes_of_words(text, words):
    assert spans(text) == words


def test_which_words_are_characters():
    found = word_spans.words(pa.array(["漢字 abc ม่ 한국 ㍿ é"]))
    assert found.is_character.tolist() == [True, True, False, True, False, True, True, True, True, False]


def test_words_that_compare_equal_hash_equal():
    assert hashes("STRASSE Café ２") == hashes("straße cafe\u0301 2")
    assert len(set(hashes("a b ab ba", "c d"))) == 6
    once = np.uint64(hashes("word")[0])
    assert comparison.mix(once) == shingles.scan(pa.array(["word"]), 1).shingles[0]  # mixed once more there


@given(TEXTS | AWKWARD)
@example(["a\u00ad漢\ufe0f\ufe0f"])
def test_words_are_those_of_the_normalised_text(texts):
    found = word_spans.words(pa.array(texts, pa.string()))
    compared = comparison.normalised(pa.array(texts, pa.string())).to_pylist()
    assert found.offsets[0] == 0
    for i, (text, whole) in enumerate(zip(texts, compared, strict=True)):
        mine = slice(found.offsets[i], found.offsets[i + 1])
        words = whole.split(" ") if mine.stop > mine.start else []
        assert words or whole == text  # a text without a word stands for itself there
        assert len(words) == mine.stop - mine.start
        # The normalised words, hashed as texts of their own (they have no capitals or marks left to lose).
        assert [hashes(word) for word in words] == [[h] for h in found.hashes[mine].tolist()]
        bounds = list(zip(found.starts[mine].tolist(), found.ends[mine].tolist(), strict=True))
        data = text.encode()
        for (a, b), word in zip(bounds, words, strict=True):
            own = comparison.normalised(pa.array([data[a:b].decode()])).to_pylist()[0]
            assert own == word or (word in own.split(" ") or own.endswith(" " + word) or own.startswith(word))
            if bounds.count((a, b)) == 1 and all(y <= a or b <= x for x, y in bounds if (x, y) != (a, b)):
                assert own == word
        assert all(a < b for a, b in bounds)
        assert all(p[0] <= q[0] and p[1] <= q[1] for p, q in itertools.pairwise(bounds))
        for p, q in itertools.pairwise(bounds):  # they overlap in one character that is several words, or not at all
            assert p[1] <= q[0] or len(data[q[0] : p[1]].decode()) == 1


@given(AWKWARD, st.integers(0, 3), st.integers(0, 3))
def test_slices_and_nulls(texts, start, length):
    array = pa.array([*texts, None], pa.string())
    part = word_spans.words(array.slice(start, length))
    alone = word_spans.words(pa.array([text or "" for text in [*texts, None][start : start + length]], pa.string()))
    for name in ("hashes", "starts", "ends", "offsets", "is_character"):
        assert getattr(part, name).tolist() == getattr(alone, name).tolist()


def test_a_row_has_room_for_its_words():
    """Characters that are several words each: more words than characters."""
    texts = ["㍿" * 5_000, "a " * 20_000, "ﷺ" * 3]
    found = word_spans.words(pa.array(texts))
    assert np.diff(found.offsets).tolist() == [20_000, 20_000, 10]
    assert len(np.unique(found.hashes[20_000:40_000])) == 1


def test_a_word_a_million_times_takes_memory_by_the_word():
    text = pa.array(["word " * 1_000_000])
    word_spans.words(text.slice(0, 0))
    tracemalloc.start()
    found = word_spans.words(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.hashes) == 1_000_000
    assert found.starts[-1] == 4_999_995
    assert peak < 30 * 1_000_000


def test_word_spans_are_the_same_in_a_tuple():
    found = word_spans.words(pa.array(["a b", "c"]))
    assert [part.tolist() for part in word_spans.word_spans(pa.array(["a b", "c"]))] == [
        found.hashes.tolist(),
        [0, 2, 0],
        [1, 3, 1],
        [0, 2, 3],
    ]


def test_invalid_utf8_separates_words():
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 5], np.int32)), pa.py_buffer(b"ab \xe6\xbc"))
    found = word_spans.words(broken)
    assert (found.starts.tolist(), found.ends.tolist()) == ([0], [2])


def test_hashes_are_fixed():
    """They go into datasets: another value needs another VERSION."""
    assert hashes("the 漢é") == [14645693024798636849, 10907005933633425873, 4098803356350435448]
    assert word_spans.VERSION.removeprefix("1/comparison-") == comparison.VERSION
