"""HTML to text with Resiliparse: the main content of a web page, or all text of a book's page.

The options were chosen by score on 749 pages with hand-made truth (F1 of 4-token shingles): all options on .831 (English
.881), without comments .845 (.899), without post metadata as well .849 (.905), with the body three elements deeper .855
(.907). List bullets make no difference to the score; they stay, because the quality rules count them.

Limits: the text is taken from the markup as it was sent; what a page's scripts would write is not there. Pages are
refused by their structure alone, never by the clock, so that the same page always has the same fate.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipelines.text.characters.encodings import decode

MAX_BYTES = 16 * 2**20  # per page; the largest of 3,270 crawled pages had 1 MiB
# Resiliparse's time grows with the square of these: at the limit a page takes about 0.1, 0.7 and 0.2 s on one core.
MAX_NESTING = 1000  # browsers flatten elements deeper than 512
MAX_OPTIONS = 10_000
MAX_ATTRIBUTES = 10_000  # per tag

_META_BYTES = 4096  # a page must declare its encoding in the first 1,024 bytes; many declare it later
_META_CHARSET = re.compile(rb"""<(?:meta|\?xml)[^>]{0,256}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_:.\-]{2,40})""", re.I)
_TITLE = re.compile(r"<title\b[^>]*>(.{0,2000}?)</title", re.I | re.S)
# Resiliparse takes a bulleted list less than four elements below the body for a menu: flat pages would lose all of
# theirs. Three deeper, a footer with a script behind it stays instead; what is left of it, the stage `lines` cuts off.
_BODY = re.compile(r"<body\b[^>]{0,2000}>", re.I)
_DEEPER = r"\g<0><div><div><div>"
_DIV, _ARTICLE, _OPTION = (int.from_bytes(name, "big") for name in (b"div", b"art", b"opt"))  # as _names gives them
# "Â\xa0" and "Ã\xa0" are what UTF-8 becomes when it is read as Latin-1: to be repaired, they need their no-break space.
_BLANKS = re.compile(r"([ÂÃ]\xa0)|[^\S\n]{2,}|[^\S\n ]")
_LINE_ENDS = re.compile(r" \n ?|\n ")
_GAPS = re.compile(r"\n{3,}")


class ExtractionError(ValueError):
    """The page is refused; the message says which limit it exceeds."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page's text (a blank line between paragraphs, a newline between lines, no blanks at either end) and its title."""

    text: str
    title: str | None


def main_text(html: str) -> Page:
    r"""Return the main content of a page, without navigation, comments, post metadata and image descriptions.

    >>> main_text("<title>T</title><nav>Menu</nav><main><p>One.</p><p>Two.</p></main>")
    Page(text='One.\n\nTwo.', title='T')
    """
    _check(html)
    text = extract_plain_text(
        _BODY.sub(_DEEPER, html, count=1), main_content=True, alt_texts=False, comments=False, post_meta=False
    )
    return Page(tidy(text), page_title(html))


def all_text(html: str) -> Page:
    """Return all text of the body: for books, which have no boilerplate."""
    _check(html)
    return Page(tidy(extract_plain_text(html, main_content=False, alt_texts=False, list_bullets=False)), page_title(html))


def decode_html(data: bytes, http_charset: str | None = None) -> str | None:
    """Decode the markup of a page: by byte order mark, HTTP header, `<meta>`, XML declaration or detection.

    None when it is text in no encoding. Raises ExtractionError when the page is larger than MAX_BYTES.
    """
    if len(data) > MAX_BYTES:
        raise ExtractionError(f"{len(data):,} bytes of HTML, more than {MAX_BYTES:,}")
    declared = http_charset
    if declared is None and (found := _META_CHARSET.search(data[:_META_BYTES])):
        declared = found[1].decode("ascii")
        if declared.lower().startswith(("utf-16", "utf16")):
            declared = None  # if "charset" can be read in the bytes, they are not UTF-16
    decoded = decode(data, declared)
    return decoded.text if decoded else None


