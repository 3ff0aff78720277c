"""Drop the documents that the clusters dataset lists as copies; each drop names the survivor."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.batch import Batch, sift
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import Grain
from pipelines.stages.base import BatchFunction, ForUnit, Stage

VERSION = 2
NAME = "deduplicate"

_REASONS = {
    Grain.EXACT: DropReason.EXACT_DUPLICATE,
    Grain.NEAR: DropReason.NEAR_DUPLICATE,
    Grain.URL: DropReason.SAME_URL,
}


Removals = Callable[[str, str], pa.Table]  # from a source and a unit to the rows (schema.CLUSTERS) of its documents


def stage(load: Callable[[], Removals], fingerprint: str, *, runs: bool = True) -> Stage:
    """Return the stage; `load` opens the clusters dataset of this fingerprint."""
    return Stage({NAME: VERSION}, partial(_open, load), {"clusters": fingerprint}, runs=runs)


def _open(load: Callable[[], Removals]) -> ForUnit:
    removals = load()
    return lambda source, unit: dropping(removals(source, unit))


def dropping(removals: pa.Table) -> BatchFunction:
    """Sift the documents whose id is in `removals` (schema.CLUSTERS); the reason is what they share with the survivor."""
    ids = removals["id"].combine_chunks()
    reasons, details = _reasons(removals), _details(removals)

    def run(batch: Batch) -> Batch:
        row = pc.index_in(batch.documents["id"], value_set=ids)
        return sift(batch, NAME, reasons.take(row), details.take(row))

    return run


def _reasons(removals: pa.Table) -> pa.Array:
    grain = removals["grain"].combine_chunks()
    known = pa.array([str(grain) for grain in _REASONS])
    by_grain = pa.array([str(reason) for reason in _REASONS.values()]).take(pc.index_in(grain, value_set=known))
    return pc.if_else(pc.is_valid(removals["corpus"].combine_chunks()), DropReason.ALREADY_PUBLISHED.value, by_grain)


def _details(removals: pa.Table) -> pa.Array:
    """Return details such as "of 00ff…, similarity 0.93", with "in corpus news" if the survivor is in an earlier corpus."""
    similarity = removals["similarity"].combine_chunks().dictionary_encode()
    written = pa.array([f"{value:.2f}" for value in similarity.dictionary.to_pylist()], pa.string()).take(similarity.indices)
    corpus = pc.fill_null(pc.binary_join_element_wise(" in corpus ", removals["corpus"].combine_chunks(), ""), "")
    survivor = _hex(removals["survivor"].combine_chunks())
    return pc.binary_join_element_wise("of ", survivor, corpus, ", similarity ", written, "")


def _hex(ids: pa.Array) -> pa.Array:
    """Return 16-byte ids as 32 hexadecimal digits each."""
    data = ids.buffers()[1]
    digits = b"" if data is None else data[ids.offset * 16 : (ids.offset + len(ids)) * 16].to_pybytes().hex().encode()
    offsets = np.arange(len(ids) + 1, dtype=np.int64) * 32
    return pa.LargeStringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(digits)).cast(pa.string())
