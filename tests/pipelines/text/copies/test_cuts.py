"""A text without some words reads as if they had never been there."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters.normalize import normalize
from pipelines.text.characters.word_spans import words as words_of
from pipelines.text.copies.cuts import remove_words

# Words of letters, of single characters, several in one character; blanks, line ends, punctuation, symbols.
_BETWEEN = [" ", " ", "\t", "\n", "\n", "\n\n", "\n \n", "\n*\n", ".", ",", "-", "“"]
TOKENS = ["a", "B", "1", "one", "é", *"漢字か½㍿", "ไ่", "\u200d", " \u0301", *_BETWEEN]
TEXTS = st.lists(st.lists(st.sampled_from(TOKENS), max_size=20).map("".join), max_size=5)


def without(text: str, *goes: int) -> str:
    texts = pa.array([text])
    words = words_of(texts)
    flags = np.zeros(len(words.hashes), np.bool_)
    flags[list(goes)] = True
    return remove_words(texts, words, flags).to_pylist()[0]


@pytest.mark.parametrize(
    ("text", "goes", "left"),
    [
        ("Home | News\nA text.\n\nHome | News", (0, 1, 4, 5), "A text."),
        ("One.\nTwo words.\nThree.", (1, 2), "One.\nThree."),
        ("One.\n\nTwo words.\n\nThree.", (1, 2), "One.\n\nThree."),
        ("One.\n\nTwo.\nThree.", (1,), "One.\n\nThree."),
        ("- one\n- two\n- three", (1,), "- one\n- three"),  # the next line keeps its bullet
        ("one\n***\ntwo\n* * *\n- three", (1,), "one\n***\n* * *\n- three"),  # lines of symbols only stay
        ("one\ntwo\n***\nthree\nfour", (1, 2), "one\nfour"),  # but not between two lines that go
        ("he said “Go home.” Then", (2, 3), "he said Then"),
        ("one two, three. Four", (1, 2), "one Four"),
        ("one, two three", (1,), "one, three"),
        ("one (two three) four", (1,), "one three) four"),
        ("one two\n\nthree four", (1, 2), "one\n\nfour"),  # the end of a paragraph within what goes
        ("one two.\nthree", (1,), "one\nthree"),
        ("one—two three", (1,), "one— three"),
        ("one\ttwo three", (1,), "one three"),
        ("我们很好。今天，下雨", (4, 5), "我们很好。下雨"),  # no space where there was none
        ("abc漢def", (1,), "abc def"),  # but two words stay two
        ("a ½ b", (1,), "a ½ b"),  # "½" is two words; it goes when both go
        ("a ½x b", (2,), "a ½x b"),
        ("a ½ b", (1, 2), "a b"),
        ("one\n\n\ntwo\n \n\n\nthree", (1,), "one\n\nthree"),  # one empty line, though it was not normalised
        ("漢 字 仮", (1,), "漢 仮"),
        ("漢字 仮", (1,), "漢 仮"),
        ("one two", (0, 1), ""),
        ("***\none", (0,), ""),
        ("***\none two", (0,), "***\ntwo"),
        ("“one two", (0,), "two"),
        ("one two.", (1,), "one"),
        ("one two\n***", (1,), "one\n***"),
    ],
)
def test_the_text_that_remains(text, goes, left):
    assert without(text, *goes) == left


def test_texts_that_lose_nothing_keep_their_bytes_and_a_batch_without_a_cut_is_the_same_array():
    texts = pa.array(["skipped", "one  two \n\n\n three.", "", "four five"]).slice(1)
    words = words_of(texts)
    goes = np.zeros(5, np.bool_)
    assert remove_words(texts, words, goes) is texts
    goes[4] = True
    assert remove_words(texts, words, goes).to_pylist() == ["one  two \n\n\n three.", "", "four"]


@given(TEXTS, st.randoms(use_true_random=False))
def test_exactly_the_kept_words_remain_in_order(texts, random):
    array = normalize(pa.array(texts, pa.string()), repair=False)
    words = words_of(array)
    goes = np.array([random.random() < 0.5 for _ in words.hashes], np.bool_)
    # Words that one character stands for go together or not at all.
    rows = np.repeat(np.arange(len(array)), np.diff(words.offsets))
    for i in range(1, len(goes)):
        if rows[i] == rows[i - 1] and words.starts[i] < words.ends[i - 1]:
            goes[i] = goes[i - 1]
    cut = remove_words(array, words, goes)
    left = words_of(cut)
    assert left.hashes.tolist() == words.hashes[~goes].tolist()
    assert np.diff(left.offsets).tolist() == np.bincount(rows[~goes], minlength=len(array)).tolist()
    assert cut.validate(full=True) is None
    tidy = normalize(cut, repair=False)
    assert cut.to_pylist() == tidy.to_pylist()  # no blanks or empty lines too many: what was normalised still is
