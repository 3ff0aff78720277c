"""Kernels that read tokens from the maps: one call per batch, whatever the number of runs it touches.

A span is (run, document of the run, first token, tokens). A document's tokens are those of the map, plus one where the
layout puts a separator after documents.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import carray, types  # pyright: ignore[reportPrivateImportUsage]
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from training.data.maps import Maps
from training.kernels import jit

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of N rows."""

    runs: Numbers  # (S,)
    documents: Numbers  # (S,) number within the run
    first: Numbers  # (S,) first token, within the document
    tokens: Numbers  # (S,) separator included
    row_spans: Numbers  # (N + 1,)


def _pointer(typing_context: Any, address: Any) -> Any:  # pragma: no cover (compiled)
    """Turn an address into an untyped pointer, for carray."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.uint64), generate


pointer: Any = intrinsic(_pointer)
array_at: Any = carray


@numba.njit(inline="always")
def run_offsets(addresses: Any, documents: Any, run: Any) -> Any:  # pragma: no cover (compiled)
    """Return the mapped offsets of a run: (documents of the run + 1,)."""
    return array_at(pointer(addresses[run]), (documents[run + 1] - documents[run] + 1,), np.int32)


@jit
def _cut_stream(
    runs: Any, starts: Any, lengths: Any, separated: Any, documents: Any, offsets_at: Any, out: Any, row_spans: Any
) -> Any:  # pragma: no cover (compiled)
    """Write the spans of rows that start at these places of these runs and may continue into the next; return their number."""
    spans = 0
    for row in range(len(runs)):
        run, left = runs[row], lengths[row]
        offsets = run_offsets(offsets_at, documents, run)
        low, high = 0, len(offsets) - 1  # the last document that begins at or before the start
        while high - low > 1:
            middle = (low + high) // 2
            if offsets[middle] - offsets[0] + middle * separated <= starts[row]:
                low = middle
            else:
                high = middle
        document = low
        first = starts[row] - (offsets[low] - offsets[0] + low * separated)
        while left > 0:
            if document == len(offsets) - 1:
                run, document = run + 1, 0
                offsets = run_offsets(offsets_at, documents, run)
            size = min(np.int64(offsets[document + 1] - offsets[document]) + separated - first, left)
            if size > 0:
                out[0, spans], out[1, spans], out[2, spans], out[3, spans] = run, document, first, size
                spans += 1
                left -= size
            document, first = document + 1, 0
        row_spans[row + 1] = spans
    return spans


def cut_stream(maps: Maps, positions: Numbers, lengths: Numbers, *, separated: bool) -> Spans:
    """Return the spans of rows cut from the joined stream: positions and lengths (N,), in tokens over all runs."""
    runs = np.searchsorted(maps.joined, positions, side="right") - 1
    last = np.searchsorted(maps.joined, positions + lengths, side="left") - 1
    maps.need(runs)
    for between in np.flatnonzero(last > runs).tolist():
        maps.need(np.arange(runs[between], last[between] + 1))
    out = np.empty((4, int(lengths.sum())), np.int64)  # a span has at least one token; untouched pages cost nothing
    row_spans = np.zeros(len(runs) + 1, np.int64)
    starts = positions - maps.joined[runs]
    count = _cut_stream(runs, starts, lengths, int(separated), maps.documents, maps.addresses.offsets, out, row_spans)
    columns = [column[:count].copy() for column in out]
    return Spans(columns[0], columns[1], columns[2], columns[3], row_spans)


@jit
def _copy(
    runs: Any, documents: Any, first: Any, tokens: Any, separator: Any, count: Any, tokens_at: Any, offsets_at: Any, like: Any,
    out: Any, out_at: Any,
) -> Any:  # fmt: skip  # pragma: no cover (compiled)
    """Copy spans one after the other; return the highest id, and the first span that lies outside its document, or -1."""
    highest, at = np.int64(-1), 0
    for span in range(len(runs)):
        run, document = runs[span], documents[span]
        offsets = run_offsets(offsets_at, count, run)
        if document < 0 or document >= len(offsets) - 1:
            return highest, span
        begin, end = np.int64(offsets[document]) + first[span], np.int64(offsets[document + 1])
        text = min(tokens[span], end - begin)
        ends = tokens[span] - text
        if first[span] < 0 or text < 0 or ends > (separator >= 0):
            return highest, span
        # indices that begin at 0 are never negative: without that check the loop is vectorised
        ids = array_at(pointer(tokens_at[run] + np.uint64(begin * like.itemsize)), (text,), like.dtype)
        into = array_at(pointer(out_at + np.uint64(at * 4)), (text,), np.int32)
        largest = np.uint32(0)
        for place in range(text):
            value = np.uint32(ids[place])
            into[place] = np.int32(value)
            largest = max(largest, value)
        highest = max(highest, np.int64(largest))
        if ends > 0:
            out[at + text] = separator
        at += tokens[span]
    return highest, -1


def copy_spans(maps: Maps, spans: Spans, separator: int | None) -> tuple[NDArray[np.int32], int, int]:
    """Return the ids of spans, the highest id of a document, and the first span that lies outside its document, or -1."""
    maps.need(spans.runs)
    out = np.empty(int(spans.tokens.sum()), np.int32)
    end = -1 if separator is None else separator
    like = maps.run(int(spans.runs[0])).tokens[:0] if len(spans.runs) else np.empty(0, np.uint16)
    addresses = maps.addresses
    highest, wrong = _copy(
        spans.runs, spans.documents, spans.first, spans.tokens, end, maps.documents, addresses.tokens, addresses.offsets, like,
        out, np.uint64(out.ctypes.data),
    )  # fmt: skip
    return out, int(highest), int(wrong)


@jit
def _sentences(
    runs: Any, documents: Any, first: Any, tokens: Any, count: Any, offsets_at: Any, starts_at: Any, out: Any
) -> Any:  # pragma: no cover (compiled)
    """Write where sentences start in consecutive spans, every span's first token included; return how many."""
    places, at = 0, 0
    for span in range(len(runs)):
        run, document = runs[span], documents[span]
        offsets = run_offsets(offsets_at, count, run)
        starts = array_at(pointer(starts_at[run]), (np.int64(offsets[document + 1]),), np.uint32)
        low, high = np.int64(offsets[document]), np.int64(offsets[document + 1])  # the first start after the span's
        while low < high:
            middle = (low + high) // 2
            if starts[middle] <= first[span]:
                low = middle + 1
            else:
                high = middle
        out[places] = at
        places += 1
        last = first[span]
        while low < offsets[document + 1] and last < starts[low] < first[span] + tokens[span]:
            last = np.int64(starts[low])
            out[places] = at + last - first[span]
            places, low = places + 1, low + 1
        at += tokens[span]
    return places


def sentence_places(maps: Maps, spans: Spans) -> Numbers:
    """Return the places in the ids of spans where a sentence starts, or its rest if a span begins within it: (K,)."""
    out = np.empty(int(spans.tokens.sum()), np.int64)
    at = maps.addresses
    count = _sentences(
        spans.runs, spans.documents, spans.first, spans.tokens, maps.documents, at.sentence_offsets, at.sentences, out
    )
    return out[:count].copy()
