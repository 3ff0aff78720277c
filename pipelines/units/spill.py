"""Spilled columns: temporary Arrow files between the steps of an exchange.

They are written under a temporary name and renamed, so a file that exists under its own name is complete; but they are not
flushed to the disk, because an interrupted build starts its exchange again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract import files


def write_columns(uri: str, **columns: NDArray[Any]) -> None:
    """Write arrays of equal length as the columns of a file."""
    batch = _batch(columns)
    write_batches(uri, batch.schema, [batch])


def _batch(columns: Mapping[str, NDArray[Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values) for values in columns.values()], names=list(columns))


def write_batches(uri: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write batches to a file as they arrive."""
    with files.replacing(uri, fsync=False) as stream, pa.ipc.new_file(pa.PythonFile(stream, mode="w"), schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def read_columns(uri: str) -> dict[str, NDArray[Any]]:
    """Return the columns that `write_columns` wrote; a local file is mapped into memory, not read."""
    (batch,) = batches_of(uri)
    return {name: batch[name].to_numpy() for name in batch.schema.names}


def read_all(uris: Iterable[str], **empty: Any) -> dict[str, NDArray[Any]]:
    """Return the columns of several files, concatenated; `empty` gives their names and types.

    >>> {name: values.dtype.name for name, values in read_all([], rank=np.uint32).items()}
    {'rank': 'uint32'}
    """
    parts = [read_columns(uri) for uri in uris]
    return {name: np.concatenate([np.empty(0, dtype), *(part[name] for part in parts)]) for name, dtype in empty.items()}


def write_by_key(folder: str, name: str, keys: NDArray[Any], **columns: NDArray[Any]) -> list[tuple[int, str]]:
    """Write each key's rows to `folder/<key>/<name>.arrow` and return the keys with their files.

    The rows of a key stay in their order.
    """
    return write_rows_by_key(folder, name, keys, _batch(columns))


def write_rows_by_key(folder: str, name: str, keys: NDArray[Any], rows: pa.RecordBatch) -> list[tuple[int, str]]:
    """Write the rows of a batch as `write_by_key` does."""
    order = np.argsort(keys, kind="stable")
    present, first = np.unique(keys[order], return_index=True)
    written: list[tuple[int, str]] = []
    for key, chosen in zip(present.tolist(), np.split(order, first)[1:], strict=True):
        uri = keyed(folder, key, name)
        write_batches(uri, rows.schema, [rows.take(pa.array(chosen))])
        written.append((key, uri))
    return written


def keyed(folder: str, key: int, name: str) -> str:
    """Return the URI to which `write_by_key` writes the rows of a key."""
    return files.join(folder, f"{key:05}", f"{name}.arrow")


def number_of(uri: str) -> int:
    """Return the number in a file's name.

    >>> number_of("spill/asked/00007/00012.arrow")
    12
    """
    return int(uri.rsplit("/", 1)[-1].split(".")[0])


def write_note(uri: str, **facts: Any) -> None:
    """Write a few facts (JSON) for the driver."""
    with files.replacing(uri, fsync=False) as stream:
        stream.write(json.dumps(facts).encode())


def read_notes(folder: str) -> list[Mapping[str, Any]]:
    """Return all notes of a folder, ordered by name."""
    return [json.loads(files.read_text(uri)) for uri in files.listing(folder, ".json")]


def total(notes: Sequence[Mapping[str, Any]], fact: str) -> int:
    """Return the sum of one fact over all notes."""
    return sum(note[fact] for note in notes)


def id_pairs(binary: pa.Array) -> NDArray[np.uint64]:
    """Return 16-byte values as [rows, 2]: two big-endian numbers each, which sort like the bytes."""
    if not len(binary):  # an empty column may have no buffer
        return np.empty((0, 2), np.uint64)
    words = np.frombuffer(binary.buffers()[1], ">u8").reshape(-1, 2)[binary.offset : binary.offset + len(binary)]
    return words.astype(np.uint64)


class Rows:
    """Random access to the rows of many concatenated batches; only the taken rows are read from their files."""

    def __init__(self, batches: Sequence[pa.RecordBatch]) -> None:
        assert batches
        self.schema = batches[0].schema
        self._batches = batches
        self._starts = np.concatenate([[0], np.cumsum([batch.num_rows for batch in batches], dtype=np.int64)])
        self._bytes = np.concatenate([_bytes_of_rows(batch) for batch in batches])

    @classmethod
    def of(cls, uris: Iterable[str]) -> Self:
        """Return the rows of files."""
        return cls([batch for uri in uris for batch in batches_of(uri)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def chunks(self, numbers: NDArray[np.int64], limit: int) -> Iterator[slice]:
        """Yield slices of `numbers`, in order, whose rows take at most `limit` bytes; a larger row is a separate slice."""
        taken = np.cumsum(self._bytes[numbers])
        start = 0
        while start < len(numbers):
            end = int(np.searchsorted(taken, limit + (taken[start - 1] if start else 0), side="right"))
            yield slice(start, max(end, start + 1))
            start = max(end, start + 1)

    def take(self, numbers: NDArray[np.int64]) -> pa.RecordBatch:
        """Return copies of these rows."""
        batch = np.searchsorted(self._starts, numbers, side="right") - 1
        order = np.argsort(batch, kind="stable")
        present, first = np.unique(batch[order], return_index=True)
        parts = [
            self._batches[index].take(pa.array(numbers[rows] - self._starts[index]))
            for index, rows in zip(present.tolist(), np.split(order, first)[1:], strict=True)
        ]
        if len(parts) == 1:
            return parts[0]
        joined = pa.concat_batches([*parts, self._batches[0].slice(0, 0)])
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return joined.take(pa.array(back))


def _bytes_of_rows(batch: pa.RecordBatch) -> NDArray[np.int64]:
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_list(column.type):
            sizes += np.diff(column.offsets.to_numpy()) * (column.type.value_type.bit_width // 8)
        else:
            sizes += -(-column.nbytes // max(1, batch.num_rows))
    return sizes


def batches_of(uri: str) -> list[pa.RecordBatch]:
    """Return the record batches of an Arrow IPC file; a local file is mapped into memory, not read."""
    if files.is_local(uri):
        source: Any = pa.memory_map(str(files.local_path(uri)))
    else:
        with files.reading(uri) as stream:
            source = pa.BufferReader(stream.read())
    reader = pa.ipc.open_file(source)
    return [reader.get_batch(index) for index in range(reader.num_record_batches)]
