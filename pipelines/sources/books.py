"""Books: plain text, HTML and TEI files, plain or compressed.

Books are small, so a unit groups files, in the order of their paths, up to about 64 MB. The whole text is kept, except for what
is not part of the book: Project Gutenberg's licence, Aozora's transcription marks, line wrapping, TEI's header.
"""

import io
import re
from collections.abc import Iterable, Iterator

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.reasons import DropReason, SkipReason
from pipelines.contract.storage.compressed import SHOWN, BrokenStreamError, compression, pieces, uncompressed
from pipelines.sources import listing
from pipelines.sources.collector import Collector, Record
from pipelines.sources.listing import SourceError
from pipelines.sources.names import Names
from pipelines.text.characters.code_spaces import restored, without_stand_ins
from pipelines.text.characters.encodings import decode, python_encoding
from pipelines.text.extraction.aozora import strip_aozora
from pipelines.text.extraction.gutenberg import strip_gutenberg
from pipelines.text.extraction.html import decode_html, page_title
from pipelines.text.extraction.pages.extract import ExtractionError
from pipelines.text.extraction.pages.structure import whole_text
from pipelines.text.extraction.tei import NotTeiError, TeiError, tei_text
from pipelines.text.extraction.wrapping import unwrap
from pipelines.units.descriptor import Unit

VERSION = 7
TARGET_BYTES_PER_UNIT = 64 * 10**6  # as stored
MAX_BYTES_PER_FILE = 2**28  # uncompressed; the longest novels have 10 MB

_GAPS = re.compile(r"\n[ \t\u3000]*\n\s*\n")
_INLINE_TAG = re.compile(r"</?(?:strong|b|i|em|u|p|br|center|font|span|sup|sub|small|big|hr)\b[^<>]{0,200}>", re.I)
_BREAK_TAG = re.compile(r"<(?:br|hr|/p)\b[^<>]{0,200}>", re.I)
_ANY_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_MAX_TITLE = 120  # characters
_SENTENCE_END = re.compile(r"[.。:：；;,，、]['\"”’」』]*$|[。！？，；：].*[。！？?!]['\"”’」』]*$")  # or clauses


class _Drop(Exception):
    """This file is not a usable document."""

    def __init__(self, reason: DropReason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def units(section: SourceSection) -> list[Unit]:
    """Return units that group files in the order of their paths."""
    return listing.units(section, NAMES, lambda found: listing.grouped(found, TARGET_BYTES_PER_UNIT))


def read(section: SourceSection, unit: Unit) -> Iterator[Batch]:
    """Yield the books of one unit, one document per file.

    Raise SourceError if a file has disappeared or the configured encoding does not exist.
    """
    if section.encoding is not None and python_encoding(section.encoding) is None:
        raise SourceError(f"source {section.name}: {section.encoding!r} is not an encoding; correct sources.encoding")
    collector = Collector(section)
    for path in unit.paths:
        _take(collector, section, unit, path)
        yield from collector.full()
    yield collector.rest()


def _take(collector: Collector, section: SourceSection, unit: Unit, path: str) -> None:
    kind = _KINDS[_suffix(path)]
    uri = files.join(unit.root, path)
    try:
        with files.reading(uri) as stream:
            stored = stream.read()
    except FileNotFoundError:
        raise SourceError(f"{uri}: is gone since the units were listed; restore it, or start the build again") from None
    collector.read(len(stored))
    record = Record(key=path, origin=f"{path}#0", text="")
    try:
        text, record.title = kind(_uncompressed(stored), section)
        record.text = _GAPS.sub("\n\n", text).strip()
        collector.keep(record)
    except NotTeiError as error:
        if section.unread_files == "stop":
            raise SourceError(
                f"source {section.name}: {uri} is XML, but not TEI ({error}); leave it out of sources.paths, or count"
                ' such files as skipped with sources.unread_files = "skip"'
            ) from None
        collector.skip(SkipReason.FILE_TYPE)
    except _Drop as drop:
        collector.drop(record, drop.reason, f"{path}: {drop.detail}")


def _suffix(path: str) -> str:
    return uncompressed(path).rpartition(".")[2]


def _uncompressed(stored: bytes) -> bytes:
    """Return the content of a file, which may be compressed."""
    if compression(stored) is None:
        return stored
    parts: list[bytes] = []
    room = MAX_BYTES_PER_FILE
    try:
        for piece in pieces(io.BytesIO(stored).read):
            room -= len(piece)
            if room <= 0:
                raise _Drop(DropReason.UNREADABLE, f"more than {MAX_BYTES_PER_FILE:,} bytes when uncompressed")
            parts.append(piece)
    except BrokenStreamError as error:
        raise _Drop(DropReason.CUT_OFF if error.is_cut_off else DropReason.UNREADABLE, str(error)) from None
    return b"".join(parts)


def _plain(data: bytes, section: SourceSection) -> tuple[str, str | None]:
    decoded = decode(data, section.encoding)
    if decoded is None:
        raise _Drop(DropReason.UNDECODABLE, "text in no known encoding; set sources.encoding if it is known")
    book = strip_gutenberg(decoded.text)
    text = unwrap(_strip_tags(strip_aozora(book.text)))
    return text, book.title or _first_line(text)


def _html(data: bytes, section: SourceSection) -> tuple[str, str | None]:
    try:
        markup = decode_html(data, section.encoding)
        if markup is None:
            raise _Drop(DropReason.UNDECODABLE, "text in no known encoding; set sources.encoding if it is known")
    except ExtractionError as error:
        raise _Drop(DropReason.EXTRACTION_FAILED, str(error)) from None
    text = whole_text(without_stand_ins(markup))
    plain = restored(text)  # a mark of Project Gutenberg may be in <pre>
    book = strip_gutenberg(plain)
    start = plain.find(book.text)
    return text[start : start + len(book.text)], book.title or page_title(markup) or _first_line(book.text)


def _tei(data: bytes, section: SourceSection) -> tuple[str, str | None]:
    try:
        book = tei_text(data)
    except NotTeiError:
        raise
    except TeiError as error:
        raise _Drop(DropReason.UNREADABLE, str(error)) from None
    return book.text, book.title or _first_line(book.text)


def _strip_tags(text: str) -> str:
    """Remove the few tags that converters leave in plain text; a text with other tags is about markup and is unchanged."""
    tags = set(_ANY_TAG.findall(text))
    if not tags or not all(_INLINE_TAG.fullmatch(tag) for tag in tags):
        return text
    return _INLINE_TAG.sub("", _BREAK_TAG.sub("\n", text))


def _first_line(text: str) -> str | None:
    """Return the first line if it looks like a title."""
    lines: Iterable[str] = (line.strip() for line in text[:2000].split("\n"))
    first = next((" ".join(line.split()) for line in lines if line), "")
    return first if 0 < len(first) <= _MAX_TITLE and not _SENTENCE_END.search(first) else None


NAMES = Names(
    reads=re.compile(r"\.(?:txt|text|html|htm|xhtml|xml)$"),
    shown=f".txt, .text, .html, .htm, .xhtml and .xml (TEI), plain or with {SHOWN}",
)
_KINDS = {"txt": _plain, "text": _plain, "html": _html, "htm": _html, "xhtml": _html, "xml": _tei}
