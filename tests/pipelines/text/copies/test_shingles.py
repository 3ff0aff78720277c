"""Shingles: what counts as the same text, and that a text never sees its neighbour."""

import hashlib
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters import comparison
from pipelines.text.copies import shingles

TEXTS = st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60), max_size=6)
# Characters at which rules meet: spaces, marks, scripts without spaces, expansions, invisible ones.
AWKWARD = st.lists(st.text(alphabet="aB1 \n.é\u0301漢かｶﾞไ่한ßﬁﷺ\u200b\u00ad👍\u0903", max_size=30), max_size=6)


def rows(texts: list[str], ngram: int) -> list[list[int]]:
    found = shingles.scan(pa.array(texts, pa.string()), ngram)
    return [part.tolist() for part in np.split(found.shingles, found.offsets[1:-1])] if texts else []


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("Über  den Café, 2.Ⅳ", "uber den cafe 2 iv"),
        ("STRASSE straße ﬁn Ａ１", "strasse strasse fin a1"),
        ("don't – «stop» a+b", "don t stop a b"),
        ("漢字かなabcがぎ", "漢 字 か な abc が ぎ"),
        ("ｶﾞ", "カ\u3099"),  # NFKC character by character: the mark is not joined, it belongs to the same word
        ("ไม่มี", "ไ ม่ มี"),  # the marks stay with their consonant
        ("हिन्दी में", "हिन्दी में"),  # vowel signs of Devanagari are no diacritics
        ("Ёлка й", "елка и"),
        ("مُحَمَّد ١٢", "محمد 12"),
        ("한국어 문장", "한국어 문장"),
        ("co\u00adop a\u200bb", "coop a b"),
        ("x² ㈱", "x2 株"),
        ("★ !!! ★", "★ !!! ★"),  # no word: it stands for itself
        ("", ""),
    ],
)
def test_what_a_text_is_compared_as(text, compared):
    assert comparison.normalised(pa.array([text])).to_pylist() == [compared]


def test_digests_are_those_of_the_bytes():
    texts = ["Résumé", "Resume", "2 + 2 = 4", "2 - 2 = -4", "", None, "Resume"]
    found = shingles.digests(pa.array(texts))
    assert found.type == pa.binary(16)
    assert found.to_pylist() == [hashlib.blake2b((text or "").encode(), digest_size=16).digest() for text in texts]
    assert shingles.digests(pa.array(texts).slice(2, 2)).to_pylist() == found.to_pylist()[2:4]


def test_letters_are_blake2b_of_the_normalised_text():
    found = shingles.letters(pa.array(["Hello, WORLD", "hello = world!", "hello worlds", "!!", "??"]))
    assert found.type == pa.binary(16)
    assert found[0].as_py() == hashlib.blake2b(b"hello world", digest_size=16).digest()
    assert found[1] == found[0]
    assert len(set(found.to_pylist())) == 4


def test_windows_of_words():
    one, two = rows(["a b c d", "b c d e"], 3)
    assert len(one) == 2
    assert one[1] == two[0]
    assert one[0] != one[1]
    assert rows(["a b", "a b c", "b a"], 3)[0] not in (rows(["a b c"], 3)[0], rows(["b a"], 3)[0])


def test_a_short_text_is_one_shingle_and_does_not_see_its_neighbour():
    found = rows(["a b", "c d e f g h", "a b", "", "!"], 5)
    assert [len(row) for row in found] == [1, 2, 1, 1, 1]
    assert found[0] == found[2]


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("我是一个学生。", "我 是 一 个 学 生"),  # Chinese
        ("𠀀𪜀", "𠀀 𪜀"),  # beyond the basic plane
        ("東京タワーへ行く", "東 京 タ ワ ー へ 行 く"),  # Japanese
        ("ㄅㄆㄇ", "ㄅ ㄆ ㄇ"),  # bopomofo
        ("ภาษาไทย", "ภ า ษ า ไ ท ย"),  # Thai
        ("ភាសាខ្មែរ", "ភា សា ខ្ មែ រ"),  # Khmer: vowel signs and the sign of a stacked consonant stay with theirs
        ("ພາສາລາວ", "ພ າ ສ າ ລ າ ວ"),  # Lao
        ("မြန်မာ", "မြ န် မာ"),  # Myanmar
    ],
)
def test_scripts_without_spaces_go_by_character(text, characters):
    assert comparison.normalised(pa.array([text])).to_pylist() == [characters]
    count = len(characters.split(" "))
    assert [len(row) for row in rows([text, text], 2)] == [max(1, count - 1)] * 2
    assert shingles.scan(pa.array([text]), 2).words().value_lengths().to_pylist() == [count]


def test_words_of_any_script_are_counted():
    assert [len(row) for row in rows(["我是一个学生。", "one two three four five six"], 5)] == [2, 2]


