"""Passages tile their documents, and their keys are spread evenly."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.tokenization import passages as module
from pipelines.text.tokenization.passages import PASSAGE_BYTES, passage_keys, passages


@given(st.lists(st.text(st.sampled_from("ab é水😀\n"), max_size=400), max_size=4), st.sampled_from([1, 7, 100, 1000]))
def test_the_passages_of_a_text_are_the_text(texts: list[str], size: int) -> None:
    found = passages(pa.array(texts, pa.string()), size)
    parts = found.cut_out(np.arange(len(found.texts)))
    for n, text in enumerate(texts):
        own = np.flatnonzero(found.texts == n)
        assert "".join(parts[i] for i in own) == text
        assert found.numbers[own].tolist() == list(range(len(own)))
        assert all(len(parts[i].encode()) <= size + module._SEARCHED_BYTES for i in own)


def test_a_passage_begins_after_white_space_and_never_inside_a_character() -> None:
    words = passages(pa.array(["word " * 10_000]))
    assert all(part.startswith("word ") for part in words.cut_out(np.arange(len(words.texts))))
    assert [len(part) for part in passages(pa.array(["水" * 12_000])).cut_out(np.arange(3))] == [5462, 5461, 1077]
    assert passages(pa.array(["x" * PASSAGE_BYTES, ""])).texts.tolist() == [0]


def test_some_passages_are_cut_out_as_they_are_among_all() -> None:
    found = passages(pa.array(["a few words " * 5_000, "and more " * 9_000]).slice(1))
    whole = found.cut_out(np.arange(len(found.texts)))
    assert found.cut_out(np.array([3, 1])) == [whole[3], whole[1]]


def test_keys_are_even_and_the_first_is_the_documents() -> None:
    numbers = np.tile(np.arange(1000), 100)
    keys = passage_keys(np.repeat(np.random.default_rng(1).random(100), 1000), numbers)
    assert np.array_equal(passage_keys(np.array([0.25]), np.array([0])), [0.25])
    assert keys.min() >= 0 and keys.max() < 1
    assert len(np.unique(keys)) == len(keys)
    assert np.abs(np.histogram(keys, 10, (0, 1))[0] - 10_000).max() < 400  # 4 standard deviations
