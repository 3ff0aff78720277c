"""Common Crawl and other web archives: WARC and ARC files (responses) and WET files (extracted text), plain or compressed.

A file is a unit. A response with HTTP status 200 and HTML or plain text is a document, and so is a conversion record of a WET
file. All other records are only counted. A broken record is a drop that names its place.

The Content-Type says what a response is, but its first bytes count, too (`sniffing`): a PDF that calls itself text/html is a drop
(NOT_TEXT); a page without a type is a page; XML is a page if its root element is html, else it is skipped (XML). What is served
as XML or XHTML is read as XML: there, `<div/>` is empty and CDATA sections are text; in text/html they are not.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime

from fastwarc.warc import WarcRecordType

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.reasons import DropReason, SkipReason
from pipelines.contract.storage.compressed import SHOWN
from pipelines.sources import listing
from pipelines.sources.collector import Collector, Record
from pipelines.sources.listing import SourceError, full_uri
from pipelines.sources.names import Names
from pipelines.sources.web import archive, http_message, says, sniffing
from pipelines.sources.web.http_message import Head, MessageError
from pipelines.sources.web.warc import Broken, WholeRecord
from pipelines.text.characters import normalize
from pipelines.text.characters.code_spaces import without_stand_ins
from pipelines.text.characters.encodings import decode
from pipelines.text.extraction import html, visible
from pipelines.text.extraction.extractors import EXTRACTORS, Extract
from pipelines.text.extraction.pages import opt_outs
from pipelines.text.extraction.pages.extract import ExtractionError
from pipelines.text.extraction.pages.tree import parse
from pipelines.units.descriptor import Unit

VERSION = 15

NAMES = Names(
    reads=re.compile(r"\.(?:warc|wet|arc)$"),
    shown=f".warc, .wet and .arc, plain or with {SHOWN}",
    hints=(
        (
            re.compile(r"\.wat\b"),
            "a WAT file describes pages and holds no text of theirs: fetch the .warc or .wet file beside it",
        ),
        (re.compile(r"\.open$"), "a file that ends in .open is still being written by its crawler"),
    ),
)

_XHTML = frozenset({"application/xhtml+xml", "application/vnd.wap.xhtml+xml"})
_HTML = frozenset({"text/html"}) | _XHTML
_XML = frozenset({"application/xml", "text/xml"})
_PLAIN = "text/plain"
_RESPECTED = {"noindex": ("noindex",), "noai": ("noai", "noimageai"), "tdm": ("tdm",)}
_UNINFORMATIVE = frozenset(  # headers that do not identify the content
    {"", "application/octet-stream", "binary/octet-stream", "application/unknown", "unknown/unknown", "*/*", "unk", "no-type"}
)
_NO_PAGES = frozenset({"rss", "feed", "rdf", "urlset", "sitemapindex", "opml"})  # roots of XML that is served as text/html, too


def units(section: SourceSection) -> list[Unit]:
    """Return one unit per file."""
    return listing.units(section, NAMES)


def read(section: SourceSection, unit: Unit, collector: Collector | None = None) -> Iterator[Batch]:
    """Yield the documents of the files of a unit, gathered by the collector if there is one already.

    Raise SourceError if a file holds no WARC or ARC record.
    """
    collector = collector or Collector(section)
    with extractor(section) as extract:
        for file in listing.members(unit):
            yield from _read(file, collector, extract)
    yield collector.rest()


def extractor(section: SourceSection) -> AbstractContextManager[Extract]:
    """Return the extractor that the section names, as it writes a page's structure, for the pages of a unit."""
    return EXTRACTORS[section.extractor].opened(markdown=section.format == "markdown")


