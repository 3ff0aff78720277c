"""A part that holds whole arrays: an Arrow IPC file of one row, in which each column is a list. It is opened without a copy."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract import files
from pipelines.contract.manifest import Part


def write_lists(dataset_uri: str, table: str, unit: str, path: str, columns: Mapping[str, pa.Array | NDArray[Any]]) -> Part:
    """Write arrays of any lengths as the only part of a table; return the part."""
    lists = {name: pa.LargeListArray.from_arrays([0, len(values)], pa.array(values)) for name, values in columns.items()}
    row = pa.RecordBatch.from_arrays(list(lists.values()), names=list(lists))
    with (
        files.writing(files.join(dataset_uri, path)) as stream,
        pa.ipc.new_file(pa.PythonFile(stream, mode="w"), row.schema) as writer,
    ):
        writer.write_batch(row)
    return Part(table=table, unit=unit, path=path, rows=1, bytes=stream.bytes_written, sha256=stream.sha256)


def read_lists(dataset_uri: str, part: Part) -> dict[str, pa.Array]:
    """Return the arrays of a part by name, memory-mapped. Raise ValueError if its file has changed."""
    local = files.local_copy(files.join(dataset_uri, part.path), part.sha256)
    with pa.memory_map(local) as source, pa.ipc.open_file(source) as reader:
        row = reader.get_batch(0)
    return {name: row[name].values for name in row.schema.names}
