"""Write the batches of a unit as parts.

One part per table and unit; the batches are its row groups. Tables that training or deduplication map into memory
(`tokens…`, `signatures`, `index`) are Arrow IPC files without compression, the others Parquet with zstd.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.ledger import Ledger, add
from pipelines.contract.manifest import Part, Sidecar
from pipelines.units.descriptor import Unit

_DISTINCT = ("id", "work", "origin", "url", "title", "text", "detail", "survivor")
_MEMORY_MAPPED = ("tokens", "signatures", "index")


def sidecar_uri(dataset_uri: str, unit: str) -> str:
    """Return the URI of a unit's sidecar."""
    return files.join(dataset_uri, "units", f"{unit}.json")


def read_sidecar(dataset_uri: str, unit: str) -> Sidecar | None:
    """Return the sidecar of a unit, or None if the unit is not finished."""
    uri = sidecar_uri(dataset_uri, unit)
    return Sidecar.model_validate_json(files.read_text(uri)) if files.exists(uri) else None


def is_whole(dataset_uri: str, sidecar: Sidecar) -> bool:
    """Return whether all parts of a unit exist at their full size."""
    return all(
        files.exists(uri := files.join(dataset_uri, part.path)) and files.size(uri) == part.bytes for part in sidecar.parts
    )


def unit_names(dataset_uri: str, parts: Iterable[Part]) -> list[str]:
    """Return the names of a dataset's units, sorted; a unit without rows has no part, but its sidecar holds counts."""
    sidecars = files.listing(files.join(dataset_uri, "units"), ".json")
    return sorted({path.rsplit("/", 1)[-1].removesuffix(".json") for path in sidecars} | {part.unit for part in parts})


def part_path(table: str, unit: str) -> str:
    """Return the path of a part, relative to its dataset's folder."""
    return f"{table}/{unit}.{'arrow' if table.startswith(_MEMORY_MAPPED) else 'parquet'}"


def write_unit(dataset_uri: str, unit: Unit, batches: Iterable[Batch], *, documents: bool = True) -> Sidecar:
    """Write all tables of a unit, then its sidecar.

    `documents=False` skips the documents, for a dataset that only holds tables derived from them. Parts become visible when the
    unit is complete. Writing a unit again writes the same bytes.
    """
    ledgers: list[Ledger] = []
    with ExitStack() as stack:
        writers: dict[str, _PartWriter] = {}
        for batch in batches:
            ledgers.append(batch.ledger)
            for table, rows in _tables(batch, documents):
                if table not in writers:
                    writers[table] = stack.enter_context(_PartWriter(dataset_uri, table, unit.name, rows.schema))
                writers[table].write(rows)
    ledger = add(ledgers)
    ledger.check()
    parts = tuple(writers[table].part() for table in sorted(writers))
    sidecar = Sidecar(unit=unit.name, source=unit.source, parts=parts, ledger=ledger, made_from=unit.made_from)
    files.write_text(sidecar_uri(dataset_uri, unit.name), sidecar.model_dump_json())
    return sidecar


def _tables(batch: Batch, documents: bool) -> Iterator[tuple[str, pa.RecordBatch]]:
    if documents and batch.documents.num_rows:
        yield "documents", batch.documents
    for rows in batch.drops:
        yield "drops", rows
    for rows in batch.removed:
        yield "cuts", rows
    for name, rows in batch.tables.items():
        if rows.num_rows:
            yield name, rows


class _PartWriter:
    """An open part; a context manager."""

    def __init__(self, dataset_uri: str, table: str, unit: str, schema: pa.Schema) -> None:
        self._table, self._unit, self._path, self._rows = table, unit, part_path(table, unit), 0
        self._schema, self._uri = schema, files.join(dataset_uri, part_path(table, unit))
        self._stack = ExitStack()

    def __enter__(self) -> "_PartWriter":
        self._stream = self._stack.enter_context(files.writing(self._uri))
        sink = pa.PythonFile(self._stream, mode="w")
        if self._path.endswith(".arrow"):
            self._writer: Any = self._stack.enter_context(pa.ipc.new_file(sink, self._schema))
        else:
            self._writer = self._stack.enter_context(
                pq.ParquetWriter(sink, self._schema, compression="zstd", use_dictionary=self._repeating())
            )
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _repeating(self) -> list[str]:
        """Return the columns that a dictionary makes smaller; by default Parquet would also build one for the texts."""
        return [name for name in self._schema.names if name not in _DISTINCT]

    def write(self, rows: pa.RecordBatch) -> None:
        self._rows += rows.num_rows
        # Arrow IPC serialises a sliced or filtered batch differently from an equal one, so it is rebuilt.
        self._writer.write_batch(_rebuilt(rows) if self._path.endswith(".arrow") else rows)

    def part(self) -> Part:
        """Return the finished part; call it after the block."""
        return Part(
            table=self._table,
            unit=self._unit,
            path=self._path,
            rows=self._rows,
            bytes=self._stream.bytes_written,
            sha256=self._stream.sha256,
        )


def _rebuilt(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.take(pa.array(np.arange(rows.num_rows)))
