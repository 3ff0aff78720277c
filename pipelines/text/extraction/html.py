"""Web pages, whoever takes their text: what an extractor returns, the encoding of a page, its title, tidy text."""

import re
from dataclasses import dataclass

from resiliparse.parse.html import HTMLTree

from pipelines.text.characters.encodings import decode, valid_utf8
from pipelines.text.extraction.pages.extract import ExtractionError, Judged

MAX_BYTES = 16 * 2**20  # per page; the largest of 3,270 crawled pages had 1 MiB

_META_BYTES = 4096  # a page must declare its encoding in the first 1,024 bytes; many declare it later
_META_CHARSET = re.compile(rb"""<(?:meta|\?xml)[^>]{0,256}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_:.\-]{2,40})""", re.I)
_UTF_16 = re.compile(r"\s*(?:utf-?16|utf-?32|ucs-?[24]|unicode\b|iso-10646)", re.I)
_TITLE = re.compile(r"<title\b[^>]*>(.{0,2000}?)</title", re.I | re.S)
# "Â\xa0" and "Ã\xa0" are UTF-8 that was read as Latin-1: they can be repaired only with their no-break space.
_BLANKS = re.compile(r"([ÂÃ]\xa0)|[^\S\n]{2,}|[^\S\n ]")
_LINE_ENDS = re.compile(r" \n ?|\n ")
_GAPS = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class Page:
    """A page's text (a blank line between paragraphs, a newline between lines, no blanks at either end) and its title.

    The white space of code is written as stand-ins (`characters.code_spaces`).
    """

    text: str
    title: str | None
    judged: Judged | None = None  # by the page model, if that is the extractor


def decode_html(data: bytes, http_charset: str | None = None) -> str | None:
    """Decode a page by its byte order mark, HTTP header, `<meta>`, XML declaration or detection; None if it is not text.

    Raise ExtractionError if the page is larger than MAX_BYTES.
    """
    if len(data) > MAX_BYTES:
        raise ExtractionError(f"{len(data):,} bytes of HTML, more than {MAX_BYTES:,}")
    declared = _declared(data, http_charset)
    decoded = decode(data, declared)
    is_markup = decoded is not None and (decoded.encoding[:6] != "utf-16" or "<" in decoded.text)
    if not is_markup and b"\0" in data and b"<\0" not in data and b"\0<" not in data:
        decoded = decode(data.replace(b"\0", b""), declared)  # browsers pass over NULs, e.g. those that fill up a block of a disk
    return decoded.text if decoded else None


def utf8_html(data: bytes, http_charset: str | None = None) -> tuple[str, bytes] | None:
    """Return a page as `decode_html` reads it, and in UTF-8; line ends are those of the page, if it is in UTF-8."""
    if len(data) <= MAX_BYTES and (valid := valid_utf8(data, _declared(data, http_charset))) is not None:
        return valid
    markup = decode_html(data, http_charset)
    return None if markup is None else (markup, markup.encode("utf-8", "replace"))


def _declared(data: bytes, http_charset: str | None) -> str | None:
    """Return the encoding that the server or the page declares."""
    declared = http_charset
    if declared is not None and _UTF_16.match(declared):
        declared = None  # which of the two it is, the NULs of the markup say; a page without NULs is not in UTF-16
    if declared is None and (match := _META_CHARSET.search(data[:_META_BYTES])):
        declared = match[1].decode("ascii")
        if _UTF_16.match(declared):
            declared = None  # if "charset" can be read in the bytes, they are not UTF-16
    return declared


def page_title(html: str) -> str | None:
    """Return the page's title on one line, without markup."""
    match = _TITLE.search(html)
    if not match or not match[1].strip():
        return None
    raw = match[1]
    if "&" in raw or "<" in raw:
        raw = HTMLTree.parse(f"<title>{raw}</title>").title or ""
    return " ".join(raw.split()) or None


def tidy(text: str) -> str:
    """Replace every run of blanks by one space, strip lines, and keep at most one blank line in a row.

    A no-break space that may be part of mojibake stays: `normalize` repairs it, or makes it a space.
    """
    text = _BLANKS.sub(lambda match: match[1] or " ", text)
    return _GAPS.sub("\n\n", _LINE_ENDS.sub("\n", text)).strip(" \n")