def _read(unit: Unit, collector: Collector, extract: Extract) -> Iterator[Batch]:
    """Yield the full batches of one file."""
    counted = 0
    any_record, is_cut, first_problem = False, False, "holds no record"
    with files.reading(full_uri(unit)) as stored, archive.opened(stored, unit.bytes) as opened:
        for item in opened.records():
            if isinstance(item, Broken):
                any_record |= item.record_id is not None
                is_cut |= item.is_cut_stream
                first_problem = item.detail if not any_record else first_problem
                _drop_broken(collector, unit, item)
            else:
                any_record = True
                _take(collector, unit, item, extract)
            if opened.are_stored and item.offset is not None and item.offset > counted:
                collector.read(item.offset - counted)
                counted = item.offset
            if any_record:
                yield from collector.full()
    if not any_record and not is_cut:  # of a file that breaks off, sources.cut_off_files decides
        raise SourceError(
            f"{full_uri(unit)}: byte 0: not a WARC or ARC file ({first_problem}); remove it, fetch it again, or correct"
            " sources.paths"
        )
    collector.read(unit.bytes - counted)
    yield from collector.full()


def _drop_broken(collector: Collector, unit: Unit, broken: Broken) -> None:
    place = f"{unit.uri}#{broken.offset if broken.offset is not None else 'end'}"
    record = Record(key=broken.record_id or place, origin=place, text="")
    reason = DropReason.CUT_OFF if broken.is_end else DropReason.UNREADABLE
    collector.drop(record, reason, f"{place}: {broken.detail}")


def _take(collector: Collector, unit: Unit, whole: WholeRecord, extract: Extract) -> None:
    """Keep, drop or skip one whole record."""
    if whole.kind == WarcRecordType.conversion:
        _take_text(collector, _record(unit, whole), whole.block, "utf-8", whole.length)
    elif whole.kind == WarcRecordType.response:
        _take_response(collector, unit, whole, extract)
    else:
        collector.skip(SkipReason.REVISIT if whole.kind == WarcRecordType.revisit else SkipReason.RECORD_TYPE)


def _record(unit: Unit, whole: WholeRecord) -> Record:
    place = f"{unit.uri}#{whole.offset if whole.offset is not None else whole.record_id}"
    return Record(
        key=whole.record_id or place,
        origin=place,
        text="",
        url=whole.headers.get("warc-target-uri", "").strip("<> ") or None,
        retrieved=_iso(whole.headers.get("warc-date")),
    )


def _take_response(collector: Collector, unit: Unit, whole: WholeRecord, extract: Extract) -> None:
    record = _record(unit, whole)
    if "msgtype=request" in whole.headers.get("content-type", "") or record.url is None or record.url.startswith("dns:"):
        collector.skip(SkipReason.RECORD_TYPE)
        return
    try:
        head = http_message.parse_head(whole.block)
        media_type = _media_type(head, whole)
        if head.status != 200:
            collector.skip(SkipReason.HTTP_STATUS)
        elif not _is_read(media_type) or (not whole.is_kept and not _is_text(media_type)):
            collector.skip(SkipReason.CONTENT_TYPE)
        elif not whole.is_kept:
            collector.drop(record, DropReason.EXTRACTION_FAILED, f"{record.origin}: a record of {whole.length:,} bytes")
        else:
            record.headers = head.about
            body = http_message.body(whole.block, head, html.MAX_BYTES)
            take_body(collector, record, body, media_type, head.charset, extract)
    except MessageError as error:
        collector.drop(record, DropReason.UNREADABLE, f"{record.origin}: {error}")


def _is_read(media_type: str) -> bool:
    return _is_text(media_type) or media_type in _XML or media_type in _UNINFORMATIVE


def _is_text(media_type: str) -> bool:
    return media_type in _HTML or media_type == _PLAIN


def take_body(collector: Collector, record: Record, body: bytes, media_type: str, charset: str | None, extract: Extract) -> None:
    """Keep, drop or skip a body by its type and by what its first bytes say."""
    if not _is_text(media_type):
        skipped = _why_no_page(body, media_type)
        if skipped is not None:
            collector.skip(skipped)
            return
    elif (file := sniffing.file_type(body)) is not None:
        collector.drop(record, DropReason.NOT_TEXT, f"{record.origin}: says {media_type} and is {file}")
        return
    if media_type in _HTML and sniffing.xml_root(body) in _NO_PAGES:
        collector.skip(SkipReason.XML)
    elif media_type == _PLAIN:
        record.opt_outs = opt_outs.in_order(opt_outs.of_headers(record.headers))
        if not _is_opted_out(collector, record):
            _take_text(collector, record, body, charset, len(body))
    else:
        _take_page(collector, record, body, charset, extract, is_xml=media_type in _XHTML | _XML)


