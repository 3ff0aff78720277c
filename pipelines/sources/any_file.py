"""Which kind of file a file is, by its first bytes and its name: what no config says has to be guessed.

What only one kind begins with decides first (a WARC record, a dump's root element), then the name, then what is less certain: a
page without a name, JSON, any text.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.errors import UserError
from pipelines.contract.storage.compressed import BrokenStreamError, pieces, uncompressed
from pipelines.sources import books, wikipedia
from pipelines.sources.names import Names
from pipelines.sources.records import reader as records
from pipelines.sources.web import arc, common_crawl, page, sniffing

Reader = Callable[..., Iterator[Batch]]  # of a section, a unit and, for web pages, a collector if there is one

PAGE_NAMES = Names(reads=re.compile(r"\.(?:html?|xhtml|xht)$"), shown=".html, .htm and .xhtml")
_HEAD_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file: the kind of source whose settings it has, its reader, and the names of its files."""

    source: str  # SourceSection.kind
    reader: Reader
    names: Names
    ending: str  # for a file whose name says nothing


KINDS = {
    "page": FileKind("common_crawl", page.read, PAGE_NAMES, ".html"),
    "common_crawl": FileKind("common_crawl", common_crawl.read, common_crawl.NAMES, ".warc"),
    "wikipedia": FileKind("wikipedia", wikipedia.read, wikipedia.NAMES, ".xml"),
    "books": FileKind("books", books.read, books.NAMES, ".txt"),
    "records": FileKind("records", records.read, records.NAMES, ".jsonl"),
}
_ROOTS = {"mediawiki": "wikipedia", "tei": "books", "teicorpus": "books", "tei.2": "books", "html": "page"}


class UnknownFileError(UserError):
    """A file of no kind that can be read; the message says what it seems to be, and the fix."""


def kind_of(uri: str) -> str:
    """Return the kind of a file: a key of KINDS. Raise UnknownFileError if it is of none, OSError if it cannot be read."""
    head = _head(uri)
    if not head:
        is_broken = files.size(uri) > 0
        raise UnknownFileError(f"{uri}: {'cannot be decompressed; fetch it again' if is_broken else 'is empty'}")
    return _by_signature(head) or _by_name(uri, head) or _by_content(head) or _unknown(uri, head)


def ending_of(kind: str, uri: str) -> str:
    """Return what the name of a file of this kind lacks so that the kind's reader knows it; empty if it lacks nothing."""
    if KINDS[kind].names.read(uri):
        return ""
    head = _head(uri)
    if kind == "records" and head.startswith(b"PAR1"):
        return ".parquet"
    if kind == "books" and sniffing.xml_root(head) in _ROOTS:
        return ".xhtml" if sniffing.xml_root(head) == "html" else ".xml"
    return ".html" if kind == "books" and sniffing.is_html(head) else KINDS[kind].ending


def _head(uri: str) -> bytes:
    """Return the first bytes of the content of a file, which may be compressed and broken."""
    with files.reading(uri) as stream:
        try:
            return b"".join(islice(pieces(stream.read), 1))[:_HEAD_BYTES]
        except BrokenStreamError:
            return b""


def _by_signature(head: bytes) -> str | None:
    if head.startswith((b"WARC/", arc.BEGINNING)):
        return "common_crawl"
    if head.startswith(b"PAR1"):
        return "records"
    root = sniffing.xml_root(head)
    return _ROOTS.get(root) if root is not None and root != "html" else None


def _by_name(uri: str, head: bytes) -> str | None:
    """Return the kind that reads files of this name. An .xml file that is no dump and no TEI is a page if its root is html."""
    if uncompressed(uri).endswith(".xml"):
        return "page" if sniffing.xml_root(head) == "html" else None
    order = ("page", "common_crawl", "records", "books")
    return next((kind for kind in order if KINDS[kind].names.read(uri)), None)


def _by_content(head: bytes) -> str | None:
    if sniffing.is_declared_xml(head) or sniffing.is_binary(head) or sniffing.file_type(head):
        return None
    if sniffing.is_html(head):
        return "page"
    if sniffing.xml_root(head) is not None:
        return None
    return "records" if head.lstrip().startswith(b"{") else "books"


def _unknown(uri: str, head: bytes) -> str:
    root = sniffing.xml_root(head)
    seems = sniffing.file_type(head) or (f"XML with the root element {root}" if root else "a binary file of an unknown type")
    raise UnknownFileError(
        f"{uri}: is {seems}, which cannot be read; convert it, or name its kind with --kind ({', '.join(KINDS)})"
    )