def page_title(html: str) -> str | None:
    """Return the page's title on one line, without markup."""
    found = _TITLE.search(html)
    if not found or not found[1].strip():
        return None
    raw = found[1]
    if "&" in raw or "<" in raw:
        raw = HTMLTree.parse(f"<title>{raw}</title>").title or ""
    return " ".join(raw.split()) or None


def tidy(text: str) -> str:
    """Turn blanks of every kind into one space, none at either end of a line; keep at most one blank line.

    A no-break space that may be part of mojibake stays: `normalize` repairs it, or makes it a space.
    """
    text = _BLANKS.sub(lambda found: found[1] or " ", text)
    return _GAPS.sub("\n\n", _LINE_ENDS.sub("\n", text)).strip(" \n")


def _check(html: str) -> None:
    """Refuse pages that would take Resiliparse minutes; a count of the tags' first letters lets nearly every page pass."""
    if len(html) > MAX_BYTES:
        raise ExtractionError(f"{len(html):,} characters of HTML, more than {MAX_BYTES:,}")
    if html.count("<") < MAX_NESTING and len(html) < MAX_ATTRIBUTES * 2:
        return
    data = html.encode("utf-8", "replace")
    array = np.frombuffer(data + b" " * 8, np.uint8)
    tags = np.flatnonzero(array == ord("<"))
    first = array[tags + 1] | 0x20
    if (((first == ord("d")) | (first == ord("a"))).sum()) > MAX_NESTING or (first == ord("o")).sum() > MAX_OPTIONS:
        _check_elements(array, tags)
    if (attributes := _most_attributes(data, tags)) > MAX_ATTRIBUTES:
        raise ExtractionError(f"a tag with about {attributes:,} attributes, more than {MAX_ATTRIBUTES:,}")


def _check_elements(array: NDArray[np.uint8], tags: NDArray[np.intp]) -> None:
    closing = array[tags + 1] == ord("/")
    names = _names(array, tags + 1 + closing)
    if (depth := _nesting(names, closing)) > MAX_NESTING:
        raise ExtractionError(f"elements nested {depth:,} deep, more than {MAX_NESTING:,}")
    if (options := int(((names == _OPTION) & ~closing).sum())) > MAX_OPTIONS:
        raise ExtractionError(f"{options:,} <option> elements, more than {MAX_OPTIONS:,}")


def _names(array: NDArray[np.uint8], starts: NDArray[np.intp]) -> NDArray[np.uint32]:
    """Return the first three letters at these places, in lower case, as one number each."""
    letters = np.zeros((len(starts), 4), np.uint8)  # big-endian: the first byte is 0
    for place in range(3):
        letters[:, place + 1] = array[starts + place] | 0x20
    return letters.view(">u4").ravel().astype(np.uint32)


def _nesting(names: NDArray[np.uint32], closing: NDArray[np.bool_]) -> int:
    """Return the greatest number of <div> and <article> elements that are open at once (an upper bound).

    Other elements, nested as deep, cost nothing to speak of.
    """
    level = np.cumsum(np.where(closing, -1, 1)[(names == _DIV) | (names == _ARTICLE)])
    # A stray closing tag closes nothing: the depth is counted from the lowest level so far.
    return int((level - np.minimum(np.minimum.accumulate(level), 0)).max()) if len(level) else 0


def _most_attributes(data: bytes, tags: NDArray[np.intp]) -> int:
    """Return roughly the most attributes of a tag; only tags long enough to have too many are counted."""
    ends = np.append(tags[1:], len(data))
    long = np.flatnonzero(ends - tags > MAX_ATTRIBUTES * 2)
    most = 0
    for start, end in zip(tags[long].tolist(), ends[long].tolist(), strict=True):
        close = data.find(b">", start, end)
        tag = data[start : close if close >= 0 else end]
        if len(tag) > MAX_ATTRIBUTES * 2:
            most = max(most, tag.count(b"="), tag.count(b" ") if b"=" not in tag else 0)
    return most
