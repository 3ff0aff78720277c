"""Gather a reader's records, one by one, into Batches of about 16 MiB of text."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.config import SourceSection
from pipelines.contract.batch import Batch, as_drops, born, documents_from
from pipelines.contract.ledger import Ledger
from pipelines.contract.reasons import DropReason, PageCount, SkipReason
from pipelines.contract.schema import TARGET_BYTES_PER_BATCH, document_id
from pipelines.text.characters.code_spaces import restored
from pipelines.text.extraction.html import Page

READ = "read"  # the reader's name as a stage
ROWS_PER_BATCH = 50_000  # a batch of short texts is full at this many rows


@dataclass(slots=True)
class Record:
    """A document as a source describes it."""

    key: str  # stable name within the source: dbname/page/revision, WARC-Record-ID, relative path
    origin: str  # file relative to the root, "#", offset or record id
    text: str
    url: str | None = None
    title: str | None = None
    date: str | None = None  # of the document: ISO 8601
    retrieved: str | None = None  # ISO 8601
    author: str | None = None
    license: str | None = None  # as the document says; the source's own is added in the corpus
    canonical_url: str | None = None
    declared_language: str | None = None
    site_type: str | None = None
    opt_outs: tuple[str, ...] = ()
    images: Sequence[Mapping[str, object]] | None = None  # schema.IMAGE
    headers: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict[str, tuple[str, ...]]
    )  # http_message.Head.about: no column


@dataclass(slots=True)
class Collector:
    """A buffer to fill with `keep`, `drop` and `skip`; take batches with `full` while reading and with `rest` at the end."""

    section: SourceSection
    target_bytes: int = TARGET_BYTES_PER_BATCH
    _keys: set[str] = field(default_factory=set[str])  # of the unit's documents: no two may have the same id
    _kept: list[Record] = field(default_factory=list)
    _dropped: list[tuple[Record, DropReason, str]] = field(default_factory=list)
    _skipped: Counter[str] = field(default_factory=Counter)
    _pages: Counter[str] = field(default_factory=Counter)
    _bytes_read: int = 0
    _text_bytes: int = 0

    def keep(self, record: Record) -> None:
        """Add a document; drop it if it has no text (EMPTY) or an earlier document's key (REPEATED_KEY)."""
        if not record.text:
            self.drop(record, DropReason.EMPTY)
            return
        if record.key in self._keys:
            self.drop(record, DropReason.REPEATED_KEY, f"an earlier record of this unit has the key {record.key}")
            return
        self._keys.add(record.key)
        self._kept.append(record)
        self._text_bytes += len(record.text)

    def drop(self, record: Record, reason: DropReason, detail: str = "") -> None:
        """Add a drop: a record that is a document but cannot be used."""
        record.text = restored(record.text)  # no later stage turns the white space of code back
        self._dropped.append((record, reason, detail))
        self._text_bytes += len(record.text)

    def skip(self, reason: SkipReason, count: int = 1) -> None:
        """Count records that are not documents."""
        self._skipped[reason] += count

    def page(self, *, visible_characters: int, kept_characters: int, is_fallback: bool = False) -> None:
        """Count a web page: how much text it shows, and how much of that the extractor kept (characters without white space).

        Marks that the extractor adds (bullets, bars of tables) do not count as kept: no more is kept than is visible.
        """
        self._pages[PageCount.PAGES] += 1
        self._pages[PageCount.VISIBLE_CHARACTERS] += visible_characters
        self._pages[PageCount.KEPT_CHARACTERS] += min(kept_characters, visible_characters)
        self._pages[PageCount.FALLBACKS] += is_fallback
        self._pages[PageCount.WITHOUT_MAIN_TEXT] += kept_characters == 0

    def watch(self, record: Record, markup: str, page: Page) -> None:
        """Do nothing: a collector that shows pages to a person overrides it. It is called with each page that was extracted."""

    def read(self, stored_bytes: int) -> None:
        """Count bytes of the stored input."""
        self._bytes_read += stored_bytes

    def full(self) -> Iterator[Batch]:
        """Yield the batch if it holds enough text or rows."""
        if self._text_bytes >= self.target_bytes or len(self._kept) + len(self._dropped) >= ROWS_PER_BATCH:
            yield self.rest()

    def rest(self) -> Batch:
        """Return everything since the last batch. A reader yields it last even if it is empty, because it holds counts."""
        ledger = Ledger(skipped=self._skipped, bytes_read=self._bytes_read, pages=self._pages)
        dropped = [record for record, _, _ in self._dropped]
        drops = as_drops(
            self._documents(dropped),
            READ,
            pa.array([reason.value for _, reason, _ in self._dropped], pa.string()),
            pa.array([detail or None for _, _, detail in self._dropped], pa.string()),
        )
        batch = born(READ, self._documents(self._kept), ledger, drops)
        self._kept, self._dropped, self._skipped, self._pages = [], [], Counter(), Counter()
        self._bytes_read = self._text_bytes = 0
        return batch

    def _documents(self, records: list[Record]) -> pa.RecordBatch:
        section, rows = self.section, len(records)
        ids = [document_id(section.name, record.key) for record in records]
        return documents_from(
            {
                "id": ids,
                "work": ids,
                "source": [section.name] * rows,
                "snapshot": [section.snapshot] * rows,
                "origin": [storable(record.origin) for record in records],
                "url": [storable(record.url) for record in records],
                "title": [storable(record.title) for record in records],
                "author": [storable(record.author) for record in records],
                "date": [record.date for record in records],
                "retrieved": [record.retrieved for record in records],
                "license": [storable(record.license) for record in records],
                "canonical_url": [storable(record.canonical_url) for record in records],
                "declared_language": [storable(record.declared_language) for record in records],
                "site_type": [record.site_type for record in records],
                "opt_outs": [record.opt_outs or None for record in records],
                "images": [record.images for record in records],
                "text": [storable(record.text) for record in records],
            }
        )


def storable(text: str | None) -> str | None:
    """Return the text with each lone surrogate, which UTF-8 cannot encode, replaced by U+FFFD."""
    if text is None or text.isascii():
        return text
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
