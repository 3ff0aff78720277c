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
    one, a row has no page, or nothing is left.
    """
    rows: dict[str, _Row] = {}
    for path in truth:
        rows.update(_rows(path))
    pages: dict[str, LabelledPage] = {}
    for path in archives:
        for url, markup in _markup(path):
            if url in rows and url not in pages:
                pages[url] = LabelledPage(url, markup, rows[url].text, rows[url].kind)
    missing = [row.place for url, row in rows.items() if url not in pages]
    if missing:
        raise TruthError(
            f"{missing[0]}: no archive has a page with this URL ({len(missing):,} rows without one); name its WARC file"
        )
    if not pages:
        raise TruthError(f"{', '.join(map(str, truth))}: no row; a row is a JSON object with url and text")
    return [pages[url] for url in sorted(pages)]


def _rows(path: Path) -> Iterator[tuple[str, _Row]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            place = f"{path}: line {number:,}"
            try:
                row = json.loads(line)
                yield row["url"], _Row(row["text"], row.get("type") or row.get("language") or "", place)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise TruthError(f"{place}: not a JSON object with url and text") from None


def _markup(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield URL and markup (UTF-8) of every page of an archive."""
    with files.reading(str(path)) as stored, archive.opened(stored, path.stat().st_size) as opened:
        for item in opened.records():
            if isinstance(item, Broken) or item.kind != WarcRecordType.response:
                continue
            head = http_message.parse_head(item.block)
            text = html.decode_html(http_message.body(item.block, head, html.MAX_BYTES), head.charset)
            if text is not None:
                yield item.headers.get("warc-target-uri", "").strip("<> "), text.encode("utf-8", "replace")
