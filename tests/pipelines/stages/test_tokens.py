"""Documents become rows of shards by split, source and language; sentences become token offsets."""

import io
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
import sentencepiece
import tokenizers as library
from hypothesis import given
from hypothesis import strategies as st
from places import SHARED
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from pipelines.contract import schema
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.stages import tokens
from pipelines.text.characters.sentences import sentence_starts
from pipelines.text.tokenization.encode import text_bytes
from pipelines.text.tokenization.vocabulary import train

LINES = ["The mill turned. Seven geese looked on, and 12 went home."] * 20
TOKENIZER = loading.from_bytes(train(LINES, "bpe", 420, ("<|endoftext|>", "[MASK]"), 1), "bpe")
STAGE = tokens.encoding(TOKENIZER, 0.0)


def batch_of(texts: list[str], languages: list[str | None]) -> Batch:
    ids = [schema.document_id("books", str(n)) for n in range(len(texts))]
    columns = {
        "id": ids,
        "work": ids,
        "source": ["books"] * len(texts),
        "snapshot": ["1"] * len(texts),
        "origin": ["x"] * len(texts),
    }
    return born("read", documents_from({**columns, "text": texts, "language": languages}))


def test_rows_hold_the_tokens_of_their_text() -> None:
    texts = ["The mill turned. Seven geese.\nHome", "12 [MASK] <|endoftext|>"]
    out = STAGE(batch_of(texts, ["en", "en"]))
    table = out.tables["tokens/train/books/en"]
    assert table.schema == schema.tokens(TOKENIZER.size)
    assert table["tokens"].to_pylist() == [TOKENIZER.encode(text) for text in texts]
    assert table["utf8_bytes"].to_pylist() == [34, 23]
    assert table["id"].to_pylist() == out.documents["id"].to_pylist()
    row = table["tokens"][0].as_py()
    starts = [*table["sentence_starts"][0].as_py(), len(row)]
    parts = [TOKENIZER.decode(row[a:b]) for a, b in pairwise(starts)]
    assert parts == ["The mill turned.", "Seven geese.\n", "Home"]


def test_tables_are_split_by_language_and_split() -> None:
    texts = [f"The mill {n} turned." for n in range(40)]
    batch = batch_of(texts, [None if n % 2 else "en" for n in range(40)])
    out = tokens.encoding(TOKENIZER, 0.3)(batch)
    assert sorted(out.tables) == ["counts", *(f"tokens/{s}/books/{x}" for s in ("train", "validation") for x in ("en", "und"))]
    held = schema.is_validation(batch.documents["work"], 0.3)
    assert sum(out.tables[f"tokens/validation/books/{x}"].num_rows for x in ("en", "und")) == held.sum()
    counts = out.tables["counts"].to_pylist()
    for row in counts:
        table = out.tables[tokens.table_name(row["split"], row["source"], row["language"])]
        assert row["rows"] == table.num_rows
        assert row["tokens"] == sum(map(len, table["tokens"].to_pylist()))
        assert row["utf8_bytes"] == sum(table["utf8_bytes"].to_pylist())
    assert sum(row["rows"] for row in counts) == 40


def test_a_document_without_tokens_is_dropped() -> None:
    out = STAGE(batch_of(["", "The mill"], ["en", "en"]))
    assert out.drops[0].select(["stage", "reason"]).to_pylist() == [{"stage": "tokens", "reason": "no_tokens"}]
    assert out.tables["tokens/train/books/en"].num_rows == 1
    assert out.ledger.lines["tokens"].documents_dropped == {"no_tokens": 1}
    out.ledger.check()


def test_a_lone_mark_of_a_space_belongs_to_the_sentence_behind_it() -> None:
    table = STAGE(batch_of(["The mill. 12 geese.\n42"], ["en"])).tables["tokens/train/books/en"]
    row, starts = table["tokens"][0].as_py(), table["sentence_starts"][0].as_py()
    names = TOKENIZER.piece_names()
    assert [[names[i] for i in row[a : a + 2]] for a in starts[1:]] == [["▁", "1"], ["▁", "4"]]


def test_an_empty_batch_makes_no_table() -> None:
    assert STAGE(batch_of([], [])).tables == {}


def test_the_mark_of_a_space_counts_with_its_own_bytes() -> None:
    table = STAGE(batch_of(["a\u2581b. The mill"], ["en"])).tables["tokens/train/books/en"]
    assert table["utf8_bytes"].to_pylist() == [15]
    assert table["tokens"].to_pylist() == [TOKENIZER.encode("a b. The mill")]


@given(st.lists(st.text(st.sampled_from("The mil.A \n水e\u2581!"), min_size=1, max_size=40), min_size=1, max_size=4))
def test_every_text_has_a_first_sentence_at_its_first_token(texts: list[str]) -> None:
    table = STAGE(batch_of(texts, ["en"] * len(texts))).tables["tokens/train/books/en"]
    for ids, starts in zip(table["tokens"].to_pylist(), table["sentence_starts"].to_pylist(), strict=True):
        assert starts[0] == 0
        assert starts == sorted(set(starts)) and starts[-1] < len(ids)


def test_a_tokenizer_that_changes_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = TOKENIZER.processor
    wrong = loading.Tokenizer(**{**vars(TOKENIZER), "processor": processor, "newline_id": TOKENIZER.encode("a")[-1]})
    with pytest.raises(ValueError, match=r"text 0 of the batch: its tokens do not add up to its bytes"):
        tokens.encoding(wrong, 0.0)(batch_of(["a mill\nb"], ["en"]))


DATA = SHARED


