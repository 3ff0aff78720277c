"""Split texts beyond the contract's limit into numbered pieces."""

import hashlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract import batch as batches
from pipelines.contract.batch import Batch, with_columns
from pipelines.contract.schema import MAX_CHARACTERS_PER_DOCUMENT
from pipelines.stages.base import ForUnit, Stage, for_every_unit
from pipelines.text.characters.splitting import split_text

VERSION = 2
NAME = "split"


def stage(limit: int = MAX_CHARACTERS_PER_DOCUMENT) -> Stage:
    """Split texts of more than `limit` characters; the pieces keep all columns but the id."""
    return Stage({NAME: VERSION}, partial(_open, limit))


def _open(limit: int) -> ForUnit:

    def run(batch: Batch) -> Batch:
        documents = batch.documents
        is_long = np.asarray(pc.greater(pc.utf8_length(documents["text"]), limit))
        if not is_long.any():
            return batches.split(batch, NAME, pa.array(np.arange(documents.num_rows)), documents)
        cut = [split_text(text, limit) for text in documents["text"].filter(pa.array(is_long)).to_pylist()]
        counts = np.ones(documents.num_rows, np.int64)
        counts[is_long] = [len(parts) for parts in cut]
        parent = pa.array(np.repeat(np.arange(documents.num_rows), counts))
        short = pc.if_else(pa.array(is_long), "", documents["text"])  # both copies of the long texts may not fit one column
        texts = _in_place_of(short, is_long, cut)
        ids = _in_place_of(documents["id"], is_long, _ids(documents["work"].filter(pa.array(is_long)), cut))
        bare = with_columns(documents, text=pa.repeat("", documents.num_rows))  # `take` would copy the whole text for each piece
        return batches.split(batch, NAME, parent, with_columns(bare.take(parent), text=texts, id=ids))

    return for_every_unit(run)


def piece_id(work: bytes, piece: int) -> bytes:
    """Return the id of a piece: blake2b of the work, NUL and the number, counted from 0."""
    return hashlib.blake2b(work + f"\0{piece}".encode(), digest_size=16).digest()


def _ids(works: pa.Array, cut: Sequence[Sequence[str]]) -> list[list[bytes]]:
    return [[piece_id(work, i) for i in range(len(parts))] for work, parts in zip(works.to_pylist(), cut, strict=True)]


def _in_place_of(values: pa.Array, mask: NDArray[np.bool_], parts: Sequence[Sequence[str | bytes]]) -> pa.Array:
    """Return the values with each one in the mask replaced by its parts."""
    counts = np.ones(len(values), np.int64)
    counts[mask] = [len(part) for part in parts]
    order = np.repeat(np.arange(len(values)), counts)
    is_part = np.repeat(mask, counts)
    order[is_part] = len(values) + np.arange(is_part.sum())
    flat = pa.array([piece for part in parts for piece in part], values.type)
    return pa.concat_arrays([values, flat]).take(pa.array(order))
