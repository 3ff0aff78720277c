"""Whole sentences of one document per row (BART; fairseq calls it complete_doc).

A row takes sentences of its document as long as they fit. A sentence longer than a row is cut: it begins a new row, and
its rest begins another, which the following sentences join. Nothing is lost:

    sentences of 3, 2, 9 and 1 tokens, rows of 6      3+2 | 6 | 3+1
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.maps import Maps
from training.data.rows.layout import Layout
from training.data.rows.packing import Chunk, Numbers, spans_of
from training.kernels import jit


def sentence_rows(maps: Maps, runs: range, layout: Layout) -> Iterator[Chunk]:
    """Yield the rows of a stream, run by run; with long_documents "crop", only the first row of each document."""
    crop = layout.long_documents == "crop"
    for run in runs:
        columns = maps.run(run)
        documents, first, tokens = fill(columns.offsets, columns.sentence_offsets, columns.sentences, layout.tokens, crop=crop)
        cropped = int(columns.offsets[-1]) - int(columns.offsets[0]) - int(tokens.sum())
        yield Chunk(spans_of(documents + maps.documents[run], first, tokens), np.ones(len(documents), np.int64), cropped)


def fill(
    offsets: NDArray[np.int32], sentence_offsets: NDArray[np.int32], sentences: NDArray[np.uint32], width: int, *, crop: bool
) -> tuple[Numbers, Numbers, Numbers]:
    """Return the rows of the documents of a run: document, first token, tokens, (rows,) each.

    Documents and sentences as in ShardRun: sentence starts ascend strictly within a document, the first is 0.

        >>> document = np.array([0, 15], np.int32), np.array([0, 4], np.int32), np.array([0, 3, 5, 14], np.uint32)
        >>> [column.tolist() for column in fill(*document, 6, crop=False)]
        [[0, 0, 0], [0, 5, 11], [5, 6, 4]]
    """
    total = int(offsets[-1]) - int(offsets[0])
    most = len(offsets) + int(sentence_offsets[-1]) - int(sentence_offsets[0]) + total // width
    out = np.empty((3, most), np.int64)  # every row ends with a sentence, or is full
    rows = _fill(offsets, sentence_offsets, sentences, width, crop, out)
    return out[0, :rows].copy(), out[1, :rows].copy(), out[2, :rows].copy()


@jit
def _fill(
    offsets: Any, sentence_offsets: Any, sentences: Any, width: Any, crop: Any, out: Any
) -> Any:  # pragma: no cover (compiled)
    rows = 0
    for document in range(len(offsets) - 1):
        size = np.int64(offsets[document + 1]) - np.int64(offsets[document])
        last = np.int64(sentence_offsets[document + 1])
        begin, end = np.int64(0), np.int64(0)  # the row so far
        sentence = np.int64(sentence_offsets[document]) + 1
        rows_before = rows
        while end < size and not (crop and rows > rows_before):
            stop = np.int64(sentences[sentence]) if sentence < last else size
            if stop - begin > width:
                stop = end if end > begin else begin + width
                out[0, rows], out[1, rows], out[2, rows] = document, begin, stop - begin
                rows += 1
                begin = end = stop
            else:
                end = stop
                sentence += 1
        if end > begin and not (crop and rows > rows_before):
            out[0, rows], out[1, rows], out[2, rows] = document, begin, end - begin
            rows += 1
    return rows
