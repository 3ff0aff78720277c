"""Read Parquet files of records column by column; a unit is a run of neighbouring row groups."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import TARGET_BYTES_PER_BATCH
from pipelines.sources.listing import SourceError, full_uri, part_of
from pipelines.sources.records.columns import ROWS_PER_BATCH, Gathered, fields_of
from pipelines.units.descriptor import Unit

TARGET_BYTES_PER_UNIT = 64 * 10**6  # as stored
_MAGIC = b"PAR1"  # at both ends of a file

Fields = Mapping[str, tuple[str, ...]]


def units(section: SourceSection, file: Unit) -> list[Unit]:
    """Return units of a file's row groups, of about 64 MB each. Raise SourceError if a larger one is not a Parquet file."""
    if file.bytes <= TARGET_BYTES_PER_UNIT:
        return [file]
    with files.reading(full_uri(file)) as stream:
        try:
            metadata = _opened(section, file, stream).metadata
        except _CutOffError:
            return [file]
    stored = [_stored(metadata.row_group(i)) for i in range(metadata.num_row_groups)]
    firsts, filled = [0], 0
    for index, size in enumerate(stored):
        if filled and filled + size > TARGET_BYTES_PER_UNIT:
            firsts.append(index)
            filled = 0
        filled += size
    ends = [*firsts[1:], len(stored)]
    if len(firsts) == 1:
        return [file]
    return [part_of(file, "row_groups", a, b, sum(stored[a:b])) for a, b in zip(firsts, ends, strict=True)]


def read(section: SourceSection, unit: Unit, gathered: Gathered) -> Iterator[Batch]:
    """Yield a unit's batches except the last. A row group that cannot be read is one drop, CUT_OFF, as a file without end is.

    Raise SourceError if the file lacks a column that the config names.
    """
    fields = fields_of(section)
    gathered.bytes_read += unit.bytes
    with files.reading(full_uri(unit)) as stream:
        try:
            parquet = _opened(section, unit, stream)
        except _CutOffError as error:
            gathered.drop("broken", DropReason.CUT_OFF, f"the Parquet file breaks off: {error}")
            return
        first, end = unit.parameters.get("row_groups", (0, parquet.metadata.num_row_groups))
        _check_columns(section, unit, parquet.schema_arrow, fields)
        row = sum(parquet.metadata.row_group(i).num_rows for i in range(first))
        for index in range(first, end):
            yield from _row_group(parquet, index, fields, row, gathered)
            row += parquet.metadata.row_group(index).num_rows


class _CutOffError(Exception):
    """A file begins like a Parquet file, and the description of its columns, which is at the end, cannot be read."""


def _opened(section: SourceSection, unit: Unit, stream: Any) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(stream)
    except (OSError, pa.ArrowException) as error:
        stream.seek(0)
        if stream.read(len(_MAGIC)) == _MAGIC:
            raise _CutOffError(error) from None
        raise SourceError(
            f"source {section.name}: {full_uri(unit)} is not a Parquet file: {error}; fetch it again, or leave it out of"
            " sources.paths in the config"
        ) from None


def _stored(group: Any) -> int:
    return sum(group.column(j).total_compressed_size for j in range(group.num_columns))


def _check_columns(section: SourceSection, unit: Unit, schema: pa.Schema, fields: Fields) -> None:
    for column, path in fields.items():
        problem = _problem(schema, path, is_text=column == "text")
        if problem is not None:
            name = "id" if column == "key" else column
            raise SourceError(
                f"source {section.name}: {full_uri(unit)}: {problem}; its columns are {', '.join(schema.names)}: correct"
                f" sources.{name}_field in the config"
            )


def _problem(schema: pa.Schema, path: tuple[str, ...], *, is_text: bool) -> str | None:
    """Return why the values at a path cannot be read as strings; None if they can."""
    name = ".".join(path)
    place: Any = schema
    for key in path:
        index = place.get_field_index(key) if isinstance(place, pa.Schema | pa.StructType) else -1
        if index < 0:
            return f"there is no column {name!r}"
        kind = place.field(index).type
        place = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_number = pa.types.is_primitive(place) or pa.types.is_decimal(place)
    if pa.types.is_nested(place) or (
        is_text and is_number
    ):  # of the type null are columns of empty shards and of nothing but nulls
        return f"the column {name!r} holds no strings, but {place}"
    return None


def _row_group(parquet: pq.ParquetFile, index: int, fields: Fields, row: int, gathered: Gathered) -> Iterator[Batch]:
    group = parquet.metadata.row_group(index)
    end = row + group.num_rows
    rows_at_once = max(1, min(ROWS_PER_BATCH, group.num_rows * TARGET_BYTES_PER_BATCH // max(1, group.total_byte_size)))
    names = [".".join(path) for path in fields.values()]
    batches = parquet.iter_batches(rows_at_once, row_groups=[index], columns=names, use_threads=False)
    while row < end:
        try:
            rows = next(batches)
        except (OSError, pa.ArrowException) as error:
            what = f"row group {index}: its rows {row:,} to {end - 1:,} cannot be read: {error}"
            gathered.drop(row, DropReason.CUT_OFF, what)
            return
        _take(rows, fields, row, gathered)
        row += rows.num_rows
        yield from gathered.full()


def _take(rows: pa.RecordBatch, fields: Fields, row: int, gathered: Gathered) -> None:
    columns = {name: _strings(_at(rows, path)) for name, path in fields.items()}
    places = np.arange(row, row + rows.num_rows)
    lost: NDArray[np.bool_] = np.asarray(pc.and_(pc.is_null(columns["text"]), pc.is_valid(_at(rows, fields["text"]))))
    for place in places[lost].tolist():
        gathered.drop(place, DropReason.UNDECODABLE, f"row {place:,}: its text is not UTF-8")
    kept = pa.array(~lost)
    gathered.add({name: values.filter(kept) for name, values in columns.items()}, places[~lost])


def _at(rows: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    values = rows.column(path[0])
    return pc.struct_field(values, list(path[1:])) if len(path) > 1 else values


def _strings(values: pa.Array) -> pa.Array:
    """Return values as strings; null where the bytes are not UTF-8."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    is_binary = pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)
    try:
        strings = values.cast(pa.string())
        strings.validate(full=True)
    except pa.ArrowInvalid:
        raw = values.cast(pa.binary()) if not is_binary else values
        strings = pa.array([_decoded(value) for value in raw.to_pylist()], pa.string())
    return strings


def _decoded(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None
