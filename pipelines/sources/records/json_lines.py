"""Read JSON Lines into columns: pyarrow parses a whole block; a block with a bad line is parsed line by line.

Both ways give the same line the same fate, whatever the other lines of its block are.

Every record keeps the place of its line, in bytes from the beginning of the (uncompressed) file.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from pipelines.contract.reasons import DropReason
from pipelines.sources.collector import storable
from pipelines.sources.records import encodings

BYTES_PER_BLOCK = 16 * 2**20  # parsed at once: about a batch, so that few columns must be concatenated
MAX_BYTES_PER_LINE = 2**28  # a longer line is skipped and dropped; no more than this is held

Path = tuple[str, ...]  # of a field: the keys from the outside in
_BLANK = b" \t\r\n"
_BYTES_IN_CACHE = 2**18  # compared at once
_DIGITS_OF_INTEGERS = 4000  # below Python's limit for the conversion of strings, 4300 by default
_ESCAPED = re.compile(r"[\udc80-\udcff]")  # bytes that are not UTF-8, as the error handler surrogateescape has them


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a file."""

    data: bytes  # UTF-8
    offset: int  # of its first byte in the file
    size: int  # bytes in the file
    ends_open: bool = False  # the file ends here, without a line end
    is_too_long: bool = False  # a single line whose content was not kept
    unit: int = 1  # bytes of a code unit of the file: 1 in UTF-8, 2 in UTF-16, 4 in UTF-32

    def places(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places in the file of these bytes of the block, ascending."""
        return self.offset + encodings.places(self.data, at, self.unit)


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that is not a record."""

    offset: int  # of the line in the file
    line: int  # within its block, from 0
    reason: DropReason
    detail: str
    is_object: bool = False  # a record whose text is no string


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a block in columns, and the lines that are not records."""

    columns: Mapping[str, pa.Array]  # strings, null where the record has no such field
    offsets: NDArray[np.int64]
    lines: int  # of the block, blank ones included
    bad: Sequence[Bad] = field(default_factory=tuple[Bad])


class NoObject(ValueError):
    """A line that is JSON but not an object."""


class NoString(NoObject):
    """A record whose text is not a string."""


# Lines


def blocks(read: Callable[[int], bytes], start: int = 0, end: int | None = None, unit: int = 1) -> Iterator[Block]:
    """Yield the lines that begin at or after `start` and before `end`; `read` continues at `start`, the start of a line.

    Lines are whole, however far they reach beyond `end`. `read` returns UTF-8; if the file has code units of another size (in
    bytes), it must be read to its end.
    """
    assert unit == 1 or end is None, "a range of a file in UTF-16 has no lines of its own"
    pending, offset, unread = bytearray(), start, b""  # pending: the beginning of a line whose end is not read yet
    while piece := unread or read(BYTES_PER_BLOCK):
        unread = b""
        # The last line is the one that holds the byte before `end`.
        last = -1 if end is None else piece.find(b"\n", max(0, end - 1 - offset - len(pending)))
        cut = (last if last >= 0 else piece.rfind(b"\n")) + 1
        if cut:
            data = b"".join([pending, memoryview(piece)[:cut]])
            yield Block(data, offset, size := encodings.size(data, unit), unit=unit)
            offset += size
            pending = bytearray(memoryview(piece)[cut:])
        else:
            pending += piece
        if last >= 0:
            return
        if len(pending) > MAX_BYTES_PER_LINE:
            unread, skipped = _after_line(read, unit)
            size = encodings.size(pending, unit) + skipped
            pending.clear()
            yield Block(b"", offset, size, is_too_long=True, unit=unit)
            offset += size
            if end is not None and offset >= end:
                return
    if pending:
        yield Block(bytes(pending), offset, encodings.size(pending, unit), ends_open=True, unit=unit)


def _after_line(read: Callable[[int], bytes], unit: int) -> tuple[bytes, int]:
    """Read to the end of the line; return the bytes read beyond it, and the bytes of the file up to there."""
    skipped = 0
    while piece := read(BYTES_PER_BLOCK):
        end = piece.find(b"\n") + 1
        skipped += encodings.size(piece[:end] if end else piece, unit)
        if end:
            return piece[end:], skipped
    return b"", skipped


# Records


def parse(block: Block, fields: Mapping[str, Path]) -> Records:
    """Parse the records of a block; `fields` gives the path of each column's value in a record. "text" is one of the columns.

    An integer in place of a string becomes its digits, except in the text. Lone surrogates become U+FFFD. Blank lines are
    ignored. What no column holds must be JSON, but may be nested to any depth, have numbers of any length, and not be UTF-8.
    """
    if block.is_too_long:
        detail = f"a line of more than {MAX_BYTES_PER_LINE:,} bytes"
        return _by_line(fields, [], 1, [Bad(block.offset, 0, DropReason.UNREADABLE, detail)])
    block = _blank_out_mark(block)
    starts = _line_starts(block.data)
    objects = _objects(block.data, starts)
    columns = _columns(block.data, objects, fields) if objects is not None else None
    if objects is not None and columns is not None and len(columns["text"]) == len(objects):
        return Records(columns, block.places(objects), len(starts))
    return _parse_lines(block, fields)


def first_fields(block: Block) -> list[str]:
    """Return the field names of the block's first object, for messages."""
    for line in block.data.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            return list(record)
    return []


def _line_starts(data: bytes) -> NDArray[np.int64]:
    view = np.frombuffer(data, np.uint8)
    places = range(0, len(data), _BYTES_IN_CACHE)
    ends = np.concatenate([np.flatnonzero(view[at : at + _BYTES_IN_CACHE] == ord("\n")) + at for at in places])
    starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
    return starts[:-1] if starts[-1] == len(data) else starts


def _blank_out_mark(block: Block) -> Block:
    """Replace a byte order mark by blanks, so that places do not change."""
    if block.offset == 0 and block.data.startswith(codecs.BOM_UTF8):
        return replace(block, data=b"   " + block.data[3:])
    return block


def _objects(data: bytes, starts: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return where the non-blank lines begin, or None if one of them is certainly not an object.

    pyarrow 25.0 must not parse those: a file that begins with the line `null` crashes the process (a segmentation fault).
    """
    is_object = np.frombuffer(data, np.uint8)[starts] == ord("{")
    for index in np.flatnonzero(~is_object).tolist():
        end = starts[index + 1] if index + 1 < len(starts) else len(data)
        line = data[starts[index] : end].strip(_BLANK)
        if line and not line.startswith(b"{"):
            return None
        is_object[index] = bool(line)
    return starts[is_object]


def _columns(data: bytes, starts: NDArray[np.int64], fields: Mapping[str, Path]) -> dict[str, pa.Array] | None:
    """Parse the whole block at once; return None if it must be parsed line by line."""
    if not len(starts):
        return {name: pa.nulls(0, pa.string()) for name in fields}
    try:
        table = _table(data, _schema(data, starts, fields))
        columns = {name: column(table, path) for name, path in fields.items()}
        for values in columns.values():
            values.validate(full=True)  # the parser does not check UTF-8
    except pa.ArrowInvalid:
        return None
    return columns


def _table(data: bytes, schema: pa.Schema) -> pa.Table:
    return pj.read_json(
        pa.BufferReader(data),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )


def column(table: pa.Table | pa.RecordBatch, path: Path) -> pa.Array:
    """Return the strings at a path of a table; null where they, or the struct that holds them, are null."""
    values = table[path[0]]
    if len(path) > 1:
        values = pc.struct_field(values, list(path[1:]))
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values.cast(pa.string())


def _schema(data: bytes, starts: NDArray[np.int64], fields: Mapping[str, Path]) -> pa.Schema:
    """Return a schema with strings at all paths, or integers where the first line has integers."""
    sample: Any = None
    for start in starts[:1].tolist():
        end = data.find(b"\n", start)
        try:
            sample = json.loads(data[start : end if end >= 0 else len(data)])
        except (ValueError, RecursionError):
            sample = None
    nested: dict[str, Any] = {}
    for name, path in fields.items():
        place = nested
        for key in path[:-1]:
            place = place.setdefault(key, {})
        value = _value(sample, path)
        place[path[-1]] = pa.int64() if _is_integer(value) and name != "text" else pa.string()
    return pa.schema(_struct(nested))


def _struct(nested: Mapping[str, Any]) -> list[pa.Field]:
    return [pa.field(key, pa.struct(_struct(value)) if isinstance(value, Mapping) else value) for key, value in nested.items()]


# Line by line


def _parse_lines(block: Block, fields: Mapping[str, Path]) -> Records:
    rows: list[tuple[int, dict[str, str | None]]] = []
    bad: list[Bad] = []
    lines = block.data.split(b"\n")
    offsets = block.places(np.cumsum([0, *(len(line) + 1 for line in lines[:-1])])).tolist()
    if not block.ends_open:
        lines.pop()  # the empty rest after the last line end
    for number, (line, offset) in enumerate(zip(lines, offsets, strict=False)):
        if line.strip(_BLANK):
            try:
                rows.append((offset, _record(line, fields)))
            except (ValueError, RecursionError) as error:
                is_last = block.ends_open and number == len(lines) - 1
                is_cut = is_last and not isinstance(error, NoObject) and line.lstrip(_BLANK).startswith(b"{")
                reason = DropReason.CUT_OFF if is_cut else DropReason.UNREADABLE
                detail = "the file breaks off in this line" if is_cut else _message(error)
                bad.append(Bad(offset, number, reason, detail, isinstance(error, NoString)))
    return _by_line(fields, rows, len(lines), bad)


def _by_line(fields: Mapping[str, Path], rows: list[tuple[int, dict[str, str | None]]], lines: int, bad: list[Bad]) -> Records:
    columns = {name: pa.array([values[name] for _, values in rows], pa.string()) for name in fields}
    return Records(columns, np.array([offset for offset, _ in rows], np.int64), lines, bad)


def _record(line: bytes, fields: Mapping[str, Path]) -> dict[str, str | None]:
    try:
        return _values(json.loads(line, parse_int=_integer), fields)
    except UnicodeDecodeError as error:
        values = _values(json.loads(line.decode("utf-8", "surrogateescape"), parse_int=_integer), fields, storable=str)
        if any(_ESCAPED.search(value) for value in values.values() if value is not None):
            raise error from None
        return values
    except RecursionError:
        return _nested_deeply(line, fields)


def _values(record: Any, fields: Mapping[str, Path], storable: Callable[[str], str | None] = storable) -> dict[str, str | None]:
    if not isinstance(record, dict):
        raise NoObject("the line is JSON, but no object")
    values: dict[str, str | None] = {}
    for name, path in fields.items():
        value = _value(record, path)
        if isinstance(value, str):
            values[name] = storable(value)
        elif name == "text" and value is not None:
            raise NoString(f"{'.'.join(path)} is no string, but {json.dumps(value, default=str)[:40]}")
        else:
            values[name] = str(value) if _is_integer(value) else None
    return values


def _nested_deeply(line: bytes, fields: Mapping[str, Path]) -> dict[str, str | None]:
    """Return the values of a line that Python's parser cannot nest; pyarrow's parser has no limit."""
    values: dict[str, str | None] = {}
    for name, path in fields.items():
        found = (_only(line, path, kind) for kind in (pa.string(), pa.int64()) if kind == pa.string() or name != "text")
        values[name], is_json = next((value for value in found if value[1]), (None, False))
        if name == "text" and not is_json:
            raise RecursionError
    return values


def _only(line: bytes, path: Path, kind: pa.DataType) -> tuple[str | None, bool]:
    """Return the value at a path of a line, and whether the line is JSON with a value of this type, or none, there."""
    nested: Any = kind
    for key in reversed(path):
        nested = pa.struct([pa.field(key, nested)])
    try:
        values = column(_table(line, pa.schema(list(nested))), path)
        values.validate(full=True)
    except pa.ArrowInvalid:
        return None, False
    return (values[0].as_py(), True) if len(values) == 1 else (None, False)


def _integer(digits: str) -> "int | _LongInteger":
    """Return a number of JSON; Python refuses to convert very long ones, whose digits are kept."""
    return int(digits) if len(digits) <= _DIGITS_OF_INTEGERS else _LongInteger(digits)


@dataclass(frozen=True, slots=True)
class _LongInteger:
    digits: str

    def __str__(self) -> str:
        return self.digits


def _value(record: Any, path: Path) -> Any:
    for key in path:
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return record


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | _LongInteger) and not isinstance(value, bool)


def _message(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "not JSON: nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: {error.reason} at byte {error.start} of the line"
    return str(error) if isinstance(error, NoObject) else f"not JSON: {error}"
