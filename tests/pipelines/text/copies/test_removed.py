"""What a cut took out of a text is named exactly where the text can be followed, and never less than that."""

import doctest
import random

import numpy as np
import pyarrow as pa
import pytest
from places import FIXTURES

from pipelines.text.characters.word_spans import words
from pipelines.text.copies import removed as module
from pipelines.text.copies.cuts import remove_words
from pipelines.text.copies.removed import removed

ORCHARD = (FIXTURES / "tiny" / "books" / "orchard.txt").read_text()


def stretches(before: str, after: str) -> list[str]:
    texts = pa.array(["same", before])
    found = removed(texts, pa.array(["same", after]))
    assert set(found.rows.tolist()) <= {1}
    data = before.encode()
    own = [data[a:b].decode() for a, b in zip(found.starts.tolist(), found.ends.tolist(), strict=True)]
    assert found.texts(texts).to_pylist() == own
    places = found.first_characters(texts).tolist()
    assert [before[place : place + len(text)] for place, text in zip(places, own, strict=True)] == own
    return own


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("one\ntwo\nthree", "one\nthree", ["two\n"]),
        ("Menu\n\nA text.\n\nImprint", "A text.", ["Menu\n\n", "\n\nImprint"]),
        ("said [go home] then", "said then", ["[go home] "]),
        ("漢字仮名漢文", "漢字漢文", ["仮名"]),
        ("über ältere Äpfel", "über Äpfel", ["ältere "]),  # the first bytes of ä and Ä are the same
        ("all of it", "", ["all of it"]),
        ("one two\n\nthree four", "one\n\nfour", ["two\n\nthree"]),
        ("same", "same", []),
        ("a b", "a  b", []),  # nothing is gone
    ],
)
def test_what_is_gone(before: str, after: str, expected: list[str]) -> None:
    assert [text.strip() for text in stretches(before, after)] == [text.strip() for text in expected]


@pytest.mark.parametrize("seed", range(5))
def test_runs_of_words_cut_from_a_text(seed: int) -> None:
    draw = random.Random(seed)
    texts = pa.array([ORCHARD])
    spans = words(texts)
    flags = np.zeros(len(spans.hashes), np.bool_)
    for _ in range(6):
        start = draw.randrange(len(flags))
        flags[start : start + draw.randint(4, 30)] = True
    after = remove_words(texts, spans, flags)[0].as_py()
    left = ORCHARD
    for text in stretches(ORCHARD, after):
        assert text in left
        left = left.replace(text, "", 1)
    assert sorted("".join(left.split())) == sorted("".join(after.split()))


def test_a_text_that_cannot_be_followed_has_one_stretch() -> None:
    assert stretches("one two three four", "one zzz four") == ["two three"]
    assert stretches("äbc", "öbc") == ["ä"]


def test_a_million_equal_words_take_linear_time() -> None:
    assert len("".join(stretches("word " * 400_000, "word " * 200_000))) == 1_000_000


def test_many_stretches_have_room() -> None:
    lines = [f"line number {n}" for n in range(6_000)]
    assert len(stretches("\n".join(lines), "\n".join(lines[::2]))) == 3_000


def test_examples_of_the_documentation() -> None:
    result = doctest.testmod(module, extraglobs={"pa": pa})
    assert (result.failed, result.attempted > 0) == (0, True)
