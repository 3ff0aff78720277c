"""Read the records of a WARC file, and report and skip everything that is broken in it.

FastWARC reads the records. This module detects what FastWARC does not report (a truncated gzip stream, a record of wrong
length) and skips what stops it (garbage, a damaged gzip member). To do so, a record is held back until the next one begins
where it should.

Limits: if a whole file is one gzip member, its records have no offsets, and nothing after the first damage can be read.
"""

import re
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

MAX_BLOCK_BYTES = 32 * 2**20  # of a record in memory; only the beginning of a longer one is read
BEGINNING_BYTES = 2**16
_WINDOW_BYTES = 2**18  # of the file, in the search for the next record
_GZIP = b"\x1f\x8b\x08"
_MEMBER = re.compile(re.escape(_GZIP))
_PLAIN = re.compile(rb"(?:(?<=\n)|\A)WARC/[01]\.\d{1,2}\r?\n")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\nContent-Length[ \t]*:[ \t]*(\d+)", re.I)
_HOLDS_MORE = "the gzip member holds more than one record"
_ENDS_ELSEWHERE = "the record does not end where it says"
_HEADLESS = "the record's header has no end"
_CUT_OFF = "the file ends in the middle of a gzip member: it is cut off"
_OVERLAP_BYTES = 1024  # of two windows: enough to recognise a record's beginning
_READ_TYPES = WarcRecordType.response | WarcRecordType.conversion


@dataclass(slots=True)
class WholeRecord:
    """A whole record."""

    offset: int | None  # of its first stored byte; None when only the start of a larger gzip member is known
    kind: WarcRecordType
    headers: dict[str, str]  # WARC header names in lower case
    length: int  # Content-Length
    block: bytes = b""  # of responses and conversions; cut off after 64 KiB when longer than MAX_BLOCK_BYTES

    @property
    def record_id(self) -> str | None:
        """WARC-Record-ID without its angle brackets."""
        return self.headers.get("warc-record-id", "").strip("<> ") or None

    @property
    def is_kept(self) -> bool:
        """Return whether the block is short enough to be kept whole."""
        return self.length <= MAX_BLOCK_BYTES

    @property
    def is_short(self) -> bool:
        """Return whether the file held less than the record says."""
        return bool(self.kind & _READ_TYPES) and self.is_kept and len(self.block) < self.length


@dataclass(slots=True)
class Broken:
    """A stretch of the file that is not a whole record."""

    offset: int | None
    detail: str
    record_id: str | None = None  # when at least its header could be read
    is_end: bool = False  # the file breaks off here, or nothing after it can be read
    is_cut_stream: bool = False  # a compressed stream has no end


@dataclass(slots=True)
class _Frame:
    """The end of a record that begins at some offset, and what is wrong with it."""

    end: int
    problem: str | None = None


def records(stream: BinaryIO, size: int) -> Iterator[WholeRecord | Broken]:
    """Yield all records of a file of `size` stored bytes, of every type, in order; `stream` must be seekable."""
    file = _File(stream, size)
    start: int | None = 0
    while start is not None and start < size:
        start = yield from _stretch(file, start)


def _stretch(file: "_File", start: int) -> Generator[WholeRecord | Broken, None, int | None]:
    """Read from `start` to the end or the first damage; return where to continue, or None."""
    held: WholeRecord | None = None  # read, but not yet confirmed
    current: WholeRecord | None = None  # its header is read, its block not yet
    file.stream.seek(start)
    try:
        for record in ArchiveIterator(file.stream, parse_http=False):
            if held:
                yield held
            held, current = None, _header(record, file.has_offsets)
            if current.kind & _READ_TYPES:
                current.block = record.reader.read(current.length if current.is_kept else BEGINNING_BYTES)
            held, current = current, None
    except OSError as error:
        damage = str(error)
    else:
        yield from _at_end(file, start, held)
        return None
    return (yield from _after_damage(file, start, held, current, damage))


def _header(record: WarcRecord, has_offsets: bool) -> WholeRecord:
    return WholeRecord(
        offset=record.stream_pos if has_offsets else None,
        kind=record.record_type,
        headers={name.lower(): value for name, value in record.headers.items()},
        length=record.content_length,
    )


def _at_end(file: "_File", start: int, held: WholeRecord | None) -> Iterator[WholeRecord | Broken]:
    """Yield the last record and what follows it. A gzip stream that was cut off ends here without an error."""
    if held is None:
        is_cut = file.is_cut(start)
        yield Broken(start, _CUT_OFF if is_cut else "holds no record", is_end=True, is_cut_stream=is_cut)
        return
    frame = file.frame(held.offset)
    if held.is_short:
        yield Broken(
            held.offset, f"the record says {held.length:,} bytes and has {len(held.block):,}", held.record_id, is_end=True
        )
    elif frame.problem:
        yield Broken(held.offset, frame.problem, held.record_id, is_end=True)
    else:
        yield held
        if not file.is_blank(frame.end):
            yield Broken(frame.end, f"the last {file.size - frame.end:,} bytes of the file are no whole record", is_end=True)


def _after_damage(
    file: "_File", start: int, held: WholeRecord | None, current: WholeRecord | None, damage: str
) -> Generator[WholeRecord | Broken, None, int | None]:
    """Report the damage once and return the place to continue, which is always after `start`."""
    if current:
        if held:
            yield held
        on = file.next_start(current.offset)
        yield Broken(current.offset, damage, current.record_id, is_end=on is None)
        return on
    if held is None:
        on = file.next_start(start)
        yield Broken(start, damage, is_end=on is None)
        return on
    if held.offset is None:  # nothing can be verified or found again
        yield held
        yield Broken(None, damage, is_end=True)
        return None
    frame, on = file.frame(held.offset), file.next_start(held.offset)
    if frame.problem:
        yield Broken(held.offset, frame.problem, held.record_id, is_end=on is None)
        return on
    yield held
    if on != frame.end:  # else the damage is in the record that begins there, which is read next
        yield Broken(frame.end, damage, is_end=on is None)
    return on


