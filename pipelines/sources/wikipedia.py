"""Wikipedia: XML dumps of MediaWiki (export schemas 0.3 to 0.11), plain or compressed. A file is a unit, a page a document.

A file that breaks off or has garbage in the middle yields the pages before that place and one drop for everything after it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import quote

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.reasons import DropReason, SkipReason
from pipelines.contract.storage.compressed import SHOWN, BrokenStreamError, pieces
from pipelines.sources import listing
from pipelines.sources.collector import Collector, Record
from pipelines.sources.listing import SourceError, full_uri
from pipelines.sources.names import Names
from pipelines.text.extraction.wikitext.prose import Wiki, extract
from pipelines.units.descriptor import Unit

VERSION = 6
NAMES = Names(
    reads=re.compile(r"\.xml(?:-p\d+p\d+)?$"),
    packed=re.compile(r"\.xml(?:-p\d+p\d+)?$|^(?!.*\.(?:txt|sql|json|tar|7z|csv|tsv|html)(?:-p\d+p\d+)?$)"),
    shown=f"MediaWiki dumps: .xml, .xml-p…p…, plain or with {SHOWN}",
)

_REDIRECT = re.compile(r"\s*#[^\s\[\]#*:]{3,30}\s*:?\s*\[\[[^\]\n]+\]\][^\n]{0,40}(?:\n|$)")  # "#REDIRECT [[…]]" in any language
_REDIRECT_CHARACTERS = 1000  # a longer page that begins like a redirect is not one
_WIKI_OF_FILE = re.compile(
    r"[a-z][a-z_]*?(?:wiki|wiktionary|wikibooks|wikinews|wikiquote|wikisource|wikiversity|wikivoyage)(?![a-z])"
)


def units(section: SourceSection) -> list[Unit]:
    """Return one unit per file."""
    return listing.units(section, NAMES)


def read(section: SourceSection, unit: Unit) -> Iterator[Batch]:
    """Yield the pages of the dumps of a unit as batches.

    Raise SourceError with the file, the place and the fix if a file is not a dump. Everything after a broken place is one
    drop: CUT_OFF.
    """
    collector = Collector(section)
    for file in listing.members(unit):
        yield from _read(section, file, collector)
    yield collector.rest()


def _read(section: SourceSection, unit: Unit, collector: Collector) -> Iterator[Batch]:
    """Yield the full batches of one file."""
    pages = _Pages(unit, section, collector)
    with files.reading(full_uri(unit)) as stream:
        counted = _Counted(stream, collector.read)
        try:
            for piece in pieces(counted.read):
                pages.feed(piece)
                yield from collector.full()
            pages.close()
        except etree.XMLSyntaxError as error:
            pages.take()  # what was complete before the error
            pages.break_off(f"line {error.lineno}: {error.msg}", counted.count)
        except BrokenStreamError as error:
            pages.break_off(f"the compressed stream is broken: {error}", counted.count, is_cut_off=error.is_cut_off)
    yield from collector.full()


@dataclass(slots=True)
class _Counted:
    """A stream that reports how many of its stored bytes were read."""

    stream: BinaryIO
    report: Callable[[int], None]
    count: int = 0

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.count += len(data)
        self.report(len(data))
        return data


# --- pages ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Site:
    """The wiki of a dump, from <siteinfo> or else from the file's name."""

    database: str
    url: str | None = None  # before a page's title
    namespaces: dict[int, str] = field(default_factory=dict[int, str])
    wiki: Wiki = field(default_factory=Wiki)

    @classmethod
    def of_file(cls, uri: str) -> "_Site":
        name = uri.rsplit("/", 1)[-1]
        known = _WIKI_OF_FILE.match(name)
        database = known[0] if known else re.split(r"[-.]", name, maxsplit=1)[0]
        language = database.removesuffix("wiki").replace("_", "-")
        return cls(database, f"https://{language}.wikipedia.org/wiki/" if database.endswith("wiki") else None)

    def informed(self, element: Any) -> "_Site":
        """Return the site with the values that the element has."""
        namespaces = {int(e.get("key")): e.text or "" for e in element.iterfind("{*}namespaces/{*}namespace")}
        base = element.findtext("{*}base")
        return _Site(
            database=element.findtext("{*}dbname") or self.database,
            url=base.rsplit("/", 1)[0] + "/" if base else self.url,
            namespaces=namespaces,
            wiki=Wiki.of(namespaces),
        )

    def namespace(self, page: Any, title: str) -> int:
        """Return a page's namespace from <ns>, or from the title's prefix in schemas before 0.6, which have no <ns>."""
        namespace = page.findtext("{*}ns")
        if namespace is not None:
            return int(namespace)
        prefix, colon, _ = title.partition(":")
        if not colon:
            return 0
        return next((key for key, name in self.namespaces.items() if name and name.lower() == prefix.strip().lower()), 0)

    def page_url(self, title: str) -> str | None:
        """Return the address of a page."""
        return None if self.url is None else self.url + quote(title.replace(" ", "_"), safe="/:@!$*(),;'~")


