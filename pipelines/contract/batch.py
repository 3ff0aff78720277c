"""The Batch: documents in columns, with their drops and ledger, on the way through the stages.

A stage is a function `Batch -> Batch`. It changes texts with `rewrite`, drops documents with `sift`, fills columns with
`with_columns`, and never loses a row in any other way.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.ledger import Ledger, Line
from pipelines.contract.reasons import CUTS, Change, DropReason
from pipelines.contract.schema import DOCUMENTS, DROPS


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents of one source (about 16 MiB of text), the drops so far and the ledger so far."""

    documents: pa.RecordBatch  # schema.DOCUMENTS
    ledger: Ledger
    drops: tuple[pa.RecordBatch, ...] = ()  # schema.DROPS, in the order of the stages
    # By name: further tables that stages add.
    tables: Mapping[str, pa.RecordBatch] = field(default_factory=dict[str, pa.RecordBatch])
    removed: tuple[pa.RecordBatch, ...] = ()  # schema.CUTS: what was cut out of the texts, in the order of the stages
    cut: pa.Array | None = None  # bool[documents]: which texts lost something (reasons.CUTS) after they were judged; None: none


def born(stage: str, documents: pa.RecordBatch, ledger: Ledger | None = None, drops: pa.RecordBatch | None = None) -> Batch:
    """Return the Batch with which a reader starts the ledger of these documents.

    Characters are counted from here on. A record that the reader drops counts with the text recovered so far, often none.
    `ledger` holds the skipped records and the bytes read.
    """
    kept, lost = characters(documents), characters(drops) if drops is not None else 0
    line = Line(
        documents_in=documents.num_rows + (drops.num_rows if drops is not None else 0),
        documents_out=documents.num_rows,
        documents_dropped=_by_reason(drops),
        characters_in=kept + lost,
        characters_out=kept,
        characters_dropped=_characters_by_reason(drops),
    )
    return Batch(
        documents=documents,
        ledger=(ledger or Ledger()).record(stage, line),
        drops=(drops,) if drops is not None and drops.num_rows else (),
    )


def sift(batch: Batch, stage: str, reasons: pa.Array, details: pa.Array | None = None) -> Batch:
    """Drop the rows whose reason is not null, keep the others, and write the ledger line.

    `reasons` holds a DropReason per row (a string or dictionary array), `details` a few words for a person.
    """
    documents = batch.documents
    if len(reasons) != documents.num_rows:
        raise ValueError(f"stage {stage}: {len(reasons)} reasons for {documents.num_rows} documents")
    reasons = reasons.cast(pa.string())
    keep = pc.is_null(reasons)
    kept = documents.filter(keep) if reasons.null_count < len(reasons) else documents  # no copy if all stay
    drop_rows = pc.invert(keep)
    dropped = as_drops(
        documents.filter(drop_rows),
        stage,
        reasons.filter(drop_rows),
        details.filter(drop_rows) if details is not None else None,
    )
    out, lost = characters(kept), _characters_by_reason(dropped)
    line = Line(
        documents_in=documents.num_rows,
        documents_out=kept.num_rows,
        documents_dropped=_by_reason(dropped),
        characters_in=out + lost.total(),
        characters_out=out,
        characters_dropped=lost,
    )
    return replace(
        batch,
        documents=kept,
        drops=(*batch.drops, dropped) if dropped.num_rows else batch.drops,
        ledger=batch.ledger.record(stage, line),
        tables={name: table.filter(keep) for name, table in batch.tables.items()},
        cut=batch.cut.filter(keep) if batch.cut is not None else None,
    )


def rewrite(batch: Batch, stage: str, change: Change, texts: pa.Array) -> Batch:
    """Replace the texts row by row; the ledger counts each difference in length as added or removed by `change`.

    `cut` marks the rows that one of CUTS shortened.
    """
    before = pc.utf8_length(batch.documents["text"])
    after = pc.utf8_length(texts)
    difference = pc.subtract(after, before)
    added = pc.sum(pc.max_element_wise(difference, 0)).as_py() or 0
    removed = pc.sum(pc.max_element_wise(pc.negate(difference), 0)).as_py() or 0
    line = Line(
        documents_in=batch.documents.num_rows,
        documents_out=batch.documents.num_rows,
        characters_in=pc.sum(before).as_py() or 0,
        characters_out=pc.sum(after).as_py() or 0,
        characters_added=Counter({change: added}),
        characters_removed=Counter({change: removed}),
    )
    cut = batch.cut
    if change in CUTS:
        shorter = pc.less(difference, 0)
        cut = shorter if cut is None else pc.or_(cut, shorter)
    return replace(
        batch,
        documents=with_columns(batch.documents, text=texts),
        ledger=batch.ledger.record(stage, line),
        cut=cut,
    )


