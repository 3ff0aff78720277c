"""Records: documents whose text is already extracted, as JSON Lines (plain or compressed; UTF-8, UTF-16, UTF-32) or Parquet.

The config names the fields of a record's text, id, address, title and date; "a.b" is the field b of the object a. A record
without an id is identified by its place: the file, and the offset of its line or the number of its row. A large file is
several units: ranges of lines or of row groups. Everything is read in columns.

Limits: a JSON Lines file that is compressed, or in UTF-16 or UTF-32, is one unit.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.reasons import DropReason
from pipelines.contract.storage.compressed import SHOWN, BrokenStreamError, compression, pieces, uncompressed
from pipelines.sources import listing
from pipelines.sources.listing import SourceError, full_uri, part_of
from pipelines.sources.names import Names
from pipelines.sources.records import encodings, json_lines, parquet
from pipelines.sources.records.columns import Gathered, fields_of
from pipelines.sources.records.encodings import Encoding, Read
from pipelines.sources.records.json_lines import Block
from pipelines.units.descriptor import Unit

VERSION = 2
BAD_LINES_AT_THE_BEGINNING = 1000  # after this many without a record, the file is not JSON Lines
NAMES = Names(
    reads=re.compile(r"\.(?:jsonl|ndjson|json|parquet)$"),
    packed=re.compile(r"\.(?:jsonl|ndjson|json)$"),
    may_be_empty=re.compile(r"\.(?:jsonl|ndjson|json)$"),
    shown=f".jsonl, .ndjson and .json (JSON Lines), plain or with {SHOWN}, and .parquet",
)


def units(section: SourceSection) -> list[Unit]:
    """Return one unit per file, or units of about 64 MB for a large file that can be cut.

    Raise SourceError if a Parquet file cannot be opened.
    """
    return listing.units(section, NAMES, lambda found: [part for file in found for part in _cut(section, file)])


def read(section: SourceSection, unit: Unit) -> Iterator[Batch]:
    """Yield the documents of one unit.

    Raise SourceError if the file's format is not that of its name, or if no record has the text field.
    """
    gathered = Gathered(section, unit)
    for file in listing.members(unit):
        gathered.unit = file
        if file.uri.lower().endswith(".parquet"):
            yield from parquet.read(section, file, gathered)
        else:
            yield from _JsonLines(section, _ranged(file), gathered).read()
    yield gathered.rest()


def _ranged(file: Unit) -> Unit:
    """Return a whole file whose name does not say that it is compressed as the range of all its bytes."""
    if file.parameters or uncompressed(file.uri) != file.uri.lower():
        return file
    return file.model_copy(update={"parameters": {"bytes": [0, file.bytes]}})


# Units


def _cut(section: SourceSection, file: Unit) -> list[Unit]:
    name = file.uri.lower()
    if name.endswith(".parquet"):
        return parquet.units(section, file)
    if uncompressed(name) != name:
        return [file]
    parts = max(1, round(file.bytes / parquet.TARGET_BYTES_PER_UNIT))
    if parts == 1 or not _can_be_cut(file):
        return [file]
    places = [file.bytes * part // parts for part in range(parts + 1)]
    return [part_of(file, "bytes", a, b, b - a) for a, b in itertools.pairwise(places)]


def _can_be_cut(file: Unit) -> bool:
    """Return whether lines can be found anywhere in a file: it is neither compressed, whatever its name, nor UTF-16 or UTF-32."""
    with files.reading(full_uri(file)) as stream:
        return compression(stream.read(8)) is None and _encoding(stream) is None


# JSON Lines


class _JsonLines:
    """A reader of the lines of one unit, which drops the bad ones."""

    def __init__(self, section: SourceSection, unit: Unit, gathered: Gathered) -> None:
        self._section, self._unit, self._gathered = section, unit, gathered
        self._fields = fields_of(section)
        self._lines = 0  # of the unit so far
        self._lines_before: int | None = None  # of the file, before the unit; counted when a message needs it
        self._records = 0
        self._first_bad = ""
        self._is_wrong_field = False  # the text of a record is no string
        self._names: list[str] | None = None  # of a record's fields, when the first one has no text

    def read(self) -> Iterator[Batch]:
        """Yield the batches except the last."""
        with files.reading(full_uri(self._unit)) as stream:
            is_packed = compression(stream.read(8)) is not None
            stream.seek(0)
            if is_packed or not self._unit.parameters:
                yield from self._take_compressed(stream)
            else:
                yield from self._take_range(stream)
        self._check(at_the_end=True)

    def _take_range(self, stream: BinaryIO) -> Iterator[Batch]:
        start, end = self._unit.parameters["bytes"]
        begin = 0 if start == 0 else _next_line(stream, start)
        if begin >= end:
            return
        encoding = _encoding(stream) if begin == 0 else None
        if encoding is not None:  # the whole file is one unit
            self._gathered.bytes_read += encoding.mark
            begin, end = encoding.mark, None
        stream.seek(begin)
        for block in _blocks(stream.read, begin, end, encoding):
            self._gathered.bytes_read += block.size
            self._take(block)
            yield from self._gathered.full()

    def _take_compressed(self, stream: BinaryIO) -> Iterator[Batch]:
        stored = _Counted(stream)
        content = pieces(stored.read)
        blocks = _sniffed_blocks(lambda _size: next(content, b""))
        counted = 0
        while True:
            try:
                block = next(blocks, None)
            except BrokenStreamError as error:
                place = f"by byte {stored.count:,} of the file: the compressed stream is broken: {error}"
                self._break_off(place, is_cut_off=error.is_cut_off)
                block = None
            self._gathered.bytes_read += stored.count - counted
            counted = stored.count
            if block is None:
                return
            self._take(block)
            yield from self._gathered.full()

    def _take(self, block: Block) -> None:
        parsed = json_lines.parse(block, self._fields)
        for bad in parsed.bad:
            place = f"line {self._line(bad.line):,}: {bad.detail}"
            self._gathered.drop(bad.offset, bad.reason, place)
            if bad.reason != DropReason.CUT_OFF:  # of that, sources.cut_off_files decides
                self._first_bad = self._first_bad or place
                self._is_wrong_field |= bad.is_object
        if not self._records and len(parsed.offsets) and parsed.columns["text"].null_count == len(parsed.offsets):
            self._names = json_lines.first_fields(block)
        elif len(parsed.offsets):
            self._names = None
        self._gathered.add(parsed.columns, parsed.offsets)
        self._records += len(parsed.offsets)
        self._lines += parsed.lines
        self._check(at_the_end=False)

    def _check(self, *, at_the_end: bool) -> None:
        """Raise SourceError if this is not a JSON Lines file, or if its records lack the text field."""
        if self._first_bad and not self._records and (at_the_end or self._gathered.broken >= BAD_LINES_AT_THE_BEGINNING):
            if self._is_wrong_field:
                raise SourceError(
                    f"source {self._section.name}: {full_uri(self._unit)}: the field {self._section.text_field!r} holds no"
                    f" strings ({self._first_bad}); name the one with the text in sources.text_field"
                )
            raise SourceError(
                f"source {self._section.name}: {full_uri(self._unit)} is not a JSON Lines file: {self._first_bad}; write one"
                " JSON object a line, or leave it out of sources.paths in the config"
            )
        if self._names is not None and self._fields["text"][0] not in self._names:
            raise SourceError(
                f"source {self._section.name}: {full_uri(self._unit)}: no record has a field {self._section.text_field!r}; its"
                f" fields are {', '.join(self._names)}: name the one with the text in sources.text_field"
            )

    def _break_off(self, why: str, *, is_cut_off: bool) -> None:
        place = f"after line {self._line(0) - 1:,}, {why}"
        self._gathered.drop("broken", DropReason.CUT_OFF, place)
        if not is_cut_off:
            self._first_bad = self._first_bad or place

    def _line(self, within_block: int) -> int:
        """Return the number of a line in the file, from 1."""
        if self._lines_before is None:
            self._lines_before = _lines_before(self._unit)
        return self._lines_before + self._lines + within_block + 1


def _encoding(stream: BinaryIO) -> Encoding | None:
    """Return the encoding of a file, if it is not UTF-8."""
    stream.seek(0)
    return encodings.sniffed(stream.read(encodings.SNIFFED_BYTES))


def _blocks(read: Read, begin: int, end: int | None, encoding: Encoding | None) -> Iterator[Block]:
    """Yield the lines in UTF-8; `read` continues at `begin`."""
    if encoding is None:
        return json_lines.blocks(read, begin, end)
    return json_lines.blocks(encodings.transcoded(read, encoding), begin, end, encoding.unit)


def _sniffed_blocks(read: Read) -> Iterator[Block]:
    """Yield the lines of a stream in any encoding."""
    beginning = encodings.beginning_of(read)
    encoding = encodings.sniffed(beginning)
    begin = encoding.mark if encoding else 0
    yield from _blocks(encodings.after(beginning[begin:], read), begin, None, encoding)


def _next_line(stream: BinaryIO, start: int) -> int:
    """Return the beginning of the first line that begins at or after `start`."""
    place = start - 1
    stream.seek(place)
    while piece := stream.read(2**16):
        end = piece.find(b"\n") + 1
        if end:
            return place + end
        place += len(piece)
    return place


def _lines_before(unit: Unit) -> int:
    """Count the line ends before the first line of a unit."""
    if not unit.parameters or not unit.parameters["bytes"][0]:
        return 0
    with files.reading(full_uri(unit)) as stream:
        remaining = _next_line(stream, unit.parameters["bytes"][0])
        stream.seek(0)
        lines = 0
        while remaining and (piece := stream.read(min(remaining, json_lines.BYTES_PER_BLOCK))):
            lines += piece.count(b"\n")
            remaining -= len(piece)
    return lines


@dataclass(slots=True)
class _Counted:
    """A stream that counts the bytes read from it."""

    stream: BinaryIO
    count: int = 0

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.count += len(data)
        return data
