"""The trainer sees every line, and says what is wrong in the config's words."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract import tokenizer as tokenizers
from pipelines.text.vocabulary import cut, report, train, training_lines

LINES = ["The mill by the river turned and turned, and 12 geese looked on."] * 20


def test_a_line_is_cut_at_spaces_or_between_characters() -> None:
    assert list(cut("to be or not", 6)) == ["to be", "or not"]
    assert list(cut("你好吗", 7)) == ["你好", "吗"]
    assert list(cut("abc", 3)) == ["abc"]


@given(st.text(st.sampled_from("ab é水😀"), min_size=1, max_size=60), st.integers(4, 12))
def test_a_cut_line_loses_only_spaces(line: str, limit: int) -> None:
    pieces = list(cut(line, limit))
    assert all(0 < len(piece.encode()) <= limit for piece in pieces)
    assert "".join(pieces).replace(" ", "") == line.replace(" ", "")


def test_training_lines_leave_nothing_out() -> None:
    texts = pa.array(["one\n\ntwo \u2585 blocks\n", "x" * 5000, "", "水" * 2000])
    lines = list(training_lines([texts]))
    assert lines[:2] == ["one", "two   blocks"]
    assert [len(line.encode()) for line in lines[2:]] == [4192, 808, 4191, 1809]


def test_a_size_below_the_characters_is_an_error_with_the_least_size() -> None:
    with pytest.raises(
        ValueError, match=r"^is 300, but the characters, the bytes and the special pieces alone are 3\d\d: raise it"
    ):
        train(LINES, "bpe", 300, (), 1)


def test_no_text_is_an_error() -> None:
    with pytest.raises(ValueError, match="there is no text to train on"):
        train([], "bpe", 500, (), 1)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_too_little_text_makes_a_smaller_vocabulary(kind: tokenizers.Kind) -> None:
    assert 350 < tokenizers.from_bytes(train(LINES, kind, 4000, (), 1), kind).size < 500


def test_digits_are_split_and_equal_arguments_make_equal_bytes() -> None:
    model = train(LINES, "bpe", 420, (), 1)
    assert train(LINES, "bpe", 420, (), 1) == model
    tokenizer = tokenizers.from_bytes(model, "bpe")
    assert [tokenizer.processor.id_to_piece(i) for i in tokenizer.encode("12")] == ["▁", "1", "2"]


def test_the_report_counts_tokens_words_and_bytes() -> None:
    tokenizer = tokenizers.from_bytes(train(LINES, "bpe", 420, (), 1), "bpe")
    documents = pa.table({"source": ["a", "b"], "language": ["en", None], "text": ["the mill turned", "水"]})
    found = report(tokenizer, documents)
    tokens = len(tokenizer.encode("the mill turned"))
    assert found["by_language"]["en"] == {
        "bytes": 15,
        "tokens_per_word": round(tokens / 3, 4),
        "bytes_per_token": round(15 / tokens, 4),
        "coverage": 1.0,
    }
    assert found["by_source"]["b"]["coverage"] == 0.25  # "▁" and three bytes
    assert found["segmentations"]["und"] == "▁ <0xE6> <0xB0> <0xB4>"
    assert len(found["longest_pieces"][0]) == max(
        len(name) for name in tokenizers.pieces(tokenizer)["piece"].to_pylist() if name[0] != "<"
    )
