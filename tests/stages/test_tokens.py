"""Documents become rows of shards by split, source and language; sentences become token offsets."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contract import schema
from pipelines.contract import tokenizer as tokenizers
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.stages import tokens
from pipelines.text.vocabulary import train

LINES = ["The mill turned. Seven geese looked on, and 12 went home."] * 20
TOKENIZER = tokenizers.from_bytes(train(LINES, "bpe", 420, ("<|endoftext|>", "[MASK]"), 1), "bpe")
STAGE = tokens.stage(TOKENIZER, 0.0)


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
    out = tokens.stage(TOKENIZER, 0.3)(batch)
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


def test_an_empty_batch_makes_no_table() -> None:
    assert STAGE(batch_of([], [])).tables == {}


def test_the_mark_of_a_space_counts_with_its_own_bytes() -> None:
    table = STAGE(batch_of(["a\u2581b. The mill"], ["en"])).tables["tokens/train/books/en"]
    assert table["utf8_bytes"].to_pylist() == [15]
    assert table["tokens"].to_pylist() == [TOKENIZER.encode("a b. The mill")]


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.text(st.sampled_from("The mil.A \n水e\u2581!"), min_size=1, max_size=40), min_size=1, max_size=4))
def test_every_text_has_a_first_sentence_at_its_first_token(texts: list[str]) -> None:
    table = STAGE(batch_of(texts, ["en"] * len(texts))).tables["tokens/train/books/en"]
    for ids, starts in zip(table["tokens"].to_pylist(), table["sentence_starts"].to_pylist(), strict=True):
        assert starts[0] == 0
        assert starts == sorted(set(starts)) and starts[-1] < len(ids)


def test_a_tokenizer_that_changes_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = TOKENIZER.processor
    wrong = tokenizers.Tokenizer(**{**vars(TOKENIZER), "processor": processor, "newline_id": TOKENIZER.encode("a")[-1]})
    with pytest.raises(ValueError, match=r"text 0 of the batch: its tokens do not add up to its bytes"):
        tokens.stage(wrong, 0.0)(batch_of(["a mill\nb"], ["en"]))