class _File:
    """Finds where records begin and end in the stored bytes."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.size = stream, size
        self.is_gzip = self._bytes_at(0, 3) == _GZIP
        self.has_offsets = not self.is_gzip or self._has_a_member_each()

    def frame(self, offset: int | None) -> _Frame:
        """Check the record that begins at this offset on its own: is it whole, and where does it end?

        Without an offset, check the whole file.
        """
        if offset is None:
            return self._gzip_stream()
        return self._gzip_frame(offset) if self.is_gzip else self._plain_frame(offset)

    def is_cut(self, offset: int) -> bool:
        """Return whether a gzip member begins here that has no end."""
        return self._bytes_at(offset, len(_GZIP)) == _GZIP and self._gzip_frame(offset).problem == _CUT_OFF

    def is_blank(self, offset: int) -> bool:
        """Return whether only line ends and NULs follow (some writers pad)."""
        return not self._bytes_at(offset, _WINDOW_BYTES).strip(b"\r\n\0 ")

    def next_start(self, after: int | None) -> int | None:
        """Return the first place after this one where a record begins, or None."""
        if after is None or not self.has_offsets:
            return None
        place = after + 1
        while place < self.size:
            window = self._bytes_at(place - 1, _WINDOW_BYTES)
            for found in (_MEMBER if self.is_gzip else _PLAIN).finditer(window, 1):
                if not self.is_gzip or _begins_a_record(window[found.start() :]):
                    return place - 1 + found.start()
            place += max(1, len(window) - _OVERLAP_BYTES)
        return None

    def _bytes_at(self, offset: int, count: int) -> bytes:
        self.stream.seek(offset)
        return self.stream.read(count)

    def _has_a_member_each(self) -> bool:
        """Return whether every record is a gzip member, judging by the first one."""
        first = self._gzip_frame(0)
        if first.problem in (_HOLDS_MORE, _ENDS_ELSEWHERE):
            return False
        return first.problem is None or first.end >= self.size or self.next_begins(first.end)

    def next_begins(self, offset: int) -> bool:
        """Return whether a record begins here."""
        stored = self._bytes_at(offset, _OVERLAP_BYTES)
        return _begins_a_record(stored) if self.is_gzip else _PLAIN.match(stored) is not None

    def _gzip_stream(self) -> _Frame:
        """Inflate all members to check their checksums and the file's end."""
        inflater, place = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
        while stored := self._bytes_at(place, _WINDOW_BYTES):
            place += len(stored)
            try:
                while stored:
                    if inflater.eof:
                        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
                    inflater.decompress(stored)
                    stored = inflater.unused_data
            except zlib.error as error:
                return _Frame(place, f"damaged gzip member: {error}")
        return _Frame(self.size, None if inflater.eof else _CUT_OFF)

    def _plain_frame(self, offset: int) -> _Frame:
        head = self._bytes_at(offset, BEGINNING_BYTES)
        if not _HEAD_END.search(head):
            return _Frame(self.size, _HEADLESS)
        start, length = _block(head)
        end = offset + start + length
        if end > self.size:
            return _Frame(self.size, f"the record says {length:,} bytes and has {self.size - offset - start:,}")
        after = self._bytes_at(end, 16)
        blank = len(after) - len(after.lstrip(b"\r\n"))
        if after and not blank:
            return _Frame(end, _ENDS_ELSEWHERE)
        return _Frame(end + blank)

    def _gzip_frame(self, offset: int) -> _Frame:
        """Inflate one member, keeping its beginning and what follows its first record."""
        inflater, place = zlib.decompressobj(zlib.MAX_WBITS | 16), offset
        head, total, tail, start, length = b"", 0, b"", 0, 0
        while not inflater.eof:
            stored = self._bytes_at(place, BEGINNING_BYTES)
            if not stored:
                return _Frame(place, _CUT_OFF)
            place += len(stored)
            try:
                text = inflater.decompress(stored)
            except zlib.error as error:
                return _Frame(place, f"damaged gzip member: {error}")
            if len(head) < BEGINNING_BYTES:
                head += text
                start, length = _block(head)
            total += len(text)
            beyond = min(len(text), max(0, total - start - length))
            tail = (tail + text[len(text) - beyond :])[:64]
            if tail.lstrip(b"\r\n").startswith(b"WARC/"):
                return _Frame(place, _HOLDS_MORE)
        end = place - len(inflater.unused_data)
        if not _HEAD_END.search(head):
            return _Frame(end, _HEADLESS)
        if total < start + length:
            return _Frame(end, f"the record says {length:,} bytes and has {total - start:,}")
        return _Frame(end, _ENDS_ELSEWHERE if tail.strip(b"\r\n\0") else None)


def _block(head: bytes) -> tuple[int, int]:
    """Return where a record's block begins, and its Content-Length, from the beginning of the record."""
    end = _HEAD_END.search(head)
    length = _LENGTH.search(head, 0, end.end() if end else len(head))
    return (end.end() if end else len(head)), (int(length[1]) if length else 0)


def _begins_a_record(stored: bytes) -> bool:
    try:
        return _PLAIN.match(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(stored, 16)) is not None
    except zlib.error:
        return False
