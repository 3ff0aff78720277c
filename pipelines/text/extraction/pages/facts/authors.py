"""Who wrote a page, as it says: linked data, `<meta>`, a line "By …" at the heading, rel, itemprop, elements named for it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipelines.text.extraction.pages.facts import linked_data, names
from pipelines.text.extraction.pages.facts.found import AUTHOR, SAYS_AUTHOR, Found, Node
from pipelines.text.extraction.pages.facts.linked_data import Object

_METAS = (
    *("author", "article:author", "article:author_name", "dc.creator", "dcterms.creator", "dc.creator.personalname", "byl"),
    *("sailthru.author", "parsely-author", "citation_author", "authors", "creator", "cxenseparse:author", "cse_author"),
    *("og:article:author", "book:author", "author_name", "rbauthors", "article.author", "dc:creator"),
)
_LABELS = frozenset(
    {"written by", "author", "posted by", "by", "verfasst von", "écrit par", "escrito por", "scritto da", "автор"}
)
_PIECES = 12  # of a byline
_NEAR = 100  # nodes from the title to an element that is named for an author
_BYLINE = 150  # characters of a text that may begin one
_NOT_ITS = re.compile(r"comment|reply|related|review|testimonial|sidebar|widget|copyright", re.I)
_USER = re.compile(r".*\d{2}.*|[a-z0-9_.-]+", re.S)  # looks like the name of an account


def author(
    found: Found,
    described: Sequence[Object],
    by_id: Mapping[str, Object],
    site: Iterable[str],
    *,
    is_written: bool,
) -> str | None:
    """Return the authors, divided by "; ".

    Where linked data and metas name only the site or an account, and a line at the heading somebody, the latter counts.
    `is_written`: whether the page may be an article or a thread; of others, only what is said for machines counts, and not the
    site itself.
    """
    sites = {name.casefold() for name in site}
    weak: list[str] = []
    for people in _for_machines(found, described, by_id):
        if people and not all(name.casefold() in sites or _USER.fullmatch(name) for name in people):
            return _joined(people)
        weak = weak or people
    if not is_written:
        return _joined(weak) if weak and not all(name.casefold() in sites for name in weak) else None
    people = _near_heading(found)
    if not people and weak:
        people = next((some for some in _shown(found, _NEAR) if some and all(" " in name for name in some)), weak)
    return _joined(people or next((some for some in _shown(found, None) if some), []))


def _joined(people: Sequence[str]) -> str | None:
    distinct = {name.casefold(): name for name in reversed(people)}
    return "; ".join(reversed(list(distinct.values()))) or None


def _for_machines(found: Found, described: Sequence[Object], by_id: Mapping[str, Object]) -> Iterator[list[str]]:
    """Yield the names at each place that is written for machines, the most reliable place first."""
    for value in described:
        for field in ("author", "creator"):
            yield _all_people(linked_data.texts(value.get(field), by_id=by_id))
    for name in _METAS:
        if name in found.metas:
            yield _all_people(text for text in found.meta(name) if "://" not in text)
    yield _labelled(found)


def _shown(found: Found, within: int | None) -> Iterator[list[str]]:
    """Yield the names in each element that is named for an author, at most `within` nodes from the title if it is given."""
    title = next(iter(found.places_of_title()), None)

    def is_near(node: Node) -> bool:
        return within is None or title is None or abs(node.node - title) <= within

    for node in filter(is_near, found.of(SAYS_AUTHOR)):
        yield names.people(found.property(node.node, "name")) or list(names.of_pieces(found.pieces(node.node, _PIECES)))
    for text in found.meta("itemprop:author"):
        yield names.people(text)
    for node in filter(is_near, found.of(AUTHOR)):
        if not _NOT_ITS.search(node.get("class")):
            yield list(names.of_pieces(found.pieces(node.node, _PIECES)))


def _all_people(texts: Iterable[str]) -> list[str]:
    return [name for text in texts for name in names.people(text)]


def _labelled(found: Found) -> list[str]:
    """Return the author in Twitter's cards: twitter:label1 is "Written by", and twitter:data1 the name."""
    for number in ("1", "2"):
        label = next(found.meta(f"twitter:label{number}"), "")
        if label.casefold().strip(" :") in _LABELS:
            return _all_people(found.meta(f"twitter:data{number}"))
    return []


def _near_heading(found: Found) -> list[str]:
    """Return the names in a text that begins with "By" soon after the heading."""
    for heading in found.places_of_title()[:2]:
        pieces = found.after(heading)
        for at, piece in enumerate(pieces):
            if len(piece) <= _BYLINE and names.led(piece)[0] and (people := list(names.of_pieces(pieces[at : at + _PIECES]))):
                return people
    return []
