"""Pieces move to the end of a model, and nothing else changes."""

import pytest
import sentencepiece

from pipelines.contract.tokenizers.sentencepiece_proto import with_last
from pipelines.text.tokenization.vocabulary import Specials, train

MODEL = train(["to be or not to be"] * 9, "bpe", 400, Specials(("<a>", "<b>", "<c>", "<unk>")), 1)


def names(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [str(processor.id_to_piece(i)) for i in range(processor.get_piece_size())]


def test_the_pieces_named_go_last_in_the_order_they_had() -> None:
    moved = with_last(MODEL, ["<c>", "<b>"])
    assert names(moved) == [name for name in names(MODEL) if name not in ("<b>", "<c>")] + ["<b>", "<c>"]
    assert len(moved) == len(MODEL)
    assert with_last(MODEL, []) == MODEL


def test_texts_keep_their_pieces_and_scores() -> None:
    before = sentencepiece.SentencePieceProcessor(model_proto=MODEL)
    after = sentencepiece.SentencePieceProcessor(model_proto=with_last(MODEL, ["<b>"]))
    text = "to be <b> or 水"
    assert before.encode_as_pieces(text) == after.encode_as_pieces(text)
    assert (before.unk_id(), after.unk_id()) == (3, 2)
    assert after.is_control(after.get_piece_size() - 1)
    assert [before.get_score(i) for i in range(8, 300)] == [after.get_score(i - 1) for i in range(8, 300)]


def test_a_piece_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AssertionError, match="the model has not all of"):
        with_last(MODEL, ["<z>"])
