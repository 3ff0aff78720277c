"""The tokens stage: documents to rows of token shards, one table a split, source and language."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract import schema
from pipelines.contract import tokenizer as tokenizers
from pipelines.contract.batch import Batch, Stage, sift
from pipelines.contract.reasons import DropReason
from pipelines.contract.tokenizer import Tokenizer
from pipelines.text.encode import Encoded, Encoder, as_lists, spaces_marked_as_spaces, text_bytes
from pipelines.text.sentences import sentence_starts

VERSION = 1
STAGE = "tokens"
COUNTS = "counts"  # the table of what a batch came to

COUNTS_SCHEMA = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("utf8_bytes", pa.int64(), nullable=False),
    ]
)


def table_name(split: str, source: str, language: str) -> str:
    """The table of a token shard.

    >>> table_name("train", "enwiki", "en")
    'tokens/train/enwiki/en'
    """
    return f"tokens/{split}/{source}/{language}"


def stage(tokenizer: Tokenizer, validation_share: float) -> Stage:
    """Adds to a batch the tables `tokens/{split}/{source}/{language}` (schema.tokens) and `counts`."""
    encoder = Encoder(tokenizer)
    piece_bytes = tokenizers.pieces(tokenizer)["utf8_bytes"].to_numpy().astype(np.int64)

    def tokens(batch: Batch) -> Batch:
        texts = spaces_marked_as_spaces(batch.documents["text"])
        rows = _rows(batch.documents, texts, encoder(texts), piece_bytes, tokenizer)
        some = pc.greater(pc.list_value_length(rows["tokens"]), 0)
        batch = sift(batch, STAGE, pc.if_else(some, pa.scalar(None, pa.string()), DropReason.NO_TOKENS.value))
        return replace(batch, tables={**batch.tables, **dict(_tables(batch.documents, rows.filter(some), validation_share))})

    return tokens


def _rows(
    documents: pa.RecordBatch, texts: pa.Array, encoded: Encoded, piece_bytes: NDArray[np.int64], tokenizer: Tokenizer
) -> pa.RecordBatch:
    wanted = schema.tokens(tokenizer.size)
    starts, start_offsets = _sentence_tokens(texts, encoded, piece_bytes, tokenizer.newline_id)
    columns = [
        encoded.lists(wanted.field("tokens").type.value_type),
        as_lists(starts, start_offsets, pa.uint32()),
        pc.binary_length(documents["text"]).cast(pa.uint32()),
        documents["id"],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def _tables(documents: pa.RecordBatch, rows: pa.RecordBatch, validation_share: float) -> Iterator[tuple[str, pa.RecordBatch]]:
    splits = pa.array(np.where(schema.is_validation(documents["work"], validation_share), "validation", "train"), pa.string())
    languages = pc.fill_null(documents["language"], "und")
    keys = pa.table({"split": splits, "source": documents["source"], "language": languages})
    groups = sorted(tuple(row.values()) for row in keys.group_by(keys.column_names).aggregate([]).to_pylist())
    counts: list[tuple[str, str, str, int, int, int]] = []
    for split, source, language in groups:
        same = pc.and_(pc.equal(splits, split), pc.and_(pc.equal(documents["source"], source), pc.equal(languages, language)))
        table = rows.filter(same)
        lengths, sizes = pc.sum(pc.list_value_length(table["tokens"])).as_py(), pc.sum(table["utf8_bytes"]).as_py()
        counts.append((split, source, language, table.num_rows, lengths, sizes))
        yield table_name(split, source, language), table
    if counts:
        columns = [
            pa.array(list(column), field.type) for column, field in zip(zip(*counts, strict=True), COUNTS_SCHEMA, strict=True)
        ]
        yield COUNTS, pa.RecordBatch.from_arrays(columns, schema=COUNTS_SCHEMA)


def _sentence_tokens(
    texts: pa.Array, encoded: Encoded, piece_bytes: NDArray[np.int64], newline_id: int | None
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The tokens in which sentences start, counted within their texts, and N + 1 offsets by text."""
    data, offsets = text_bytes(texts)
    starts, by_text = sentence_starts(data, offsets)
    newline = -1 if newline_id is None else newline_id
    found, found_offsets, wrong = _tokens_at(starts, by_text, offsets, encoded.ids, encoded.offsets, piece_bytes, newline)
    if wrong >= 0:
        raise ValueError(
            f"text {wrong} of the batch: its tokens do not add up to its bytes; the tokenizer's normaliser changes text"
        )
    return found, found_offsets


@numba.njit(cache=True, nogil=True)
def _tokens_at(  # pragma: no cover (compiled)
    starts: Any, by_text: Any, text_offsets: Any, ids: Any, id_offsets: Any, piece_bytes: Any, newline_id: int
) -> Any:
    """For each sentence start (a byte) the token of its text that covers it; the last value is a text that fails, or -1."""
    found, offsets, count = np.empty(len(starts), np.uint32), np.zeros(len(by_text), np.int64), 0
    for text in range(len(by_text) - 1):
        position, following, line_start = text_offsets[text], by_text[text], True
        for i in range(id_offsets[text], id_offsets[text + 1]):
            newline = ids[i] == newline_id
            begin = position
            position += piece_bytes[ids[i]]
            if line_start and not newline:
                position -= 1  # the "▁" before the line is no byte of the text
            line_start = newline
            inside = False
            # A lone "▁" before a line covers no byte; it belongs to the sentence that starts behind it.
            while following < by_text[text + 1] and (starts[following] < position or starts[following] == begin):
                following += 1
                inside = True
            if inside:
                found[count] = i - id_offsets[text]
                count += 1
        if position != text_offsets[text + 1]:
            return found[:0], offsets, text
        offsets[text + 1] = count
    return found[:count], offsets, -1
