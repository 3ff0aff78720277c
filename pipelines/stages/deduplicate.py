"""Drops the documents that the clusters say are copies; the drop names the survivor."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.batch import Batch, Stage, sift
from pipelines.contract.reasons import DropReason

VERSION = 1
NAME = "deduplicate"


def stage(removals: pa.Table) -> Stage:
    """Sifts the documents whose id is in `removals` (schema.CLUSTERS): EXACT_DUPLICATE or NEAR_DUPLICATE."""
    ids = removals["id"].combine_chunks()
    exact = removals["exact"].combine_chunks()
    reasons = pc.if_else(exact, DropReason.EXACT_DUPLICATE.value, DropReason.NEAR_DUPLICATE.value)
    details = _details(removals)

    def run(batch: Batch) -> Batch:
        row = pc.index_in(batch.documents["id"], value_set=ids)
        return sift(batch, NAME, reasons.take(row), details.take(row))

    return run


def _details(removals: pa.Table) -> pa.Array:
    """E.g. "of 00ff…, similarity 0.93"."""
    similarity = removals["similarity"].combine_chunks().dictionary_encode()
    written = pa.array([f"{value:.2f}" for value in similarity.dictionary.to_pylist()], pa.string()).take(similarity.indices)
    return pc.binary_join_element_wise("of ", _hex(removals["survivor"].combine_chunks()), ", similarity ", written, "")


def _hex(ids: pa.Array) -> pa.Array:
    """Binary(16) as 32 hexadecimal digits each."""
    data = ids.buffers()[1]
    digits = b"" if data is None else data[ids.offset * 16 : (ids.offset + len(ids)) * 16].to_pybytes().hex().encode()
    offsets = np.arange(len(ids) + 1, dtype=np.int64) * 32
    return pa.LargeStringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(digits)).cast(pa.string())
