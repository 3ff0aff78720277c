"""Encoding by columns gives the ids of SentencePiece, line by line."""

import io
import struct
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from places import SHARED

from pipelines.contract.tokenizers import loading
from pipelines.text.tokenization.encode import Encoded, Encoder, spaces_marked_as_spaces, words_are_independent
from pipelines.text.tokenization.vocabulary import train, training_lines

BOOKS = SHARED / "books"
LINES = [
    "The miller's wife had seven geese....  None of them would swim; the mill stood still.",
    "Im Herbst 1987 zog die Müllerin mit ihren Gänsen über die Brücke. 水车转动。",
] * 30
BPE = loading.from_bytes(train(LINES, "bpe", 500, ("<|endoftext|>",), 1), "bpe")
UNIGRAM = loading.from_bytes(train(LINES, "unigram", 420, ("<|endoftext|>",), 1), "unigram")


def foreign(kind: loading.Kind, **options: Any) -> loading.Tokenizer:
    """A model that is like ours but for these options of the trainer."""
    model = io.BytesIO()
    common: dict[str, Any] = {
        "vocab_size": 200,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "user_defined_symbols": ["\n"],
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, model_type=kind, hard_vocab_limit=False,
        minloglevel=2, **(common | options),
    )  # fmt: skip
    return loading.from_bytes(model.getvalue(), kind)


# What our own encoding must cover beside our models; what it must leave to SentencePiece.
BY_WORDS: dict[str, dict[str, Any]] = {
    "unknown": {"byte_fallback": False},
    "digits": {"split_digits": True, "byte_fallback": True, "vocab_size": 500},
    "user": {"user_defined_symbols": ["\n", "goose", "ill", "ller", "\u2581The", "水车", "😀"], "vocab_size": 220},
}
BY_TEXTS: dict[str, dict[str, Any]] = {
    "no prefix": {"add_dummy_prefix": False},
    "nmt_nfkc": {"normalization_rule_name": "nmt_nfkc", "remove_extra_whitespaces": True},
    "suffix": {"treat_whitespace_as_suffix": True},
    "over spaces": {"split_by_whitespace": False},
    "no newline": {"user_defined_symbols": []},
}
TOKENIZERS = {"bpe": BPE, "unigram": UNIGRAM}
FOREIGN = {
    f"{kind} {name}": foreign(kind, **options) for kind in ("bpe", "unigram") for name, options in (BY_WORDS | BY_TEXTS).items()
}
FOREIGN_ENCODERS = {name: Encoder(tokenizer) for name, tokenizer in FOREIGN.items()}
ENCODERS = {kind: Encoder(tokenizer) for kind, tokenizer in TOKENIZERS.items()}
BOTH = pytest.mark.parametrize("kind", TOKENIZERS)
# Texts of the model's own words and of what is or looks like space.
TEXTS = st.lists(
    st.sampled_from(
        ["The", "miller", "geese", "....", "Gänsen", "水车", "e", "ll", " ", "  ", "\n", "\n\n", "\t", "\x85", "\x1c"]
    )
    | st.sampled_from(["\x0b", "\u3000", "\xa0", "\u2028", "\r\n", "\x00", "\u2581", "<|endoftext|>"])
    | st.sampled_from(["goose", "miller水车", "\u0301", "\U000e0041", "😀", "ﬁ", "１", "..", "--"])
    | st.builds(lambda text, n: text * n, st.sampled_from(["水车转动", "ill", "ab", ".", "é", " e"]), st.integers(1, 60))
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    max_size=12,
).map("".join)


def ids_of(encoded: Encoded) -> list[list[int]]:
    return [encoded.ids[a:b].tolist() for a, b in pairwise(encoded.offsets)]


@BOTH
def test_our_models_are_encoded_by_words(kind: loading.Kind) -> None:
    assert words_are_independent(TOKENIZERS[kind])


@BOTH
@given(texts=st.lists(TEXTS, max_size=6))
def test_ids_are_the_references(kind: loading.Kind, texts: list[str]) -> None:
    tokenizer = TOKENIZERS[kind]
    assert ids_of(ENCODERS[kind](spaces_marked_as_spaces(pa.array(texts, pa.string())))) == [
        tokenizer.encode(text) for text in texts
    ]


