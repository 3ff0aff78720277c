"""A page's title: its heading if the page's `<title>` agrees with it, else og:title or `<title>` without the site's name.

`<title>` and og:title are written for search engines and name the site; headings are written for readers, but the first one
may be the site's logo, a section or a slogan. A heading counts if it is a part of the other titles, or resembles one.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from pipelines.text.extraction.pages.facts import linked_data
from pipelines.text.extraction.pages.facts.found import Found
from pipelines.text.extraction.pages.facts.linked_data import Object

MAX_CHARACTERS = 500
_HEADINGS = 8  # read of a page
_ARTICLES = ("Article", "Posting", "Report", "Review", "Recipe")
_LEAST_SHARE = 0.15  # the same in an article, where the heading is the headline
_SAME_SHARE = 0.6  # of the words of a heading and a title that both have
_SITE_WORDS = 4  # a last part of at most so many words is a site's name, where nothing says what the site is called

_DIVIDER = re.compile(r"\s+[|\-–—·•»«:›/⋆~]{1,2}\s+|\s*[|»·•]\s*|\s+::\s+|:\s+(?=[^:]*$)")
_SIGNS = re.compile(r"[\W_]+")
_PILCROW = re.compile(r"\s*[¶#§]$")  # a link to the heading itself


def title(found: Found, described: Sequence[Object], names: Sequence[str], url: str | None) -> str | None:
    """Return the title; `described` are the objects that describe the page, `names` what its site is called."""
    written = [text for node in found.titles[:1] if (text := found.text(node.node))]
    social = list(found.meta("og:title", "twitter:title"))[:2]
    headlines = [text for value in described[:2] for text in linked_data.texts(value.get("headline"))][:2]
    site = _site(names, url)
    headings = [_PILCROW.sub("", found.text(node.node)) for node in found.headings[:_HEADINGS]]
    headings = [text for text in headings if _key(text) and not _names_site(text, site)]
    chosen = _agreeing(headings, [*written, *social, *headlines], _LEAST_SHARE if is_article(found, described) else _SAME_SHARE)
    if chosen is None:
        others = [*social[:1], *written, *headlines[:1], *social[1:]]
        chosen = next((other for other in others if _key(other)), headings[0] if headings else None)
    if chosen is None:
        return None
    return without_site(chosen, site)[:MAX_CHARACTERS].strip() or None


def is_article(found: Found, described: Sequence[Object]) -> bool:
    """Return whether the page says that it is an article."""
    return "article" in found.meta("og:type") or any(name.endswith(_ARTICLES) for v in described for name in linked_data.types(v))


def _agreeing(headings: Sequence[str], titles: Sequence[str], least: float) -> str | None:
    """Return the heading that agrees best with the titles, or None if it agrees less than `least`."""
    best, best_score = None, 0.0
    keys = [_key(title) for title in titles]
    for heading in headings:
        key = _key(heading)
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


def without_site(title: str, site: frozenset[str]) -> str:
    """Return a title without the name of its site at its end.

    >>> without_site("The mill - Brook News", frozenset({"brook news"}))
    'The mill'
    """
    for divider in reversed(list(_DIVIDER.finditer(title))):
        if not _key(title[: divider.start()]) or not _names_site(title[divider.end() :], site):
            break
        title = title[: divider.start()]
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
    host = (urlsplit(url).hostname or "") if url else ""
    labels = host.removeprefix("www.").split(".")
    for first in range(len(labels) - 1):
        known.add(" ".join(labels[first:]))
        known |= {_key(" ".join(labels[first:last])).replace(" ", "") for last in range(first + 1, len(labels) + 1)}
    return frozenset(known - {""})


def _key(text: str) -> str:
    """Return the words of a text, as titles are compared."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _SIGNS.sub(" ", folded.casefold()).strip()
