"""Turn documents into rows of token shards, one table per split, source and language."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract import schema
from pipelines.contract.batch import Batch, sift
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import DropReason
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.pieces import piece_table
from pipelines.contract.tokenizers.spelling import BYTE_LEVEL_SPACE, SPACE_MARK
from pipelines.stages.base import BatchFunction, ForUnit, Stage, for_every_unit
from pipelines.text.characters import sentences
from pipelines.text.characters.sentences import sentence_starts
from pipelines.text.kernels import jit
from pipelines.text.tokenization import encode
from pipelines.text.tokenization.encode import Encoded, Encoder, as_lists, spaces_marked_as_spaces, text_bytes

VERSION = 2
STAGE = "tokens"
COUNTS = "counts"  # the table of the rows, tokens and bytes of each batch

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
    """Return the name of a token shard's table.

    >>> table_name("train", "enwiki", "en")
    'tokens/train/enwiki/en'
    """
    return f"tokens/{split}/{source}/{language}"


def stage(load: Callable[[], Tokenizer], fingerprint: str, validation_share: float) -> Stage:
    """Return the stage; `load` opens the vocabulary dataset of this fingerprint."""
    versions = {"stage": VERSION, "encode": encode.VERSION, "sentences": sentences.VERSION}
    settings = {"vocabulary": fingerprint, "validation_share": validation_share}
    return Stage(versions, partial(_open, load, validation_share), settings)


def _open(load: Callable[[], Tokenizer], validation_share: float) -> ForUnit:
    return for_every_unit(encoding(load(), validation_share))


def encoding(tokenizer: Tokenizer, validation_share: float) -> BatchFunction:
    """Add the tables `tokens/{split}/{source}/{language}` (schema.tokens) and `counts` to a batch."""
    encoded = _kept_text_encoder(tokenizer) if tokenizer.keeps_text else partial(_encode_changed_text, tokenizer)

    def tokens(batch: Batch) -> Batch:
        rows = _rows(batch.documents, encoded(batch.documents["text"]), tokenizer.size)
        filled = pc.greater(pc.list_value_length(rows["tokens"]), 0)
        batch = sift(batch, STAGE, pc.if_else(filled, pa.scalar(None, pa.string()), DropReason.NO_TOKENS.value))
        return replace(batch, tables={**batch.tables, **dict(_tables(batch.documents, rows.filter(filled), validation_share))})

    return tokens


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The ids of N texts, and the tokens at which their sentences start."""

    encoded: Encoded
    starts: NDArray[np.uint32]  # counted within their text
    start_offsets: NDArray[np.int64]  # N + 1


def _rows(documents: pa.RecordBatch, tokens: _Tokens, vocabulary_size: int) -> pa.RecordBatch:
    columns_schema = schema.tokens(vocabulary_size)
    columns = [
        tokens.encoded.lists(columns_schema.field("tokens").type.value_type),
        as_lists(tokens.starts, tokens.start_offsets, pa.uint32()),
        pc.binary_length(documents["text"]).cast(pa.uint32()),
        documents["id"],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=columns_schema)


def _tables(documents: pa.RecordBatch, rows: pa.RecordBatch, validation_share: float) -> Iterator[tuple[str, pa.RecordBatch]]:
    splits = pa.array(np.where(schema.is_validation(documents["work"], validation_share), "validation", "train"), pa.string())
    languages = pc.fill_null(documents["language"], schema.UNKNOWN_LANGUAGE)
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


def _kept_text_encoder(tokenizer: Tokenizer) -> Callable[[pa.Array], _Tokens]:
    """Return the encoder for a tokenizer whose pieces' bytes are the text, so the pieces' sizes locate each token."""
    encoder = Encoder(tokenizer)
    piece_bytes = piece_table(tokenizer)["utf8_bytes"].to_numpy().astype(np.int64)
    newline = -1 if tokenizer.newline_id is None else tokenizer.newline_id
    mark, prefix = _space_piece(tokenizer), tokenizer.line_prefix_bytes
    marks_spaces = tokenizer.library == "sentencepiece"

    def encoded_texts(texts: pa.Array) -> _Tokens:
        texts = spaces_marked_as_spaces(texts) if marks_spaces else texts
        encoded = encoder(texts)
        data, offsets = text_bytes(texts)
        starts, by_text = sentence_starts(data, offsets)
        first_tokens, token_offsets, wrong = _tokens_at(
            starts, by_text, offsets, encoded.ids, encoded.offsets, piece_bytes, newline, prefix, mark
        )
        if wrong >= 0:
            raise UserError(
                f"text {wrong} of the batch: its tokens do not add up to its bytes; the tokenizer's normaliser changes text"
            )
        return _Tokens(encoded, first_tokens, token_offsets)

    return encoded_texts