def test_a_word_a_million_times():
    found = shingles.scan(pa.array(["word " * 1_000_000, "word " * 9]), 5)
    assert np.diff(found.offsets).tolist() == [999_996, 5]
    assert len(np.unique(found.shingles)) == 1


@pytest.mark.parametrize("text", [" " * 100_000, "!" + " " * 100_000 + "!", " !" * 50_000 + " ", "| " * 50_000])
def test_spaces_of_a_text_without_a_word(text):
    """Such a text is hashed as written, with all its spaces, which once overflowed the table of shingles."""
    scan = shingles.scan(pa.array(["a b", text, "a b"]), 1)
    words = max(1, len(text.split()))
    assert np.diff(scan.offsets).tolist() == [2, words, 2]
    assert scan.words().value_lengths().to_pylist() == [2, words, 2]
    assert scan.shingles[:2].tolist() == scan.shingles[-2:].tolist()
    assert shingles.letters(pa.array(["a b", text]))[1].as_py() == hashlib.blake2b(text.encode(), digest_size=16).digest()


def test_hashes_are_fixed():
    """They go into datasets: another value needs another VERSION."""
    assert rows(["the quick brown fox jumps over"], 5)[0] == [7058866846973086292, 16557124905821604976]
    assert shingles.VERSION.split("/") == ["2", f"unicode-{unicodedata.unidata_version}", "signs-1"]


def test_signs_of_formulas_and_code_are_words():
    """Windows and words have them; the letters of a text do not."""
    texts = ["x = a + b * 2", "x = a - b / 2", "x = a + b * 2."]
    array = pa.array(texts)
    assert len(set(shingles.letters(array).to_pylist())) == 1
    one, other, again = rows(texts, 3)
    assert len(one) == 7 - 3 + 1
    assert one == again
    assert len(set(one) & set(other)) == 1  # "x = a"
    assert shingles.scan(array, 3).words().value_lengths().to_pylist() == [7, 7, 7]


@given(TEXTS | AWKWARD, st.integers(1, 7))
def test_rows_are_independent(texts, ngram):
    assert rows(texts, ngram) == [rows([text], ngram)[0] for text in texts]


@given(TEXTS | AWKWARD, st.integers(1, 4))
def test_shingles_are_a_function_of_the_normalised_text(texts, ngram):
    compared = comparison.normalised(pa.array(texts, pa.string()))
    compared.validate(full=True)
    again = comparison.normalised(compared)
    scanned = comparison.normalised(pa.array(texts, pa.string()), signs=True).to_pylist()
    for text, once, twice, seen in zip(texts, compared.to_pylist(), again.to_pylist(), scanned, strict=True):
        words = [word for word in seen.split(" ") if word]
        assert len(rows([text], ngram)[0]) == max(1, len(words) - ngram + 1)
        if any(c.isalnum() for c in once):
            assert twice == once


@given(AWKWARD, st.integers(0, 3), st.integers(0, 3))
def test_slices_read_their_own_rows(texts, start, length):
    array = pa.array(texts, pa.string())
    part = shingles.scan(array.slice(start, length), 2)
    alone = shingles.scan(pa.array(texts[start : start + length], pa.string()), 2)
    assert part.shingles.tolist() == alone.shingles.tolist()
    own = pa.array(texts[start : start + length], pa.string())
    assert shingles.letters(array.slice(start, length)).equals(shingles.letters(own))


def test_words_in_order():
    scan = shingles.scan(pa.array(["b, A b", None, "短い abc", "!! !"]), 5)
    words = scan.words()
    words.validate(full=True)
    first, empty, mixed, symbols = words.to_pylist()
    assert [len(first), len(empty), len(mixed), len(symbols)] == [3, 1, 3, 2]
    assert first[0] == first[2] != first[1]
    assert shingles.scan(pa.array(["abc"]), 5).words().to_pylist() == [mixed[2:]]


@given(TEXTS | AWKWARD)
def test_words_are_one_where_the_normalised_words_are(texts):
    found = shingles.scan(pa.array(texts, pa.string()), 1)
    compared = comparison.normalised(pa.array(texts, pa.string()), signs=True).to_pylist()
    words = [word for text in compared for word in [word for word in text.split(" ") if word] or [""]]
    hashes = found.words().values.to_pylist()
    assert found.words().offsets.to_pylist() == found.offsets.tolist()
    assert len(set(zip(words, hashes, strict=True))) == len(set(words)) == len(set(hashes))


def test_hashes_of_strings():
    found = shingles.hashes(pa.array(["a", "A", "", None, "a", "a\0"]))
    assert found[0] == found[4]
    assert found[2] == found[3]
    assert len(set(found.tolist())) == 4
