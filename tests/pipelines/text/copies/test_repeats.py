"""Lines and paragraphs are found as a reader sees them."""

import re

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters import comparison
from pipelines.text.characters.word_spans import words as words_of
from pipelines.text.copies import repeats

# Words of letters, of single characters, several in one character; blanks, line ends, punctuation, symbols.
_BETWEEN = [" ", " ", "\t", "\n", "\n", "\n\n", "\n \n", "\n*\n", ".", ",", "-", "“"]
TOKENS = ["a", "B", "1", "one", "é", *"漢字か½㍿", "ไ่", "\u200d", " \u0301", *_BETWEEN]
TEXTS = st.lists(st.lists(st.sampled_from(TOKENS), max_size=20).map("".join), max_size=5)


@given(TEXTS)
def test_lines_and_paragraphs_are_those_that_python_splits(texts):
    array = pa.array(texts, pa.string())
    words = words_of(array)
    for find, end in ((repeats.lines, r"\n"), (repeats.paragraphs, r"\n(?:[ \t]*\n)+")):
        found = find(array, words)
        parts = [[part for part in re.split(end, text) if words_of(pa.array([part])).hashes.size] for text in texts]
        assert np.diff(found.offsets).tolist() == [len(part) for part in parts]
        flat = [part for row in parts for part in row]
        assert found.words().tolist() == [words_of(pa.array([part])).hashes.size for part in flat]
        compared = comparison.normalised(pa.array(flat, pa.string())).to_pylist()
        pairs = dict(zip(compared, found.hashes.tolist(), strict=True))
        assert [pairs[text] for text in compared] == found.hashes.tolist()
        assert len(set(pairs.values())) == len(pairs)


def test_a_line_counts_once_a_text_and_only_with_enough_words():
    texts = pa.array(["one two\nONE, two!\nthree", "two one\none two", "three"])
    lines = repeats.lines(texts, words_of(texts))
    assert lines.rows().tolist() == [0, 0, 0, 1, 1, 2]
    one_two, three, two_one = lines.hashes[0], lines.hashes[2], lines.hashes[3]
    assert repeats.distinct(lines, 1)[0].tolist() == sorted([one_two, one_two, two_one, three, three])
    assert repeats.distinct(lines, 2)[0].tolist() == sorted([one_two, one_two, two_one])
    hashes, rows = repeats.distinct(lines, 1)
    assert sorted(zip(hashes.tolist(), rows.tolist(), strict=True)) == sorted(
        [(one_two, 0), (one_two, 1), (two_one, 1), (three, 0), (three, 2)]
    )
    hashes, counts, least = repeats.counted(hashes, np.ones(5, np.int64), 7 - rows)
    assert dict(zip(hashes.tolist(), counts.tolist(), strict=True)) == {one_two: 2, two_one: 1, three: 2}
    assert dict(zip(hashes.tolist(), least.tolist(), strict=True)) == {one_two: 6, two_one: 6, three: 5}


def test_signs_belong_to_the_words_of_their_line():
    texts = [
        "x = a + b",
        "x = a - b",
        "X = A + B!",
        "a b\n- 4\nc",
        "a b\n4\nc",
        "a {\nb",
        "a\n{ b",
        "a ≤ b",
        "a b\n\n≤\n\nc",
        "≤",
    ]
    array = pa.array(texts)
    words, bare = repeats.words_with_signs(array), words_of(array)
    assert words.starts.tolist() == bare.starts.tolist()
    same = np.split(words.hashes == bare.hashes, bare.offsets[1:-1])
    assert [part.tolist() for part in same] == [
        *([True, False, False],) * 3,
        *([True] * 4,) * 2,  # a bullet, none
        [False, True],
        [True, False],
        [True, False],
        [True] * 3,  # on a line without words
        [],
    ]
    by_text = np.split(words.hashes, bare.offsets[1:-1])
    assert by_text[0].tolist() == by_text[2].tolist()
    assert by_text[0][1] == by_text[1][1]
    assert by_text[0][2] != by_text[1][2]


@given(TEXTS)
def test_texts_without_signs_have_the_hashes_of_their_words(texts):
    array = pa.array([text.replace("*", ".").replace("-", ".") for text in texts], pa.string())
    assert repeats.words_with_signs(array).hashes.tolist() == words_of(array).hashes.tolist()


def test_two_characters_of_a_script_without_spaces_are_as_long_as_a_word():
    texts = pa.array(["参考文献\nスポーツ部\n国立公園 map\none two three"])
    lines = repeats.lines(texts, words_of(texts))
    assert lines.words().tolist() == [4, 5, 5, 3]
    assert lines.half_words.tolist() == [4, 5, 6, 6]
    assert lines.at_least(3).tolist() == [False, False, True, True]
    assert repeats.distinct(lines, 3)[0].tolist() == sorted(lines.hashes[2:].tolist())


def test_counts_of_equal_hashes_add_up_and_the_least_rank_stays():
    found = repeats.counted(np.array([7, 5, 7], np.uint64), np.array([1, 2, 3]), np.array([8, 9, 4]))
    assert [column.tolist() for column in found] == [[5, 7], [2, 4], [9, 4]]
    nothing = np.empty(0, np.int64)
    assert [len(column) for column in repeats.counted(np.empty(0, np.uint64), nothing, nothing)] == [0, 0, 0]


@given(st.lists(st.integers(0, 30)), st.sets(st.integers(0, 30)), st.lists(st.integers(0, 31), max_size=3))
def test_known_hashes_are_found_in_all_parts(wanted, known, bounds):
    values = np.array(sorted(known), np.uint64)
    parts = np.split(values, np.searchsorted(values, np.array(sorted(bounds), np.uint64)))
    found = repeats.among(np.array(wanted, np.uint64), [repeats.Repeated(part) for part in parts])
    assert found.tolist() == [value in known for value in wanted]
    own = np.array([value % 2 for value in wanted], np.uint64)
    owned = [repeats.Repeated(part, part % np.uint64(3)) for part in parts]
    lost = repeats.lost(np.array(wanted, np.uint64), own, owned)
    assert lost.tolist() == [value in known and value % 3 != value % 2 for value in wanted]
    assert repeats.lost(np.array(wanted, np.uint64), own, [repeats.Repeated(part) for part in parts]).tolist() == found.tolist()
    assert repeats.among(np.array(wanted, np.uint64), []).tolist() == [False] * len(wanted)
