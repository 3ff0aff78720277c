"""Cut texts and keep what was cut: a row of the table `cuts` for each stretch, with its place, its reason and its text.

Limits: the place is one of the text before this cut. A document that a later stage drops has its rows, too.
"""

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from pipelines.contract.batch import Batch, rewrite
from pipelines.contract.reasons import Change
from pipelines.contract.schema import CUTS
from pipelines.text.copies import removed
from pipelines.text.copies.removed import Stretches

Details = Callable[[Stretches], pa.Array]  # from stretches to a string for each


def cut(batch: Batch, stage: str, change: Change, texts: pa.Array, details: Details | None = None) -> Batch:
    """Replace the texts by shorter ones as `rewrite` does, and add the stretches that they lack to the table `cuts`."""
    return rewrite(noted(batch, stage, change, texts, details), stage, change, texts)


def noted(batch: Batch, stage: str, change: Change, texts: pa.Array, details: Details | None = None) -> Batch:
    """Add the stretches that these texts lack to the table `cuts`, and leave the documents as they are."""
    rows = _rows(batch.documents, stage, change, texts, details)
    return replace(batch, removed=(*batch.removed, rows)) if rows.num_rows else batch


def _rows(documents: pa.RecordBatch, stage: str, change: Change, texts: pa.Array, details: Details | None) -> pa.RecordBatch:
    stretches = removed.removed(documents["text"], texts)
    count = len(stretches.rows)
    columns = [
        documents["id"].take(pa.array(stretches.rows)),
        pa.repeat(stage, count),
        pa.repeat(change.value, count),
        pa.array(stretches.first_characters(documents["text"]).astype("int32")),
        stretches.texts(documents["text"]),
        pa.nulls(count, pa.string()) if details is None else details(stretches),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=CUTS)
