"""Gather a reader's columns into Batches of about 16 MiB of text: the collector for whole columns."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import SourceSection
from pipelines.contract.batch import Batch, as_drops, born, documents_from
from pipelines.contract.ledger import Ledger
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import TARGET_BYTES_PER_BATCH, document_id
from pipelines.sources.collector import READ, ROWS_PER_BATCH
from pipelines.units.descriptor import Unit


def fields_of(section: SourceSection) -> dict[str, tuple[str, ...]]:
    """Return the place of each document column in a record: field names from the outside in."""
    names = {
        "text": section.text_field,
        "key": section.id_field,
        "url": section.url_field,
        "title": section.title_field,
        "date": section.date_field,
    }
    return {column: tuple(name.split(".")) for column, name in names.items() if name is not None}


@dataclass(slots=True)
class Gathered:
    """A buffer to fill with `add` and `drop`; take batches with `full` while reading and with `rest` at the end."""

    section: SourceSection
    unit: Unit  # the file that is being read
    skipped: Counter[str] = field(default_factory=Counter[str])  # by SkipReason
    bytes_read: int = 0  # as stored
    _columns: list[Mapping[str, pa.Array]] = field(default_factory=list[Mapping[str, pa.Array]])
    _places: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])
    _files: list[str] = field(default_factory=list[str])  # of the places
    _broken: list[tuple[str, DropReason, str]] = field(default_factory=list)  # origin, reason, detail
    _text_bytes: int = 0
    _last_bytes: int = 0
    _rows: int = 0
    _ids: set[bytes] = field(default_factory=set[bytes])  # of the unit's documents so far

    def add(self, columns: Mapping[str, pa.Array], places: NDArray[np.int64]) -> None:
        """Add records: the strings "text" and, if known, "key", "url", "title" and "date", and the records' places in the file.

        A record is dropped if it has no text (EMPTY) or an earlier record's key (REPEATED_KEY). A record without a key is
        identified by its place.
        """
        self._columns.append(columns)
        self._places.append(places)
        self._files.append(self.unit.uri)
        self._last_bytes = columns["text"].nbytes
        self._text_bytes += self._last_bytes
        self._rows += len(places)

    def drop(self, place: object, reason: DropReason, detail: str) -> None:
        """Drop a record that cannot be read."""
        self._broken.append((f"{self.unit.uri}#{place}", reason, f"{self.unit.uri}: {detail}"))

    @property
    def broken(self) -> int:
        """Records dropped since the last batch."""
        return len(self._broken)

    def full(self) -> Iterator[Batch]:
        """Yield the batch if one more addition of the same size would make it too large."""
        if self._text_bytes + self._last_bytes > TARGET_BYTES_PER_BATCH or max(self._rows, len(self._broken)) >= ROWS_PER_BATCH:
            yield self.rest()

    def rest(self) -> Batch:
        """Return everything since the last batch. A reader yields it last even if it is empty, because it holds counts."""
        rows, reasons, details = self._documents()
        drop_rows = pc.is_valid(reasons)
        lost = [as_drops(rows.filter(drop_rows), READ, reasons.drop_null(), details.filter(drop_rows)), self._broken_drops()]
        drops = pa.concat_batches([part for part in lost if part.num_rows] or lost[:1])
        ledger = Ledger(skipped=self.skipped, bytes_read=self.bytes_read)
        kept = rows.filter(pc.invert(drop_rows)) if drops.num_rows else rows
        self._columns, self._places, self._files, self._broken, self.skipped = [], [], [], [], Counter()
        self.bytes_read = self._text_bytes = self._last_bytes = self._rows = 0
        return born(READ, kept, ledger, drops)

    def _documents(self) -> tuple[pa.RecordBatch, pa.Array, pa.Array]:
        """Return all records as documents, the reasons of those that are dropped, and the details."""
        origins = self._origins()
        rows = len(origins)
        keys = self._column("key", rows)
        keys = pc.coalesce(pc.if_else(pc.equal(keys, ""), _NONE, keys), origins)
        texts = pc.fill_null(self._column("text", rows), "")
        others = {name: self._column(name, rows) for name in ("url", "title", "date")}
        documents = self._as_documents(self._ids_of_keys(keys), origins, texts, others)
        is_empty = pc.equal(texts, "")
        repeated = self._repeated(documents["id"], is_empty)
        reasons = pc.if_else(repeated, DropReason.REPEATED_KEY.value, pc.if_else(is_empty, DropReason.EMPTY.value, _NONE))
        detail = pc.binary_join_element_wise("an earlier record of this unit has the key ", keys, "")
        return documents, reasons, pc.if_else(repeated, detail, _NONE)

    def _origins(self) -> pa.Array:
        """Return the file and place of each record."""
        counts = [len(places) for places in self._places]
        files = pa.array(self._files, pa.string()).take(pa.array(np.repeat(np.arange(len(counts)), counts)))
        places = pa.array(np.concatenate([np.empty(0, np.int64), *self._places]))
        return pc.binary_join_element_wise(files, places.cast(pa.string()), "#")

    def _as_documents(
        self, ids: pa.Array, origins: pa.Array, texts: pa.Array, others: Mapping[str, pa.Array] | None = None
    ) -> pa.RecordBatch:
        section, rows = self.section, len(ids)
        known = {"id": ids, "work": ids, "origin": origins, "text": texts, **(others or {})}
        constant = {"source": section.name, "snapshot": section.snapshot}
        return documents_from(known | {name: pa.repeat(pa.scalar(value, pa.string()), rows) for name, value in constant.items()})

    def _column(self, name: str, rows: int) -> pa.Array:
        parts = [columns[name] for columns in self._columns if name in columns]
        if not parts:
            return pa.nulls(rows, pa.string())
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

    def _ids_of_keys(self, keys: pa.Array) -> pa.Array:
        """Return the ids of keys; a Python call each takes about 1 % of the time to deduplicate a document of 500 words."""
        source = self.section.name
        ids = b"".join([document_id(source, key) for key in keys.to_pylist()])
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(keys), [None, pa.py_buffer(ids)])

    def _repeated(self, ids: pa.Array, is_empty: pa.Array) -> pa.Array:
        """Return which documents have the id of an earlier one; a document without text does not count as earlier."""
        chosen = ids.filter(pc.invert(is_empty)).to_pylist()
        fresh = set(chosen)
        if len(fresh) == len(chosen) and self._ids.isdisjoint(fresh):
            self._ids |= fresh
            return pa.repeat(pa.scalar(False), len(ids))
        repeated: list[bool] = []
        for identity, empty in zip(ids.to_pylist(), is_empty.to_pylist(), strict=True):
            repeated.append(not empty and identity in self._ids)
            if not empty:
                self._ids.add(identity)
        return pa.array(repeated, pa.bool_())

    def _broken_drops(self) -> pa.RecordBatch:
        origins = pa.array([origin for origin, _, _ in self._broken], pa.string())
        documents = self._as_documents(self._ids_of_keys(origins), origins, pa.repeat(pa.scalar(""), len(origins)))
        reasons = pa.array([reason.value for _, reason, _ in self._broken], pa.string())
        return as_drops(documents, READ, reasons, pa.array([detail for _, _, detail in self._broken], pa.string()))


_NONE = pa.scalar(None, pa.string())
