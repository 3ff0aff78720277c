"""Read parts of a dataset as record batches, one in memory at a time."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.contract import files


def read_batches(uri: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a part as they were written; the file's ending shows whether it is Arrow IPC or Parquet.

    Only the named `columns` are yielded; from a Parquet part, only those are read.
    """
    with files.reading(uri) as stream:
        if uri.endswith(".arrow"):
            reader = pa.ipc.open_file(stream)
            for index in range(reader.num_record_batches):
                batch = reader.get_batch(index)
                yield batch if columns is None else batch.select(list(columns))
        else:
            parquet = pq.ParquetFile(stream)
            for index in range(parquet.num_row_groups):
                yield _one_batch(parquet.read_row_group(index, columns=columns, use_threads=False))


def column_names(uri: str) -> list[str]:
    """Return the names of a part's columns."""
    with files.reading(uri) as stream:
        schema = pa.ipc.open_file(stream).schema if uri.endswith(".arrow") else pq.ParquetFile(stream).schema_arrow
        return list(schema.names)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    if table.num_rows == 0:
        return pa.RecordBatch.from_pylist([], schema=table.schema)
    return table.combine_chunks().to_batches()[0]
