"""The vocabulary of a model from scratch: SentencePiece's, learned from all texts of the training records.

It keeps every character, as the vocabularies of a build (pipelines.contract.tokenizers.loading says how lines are encoded), and
is the same in every run: one thread, the records in their order.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa
import sentencepiece

from pipelines.contract.tokenizers.families import FAMILIES, Family
from pipelines.contract.tokenizers.loading import Tokenizer, from_bytes
from pipelines.contract.tokenizers.spelling import NEWLINE
from training.tasks.errors import TaskError
from training.tasks.input.records import Records

_LONGEST_LINE = 2**16  # bytes; the trainer skips longer lines


def learn(records: Sequence[Records], family: Family, size: int, kind: Literal["bpe", "unigram"]) -> Tokenizer:
    """Return a vocabulary of at most `size` pieces with a family's special ones. Raises TaskError if it must be larger."""
    roles = FAMILIES[family]
    unknown = roles.unknown or "<unk>"
    first = [*([] if roles.unknown else [unknown]), *roles.pieces]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(records),
            model_writer=model,
            model_type=kind,
            vocab_size=size,
            hard_vocab_limit=False,
            control_symbols=[piece for piece in (*first, *roles.last) if piece != unknown],
            user_defined_symbols=[NEWLINE],
            unk_piece=unknown,
            unk_id=first.index(unknown),
            bos_id=-1,
            eos_id=-1,
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=_LONGEST_LINE,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split()).rpartition("] ")[2]
        paths = ", ".join(one.path for one in records)
        raise TaskError(f"model.new.vocabulary: SentencePiece cannot learn {size:,} pieces from {paths}: {reason}") from error
    return from_bytes(model.getvalue(), kind)


def _lines(records: Sequence[Records]) -> Iterator[str]:
    """Yield the lines of all texts and lists of texts."""
    for column in (column for one in records for column in one.table.columns):
        flat = column.combine_chunks().flatten() if pa.types.is_list(column.type) else column
        if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type):
            for text in flat.to_pylist():
                yield from filter(None, (text or "").split(NEWLINE))
