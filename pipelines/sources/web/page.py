"""A file that is one web page: HTML or XHTML, plain or compressed, as somebody has saved it."""

from collections.abc import Iterator

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.reasons import DropReason
from pipelines.contract.storage.compressed import BrokenStreamError, pieces, uncompressed
from pipelines.sources.collector import Collector, Record
from pipelines.sources.listing import full_uri
from pipelines.sources.web import common_crawl
from pipelines.text.extraction import html
from pipelines.units.descriptor import Unit


def read(section: SourceSection, unit: Unit, collector: Collector | None = None) -> Iterator[Batch]:
    """Yield the page, a drop that says what is wrong with it, or only a count: a file that calls itself HTML may be anything."""
    collector = collector or Collector(section)
    record = Record(key=unit.uri, origin=f"{unit.uri}#0", text="")
    content = bytearray()
    try:
        with files.reading(full_uri(unit)) as stream:
            for piece in pieces(stream.read):
                content += piece
                if len(content) > html.MAX_BYTES:  # which is refused; a small file may hold any number of bytes
                    break
        with common_crawl.extractor(section) as extract:
            body = bytes(content[: html.MAX_BYTES + 1])
            common_crawl.take_body(collector, record, body, _media_type(unit.uri), None, extract)
    except BrokenStreamError as error:
        reason = DropReason.CUT_OFF if error.is_cut_off else DropReason.UNREADABLE
        collector.drop(record, reason, f"{record.origin}: {error}")
    collector.read(unit.bytes)
    yield collector.rest()


def _media_type(uri: str) -> str:
    is_xhtml = uncompressed(uri).endswith((".xhtml", ".xht", ".xml"))
    return "application/xhtml+xml" if is_xhtml else "text/html"