def _space_piece(tokenizer: Tokenizer) -> int:
    """Return the id of the piece for a single space, or -1."""
    name = BYTE_LEVEL_SPACE if tokenizer.kind == "byte_bpe" else SPACE_MARK
    names = tokenizer.piece_names()
    return names.index(name) if name in names else -1


def _encode_changed_text(tokenizer: Tokenizer, texts: pa.Array) -> _Tokens:
    """Encode with a tokenizer that changes the text: its library reports the bytes of each token."""
    data, offsets = text_bytes(texts)
    encoded = [tokenizer.encode_with_offsets(text) for text in texts.to_pylist()]
    lengths = np.fromiter((len(ids) for ids, _, _ in encoded), np.int64, len(encoded))
    id_offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.fromiter(chain.from_iterable(ids for ids, _, _ in encoded), np.int32, int(id_offsets[-1]))
    shift = np.repeat(offsets[:-1], lengths)
    begins = np.concatenate([np.empty(0, np.int64), *(first for _, first, _ in encoded)]) + shift
    ends = np.concatenate([np.empty(0, np.int64), *(end for _, _, end in encoded)]) + shift
    starts, by_text = sentence_starts(data, offsets)
    spaces = ids == _space_piece(tokenizer)
    return _Tokens(Encoded(ids, id_offsets), *_first_tokens(starts, by_text, begins, ends, spaces, id_offsets))


def _first_tokens(
    starts: NDArray[np.int64],
    by_text: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    spaces: NDArray[np.bool_],
    id_offsets: NDArray[np.int64],
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return, for each sentence start (a byte), the first token that ends after it, or begins there or later.

    A lone "▁" right before the start belongs to the sentence, whether it covers a byte or not. A sentence without tokens (the
    normaliser removed its text) is skipped, and so is one that starts inside the previous sentence's last token.
    """
    text = np.repeat(np.arange(len(by_text) - 1), np.diff(by_text))
    token = np.minimum(np.searchsorted(ends, starts, "right"), np.searchsorted(begins, starts, "left"))
    token = np.maximum(token, id_offsets[text])
    inside = token < id_offsets[text + 1]
    token, text, starts = token[inside], text[inside], starts[inside]
    token -= (token > id_offsets[text]) & spaces[token - 1] & (ends[token - 1] == starts)
    differs = token != np.concatenate([[-1], token[:-1]])
    token, text = token[differs], text[differs]
    counts = np.bincount(text, minlength=len(by_text) - 1)
    return (token - id_offsets[text]).astype(np.uint32), np.concatenate([[0], np.cumsum(counts)])


@jit
def _tokens_at(  # pragma: no cover (compiled)
    starts: Any,
    by_text: Any,
    text_offsets: Any,
    ids: Any,
    id_offsets: Any,
    piece_bytes: Any,
    newline_id: int,
    prefix: int,
    mark: int,
) -> Any:
    """Return the token that covers each sentence start (a byte), offsets by text, and the number of a text that fails, or -1.

    A lone "▁" right before the start belongs to the sentence, so that words stay apart when sentences are moved.
    """
    tokens, offsets, count = np.empty(len(starts), np.uint32), np.zeros(len(by_text), np.int64), 0
    for text in range(len(by_text) - 1):
        position, following, line_start = text_offsets[text], by_text[text], True
        for i in range(id_offsets[text], id_offsets[text + 1]):
            newline = ids[i] == newline_id
            begin = position
            position += piece_bytes[ids[i]]
            if line_start and not newline:
                position -= prefix  # the "▁" before the line is not a byte of the text
            line_start = newline
            inside = False
            end = position + (ids[i] == mark)
            # A lone "▁" before a line covers no byte.
            while following < by_text[text + 1] and (starts[following] < end or starts[following] == begin):
                following += 1
                inside = True
            if inside:
                tokens[count] = i - id_offsets[text]
                count += 1
        if position != text_offsets[text + 1]:
            return tokens[:0], offsets, text
        offsets[text + 1] = count
    return tokens[:count], offsets, -1
