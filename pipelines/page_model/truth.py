"""Read labelled pages: web archives, and JSON Lines with the text that people took from each page."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastwarc.warc import WarcRecordType

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.page_model.train import LabelledPage
from pipelines.sources.web import archive, http_message
from pipelines.sources.web.warc import Broken
from pipelines.text.extraction import html


class TruthError(UserError):
    """Labelled pages that cannot be used; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class _Row:
    text: str
    kind: str
    place: str


def labelled_pages(truth: Sequence[Path], archives: Sequence[Path]) -> list[LabelledPage]:
    """Return the pages of the archives that have a row in a truth file, in the order of their URLs.

    A row is {"url", "text"}, and may have "type" or "language", by which scores are reported. Raise TruthError if a row is not
    one, two rows have a URL, a row has no page, an archive is broken, or nothing is left.
    """
    rows: dict[str, _Row] = {}
    for path in truth:
        for url, row in _rows(path):
            if url in rows:
                raise TruthError(f"{row.place}: the URL of {rows[url].place} again; remove one of them")
            rows[url] = row
    pages: dict[str, LabelledPage] = {}
    for path in archives:
        for url, markup in _markup(path):
            if url in rows and url not in pages:
                pages[url] = LabelledPage(url, markup, rows[url].text, rows[url].kind)
    missing = [row.place for url, row in rows.items() if url not in pages]
    if missing:
        raise TruthError(
            f"{missing[0]}: no archive has a page with this URL (rows without one: {len(missing):,}); name its WARC file"
        )
    if not pages:
        raise TruthError(f"{', '.join(map(str, truth))}: no row; a row is a JSON object with url and text")
    return [pages[url] for url in sorted(pages)]


def _rows(path: Path) -> Iterator[tuple[str, _Row]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            place = f"{path}: line {number:,}"
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                url, text = row["url"], row["text"]
                kind = row.get("type") or row.get("language") or ""
            except (ValueError, KeyError, TypeError, AttributeError):
                raise TruthError(f"{place}: not a JSON object in UTF-8 with url and text") from None
            if not (isinstance(url, str) and isinstance(text, str) and isinstance(kind, str)):
                raise TruthError(f"{place}: url, text, type and language must be strings; correct or remove the row")
            yield url, _Row(text, kind, place)


def _markup(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield URL and markup (UTF-8) of every page of an archive. Raise TruthError at a record that is broken."""
    with files.reading(str(path)) as stored, archive.opened(stored, path.stat().st_size) as opened:
        for item in opened.records():
            if isinstance(item, Broken):
                place = f"{path}: byte {item.offset or 0:,}" if opened.are_stored else str(path)
                raise TruthError(f"{place}: not a whole record of a web archive ({item.detail}); fetch the file again")
            if item.kind != WarcRecordType.response:
                continue
            head = http_message.parse_head(item.block)
            text = html.decode_html(http_message.body(item.block, head, html.MAX_BYTES), head.charset)
            if text is not None:
                yield item.headers.get("warc-target-uri", "").strip("<> "), text.encode("utf-8", "replace")
