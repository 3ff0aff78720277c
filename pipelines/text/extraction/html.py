"""HTML to text with Resiliparse: the main content of a web page, or all of its text.

The options were chosen by their F1 (of 4-token shingles) on 749 hand-labelled pages: all options on .831 (English .881),
without comments .845 (.899), also without post metadata .849 (.905), with the body three elements deeper .855 (.907). List
bullets make no difference to the score; they stay because the quality rules count them.

Limits: the text is taken from the markup as it was sent; text that scripts would write is missing. A page is refused for its
structure, never for the time it takes, so the same page always has the same result.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from pipelines.text.characters.encodings import decode, valid_utf8
from pipelines.text.extraction import html_code, html_glyphs, html_names
from pipelines.text.extraction.pages.extract import ExtractionError, Judged

MAX_BYTES = 16 * 2**20  # per page; the largest of 3,270 crawled pages had 1 MiB
# Resiliparse's time grows with the square of these: at the limit a page takes about 0.1, 0.7 and 0.2 s on one core.
MAX_NESTING = 1000  # browsers flatten elements deeper than 512
MAX_OPTIONS = 10_000
MAX_ATTRIBUTES = 10_000  # per tag

_META_BYTES = 4096  # a page must declare its encoding in the first 1,024 bytes; many declare it later
_META_CHARSET = re.compile(rb"""<(?:meta|\?xml)[^>]{0,256}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_:.\-]{2,40})""", re.I)
_UTF_16 = re.compile(r"\s*(?:utf-?16|utf-?32|ucs-?[24]|unicode\b|iso-10646)", re.I)
_TITLE = re.compile(r"<title\b[^>]*>(.{0,2000}?)</title", re.I | re.S)
# Resiliparse takes a bulleted list less than four elements below the body for a menu, so flat pages would lose all of their
# lists. With the body three deeper, a footer that a script follows stays; the stage `lines` cuts it off.
_BODY = re.compile(r"<body\b[^>]{0,2000}>", re.I)
_IN_THREE_DIVS = r"\g<0><div><div><div>"
_DIV, _ARTICLE, _OPTION = (int.from_bytes(name, "big") for name in (b"div", b"art", b"opt"))  # as _names gives them
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


def main_text(html: str) -> Page:
    r"""Return the main content of a page, without navigation, comments, post metadata and image descriptions.

    >>> main_text("<title>T</title><nav>Menu</nav><main><p>One.</p><p>Two.</p></main>").text
    'One.\n\nTwo.'
    """
    _check(html)
    markup = _BODY.sub(_IN_THREE_DIVS, html_glyphs.guarded(html_code.marked(html)), count=1)
    text = _main_content(markup)
    if html_names.may_have_lost(text):
        second = _main_content(html_names.without_names(markup))
        text = second if html_names.has_lost(text, second) else text
    return Page(text, page_title(html))


def _main_content(markup: str) -> str:
    text = extract_plain_text(markup, main_content=True, alt_texts=False, comments=False, post_meta=False)
    return tidy(html_glyphs.unguarded(text))


def all_text(html: str) -> Page:
    """Return all text of the body."""
    _check(html)
    text = extract_plain_text(html_code.marked(html), main_content=False, alt_texts=False, list_bullets=False)
    return Page(tidy(text), page_title(html))


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


def _check(html: str) -> None:
    """Refuse pages that would take Resiliparse minutes; a count of the tags' first letters clears nearly every page."""
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
    """Return the first three letters at each place, in lower case, as one number."""
    letters = np.zeros((len(starts), 4), np.uint8)  # big-endian: the first byte is 0
    for place in range(3):
        letters[:, place + 1] = array[starts + place] | 0x20
    return letters.view(">u4").ravel().astype(np.uint32)


def _nesting(names: NDArray[np.uint32], closing: NDArray[np.bool_]) -> int:
    """Return the greatest number of <div> and <article> elements that are open at once (an upper bound).

    Other elements nested as deep cost next to nothing.
    """
    level = np.cumsum(np.where(closing, -1, 1)[(names == _DIV) | (names == _ARTICLE)])
    # A stray closing tag closes nothing: the depth is counted from the lowest level so far.
    return int((level - np.minimum(np.minimum.accumulate(level), 0)).max()) if len(level) else 0


def _most_attributes(data: bytes, tags: NDArray[np.intp]) -> int:
    """Return about the greatest number of attributes of a tag; only tags long enough to have too many are counted."""
    ends = np.append(tags[1:], len(data))
    long = np.flatnonzero(ends - tags > MAX_ATTRIBUTES * 2)
    most = 0
    for start, end in zip(tags[long].tolist(), ends[long].tolist(), strict=True):
        close = data.find(b">", start, end)
        tag = data[start : close if close >= 0 else end]
        if len(tag) > MAX_ATTRIBUTES * 2:
            most = max(most, tag.count(b"="), tag.count(b" ") if b"=" not in tag else 0)
    return most
