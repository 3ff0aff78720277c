"""A tokenizer of characters: each is one id, every text comes back, and ids by columns are SentencePiece's."""

import io
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from places import SHARED

from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.pieces import piece_table
from pipelines.text.tokenization.char import char
from pipelines.text.tokenization.encode import Encoder, spaces_marked_as_spaces
from pipelines.text.tokenization.vocabulary import Recipe, special_pieces, train

PLAYS = SHARED / "lm" / "tinyshakespeare.txt"
LINES = ["The geese: who saw them?", "  Nobody  did; é水"] * 3
ALL = Recipe(character_coverage=1.0, byte_fallback=False)
SPELLED = Recipe(character_coverage=1.0)
TEXTS = st.text(st.sampled_from("The gs:\n é水xÜ🪿\t\u2581\u2585\x00<>") | st.characters(exclude_categories=["Cs"]), max_size=40)


def trained(recipe: Recipe, size: int = 400, lines: list[str] = LINES) -> Tokenizer:
    return loading.from_bytes(train(lines, "char", size, special_pieces(["gpt"]), 1, recipe), "char")


UNSPELLED, WITH_BYTES = trained(ALL), trained(SPELLED)
ENCODERS = {"unknown": Encoder(UNSPELLED), "bytes": Encoder(WITH_BYTES)}


def test_the_pieces_are_the_characters_of_the_text_the_newline_and_the_special_ones() -> None:
    names = UNSPELLED.piece_names()
    assert names[:4] == ["<|endoftext|>", "<unk>", "\n", "\u2581"]  # then the others, the most frequent first
    assert sorted(names[4:]) == sorted(set("".join(LINES)) - {" "})
    assert (UNSPELLED.newline_id, UNSPELLED.line_prefix_bytes, UNSPELLED.keeps_text) == (2, 0, False)
    assert WITH_BYTES.size == UNSPELLED.size + 256
    assert WITH_BYTES.keeps_text


def test_every_character_is_one_id() -> None:
    text = "The geese\n\n did: é水\n"
    ids = UNSPELLED.encode(text)
    assert [UNSPELLED.piece_names()[i] for i in ids] == list(text.replace(" ", "\u2581"))
    assert UNSPELLED.decode(ids) == text


@given(TEXTS.map(lambda text: text.replace("\u2581", "")))
def test_every_text_comes_back_from_a_model_with_bytes(text: str) -> None:
    assert WITH_BYTES.decode(WITH_BYTES.encode(text)) == text


@pytest.mark.parametrize("name", ENCODERS)
@given(texts=st.lists(TEXTS, max_size=5))
def test_ids_by_columns_are_the_references(name: str, texts: list[str]) -> None:
    encoder = ENCODERS[name]
    found = encoder(pa.array(texts, pa.string()))
    reference = encoder.tokenizer.encode_batch(spaces_marked_as_spaces(pa.array(texts, pa.string())).to_pylist())
    assert [found.ids[a:b].tolist() for a, b in pairwise(found.offsets)] == reference


def test_a_run_of_unknown_characters_is_one_unknown_piece() -> None:
    ids = Encoder(UNSPELLED)(pa.array(["sÜÜs\nÜ\nÜ"])).ids.tolist()
    s, newline, unknown = UNSPELLED.encode("s")[0], UNSPELLED.newline_id, UNSPELLED.unknown_id
    assert ids == [s, unknown, s, newline, unknown, newline, unknown]


def test_the_rarest_characters_are_left_out_where_the_size_is_too_small() -> None:
    lines = ["a" * 9 + "b" * 5 + "c"]
    assert trained(ALL, 300, lines).piece_names()[3:] == ["a", "b", "c"]
    assert trained(ALL, 5, lines).piece_names()[3:] == ["a", "b"]


def test_words_begin_where_spaces_say() -> None:
    table = piece_table(UNSPELLED).to_pylist()
    by_name = {row["piece"]: row for row in table}
    assert [by_name[name]["word_start"] for name in ("\u2581", "\n", "e", ":", "水")] == [True, True, False, True, True]
    assert [name for name, row in by_name.items() if row["opens_word"]] == ["<|endoftext|>", "\n", "\u2581"]


@pytest.mark.parametrize("options", [{"add_dummy_prefix": True}, {"user_defined_symbols": ["\n", "ee"]}])
def test_other_models_are_left_to_sentencepiece(options: dict[str, Any]) -> None:
    model = io.BytesIO()
    ours: dict[str, Any] = {
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "user_defined_symbols": ["\n"],
    }
    ours.update(options)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, model_type="char", vocab_size=100, hard_vocab_limit=False,
        minloglevel=2, **ours,
    )  # fmt: skip
    made = loading.from_bytes(model.getvalue(), "char")
    assert char(made) is None
    assert Encoder(made)(pa.array(["The geese\ndid"])).ids.tolist() == made.encode("The geese\ndid")


@pytest.mark.skipif(not PLAYS.exists(), reason="the folder of real inputs is not there")
def test_a_whole_book_of_plays_comes_back() -> None:
    text = PLAYS.read_text(encoding="utf-8")
    tokenizer = trained(ALL, 400, [line for line in text.split("\n") if line])
    ids = Encoder(tokenizer)(pa.array([text])).ids
    assert len(ids) == len(text) == 1_115_717
    assert tokenizer.size == len(set(text)) + 2 == 69
    assert tokenizer.decode(ids) == text
