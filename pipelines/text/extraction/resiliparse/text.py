"""HTML to text with Resiliparse: the main content of a web page, or all of its text.

The options were chosen by their F1 (of 4-token shingles) on 749 hand-labelled pages: all options on .831 (English .881),
without comments .845 (.899), also without post metadata .849 (.905), with the body three elements deeper .855 (.907). List
bullets make no difference to the score; they stay because the quality rules count them.

Limits: the text is taken from the markup as it was sent; text that scripts would write is missing. A page is refused for its
structure, never for the time it takes, so the same page always has the same result.
"""

import re

import numpy as np
from numpy.typing import NDArray
from resiliparse.extract.html2text import extract_plain_text

from pipelines.text.extraction.html import MAX_BYTES, Page, page_title, tidy
from pipelines.text.extraction.pages.extract import ExtractionError
from pipelines.text.extraction.resiliparse import code, glyphs, names

# Resiliparse's time grows with the square of these: at the limit a page takes about 0.1, 0.7 and 0.2 s on one core.
MAX_NESTING = 1000  # browsers flatten elements deeper than 512
MAX_OPTIONS = 10_000
MAX_ATTRIBUTES = 10_000  # per tag

# Resiliparse takes a bulleted list less than four elements below the body for a menu, so flat pages would lose all of their
# lists. With the body three deeper, a footer that a script follows stays; the stage `lines` cuts it off.
_BODY = re.compile(r"<body\b[^>]{0,2000}>", re.I)
_IN_THREE_DIVS = r"\g<0><div><div><div>"
_DIV, _ARTICLE, _OPTION = (int.from_bytes(name, "big") for name in (b"div", b"art", b"opt"))  # as _names gives them


def main_text(html: str) -> Page:
    r"""Return the main content of a page, without navigation, comments, post metadata and image descriptions.

    >>> main_text("<title>T</title><nav>Menu</nav><main><p>One.</p><p>Two.</p></main>").text
    'One.\n\nTwo.'
    """
    _check(html)
    markup = _BODY.sub(_IN_THREE_DIVS, glyphs.guarded(code.marked(html)), count=1)
    text = _main_content(markup)
    if names.may_have_lost(text):
        second = _main_content(names.without_names(markup))
        text = second if names.has_lost(text, second) else text
    return Page(text, page_title(html))


def _main_content(markup: str) -> str:
    text = extract_plain_text(markup, main_content=True, alt_texts=False, comments=False, post_meta=False)
    return tidy(glyphs.unguarded(text))


def all_text(html: str) -> Page:
    """Return all text of the body."""
    _check(html)
    text = extract_plain_text(code.marked(html), main_content=False, alt_texts=False, list_bullets=False)
    return Page(tidy(text), page_title(html))


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