def edited(batch: Batch, stage: str, texts: pa.Array, *, added: Counter[str], removed: Counter[str]) -> Batch:
    """Replace the texts row by row where one edit both adds and removes; `added` and `removed` count characters by Change.

    The ledger raises ConservationError if the counts do not explain the difference in length.
    """
    line = Line(
        documents_in=batch.documents.num_rows,
        documents_out=batch.documents.num_rows,
        characters_in=characters(batch.documents),
        characters_out=pc.sum(pc.utf8_length(texts)).as_py() or 0,
        characters_added=added,
        characters_removed=removed,
    )
    return replace(batch, documents=with_columns(batch.documents, text=texts), ledger=batch.ledger.record(stage, line))


def split(batch: Batch, stage: str, parent: pa.Array, documents: pa.RecordBatch) -> Batch:
    """Replace the documents by their pieces, in order; `parent` holds each piece's row in the batch."""
    if len(pc.unique(parent)) != batch.documents.num_rows:
        raise ValueError(f"stage {stage}: a document has no piece")
    line = Line(
        documents_in=batch.documents.num_rows,
        documents_split=documents.num_rows - batch.documents.num_rows,
        documents_out=documents.num_rows,
        characters_in=characters(batch.documents),
        characters_out=characters(documents),
    )
    return replace(batch, documents=documents, ledger=batch.ledger.record(stage, line))


def with_columns(documents: pa.RecordBatch, **columns: pa.Array) -> pa.RecordBatch:
    """Return the rows with some columns replaced, cast to the schema's types."""
    for name, values in columns.items():
        index = documents.schema.get_field_index(name)
        target = documents.schema.field(index)
        documents = documents.set_column(index, target, values.cast(target.type))
    return documents


def as_drops(documents: pa.RecordBatch, stage: str, reasons: pa.Array, details: pa.Array | None = None) -> pa.RecordBatch:
    """Return documents as rows of schema.DROPS. Raise ValueError if a reason is not a DropReason."""
    rows = documents.num_rows
    for reason in pc.unique(reasons).to_pylist():
        DropReason(reason)  # the list is closed
    columns = [
        *documents.columns,
        pa.repeat(pa.scalar(stage, pa.string()), rows),
        reasons.cast(pa.string()),
        details.cast(pa.string()) if details is not None else pa.nulls(rows, pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=DROPS)


def documents_from(columns: Mapping[str, Any]) -> pa.RecordBatch:
    """Return documents with the given columns (lists or Arrow arrays); the other columns are null."""
    rows = len(next(iter(columns.values())))
    unknown = set(columns) - set(DOCUMENTS.names)
    if unknown:
        raise ValueError(f"no columns of a document: {sorted(unknown)}")
    arrays = []
    for column in DOCUMENTS:
        values = columns.get(column.name)
        if values is None:
            arrays.append(pa.nulls(rows, column.type))
        elif isinstance(values, pa.Array):
            arrays.append(values.cast(column.type))
        else:
            arrays.append(pa.array(values, column.type))
    batch = pa.RecordBatch.from_arrays(arrays, schema=DOCUMENTS)
    batch.validate()
    return batch


def characters(documents: pa.RecordBatch) -> int:
    """Return the number of code points in all texts."""
    return pc.sum(pc.utf8_length(documents["text"])).as_py() or 0


def _by_reason(drops: pa.RecordBatch | None) -> Counter[str]:
    if drops is None or drops.num_rows == 0:
        return Counter()
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(drops["reason"]).to_pylist()})


def _characters_by_reason(drops: pa.RecordBatch | None) -> Counter[str]:
    if drops is None or drops.num_rows == 0:
        return Counter()
    lengths = pa.table({"reason": drops["reason"], "n": pc.utf8_length(drops["text"])})
    sums = lengths.group_by("reason").aggregate([("n", "sum")]).to_pylist()
    return Counter({row["reason"]: row["n_sum"] for row in sums})
