"""Words of HTML tags and entities are left out of comparisons, and nothing else is."""

import doctest

import pyarrow as pa
import pytest

from pipelines.text.characters import markup, word_spans
from pipelines.text.characters.markup import without_markup


def left(text: str) -> list[str]:
    texts = pa.array(["before", text, "after"])
    spans = without_markup(texts, word_spans.words(texts))
    data = text.encode()
    one = slice(*spans.offsets[1:3])
    assert spans.offsets.tolist()[:2] == [0, 1]
    assert len(spans.hashes) == spans.offsets[-1] == len(spans.is_character)
    return [data[a:b].decode() for a, b in zip(spans.starts[one], spans.ends[one], strict=True)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a<b>c</b> d", ["a", "c", "d"]),
        ('<a href="x.html" title="of it">link</a>!', ["link"]),
        ("x &amp; y &#39;z&#39; &nbsp;", ["x", "y", "z"]),
        ("1 < 2 and 3 > 2", ["1", "2", "and", "3", "2"]),
        ("a <b without an end", ["a", "b", "without", "an", "end"]),
        ("a <b <i>c", ["a", "b", "c"]),
        ("R&D; AT&T", ["R", "AT", "T"]),  # D looks like an entity
        ("R & D; AT & T", ["R", "D", "AT", "T"]),
        ("<" + "x " * 400 + ">", ["x"] * 400),  # no tag is as long
        ("漢<ruby>字</ruby>", ["漢", "字"]),
        ("<", []),
        ("&", []),
        ("b;", ["b"]),
    ],
)
def test_words_that_are_left(text: str, words: list[str]) -> None:
    assert left(text) == words


def test_texts_without_markup_keep_their_words() -> None:
    texts = pa.array(["no markup", ""])
    words = word_spans.words(texts)
    assert without_markup(texts, words) is words


def test_many_open_tags_take_linear_time() -> None:
    assert len(left("<a " * 300_000)) == 300_000


def test_examples_of_the_documentation() -> None:
    result = doctest.testmod(markup, extraglobs={"pa": pa})
    assert (result.failed, result.attempted > 0) == (0, True)
