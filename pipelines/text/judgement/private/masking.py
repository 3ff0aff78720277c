"""Replace spans of texts by tokens, and say where they were in characters."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.characters.code_points import buffers, from_buffers
from pipelines.text.judgement.private.find import find
from pipelines.text.judgement.private.findings import Findings, PrivateType
from pipelines.text.kernels import jit


@dataclass(frozen=True, slots=True)
class Masked:
    """Texts with tokens in place of what was found, and the places of each occurrence in characters."""

    texts: pa.Array
    starts: NDArray[np.int32]  # of the token, in the new text
    starts_before: NDArray[np.int32]  # of the occurrence, in the old text
    characters: NDArray[np.int32]  # of the occurrence


def masked_texts(
    texts: Sequence[str], types: Collection[PrivateType], tokens: Sequence[str], *, public_addresses_only: bool = True
) -> list[str]:
    """Return texts with what is found of these types masked, such as the excerpts of a report."""
    column = pa.array(texts, pa.string())
    return mask(column, find(column, types, public_addresses_only=public_addresses_only), tokens).texts.to_pylist()


def mask(texts: pa.Array, findings: Findings, tokens: Sequence[str]) -> Masked:
    """Replace the findings in a StringArray by the token of their type, which `tokens` has in the order of TYPES.

    >>> from pipelines.text.judgement.private.find import find
    >>> texts = pa.array(["¡jane@mail.org!"])
    >>> masked = mask(texts, find(texts), ["<X>"] * 10)
    >>> masked.texts.to_pylist(), masked.starts.tolist(), masked.characters.tolist()
    (['¡<X>!'], [1], [13])
    """
    if not len(findings):
        nothing = np.empty(0, np.int32)
        return Masked(texts, nothing, nothing, nothing)
    data, offsets = buffers(texts)
    encoded = [token.encode() for token in tokens]
    token_data = np.frombuffer(b"".join(encoded) or b"\0", np.uint8)
    token_ends = np.cumsum([len(token) for token in encoded], dtype=np.int64)
    before, characters = _places(data, offsets, findings.rows, findings.starts, findings.ends)
    grown = np.array([len(token) for token in encoded], np.int64)[findings.types]
    size = int(offsets[-1] - offsets[0] + grown.sum())
    columns = (findings.rows, findings.starts, findings.ends, findings.types)
    new, new_offsets = _replaced(data, offsets, *columns, token_data, token_ends, size)
    shift = np.array([len(token) for token in tokens], np.int64)[findings.types] - characters
    return Masked(from_buffers(new, new_offsets), before + _sums_before(findings.rows, shift), before, characters)


def _sums_before(rows: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return for each value the sum of those before it in its row."""
    sums = np.cumsum(values) - values
    first = np.searchsorted(rows, rows)
    return (sums - sums[first]).astype(np.int32)


@jit
def _places(data: Any, offsets: Any, rows: Any, starts: Any, ends: Any) -> Any:
    """Return where each span begins, in characters from the start of its text, and its characters."""
    firsts, lengths = np.empty(len(rows), np.int32), np.empty(len(rows), np.int32)
    row, at, characters = -1, 0, 0
    for i in range(len(rows)):
        if rows[i] != row:
            row, at, characters = rows[i], np.int64(offsets[rows[i]]), 0
        begin, end = offsets[row] + starts[i], offsets[row] + ends[i]
        while at < begin:
            characters += data[at] & 0xC0 != 0x80
            at += 1
        firsts[i] = characters
        while at < end:
            characters += data[at] & 0xC0 != 0x80
            at += 1
        lengths[i] = characters - firsts[i]
    return firsts, lengths


@jit
def _replaced(
    data: Any, offsets: Any, rows: Any, starts: Any, ends: Any, types: Any, token_data: Any, token_ends: Any, size: int
) -> Any:
    """Return the bytes and offsets of the texts with tokens in place of the spans."""
    out, out_offsets = np.empty(size, np.uint8), np.zeros(len(offsets), np.int32)
    at, span = 0, 0
    for row in range(len(offsets) - 1):
        place = np.int64(offsets[row])
        while span < len(rows) and rows[span] == row:
            begin = offsets[row] + starts[span]
            out[at : at + begin - place] = data[place:begin]
            at += begin - place
            kind = types[span]
            first = token_ends[kind - 1] if kind else 0
            out[at : at + token_ends[kind] - first] = token_data[first : token_ends[kind]]
            at += token_ends[kind] - first
            place = offsets[row] + ends[span]
            span += 1
        out[at : at + offsets[row + 1] - place] = data[place : offsets[row + 1]]
        at += offsets[row + 1] - place
        out_offsets[row + 1] = at
    return out[:at], out_offsets
