"""Read the examples of a task: JSON Lines, CSV, TSV or Parquet with named fields, plain or compressed (.gz, .zst).

Or plain texts with a line for each record, one text for each field (`lines`).

    read = records("sst2/train.tsv.gz", {"text": "sentence", "label": "label"})
    read.texts("text")           # ["a charming film", …]
    read.place(3)                # "sst2/train.tsv.gz, line 5", for messages

The field of a table is its column's name. A TSV has no quotes, as those of GLUE; a CSV has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.tasks.errors import TaskError
from training.tasks.input.formats import Table

_COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_KINDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_BLOCK_BYTES = 2**26  # of JSON that pyarrow parses at once: a record must fit


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a file, column by column; the columns have the task's names."""

    path: str
    table: pa.Table
    first_line: int | None  # line of the file's first record; None for Parquet
    numbers: NDArray[np.int64]  # of the records in the file, from 0

    def __len__(self) -> int:
        return self.table.num_rows

    def place(self, row: int) -> str:
        """Return where a record stands, for messages."""
        number = int(self.numbers[row])
        return (
            f"{self.path}, row {number + 1:,}" if self.first_line is None else f"{self.path}, line {self.first_line + number:,}"
        )

    def has(self, field: str) -> bool:
        """Return whether the records have a field of this name."""
        return field in self.table.column_names

    def texts(self, field: str) -> list[str]:
        """Return a field as texts; numbers are spelled. Raises TaskError for a missing value."""
        column = self.table[field]
        if column.null_count:
            row = int(pc.index(column.is_null(), True).as_py())
            raise TaskError(f"{self.place(row)}: the field {field!r} is missing; fill it in, or remove the record")
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            try:
                column = column.cast(pa.string())
            except pa.ArrowInvalid:
                raise TaskError(f"{self.path}: the field {field!r} holds {column.type}, and must hold texts") from None
        return column.to_pylist()

    def values(self, field: str) -> list[Any]:
        """Return a field as Python values."""
        return self.table[field].to_pylist()

    def first(self, count: int | None) -> "Records":
        """Return the first records, all by default."""
        return self if count is None else self.part(0, count)

    def part(self, first: int, count: int) -> "Records":
        """Return at most `count` records from number `first` on."""
        return replace(self, table=self.table.slice(first, count), numbers=self.numbers[first : first + count])

    def where(self, chosen: NDArray[np.bool_]) -> "Records":
        """Return the records for which a flag is set: (N,)."""
        return replace(self, table=self.table.filter(pa.array(chosen)), numbers=self.numbers[chosen])


def records(path: str | Path, fields: Mapping[str, str], optional: Sequence[str] = (), given: Table | None = None) -> Records:
    """Read the fields of a file: `fields` maps the task's names to the file's; those in `optional` may be absent.

    `given` is the file's content if it is not a table and has been read by formats.py.

    Raises TaskError, naming the file and the fix, if the file or a field is missing, or it cannot be read.
    """
    table, first_line, numbers = given or _table(Path(path))
    for name, theirs in fields.items():
        if theirs not in table.column_names and name not in optional:
            raise TaskError(
                f"{path}: has no field {theirs!r}, but {', '.join(map(repr, table.column_names)) or 'none'}; "
                f"set task.fields.{name}"
            )
    known = {name: theirs for name, theirs in fields.items() if theirs in table.column_names}
    chosen = table.select(list(known.values())).rename_columns(list(known))
    if not chosen.num_rows:
        raise TaskError(f"{path}: has no records; name a file with at least one")
    return Records(str(path), chosen, first_line, numbers)


def of_columns(columns: Mapping[str, Sequence[str]], name: str) -> Records:
    """Return records that are in memory: the texts of each field; `name` stands for a file in messages."""
    table = pa.table(dict(columns))
    return Records(name, table, None, np.arange(table.num_rows))


def lines(paths: Mapping[str, str]) -> Records:
    """Read records from a text for each field, plain or compressed: line n of each belongs to record n.

    Raises TaskError, naming the files and the fix, if one is missing, is not UTF-8, or has another number of lines.
    """
    columns = {name: _lines(path) for name, path in paths.items()}
    (first, path), *others = paths.items()
    for name, other in others:
        if len(columns[name]) != len(columns[first]):
            raise TaskError(
                f"{other}: has {len(columns[name]):,} lines, and {path} has {len(columns[first]):,}; line n of one must "
                "belong to line n of the other"
            )
    if not columns[first]:
        raise TaskError(f"{path}: has no lines; name a file with at least one")
    return Records(path, pa.table(columns), 1, np.arange(len(columns[first])))


def _lines(path: str) -> list[str]:
    compressed = _COMPRESSED.get(Path(path).suffix.lower())
    try:
        with pa.input_stream(path, compression=compressed) as stream:
            text = stream.read().decode("utf-8")
    except FileNotFoundError:
        raise TaskError(f"{path}: no such file; the paths of a config are relative to the folder of the command") from None
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: is not UTF-8 at byte {error.start:,}; convert it") from error
    except (pa.ArrowException, OSError) as error:
        raise TaskError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _table(path: Path) -> Table:
    """Return all columns of a file, and the line of its first record."""
    columns, first_line = _columns(path)
    return Table(columns, first_line, np.arange(columns.num_rows))


def _columns(path: Path) -> tuple[pa.Table, int | None]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = _COMPRESSED.get(suffixes[-1]) if suffixes else None
    kind = suffixes[-2] if compressed and len(suffixes) > 1 else suffixes[-1] if suffixes else ""
    if kind not in _KINDS:
        raise TaskError(f"{path}: is neither of {', '.join(_KINDS)} (plain, .gz, .zst or .bz2); convert it, or rename it")
    try:
        if kind == ".parquet":
            return pq.read_table(path), None
        with pa.input_stream(str(path), compression=compressed) as stream:
            if kind in (".jsonl", ".json"):
                return pa_json.read_json(stream, pa_json.ReadOptions(block_size=_BLOCK_BYTES)), 1
            parse = pa_csv.ParseOptions(delimiter="\t", quote_char=False, double_quote=False)
            parse = parse if kind == ".tsv" else pa_csv.ParseOptions(newlines_in_values=True)
            convert = pa_csv.ConvertOptions(strings_can_be_null=False, null_values=[])
            return pa_csv.read_csv(stream, parse_options=parse, convert_options=convert), 2
    except FileNotFoundError:
        raise TaskError(f"{path}: no such file; the paths of a config are relative to the folder of the command") from None
    except (pa.ArrowException, OSError) as error:
        raise TaskError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error


def few(labels: Sequence[str], shots: int, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which records are drawn: of each label the `shots` with the lowest keys.

    >>> few(["a", "b", "a", "a"], 2, np.array([5, 1, 3, 4], np.uint64)).tolist()
    [False, True, True, True]
    """
    _, numbers = np.unique(labels, return_inverse=True)
    order = np.lexsort((keys, numbers))
    begins = np.searchsorted(numbers[order], np.arange(numbers.max() + 1))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - begins[numbers[order]]
    return rank < shots
