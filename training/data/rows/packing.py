"""From documents to rows: what the packings share, and one document per row (the others: best_fit, windows, pairs)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.maps import Maps
from training.data.rows.files import SPAN
from training.data.rows.layout import Layout

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a stream."""

    spans: NDArray[Any]  # (S,) of SPAN, row by row
    counts: Numbers  # (rows,) spans of each row
    cropped: int  # tokens of the packed documents that are in none of the rows
    random_next: NDArray[np.bool_] | None = None  # (rows,), pairs only


def sizes_of(maps: Maps, run: int) -> Numbers:
    """Return the tokens of the documents of a run, including the separator after each: (documents,)."""
    return np.diff(maps.run(run).offsets).astype(np.int64) + maps.separated


def cut(sizes: Numbers, layout: Layout) -> tuple[Numbers, Numbers, Numbers, int]:
    """Cut documents of these sizes into pieces: return document, first, tokens, (P,) each, and the number of cropped tokens.

    A document longer than a row becomes pieces as long as a row, whose neighbours share `overlap` tokens, and a remainder;
    or only the first piece, if it is cropped. Documents of 5 and 9 tokens in rows of 4 with an overlap of 1:

        document 0 0 1 1 1, first 0 3 0 3 6, tokens 4 2 4 4 3
    """
    pieces = np.maximum(-(-(sizes - layout.overlap) // layout.stride), np.minimum(sizes, 1))
    if layout.long_documents == "crop":
        pieces = np.minimum(pieces, 1)
    documents = np.repeat(np.arange(len(sizes)), pieces)
    first = (np.arange(len(documents)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) * layout.stride
    tokens = np.minimum(layout.tokens, sizes[documents] - first)
    covered = np.minimum(sizes, (pieces - 1) * layout.stride + layout.tokens) * (pieces > 0)
    return documents, first, tokens, int((sizes - covered).sum())


def spans_of(documents: Numbers, first: Numbers, tokens: Numbers) -> NDArray[Any]:
    """Return the columns as an array of SPAN."""
    out = np.empty(len(documents), SPAN)
    out["document"], out["first"], out["tokens"] = documents, first, tokens
    return out


def document_rows(maps: Maps, runs: range, layout: Layout) -> Iterator[Chunk]:
    """Yield rows of one document, or one piece of a long one. Rows of at most `overlap` tokens are left out (and counted)."""
    for run in runs:
        documents, first, tokens, cropped = cut(sizes_of(maps, run), layout)
        kept = tokens > layout.overlap
        cropped += int(tokens[~kept].sum())
        documents, first, tokens = documents[kept] + maps.documents[run], first[kept], tokens[kept]
        yield Chunk(spans_of(documents, first, tokens), np.ones(len(documents), np.int64), cropped)
