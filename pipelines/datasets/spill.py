"""Spilled columns: temporary Arrow files between the steps of an exchange.

They are written under a temporary name and renamed, so that a name that exists is complete; but not forced to the disk: a
build that is cut off starts its exchange anew.
"""

import os
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract import files


def write_columns(uri: str, **columns: NDArray[Any]) -> None:
    """Write arrays of one length as the columns of one file."""
    names = list(columns)
    batch = pa.RecordBatch.from_arrays([pa.array(values) for values in columns.values()], names=names)
    write_batches(uri, batch.schema, [batch])


def write_batches(uri: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write batches one by one, as they are made."""
    with _writing(uri) as stream, pa.ipc.new_file(pa.PythonFile(stream, mode="w"), schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def read_columns(uri: str) -> dict[str, NDArray[Any]]:
    """The columns that `write_columns` wrote; of a local file, mapped into memory and not read."""
    (batch,) = batches_of(uri)
    return {name: batch[name].to_numpy() for name in batch.schema.names}


def read_all(uris: Iterable[str], **empty: Any) -> dict[str, NDArray[Any]]:
    """The columns of several files, laid end to end; `empty` names them and their types.

    >>> {name: values.dtype.name for name, values in read_all([], rank=np.uint32).items()}
    {'rank': 'uint32'}
    """
    found = [read_columns(uri) for uri in uris]
    return {name: np.concatenate([np.empty(0, dtype), *(part[name] for part in found)]) for name, dtype in empty.items()}


def batches_of(uri: str) -> list[pa.RecordBatch]:
    """The record batches of an Arrow IPC file; of a local file, mapped into memory and not read."""
    if files.is_local(uri):
        source: Any = pa.memory_map(str(files.local_path(uri)))
    else:
        with files.reading(uri) as stream:
            source = pa.BufferReader(stream.read())
    reader = pa.ipc.open_file(source)
    return [reader.get_batch(index) for index in range(reader.num_record_batches)]


@contextmanager
def _writing(uri: str) -> Generator[BinaryIO | files.HashingWriter]:
    if not files.is_local(uri):
        with files.writing(uri) as stream:
            yield stream
        return
    target = files.local_path(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
