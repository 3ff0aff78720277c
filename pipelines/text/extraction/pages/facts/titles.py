"""A page's title: its heading if the page's `<title>` agrees with it, else og:title or `<title>` without the site's name.

`<title>` and og:title are written for search engines and name the site; headings are written for readers, but the first one
may be the site's logo, a section or a slogan. A heading counts if it is a part of the other titles, or resembles one.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

from pipelines.text.extraction.pages.facts import addresses, linked_data, texts
from pipelines.text.extraction.pages.facts.found import Found
from pipelines.text.extraction.pages.facts.linked_data import Object

MAX_CHARACTERS = 500
_HEADINGS = 8  # read of a page
_ARTICLES = ("Article", "Posting", "Report", "Review", "Recipe")
_LEAST_SHARE = 0.15  # the same in an article, where the heading is the headline
_SAME_SHARE = 0.6  # of the words of a heading and a title that both have
_LEAST_TITLE = 12  # bytes of a title before a bar, or of a part that is one
_SHOWN_SHARE = 0.5  # of a title: the least part
_DIVIDERS = 5  # of a title that are looked at
_SITE_WORDS = 4  # a last part of at most so many words is a site's name, where nothing says what the site is called

_HAN = r"\u3040-\u30ff\u4e00-\u9fff"  # Chinese and Japanese, which divide without spaces
_DIVIDER = re.compile(
    r"\s+[|\-–—·•»«:›/⋆~]{1,2}\s+|\s*[|·•〉]\s*|\s+::\s+|:\s+(?=[^:]*$)"
    rf"|\s*｜\s*|(?<=[{_HAN}])[_\-－—]+(?=[{_HAN}])"
)
_BAR = re.compile("[|»«｜_]")  # what follows one is the site or a part of it
_HAN_NAME = re.compile(rf"[{_HAN}]{{2,6}}")
_SIGNS = re.compile(r"[\W_]+")
_PILCROW = re.compile(r"\s*[¶#§]$")  # a link to the heading itself


class Title(NamedTuple):
    """A title, and the node that shows it, if one does."""

    text: str
    node: int | None


def title(found: Found, described: Sequence[Object], names: Sequence[str], url: str | None) -> Title | None:
    """Return the title; `described` are the objects that describe the page, `names` what its site is called."""
    written = [text for node in found.titles[:1] if (text := found.text(node.node))]
    social = list(found.meta("og:title", "twitter:title"))[:2]
    headlines = [text for value in described[:2] for text in linked_data.texts(value.get("headline"))][:2]
    site = _site(names, url)
    headings = [(_PILCROW.sub("", found.text(node.node)), node.node) for node in found.headings[:_HEADINGS]]
    headings = [Title(text, node) for text, node in headings if _key(text) and not _names_site(text, site)]
    least = _LEAST_SHARE if is_article(found, described) else _SAME_SHARE
    chosen = _agreeing(headings, [*written, *social, *headlines], least)
    if chosen is None:
        others = [other for other in (*social[:1], *written, *headlines[:1], *social[1:]) if _key(other)]
        chosen = _shown(found, others, site) or (Title(others[0], None) if others else next(iter(headings), None))
    if chosen is None:
        return None
    text = without_site(chosen.text, site, is_home=addresses.is_home(url))[:MAX_CHARACTERS].strip()
    return Title(text, chosen.node) if text else None


def _shown(found: Found, titles: Sequence[str], site: frozenset[str]) -> Title | None:
    """Return the part of a title, between its dividers, that the page shows as a text of its own: one at its beginning first."""
    for text in titles[:2]:
        dividers = list(_DIVIDER.finditer(text))[:_DIVIDERS]
        ends, starts = [*(match.start() for match in dividers), len(text)], [0, *(match.end() for match in dividers)]
        for start, end in sorted(product(starts, ends), key=lambda part: (part[0] > 0, part[0] - part[1])):
            part = text[start:end].strip()
            if len(part.encode()) < _LEAST_TITLE or len(part) < _SHOWN_SHARE * len(text) or _names_site(part, site):
                continue
            if (node := texts.node_of(found.tree, part)) is not None:
                return Title(part, node)
    return None


def is_article(found: Found, described: Sequence[Object]) -> bool:
    """Return whether the page says that it is an article."""
    return "article" in found.meta("og:type") or any(name.endswith(_ARTICLES) for v in described for name in linked_data.types(v))


def _agreeing(headings: Sequence[Title], titles: Sequence[str], least: float) -> Title | None:
    """Return the heading that agrees best with the titles, or None if it agrees less than `least`."""
    best, best_score = None, 0.0
    keys = [_key(title) for title in titles]
    for heading in headings:
        key = _key(heading.text)
        if not key:
            continue
        score = max((_agreement(key, title) for title in keys), default=0.0)
        if score > best_score:
            best, best_score = heading, score
    return best if best_score >= least else None


def _agreement(heading: str, title: str) -> float:
    """Return how well a heading agrees with a title: 1 and more if one is a part of the other."""
    if not title:
        return 0.0
    if f" {heading} " in f" {title} ":
        return 1 + len(heading) / len(title)
    if f" {title} " in f" {heading} ":
        return 1.0
    first, second = set(heading.split()), set(title.split())
    return len(first & second) / min(len(first), len(second))


def without_site(title: str, site: frozenset[str], *, is_home: bool = False) -> str:
    """Return a title without the name of its site at its end, nor at its beginning unless it is the site's first page.

    >>> without_site("The mill - Brook News", frozenset({"brook news"}))
    'The mill'
    """
    for divider in reversed(list(_DIVIDER.finditer(title))):
        if _BAR.search(divider[0]) and len(title[: divider.start()].encode()) >= _LEAST_TITLE:
            title = title[: divider.start()]
    for divider in reversed(list(_DIVIDER.finditer(title))):
        before, last = title[: divider.start()], title[divider.end() :]
        is_short = len(before.encode()) >= _LEAST_TITLE and _HAN_NAME.fullmatch(last.strip())
        if not _key(before) or not (is_short or _names_site(last, site)):
            break
        title = before
    divider = None if is_home else _DIVIDER.search(title)
    if divider and _key(title[: divider.start()]).replace(" ", "") in site and " " in _key(title[divider.end() :]):
        return title[divider.end() :]
    return title


def _names_site(part: str, site: frozenset[str]) -> bool:
    key = _key(part)
    if key in site or key.replace(" ", "") in site:
        return True
    words = key.split()
    return len(words) <= _SITE_WORDS and any(word in site for word in words)


def _site(names: Iterable[str], url: str | None) -> frozenset[str]:
    """Return what a site may be called, as `_key`s: its names, and its host with and without its last labels."""
    known = {_key(name) for name in names}
    labels = addresses.host(url).removeprefix("www.").replace("-", "").split(".")
    for first in range(len(labels) - 1):
        known.add(" ".join(labels[first:]))
        known |= {"".join(labels[first:last]) for last in range(first + 1, len(labels) + 1)}
    return frozenset(known - {""})


@functools.lru_cache(maxsize=256)
def _key(text: str) -> str:
    """Return the words of a text, as titles are compared."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _SIGNS.sub(" ", folded.casefold()).strip()
