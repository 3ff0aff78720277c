"""Read the records of an ARC file (versions 1 and 2), the format of web archives before WARC, as if they were WARC responses.

A record is one line, its fields divided by single spaces, and as many bytes as its last field says:

    URL IP-address date type length                                                     version 1
    URL IP-address date type result checksum location offset filename length            version 2

The first record (filedesc://) names the version. An address or a type may hold spaces: the date divides them. (Burner and
Kahle, "Arc File Format", Internet Archive, 1996.)
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from fastwarc.warc import WarcRecordType

from pipelines.sources.web.warc import BEGINNING_BYTES, MAX_BLOCK_BYTES, Broken, WholeRecord

BEGINNING = b"filedesc://"

_MAX_LINE_BYTES = 2**16
_LINE = re.compile(
    rb"(?P<url>[A-Za-z][A-Za-z0-9+.-]*:[^\r\n]*?) \S* (?P<date>\d{8}(?:\d{4}(?:\d\d)?)?) (?P<type>[^\r\n ]*)"
    rb"(?: [^\r\n]*)? (?P<length>\d+)\r?\n?\Z"
)


def records(stream: BinaryIO) -> Iterator[WholeRecord | Broken]:
    """Yield all records in order; `stream` has the uncompressed file. What is no record is one Broken up to the next one."""
    offset, lost = 0, None  # where the line begins; where a stretch begins that is no record
    while line := stream.readline(_MAX_LINE_BYTES):
        fields = _LINE.match(line)
        if fields is None:
            lost = offset if lost is None and line.strip(b"\r\n\0 ") else lost
            offset += len(line)
            continue
        if lost is not None:
            yield Broken(lost, "bytes that are no ARC record")
            lost = None
        length = int(fields["length"])
        block = stream.read(length if length <= MAX_BLOCK_BYTES else BEGINNING_BYTES)
        end = offset + len(line) + length
        if length > MAX_BLOCK_BYTES:
            stream.seek(end)
        if _is_cut(stream, block, length, end):
            yield Broken(offset, f"the record says {length:,} bytes, and the file ends before", _id(fields), is_end=True)
            return
        yield _record(offset, fields, block, length)
        offset = end
    if lost is not None:
        yield Broken(lost, "bytes that are no ARC record", is_end=True)


def _is_cut(stream: BinaryIO, block: bytes, length: int, end: int) -> bool:
    if len(block) == length:
        return False
    if length <= MAX_BLOCK_BYTES:
        return True
    stream.seek(end - 1)
    return not stream.read(1)


def _record(offset: int, fields: re.Match[bytes], block: bytes, length: int) -> WholeRecord:
    """Return the record as a response; that of the file itself is a warcinfo, and a DNS answer has the block of its own kind."""
    url = fields["url"].decode("utf-8", "replace")
    is_about_file = fields["url"].startswith(BEGINNING)
    headers = {
        "warc-target-uri": url,
        "warc-date": _iso(fields["date"].decode()),
        "content-type": fields["type"].decode("latin-1"),
    }
    kind = WarcRecordType.warcinfo if is_about_file else WarcRecordType.response
    return WholeRecord(offset, kind, headers, length, block)


def _id(fields: re.Match[bytes]) -> str:
    return f"{fields['url'].decode('utf-8', 'replace')} {fields['date'].decode()}"


def _iso(date: str) -> str:
    """Return a date of 14 digits (or 8, or 12) in the form of WARC dates.

    >>> _iso("19961104142103")
    '1996-11-04T14:21:03Z'
    """
    day, time = f"{date[:4]}-{date[4:6]}-{date[6:8]}", date[8:].ljust(6, "0")
    return f"{day}T{time[:2]}:{time[2:4]}:{time[4:6]}Z"