def test_a_line_is_encoded_by_sentencepiece_by_itself() -> None:
    newline = BPE.newline_id
    geese, mill = BPE.processor.encode("geese swim"), BPE.processor.encode(" the mill")
    assert ids_of(Encoder(BPE)(pa.array(["geese swim\n\n the mill\n"]))) == [[*geese, newline, newline, *mill, newline]]


@BOTH
def test_the_cache_does_not_change_ids(kind: loading.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = TOKENIZERS[kind]
    texts = [line + f" {n}" for n, line in enumerate(LINES)]
    whole = ids_of(Encoder(tokenizer)(pa.array(texts)))
    monkeypatch.setattr("pipelines.text.tokenization.encode._CACHE_WORDS", 4)
    forgetful = Encoder(tokenizer)
    assert [ids for n in range(0, 60, 7) for ids in ids_of(forgetful(pa.array(texts[n : n + 7])))] == whole
    assert [ids for n in range(0, 60, 9) for ids in ids_of(forgetful(pa.array(texts[n : n + 9])))] == whole


def test_slices_large_strings_and_nothing_are_encoded() -> None:
    texts = pa.array(["no", "seven geese", "the mill", "no"])
    expected = [BPE.encode("seven geese"), BPE.encode("the mill")]
    assert ids_of(Encoder(BPE)(texts.slice(1, 2))) == expected
    assert ids_of(Encoder(BPE)(texts.cast(pa.large_string()).slice(1, 2))) == expected
    assert ids_of(Encoder(BPE)(pa.array([], pa.string()))) == []
    assert ids_of(Encoder(BPE)(pa.array(["", ""]))) == [[], []]


def test_a_null_text_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 texts are null"):
        Encoder(BPE)(pa.array(["a", None]))


def test_many_words_fill_the_table_and_come_back() -> None:
    texts = pa.array([f"w{n} {n * 7919}x\n" for n in range(40_000)])
    encoded = ids_of(Encoder(BPE)(texts))
    assert [BPE.decode(ids) for ids in encoded[::997]] == texts.take(pa.array(range(0, 40_000, 997))).to_pylist()


def test_another_normaliser_is_encoded_text_by_text(tmp_path: Path) -> None:
    prefix = str(tmp_path / "other")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_prefix=prefix, vocab_size=120, model_type="bpe", byte_fallback=False, minloglevel=2
    )
    other = loading.load_file(f"{prefix}.model", "bpe")
    assert not words_are_independent(other)
    texts = ["seven  geese\u3000swim", "ﬁne\x85mill"]
    assert ids_of(Encoder(other)(pa.array(texts))) == [other.processor.encode(text) for text in texts]


def test_lists_have_items_of_the_wanted_type() -> None:
    column = Encoded(np.array([7, 8, 9], np.int32), np.array([0, 2, 2, 3])).lists(pa.uint16())
    assert column.to_pylist() == [[7, 8], [], [9]]
    assert column.type == pa.list_(pa.field("item", pa.uint16(), nullable=False))


@pytest.mark.skipif(not BOOKS.is_dir(), reason="the real data (../shared/data/books) is not here")
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_ids_are_the_references_on_real_books(kind: Literal["bpe", "unigram"]) -> None:
    paths = sorted((BOOKS / "en").glob("*.txt"))[:2] + sorted((BOOKS / "de").glob("*.txt"))[:1]
    texts = [
        text[i : i + 5000]
        for text in (p.read_text("utf-8", "replace")[:80_000] for p in paths)
        for i in range(0, len(text), 5000)
    ]
    assert texts
    tokenizer = loading.from_bytes(train(training_lines([pa.array(texts)]), kind, 1000, ("<|endoftext|>",), 2), kind)
    assert ids_of(Encoder(tokenizer)(pa.array(texts))) == [tokenizer.encode(text) for text in texts]