class _Pages:
    """The way from pieces of a file through the parser to the collector, with one page in memory."""

    def __init__(self, unit: Unit, section: SourceSection, collector: Collector) -> None:
        self._unit, self._section, self._collector = unit, section, collector
        self._site = _Site.of_file(unit.uri)
        self._last = "the beginning"  # the last page read, for messages
        self._root_seen = False
        tags = ("{*}page", "{*}revision", "{*}upload", "{*}siteinfo")
        # Entities stay references: definitions in a dump's DTD are never expanded, and nothing is fetched.
        safe = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": True}
        self._parser = etree.XMLPullParser(events=("end",), tag=tags, remove_comments=True, remove_pis=True, **safe)
        self._roots = etree.XMLPullParser(events=("start",), **safe)

    def feed(self, piece: bytes) -> None:
        """Parse a piece. Raise etree.XMLSyntaxError if it is broken, SourceError if this is not a dump."""
        if not self._root_seen:
            self._check_root(piece)
        self._parser.feed(piece)
        self.take()

    def close(self) -> None:
        """End parsing at the end of the file. Raise etree.XMLSyntaxError if the dump is incomplete."""
        if not self._root_seen:
            raise self._not_a_dump("it holds no XML element")
        self._parser.close()
        self.take()

    def take(self) -> None:
        """Pass the completed pages on."""
        for _, element in self._parser.read_events():
            name = etree.QName(element).localname
            if name == "page":
                self._page(element)
                _remove(element)
            elif name == "siteinfo":
                self._site = self._site.informed(element)
            else:
                _keep_latest(element)

    def break_off(self, why: str, stored_bytes: int, *, is_cut_off: bool = False) -> None:
        """Drop everything that follows, as one record.

        Raise SourceError if nothing was read, and the file is not just cut off: it is not a dump.
        """
        if not self._root_seen and not is_cut_off:
            raise self._not_a_dump(why)
        place = f"{self._unit.uri}: after {self._last}, by byte {stored_bytes} of the file"
        record = Record(key=f"{self._unit.uri}#broken", origin=f"{self._unit.uri}#broken", text="")
        self._collector.drop(record, DropReason.CUT_OFF, f"{place}: {why}")

    def _check_root(self, piece: bytes) -> None:
        try:
            self._roots.feed(piece)
        except etree.XMLSyntaxError as error:
            root = next((e for _, e in self._roots.read_events()), None)
            if root is None:
                raise self._not_a_dump(f"line {error.lineno}: {error.msg}") from None
        else:
            root = next((e for _, e in self._roots.read_events()), None)
        if root is None:
            return
        name = etree.QName(root).localname
        if name != "mediawiki":
            raise self._not_a_dump(f"its root element is <{name}>, not <mediawiki>")
        self._root_seen = True

    def _not_a_dump(self, why: str) -> SourceError:
        return SourceError(
            f"source {self._section.name}: {full_uri(self._unit)} is not a MediaWiki XML dump: {why}; "
            "fetch it again, or leave it out of sources.paths in the config"
        )

    def _page(self, page: Any) -> None:
        title = (page.findtext("{*}title") or "").strip()
        number = page.findtext("{*}id") or ""
        revision = page.find("{*}revision")
        self._last = f"page {number} ({title})"
        content = revision.find("{*}text") if revision is not None else None
        text = (content.text or "") if content is not None else ""
        skip = self._skip(page, revision, title, text)
        if skip is not None:
            self._collector.skip(skip)
            return
        record = Record(
            key=f"{self._site.database}/{number}/{revision.findtext('{*}id') if revision is not None else ''}",
            origin=f"{self._unit.uri}#{number}",
            text="",
            url=self._site.page_url(title),
            title=title,
            date=revision.findtext("{*}timestamp") if revision is not None else None,
        )
        if content is not None and len(content):  # an entity that a DTD defines, or an element: not wikitext
            self._collector.drop(record, DropReason.UNREADABLE, f"the text holds {content[0]}, which is never expanded")
            return
        self._document(record, text)

    def _skip(self, page: Any, revision: Any, title: str, text: str) -> SkipReason | None:
        if self._site.namespace(page, title) not in self._section.namespaces:
            return SkipReason.NAMESPACE
        if page.find("{*}redirect") is not None or (len(text) < _REDIRECT_CHARACTERS and _REDIRECT.match(text)):
            return SkipReason.REDIRECT
        model = revision.findtext("{*}model") if revision is not None else None
        return SkipReason.CONTENT_TYPE if model not in (None, "wikitext") else None

    def _document(self, record: Record, wikitext: str) -> None:
        page = extract(wikitext, self._site.wiki)
        record.text = page.text
        if page.text and not page.prose:
            self._collector.drop(record, DropReason.BOILERPLATE_ONLY, "a disambiguation page or a list of links")
        else:
            self._collector.keep(record)


def _keep_latest(revision: Any) -> None:
    """Keep only the latest revision of a page: a whole history might not fit into memory."""
    other = revision.getprevious()
    if revision.tag != getattr(other, "tag", None):
        return
    page = revision.getparent()
    newer = (revision.findtext("{*}timestamp") or "") >= (other.findtext("{*}timestamp") or "")
    page.remove(other if newer else revision)


def _remove(page: Any) -> None:
    """Free the page and all elements before it."""
    page.clear()
    parent = page.getparent()
    while parent is not None and page.getprevious() is not None:
        del parent[0]