def sentencepiece_model(lines: list[str], kind: loading.Kind, size: int, **options: Any) -> Tokenizer:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type=kind, vocab_size=size, num_threads=1, minloglevel=2,
        hard_vocab_limit=False, **options,
    )  # fmt: skip
    return loading.from_bytes(model.getvalue(), kind)


def wordpiece(lines: list[str], size: int) -> Tokenizer:
    made: Any = library.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(cleanup=False)
    made.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=size, special_tokens=["[UNK]", "[MASK]"]))
    return loading.from_bytes(made.to_str().encode(), "wordpiece", "tokenizers")


def byte_bpe(lines: list[str], size: int) -> Tokenizer:
    made: Any = library.Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=size, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    )
    return loading.from_bytes(made.to_str().encode(), "byte_bpe", "tokenizers")


def whole(lines: list[str], size: int) -> Tokenizer:
    """As Llama's: the text is kept, but there is no piece for a line end."""
    kept = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "byte_fallback": True}
    return sentencepiece_model(lines, "bpe", size, **kept)


def nfkc(lines: list[str], size: int) -> Tokenizer:
    return sentencepiece_model(lines, "unigram", size, normalization_rule_name="nmt_nfkc_cf")


MAKERS: dict[str, Callable[[list[str], int], Tokenizer]] = {
    "wordpiece": wordpiece, "byte_bpe": byte_bpe, "whole": whole, "nfkc": nfkc,
}  # fmt: skip
OF_OTHERS = pytest.mark.parametrize("name", MAKERS)


def sentences_of(tokenizer: Tokenizer, text: str) -> list[str]:
    """The decoded tokens of each sentence of one text."""
    table = tokens.encoding(tokenizer, 0.0)(batch_of([text], ["en"])).tables["tokens/train/books/en"]
    row = table["tokens"][0].as_py()
    assert row == tokenizer.encode(text)
    assert table["utf8_bytes"].to_pylist() == [len(text.encode())]
    starts = [*table["sentence_starts"][0].as_py(), len(row)]
    return [tokenizer.decode(row[a:b]) for a, b in pairwise(starts)]


@OF_OTHERS
def test_sentences_of_other_tokenizers(name: str) -> None:
    tokenizer = MAKERS[name](LINES, 300)
    found = sentences_of(tokenizer, "The MILL turned.  Seven geese. 12 went.\nHome\n\n\x07\n12 went.")
    expected = {
        "wordpiece": ["the mill turned .", "seven geese .", "12 went .", "home", "12 went ."],
        "byte_bpe": ["The MILL turned. ", " Seven geese.", " 12 went.\n", "Home\n\n", "\x07\n", "12 went."],
        "whole": ["The MILL turned. ", "Seven geese.", "12 went.\n", "Home\n\n", "\x07\n", "12 went."],
        "nfkc": ["the mill turned.", "seven geese.", "12 went.", "home", "12 went."],
    }
    assert found == expected[name]


def test_an_empty_batch_of_a_changing_tokenizer_makes_no_table() -> None:
    changing = wordpiece(LINES, 100)
    assert tokens.encoding(changing, 0.0)(batch_of([], [])).tables == {}
    out = tokens.encoding(changing, 0.0)(batch_of(["\x07", "The mill. It turned", " "], ["en"] * 3))
    assert out.ledger.lines["tokens"].documents_dropped == {"no_tokens": 2}
    assert out.tables["tokens/train/books/en"]["sentence_starts"].to_pylist() == [[0, 3]]


def real_texts() -> list[str]:
    texts = [
        file.read_text("utf-8", "replace")[:30_000]
        for language in ("en", "de", "ru", "zh", "ja")
        for file in [DATA / "langid" / "sentences" / f"{language}.txt"]
    ]
    for language, encoding in (("en", "utf-8"), ("de", "utf-8"), ("ja", "cp932")):
        for file in sorted((DATA / "books" / language).glob("*.txt"))[:2]:
            texts.append(file.read_bytes().decode(encoding, "replace")[2000:20_000])
    return [unicodedata.normalize("NFC", text).replace("\r\n", "\n") for text in texts]


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data (../shared/data) is not here")
@pytest.mark.parametrize(("name", "torn_share"), [("wordpiece", 0.0), ("nfkc", 0.0), ("byte_bpe", 0.02)])
def test_the_tokens_of_a_real_sentence_are_the_sentence(name: str, torn_share: float) -> None:
    """Byte-level pieces may reach over a sentence's end ("。「"); then the token is of the sentence before."""
    texts = real_texts()
    tokenizer = MAKERS[name]([line[:300] for text in texts for line in text.split("\n") if line], 4000)
    table = tokens.encoding(tokenizer, 0.0)(batch_of(texts, ["en"] * len(texts))).tables["tokens/train/books/en"]
    data, offsets = text_bytes(pa.array(texts))
    cuts, by_text = sentence_starts(data, offsets)
    right = wrong = 0
    for n, (row, starts) in enumerate(zip(table["tokens"].to_pylist(), table["sentence_starts"].to_pylist(), strict=True)):
        bounds = [*cuts[by_text[n] : by_text[n + 1]].tolist(), offsets[n + 1]]
        plain = [data[a:b].tobytes().decode() for a, b in pairwise(bounds)]
        wanted = [ids for ids in map(tokenizer.encode, plain) if ids]
        assert len(wanted) == len(starts)
        for (a, b), ids in zip(pairwise([*starts, len(row)]), wanted, strict=True):
            same = tokenizer.decode(row[a:b]).strip() == tokenizer.decode(ids).strip()
            right, wrong = right + same, wrong + (not same)
    assert right > 1500 and wrong <= torn_share * right