def _why_no_page(body: bytes, media_type: str) -> SkipReason | None:
    """Return why a body that is not declared as a page or a text is none; None if it is a page."""
    if media_type in _XML or sniffing.is_declared_xml(body):
        return None if sniffing.xml_root(body) == "html" else SkipReason.XML
    return None if sniffing.is_html(body) and not sniffing.is_binary(body) else SkipReason.CONTENT_TYPE


def _is_opted_out(collector: Collector, record: Record) -> bool:
    """Drop the record if it says what `sources.respect` respects; return whether it does."""
    for respected in collector.section.respect:
        said = [name for name in record.opt_outs if name in _RESPECTED[respected]]
        if said:
            collector.drop(record, DropReason(f"opted_out_{respected}"), f"the page says {' and '.join(said)}")
            return True
    return False


def _media_type(head: Head, whole: WholeRecord) -> str:
    """Return the server's media type, or the crawler's if the server names none or the crawler found that it is not text."""
    identified = whole.headers.get("warc-identified-payload-type", "").split(";")[0].strip().lower()
    if head.media_type in _UNINFORMATIVE or (identified not in _UNINFORMATIVE and not _may_be_text(identified)):
        return identified
    return head.media_type


def _may_be_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type.endswith(("xml", "json", "javascript"))


def _take_page(collector: Collector, record: Record, body: bytes, charset: str | None, extract: Extract, *, is_xml: bool) -> None:
    try:
        read = html.utf8_html(body, charset)
        if read is None:
            collector.drop(
                record, DropReason.UNDECODABLE, f"{record.origin}: text in no known encoding (declared: {charset or 'none'})"
            )
            return
        markup, data = read
        cleaned = without_stand_ins(sniffing.without_subset(markup) if is_xml else markup)
        if cleaned is not markup:
            markup, data = cleaned, cleaned.encode("utf-8", "replace")
        tree = parse(data, is_xml=is_xml)
        says.describe(record, tree)
        if _is_opted_out(collector, record):
            return
        page = extract(markup, tree)
    except ExtractionError as error:
        collector.drop(record, DropReason.EXTRACTION_FAILED, f"{record.origin}: {error}")
        return
    if collector.section.images:
        says.illustrate(record, tree, page)
    collector.watch(record, markup, page)
    record.text, record.title = page.text, record.title or page.title
    seen = page.judged.visible_characters if page.judged else visible.visible_characters(markup)
    is_blank = normalize.is_blank(page.text)
    collector.page(
        visible_characters=seen,
        kept_characters=0 if is_blank else visible.characters(page.text),
        is_fallback=page.judged is not None and page.judged.verdict.is_fallback,
    )
    if is_blank:
        collector.drop(record, DropReason.NO_MAIN_TEXT, f"{record.origin}: {seen:,} characters of visible text")
    else:
        collector.keep(record)


def _take_text(collector: Collector, record: Record, data: bytes, charset: str | None, length: int) -> None:
    if length > html.MAX_BYTES:
        collector.drop(record, DropReason.EXTRACTION_FAILED, f"{record.origin}: a text of {length:,} bytes or more")
    elif decoded := decode(data, charset):
        record.text = decoded.text if not decoded.text.isspace() else ""
        collector.keep(record)
    else:
        collector.drop(
            record, DropReason.UNDECODABLE, f"{record.origin}: text in no known encoding (declared: {charset or 'none'})"
        )


def _iso(date: str | None) -> str | None:
    """Return the date if it is valid (ClueWeb has dates with a three-digit day)."""
    try:
        datetime.fromisoformat(date or "")
    except ValueError:
        return None
    return date
