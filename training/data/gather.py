"""Kernels that read tokens out of the maps: one call for a batch, whatever the number of runs that it touches.

A span is (run, document of the run, first token, tokens); a document's tokens are those of the map and, where the layout
puts a separator behind documents, one more.
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

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of N rows."""

    runs: Numbers  # (S,)
    documents: Numbers  # (S,) of the run
    first: Numbers  # (S,) token of the document
    tokens: Numbers  # (S,) separator included
    row_spans: Numbers  # (N + 1,)


def _pointer(typing_context: Any, address: Any) -> Any:  # pragma: no cover (compiled)
    """An address as an untyped pointer, for carray."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.uint64), generate


pointer: Any = intrinsic(_pointer)
array_at: Any = carray


@numba.njit(inline="always")
def run_offsets(addresses: Any, documents: Any, run: Any) -> Any:  # pragma: no cover (compiled)
    """The mapped offsets of a run: (documents of the run + 1,)."""
    return array_at(pointer(addresses[run]), (documents[run + 1] - documents[run] + 1,), np.int32)


@numba.njit(cache=True, nogil=True)
def _cut_stream(
    runs: Any, starts: Any, lengths: Any, separated: Any, documents: Any, offsets_at: Any, out: Any, row_spans: Any
) -> Any:  # pragma: no cover (compiled)
    """Spans of rows that start at these places of these runs and go on through the runs behind; returns their number."""
    made = 0
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
                out[0, made], out[1, made], out[2, made], out[3, made] = run, document, first, size
                made += 1
                left -= size
            document, first = document + 1, 0
        row_spans[row + 1] = made
    return made


def cut_stream(maps: Maps, positions: Numbers, lengths: Numbers, *, separated: bool) -> Spans:
    """The spans of rows of the joined stream: positions and lengths (N,), in tokens of all runs."""
    runs = np.searchsorted(maps.joined, positions, side="right") - 1
    last = np.searchsorted(maps.joined, positions + lengths, side="left") - 1
    maps.need(runs)
    for between in np.flatnonzero(last > runs).tolist():
        maps.need(np.arange(runs[between], last[between] + 1))
    out = np.empty((4, int(lengths.sum())), np.int64)  # a span has a token at least; untouched pages cost nothing
    row_spans = np.zeros(len(runs) + 1, np.int64)
    starts = positions - maps.joined[runs]
    made = _cut_stream(runs, starts, lengths, int(separated), maps.documents, maps.addresses.offsets, out, row_spans)
    return Spans(out[0, :made].copy(), out[1, :made].copy(), out[2, :made].copy(), out[3, :made].copy(), row_spans)


@numba.njit(cache=True, nogil=True)
def _copy(
    runs: Any, documents: Any, first: Any, tokens: Any, separator: Any, count: Any, tokens_at: Any, offsets_at: Any, like: Any,
    out: Any, out_at: Any,
) -> Any:  # fmt: skip  # pragma: no cover (compiled)
    """Copy spans one behind the other; returns the highest id, and the first span that lies outside its document or -1."""
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
        # indices that begin at 0 need no check for negative ones: the loop becomes vector instructions
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
    """The ids of spans, the highest of a document's, and the number of the first span that lies outside its document or -1."""
    maps.need(spans.runs)
    out = np.empty(int(spans.tokens.sum()), np.int32)
    end = -1 if separator is None else separator
    like = maps.run(int(spans.runs[0])).tokens[:0] if len(spans.runs) else np.empty(0, np.uint16)
    places = maps.addresses
    highest, wrong = _copy(
        spans.runs, spans.documents, spans.first, spans.tokens, end, maps.documents, places.tokens, places.offsets, like, out,
        np.uint64(out.ctypes.data),
    )  # fmt: skip
    return out, int(highest), int(wrong)


@numba.njit(cache=True, nogil=True)
def _sentences(
    runs: Any, documents: Any, first: Any, tokens: Any, count: Any, offsets_at: Any, starts_at: Any, out: Any
) -> Any:  # pragma: no cover (compiled)
    """Places where sentences start in spans that lie one behind the other, every span's first token included."""
    made, at = 0, 0
    for span in range(len(runs)):
        run, document = runs[span], documents[span]
        offsets = run_offsets(offsets_at, count, run)
        starts = array_at(pointer(starts_at[run]), (np.int64(offsets[document + 1]),), np.uint32)
        low, high = np.int64(offsets[document]), np.int64(offsets[document + 1])  # the first start behind the span's
        while low < high:
            middle = (low + high) // 2
            if starts[middle] <= first[span]:
                low = middle + 1
            else:
                high = middle
        out[made] = at
        made += 1
        last = first[span]
        while low < offsets[document + 1] and last < starts[low] < first[span] + tokens[span]:
            last = np.int64(starts[low])
            out[made] = at + last - first[span]
            made, low = made + 1, low + 1
        at += tokens[span]
    return made


def sentence_places(maps: Maps, spans: Spans) -> Numbers:
    """Places in the ids of spans where a sentence starts, or what is left of one that a span begins within: (K,)."""
    out = np.empty(int(spans.tokens.sum()), np.int64)
    places = maps.addresses
    made = _sentences(
        spans.runs, spans.documents, spans.first, spans.tokens, maps.documents, places.sentence_offsets, places.sentences, out
    )
    return out[:made].copy()
