"""Report how well a vocabulary fits texts, for trained and for existing tokenizers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.schema import UNKNOWN_LANGUAGE
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.spelling import NEWLINE
from pipelines.text.tokenization.encode import Encoder, spaces_marked_as_spaces

VERSION = 1

_SHOWN_PIECES = 30
_SHOWN_CHARACTERS = 160  # of a document, shown as pieces
_BYTES_AT_ONCE = 2**22
_CODE_POINTS = 0x110000
_SUMS = ("words", "bytes", "tokens", "spelled")


def report(tokenizer: Tokenizer, documents: pa.Table) -> dict[str, Any]:
    """Return how well a vocabulary fits documents (columns `source`, `language`, `text`).

    By language and by source: `tokens_per_word` (fertility; words are separated by white space, so the figure means little
    in scripts without spaces), `bytes_per_token`, and `coverage`, the share of tokens that are neither bytes nor the unknown
    piece. By language only: `character_coverage`, the share of characters other than white space that have a piece when
    encoded alone, and the most frequent characters without one. For the vocabulary: the number of pieces by kind, the pieces
    that these documents do not use, the longest pieces, and for each language a document's beginning in pieces.
    """
    names, kinds = tokenizer.piece_names(), np.array(tokenizer.piece_kinds())
    spelled = (kinds == "byte") | (kinds == "special")
    languages = pc.fill_null(documents["language"], UNKNOWN_LANGUAGE)
    documents = documents.set_column(documents.column_names.index("language"), "language", languages).combine_chunks()
    counts, uses = _counts(tokenizer, spelled, documents)
    by_language = _fit(counts, "language")
    for language, covered in _characters(tokenizer, spelled, documents):
        by_language[language].update(covered)
    lengths = np.array([len(name) for name in names]) * (kinds == "text")
    unused = np.flatnonzero((kinds == "text") & (uses == 0))
    return {
        "by_language": by_language,
        "by_source": _fit(counts, "source"),
        "pieces": {str(kind): int(count) for kind, count in zip(*np.unique(kinds, return_counts=True), strict=True)},
        "unused_pieces": {"count": len(unused), "examples": [names[i] for i in unused[:_SHOWN_PIECES]]},
        "longest_pieces": [names[i] for i in np.argsort(-lengths, kind="stable")[:_SHOWN_PIECES]],
        "segmentations": _segmentations(tokenizer, names, documents),
    }


def _counts(tokenizer: Tokenizer, spelled: NDArray[np.bool_], documents: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return each document's words, bytes, tokens, and tokens that are bytes or unknown; and the uses of each piece."""
    encoder = Encoder(tokenizer)
    uses = np.zeros(tokenizer.size, np.int64)
    columns: dict[str, list[pa.Array]] = {name: [] for name in _SUMS}
    for text in _chunks(documents["text"]):
        encoded = encoder(text)
        uses += np.bincount(encoded.ids, minlength=tokenizer.size)
        marks = np.concatenate([[0], np.cumsum(spelled[encoded.ids])])[encoded.offsets]
        columns["words"].append(pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text))).cast(pa.int64()))
        columns["bytes"].append(pc.binary_length(text).cast(pa.int64()))
        columns["tokens"].append(pa.array(np.diff(encoded.offsets), pa.int64()))
        columns["spelled"].append(pa.array(np.diff(marks), pa.int64()))
    counted = {name: pa.chunked_array(arrays, pa.int64()) for name, arrays in columns.items()}
    return pa.table({"source": documents["source"], "language": documents["language"], **counted}), uses


def _chunks(texts: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yield the texts in string arrays of about _BYTES_AT_ONCE bytes."""
    held = np.cumsum(pc.binary_length(texts).to_numpy().astype(np.int64))
    start = 0
    while start < len(held):
        end = int(np.searchsorted(held, (held[start - 1] if start else 0) + _BYTES_AT_ONCE)) + 1
        yield texts.slice(start, end - start).combine_chunks().cast(pa.string())
        start = end


def _fit(counts: pa.Table, key: str) -> dict[str, dict[str, Any]]:
    sums = counts.group_by(key).aggregate([(name, "sum") for name in _SUMS])
    rows = sorted(sums.to_pylist(), key=lambda row: (-row["bytes_sum"], row[key]))
    return {
        row[key]: {
            "bytes": row["bytes_sum"],
            "tokens_per_word": round(row["tokens_sum"] / max(row["words_sum"], 1), 4),
            "bytes_per_token": round(row["bytes_sum"] / max(row["tokens_sum"], 1), 4),
            "coverage": round(1 - row["spelled_sum"] / max(row["tokens_sum"], 1), 6),
        }
        for row in rows
    }


def _characters(
    tokenizer: Tokenizer, spelled: NDArray[np.bool_], documents: pa.Table
) -> Iterator[tuple[str, dict[str, Any]]]:  # fmt: skip
    """Yield for each language the share of characters that have a piece, and the most frequent ones without."""
    has_piece: dict[int, bool] = {}  # by code point
    for language in sorted(documents["language"].unique().to_pylist()):
        counts = np.zeros(_CODE_POINTS, np.int64)
        for text in _chunks(documents["text"].filter(pc.equal(documents["language"], language))):
            characters = np.frombuffer("".join(text.to_pylist()).encode("utf-32-le"), np.uint32)
            counts += np.bincount(characters, minlength=_CODE_POINTS)
        points = [point for point in np.flatnonzero(counts).tolist() if not chr(point).isspace()]
        for point in points:
            if point not in has_piece:
                has_piece[point] = not spelled[tokenizer.encode(chr(point))].any()
        missing = sorted((p for p in points if not has_piece[p]), key=lambda p: (-counts[p], p))
        share = int(counts[missing].sum()) / max(int(counts[points].sum()), 1)
        yield language, {"character_coverage": round(1 - share, 6), "without_piece": "".join(map(chr, missing[:_SHOWN_PIECES]))}


def _segmentations(tokenizer: Tokenizer, names: Sequence[str], documents: pa.Table) -> dict[str, str]:
    """Return for each language the pieces at the beginning of one document, separated by spaces."""
    shown: dict[str, str] = {}
    for row, language in enumerate(documents["language"].to_pylist()):
        if language not in shown:
            first = pa.array([documents["text"][row].as_py().strip()[:_SHOWN_CHARACTERS]])
            ids = tokenizer.encode(spaces_marked_as_spaces(first)[0].as_py())
            shown[language] = " ".join(names[i].replace(NEWLINE, "⏎") for i in ids)
    return dict(sorted(shown.items()))