def test_a_word_of_two_equal_cuts_is_cut_as_its_line_decides() -> None:
    nouns = ["mill", "goose", "river", "wheel", "stone"]
    lines = [f"The miller said no{dots} The {noun} stood still{dots}" for noun in nouns for dots in (".", "...")]
    tokenizer = loading.from_bytes(train(sorted(lines * 20), "unigram", 390, (), 1), "unigram")
    texts = [" ".join(words) + "....\nThe mill" for words in product([*nouns, "the", "said", "still", "no"], repeat=3)]
    expected = [tokenizer.encode(text) for text in texts]
    assert tokenizer.newline_id is not None
    cuts = {tuple(ids[ids.index(tokenizer.newline_id) - 2 : ids.index(tokenizer.newline_id)]) for ids in expected}
    assert len(cuts) > 1  # the same word, cut in two ways
    assert ids_of(Encoder(tokenizer)(pa.array(texts))) == expected


def test_which_models_are_encoded_by_words() -> None:
    assert {name: words_are_independent(tokenizer) for name, tokenizer in FOREIGN.items()} == {
        f"{kind} {name}": name in BY_WORDS for kind in ("bpe", "unigram") for name in BY_WORDS | BY_TEXTS
    }


@given(texts=st.lists(TEXTS, max_size=3))
def test_ids_of_other_models_are_the_references(texts: list[str]) -> None:
    read = spaces_marked_as_spaces(pa.array(texts, pa.string()))
    for name, tokenizer in FOREIGN.items():
        assert ids_of(FOREIGN_ENCODERS[name](read)) == [tokenizer.encode(text) for text in read.to_pylist()], name


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_words_of_any_length_are_cut_as_the_reference_cuts_them(kind: loading.Kind) -> None:
    """In the cache and beyond it, few symbols (all pairs are looked at) and many (a heap)."""
    tokenizer = TOKENIZERS[kind]
    random = np.random.default_rng(7)
    letters = np.array(list("Themilrswangü水车éx"))
    texts = ["".join(random.choice(letters, size)) for size in (1, 7, 8, 9, 16, 23, 24, 25, 47, 48, 49, 50, 200, 3000) * 5]
    assert ids_of(Encoder(tokenizer)(pa.array(texts))) == [tokenizer.encode(text) for text in texts]


def test_a_line_of_many_thousand_tokens_is_cut_as_the_reference_cuts_it() -> None:
    random = np.random.default_rng(3)
    words = ["....", "geese....", "The", "miller", "mill..", "stood", "水车转动", "😀", ".....swim"]
    line = " ".join(random.choice(words, 40_000))
    ids = ids_of(Encoder(UNIGRAM)(pa.array([line])))[0]
    assert len(ids) > 100_000
    assert ids == UNIGRAM.encode(line)


def with_scores(model: bytes, scores: dict[str, float]) -> bytes:
    """The model with other scores: a piece is field 1 of its message, its score field 2 behind it."""
    for piece, score in scores.items():
        head = b"\n" + bytes([len(piece.encode())]) + piece.encode() + b"\x15"
        at = model.index(head) + len(head)
        model = model[:at] + struct.pack("<f", score) + model[at + 4 :]
    return model


def test_the_cache_does_not_learn_what_a_line_decided() -> None:
    names = {str(UNIGRAM.processor.id_to_piece(i)) for i in range(UNIGRAM.size)}
    a, b, c = next(
        (x[0], x[1], y[1])
        for x, y in product(sorted(names), repeat=2)
        if len(x) == len(y) == 2 and x[1] == y[0] and (x + y).isascii() and (x + y).isalpha() and x + y[1] not in names
    )
    scores = {a: -9.0, b: -9.0, c: -9.0, a + b: -5.0, b + c: -5.001, "T": -11.7}  # "a bc" is worse than "ab c" by 0.001
    tokenizer = loading.from_bytes(with_scores(UNIGRAM.model, scores), "unigram")
    line, word = f"{'T' * 3000} {a + b + c}", a + b + c  # sums have a grain of 0.004 there: a tie, and the first way wins
    assert tokenizer.encode(line)[-2:] != tokenizer.encode(word)[-2:]
    assert ids_of(Encoder(tokenizer)(pa.array([line, word]))) == [tokenizer.encode(line), tokenizer.encode(word)]
