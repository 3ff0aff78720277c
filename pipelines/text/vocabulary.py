"""Train a SentencePiece model on texts in memory, and say how well it fits them.

The model keeps every character: identity normaliser, spaces and newlines as they are, bytes for characters outside
the vocabulary. It knows lines only: a newline is a piece of its own (see contract/tokenizer.py).
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sentencepiece

from pipelines.contract.tokenizer import NEWLINE, Kind, Tokenizer, pieces
from pipelines.text.encode import Encoder, spaces_marked_as_spaces

VERSION = 1

MAX_LINE_BYTES = 4192  # the trainer's max_sentence_length; it skips longer lines with a warning
_UNKNOWN = ("<unk>", "[UNK]", "<UNK>")  # how families spell it
_UNKNOWN_MARK = "\u2585"  # the trainer skips every line that holds it (its mark of an unknown character)
_PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))
_ERRORS_ONLY = 2  # minloglevel


def train(lines: Iterable[str], kind: Kind, size: int, control_pieces: Sequence[str], threads: int) -> bytes:
    """The serialised model with `size` pieces, or fewer where the text has not enough of them.

    The control pieces have the first ids, in their order; the unknown piece is one of them or, if none is spelled like
    one, stands before them. Equal arguments make equal bytes; another number of threads makes another model.

    Raises ValueError, with the least or the largest possible size, when `size` is impossible.
    """
    unknown = next((i for i, piece in enumerate(control_pieces) if piece in _UNKNOWN), None)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=kind,
            vocab_size=size,
            num_threads=threads,
            unk_id=unknown or 0,
            unk_piece=control_pieces[unknown] if unknown is not None else _UNKNOWN[0],
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            control_symbols=[piece for i, piece in enumerate(control_pieces) if i != unknown],
            user_defined_symbols=[NEWLINE],
            required_chars=_PRINTABLE_ASCII,
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            hard_vocab_limit=False,
            max_sentence_length=MAX_LINE_BYTES,
            minloglevel=_ERRORS_ONLY,
        )
    except RuntimeError as error:
        raise ValueError(_explanation(size, str(error))) from error
    return model.getvalue()


def _explanation(size: int, message: str) -> str:
    """A trainer's error in the words of the config."""
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return f"is {size}, but the characters, the bytes and the special pieces alone are {least[1]}: raise it to more than that"
    if largest := re.search(r"value <= (\d+)", message):
        return f"is {size}, but this text gives at most {largest[1]} pieces: lower it to {largest[1]} or train on more text"
    if "sentences_.empty()" in message:
        return f"is {size}, but there is no text to train on"
    return f"is {size}, and SentencePiece failed: {message}"


def training_lines(texts: Iterable[pa.Array]) -> Iterator[str]:
    """The lines of texts as the trainer can take them: none is empty or longer than MAX_LINE_BYTES, none is left out."""
    for column in texts:
        lines = pc.list_flatten(pc.split_pattern(pc.replace_substring(column, _UNKNOWN_MARK, " "), NEWLINE))
        for line in lines.filter(pc.greater(pc.binary_length(lines), 0)).to_pylist():
            if len(line) * 4 <= MAX_LINE_BYTES:
                yield line
            else:
                yield from cut(line, MAX_LINE_BYTES)


def cut(line: str, limit_bytes: int) -> Iterator[str]:
    """A line in pieces of at most so many UTF-8 bytes, cut at spaces, or between characters where there is no space.

    >>> list(cut("to be or not", 6)), list(cut("你好吗", 7))
    (['to be', 'or not'], ['你好', '吗'])
    """
    data = line.encode()
    start = 0
    while len(data) - start > limit_bytes:
        end = data.rfind(b" ", start + 1, start + limit_bytes + 1)
        if end < 0:
            end = start + limit_bytes
            while data[end] & 0xC0 == 0x80:  # inside a character
                end -= 1
        yield data[start:end].decode()
        start = end + (data[end] == 0x20)
    if start < len(data):
        yield data[start:].decode()


def report(tokenizer: Tokenizer, documents: pa.Table) -> dict[str, Any]:
    """How the vocabulary fits documents (columns `source`, `language`, `text`): for a person.

    By language and by source: `tokens_per_word` (fertility; a word is what white space separates, so the figure says
    little in scripts without spaces), `bytes_per_token`, and `coverage`, the share of tokens that are no byte pieces.
    Then the longest pieces and, by language, how the first words of a document are cut.
    """
    table = pieces(tokenizer)
    names = table["piece"].to_pylist()
    counts = _counts(tokenizer, np.asarray(table["kind"].to_numpy() == "byte"), documents)
    lengths = np.array([len(name) for name in names]) * np.asarray(table["kind"].to_numpy() == "text")
    longest = np.argsort(-lengths, kind="stable")[:30]
    return {
        "by_language": _fit(counts, "language"),
        "by_source": _fit(counts, "source"),
        "longest_pieces": [names[i] for i in longest],
        "segmentations": _segmentations(tokenizer, names, documents),
    }


def _counts(tokenizer: Tokenizer, is_byte: Any, documents: pa.Table) -> pa.Table:
    encoder = Encoder(tokenizer)
    columns: dict[str, list[pa.Array]] = {name: [] for name in ("words", "bytes", "tokens", "byte_tokens")}
    for chunk in documents.combine_chunks().to_batches(max_chunksize=1000):
        text = chunk["text"].cast(pa.string())
        encoded = encoder(text)
        spelled = np.concatenate([[0], np.cumsum(is_byte[encoded.ids])])[encoded.offsets]
        columns["words"].append(pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text))).cast(pa.int64()))
        columns["bytes"].append(pc.binary_length(text).cast(pa.int64()))
        columns["tokens"].append(pa.array(np.diff(encoded.offsets)))
        columns["byte_tokens"].append(pa.array(np.diff(spelled), pa.int64()))
    counted = {name: pa.chunked_array(arrays, pa.int64()) for name, arrays in columns.items()}
    return pa.table({"source": documents["source"], "language": pc.fill_null(documents["language"], "und"), **counted})


def _fit(counts: pa.Table, key: str) -> dict[str, dict[str, float]]:
    sums = counts.group_by(key).aggregate([(name, "sum") for name in ("words", "bytes", "tokens", "byte_tokens")])
    rows = sorted(sums.to_pylist(), key=lambda row: (-row["bytes_sum"], row[key]))
    return {
        row[key]: {
            "bytes": row["bytes_sum"],
            "tokens_per_word": round(row["tokens_sum"] / max(row["words_sum"], 1), 4),
            "bytes_per_token": round(row["bytes_sum"] / max(row["tokens_sum"], 1), 4),
            "coverage": round(1 - row["byte_tokens_sum"] / max(row["tokens_sum"], 1), 6),
        }
        for row in rows
    }


def _segmentations(tokenizer: Tokenizer, names: Sequence[str], documents: pa.Table) -> dict[str, str]:
    """By language, the first 160 characters of one document, pieces apart."""
    found: dict[str, str] = {}
    for language, text in zip(documents["language"].to_pylist(), documents["text"].to_pylist(), strict=True):
        if (language or "und") not in found:
            first = spaces_marked_as_spaces(pa.array([text.strip()[:160]]))[0].as_py()
            found[language or "und"] = " ".join(names[i].replace(NEWLINE, "⏎") for i in tokenizer.encode(first))
    return dict(sorted(found.items()))
