"""When a page was published, as it says: linked data, `<meta>`, `<time>`, its address, a date at the heading.

A date is a day that exists, before the crawl. It is that of publication; that of a change
counts only where people read it at the heading and nothing else is said.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import chain, islice

from pipelines.text.extraction.pages.facts import addresses, calendar, linked_data
from pipelines.text.extraction.pages.facts.found import AUTHOR, DATE, SAYS_DATE, Found, Node
from pipelines.text.extraction.pages.facts.linked_data import Object

EARLIEST = date(1800, 1, 1)  # of those written for machines; archives have old newspapers
EARLIEST_SHOWN = date(1991, 8, 6)  # the first web page: what people read may be any date of history
_UNSET = frozenset(
    {date(1970, 1, 1), date(1969, 12, 31), date(1980, 1, 1), date(1900, 1, 1), date(1899, 12, 30), date(2000, 1, 1)}
)
_LATEST = date(9999, 1, 1)

_METAS = (
    *("article:published_time", "og:published_time", "article:published", "datepublished", "itemprop:datepublished", "date"),
    *("dc.date", "dc.date.issued", "dcterms.issued", "dcterms.date", "dc.date.created", "dcterms.created", "dc:date"),
    *("sailthru.date", "parsely-pub-date", "citation_publication_date", "citation_online_date", "citation_date"),
    *("publish_date", "publishdate", "publish-date", "publication_date", "publicationdate", "publication-date", "published"),
    *("pubdate", "pub_date", "published_time", "published_at", "itemprop:datecreated", "article.published", "article:post_date"),
    *(
        "article:create_at",
        "og:article:published_time",
        "og:pubdate",
        "bt:pubdate",
        "rnews:datepublished",
        "article_date_original",
    ),
    *("originalpublicationdate", "cxenseparse:recs:publishtime", "displaydate", "date_published", "created", "date.created"),
    *("release_date", "og:release_date", "video:release_date", "itemprop:uploaddate", "itemprop:date"),
)
_FIELDS = ("datePublished", "dateCreated", "uploadDate", "datePosted")
_IN_PATH = re.compile(r"[/_-]((?:19|20)\d\d)[/_-]?([01]\d)[/_-]?([0-3]\d)(?=[/_.-]|$|\D)")
_IN_PATH_NAMED = re.compile(r"/((?:19|20)\d\d)/([a-z]{3,9})/(\d{1,2})(?=/)", re.I)
_IS_CHANGE = re.compile(
    r"updated?|modifi|edited|revised|reviewed|aktualisiert|mis à jour|actualizad|aggiornat|обновлен|更新|geändert|atualizad", re.I
)
_NOT_ITS = re.compile(
    r"comment|reply|related|sidebar|widget|footer|copyright|recent|popular|trending|event|datepicker|update|mandate|candidate",
    re.I,
)
_DAY_FIRST = (".uk", ".ie", ".au", ".nz", ".za", ".in", ".my", ".sg", ".hk", ".ke", ".ng", ".pk", ".eu")
_BYLINES = 4  # elements, and texts of each
_AFTER, _SHOWN = 14, 120  # texts after the heading, characters of a text


def published(
    found: Found, described: Sequence[Object], url: str | None, retrieved: str | None, *, month_first: bool = False
) -> str | None:
    """Return the day of publication in ISO 8601; `retrieved` is the time of the crawl, which no date may exceed."""
    latest = next(calendar.written(retrieved or ""), _LATEST - timedelta(1)) + timedelta(1)
    for days in _candidates(found, described, url, month_first):
        for day, is_for_machines in days:
            if (EARLIEST if is_for_machines else EARLIEST_SHOWN) <= day <= latest and day not in _UNSET:
                return day.isoformat()
    return None


def is_month_first(language: str, url: str | None) -> bool:
    """Return whether a page writes the month before the day: pages in English do, but not those of Britain and others."""
    if addresses.host(url).endswith(_DAY_FIRST):
        return False
    parts = language.lower().replace("_", "-").split("-")
    return parts[0] == "en" and (len(parts) == 1 or parts[-1] in ("us", "ph", "en"))


def _candidates(
    found: Found, described: Sequence[Object], url: str | None, month_first: bool
) -> Iterator[Iterable[tuple[date, bool]]]:
    """Yield the days at each place, the most reliable place first, and whether they are written for machines."""

    def for_machines(texts: Iterable[str]) -> Iterator[tuple[date, bool]]:
        return ((day, True) for text in texts for day in calendar.written(text, month_first=month_first))

    articles = [value for value in described if linked_data.is_article(value)]
    yield for_machines(_fields(articles, _FIELDS))
    yield for_machines(found.meta(*_METAS))
    yield for_machines(_fields(described, _FIELDS))
    yield for_machines(chain.from_iterable(_of_node(node, found) for node in found.of(SAYS_DATE)))
    yield ((day, True) for day in _of_address(url or ""))
    near = list(_near_heading(found, month_first))
    yield ((day, False) for day, is_change in near if not is_change)
    yield for_machines(_times(found))
    yield ((day, False) for day, is_change in _marked(found, month_first) if not is_change)
    yield ((day, False) for day in _in_bylines(found, month_first))
    yield ((day, False) for day, _ in near)


def _fields(described: Sequence[Object], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        for value in described:
            yield from linked_data.texts(value.get(name), ("@value",))


def _of_node(node: Node, found: Found) -> Iterator[str]:
    """Yield what a node says of a time: for machines, then for people."""
    for attribute in ("datetime", "content", "title"):
        if value := node.get(attribute):
            yield value
    if text := found.text(node.node, 100):
        yield text


def _of_address(url: str) -> Iterator[date]:
    path = url.split("?", 1)[0].split("://", 1)[-1]
    for match in _IN_PATH.finditer(path):
        yield from calendar.dates(f"{match[1]}-{match[2]}-{match[3]}")
    for match in _IN_PATH_NAMED.finditer(path):
        yield from calendar.dates(f"{match[3]} {match[2]} {match[1]}")


def _times(found: Found) -> Iterator[str]:
    """Yield what the `<time>`s say that belong to no comment and name no change."""
    for node in found.times[:20]:
        if not _NOT_ITS.search(node.get("class")):
            yield from _of_node(node, found)


def _near_heading(found: Found, month_first: bool) -> Iterator[tuple[date, bool]]:
    """Yield the dates in the short texts around the heading, those after it first, and whether they are of a change."""
    for heading in found.places_of_title()[:1]:
        for pieces in (found.after(heading)[:_AFTER], found.before(heading)):
            for at, piece in enumerate(pieces):
                if len(piece) <= _SHOWN:
                    joined = " ".join(pieces[at : at + 3]) if piece.isascii() and len(piece) < 12 else piece
                    for day in calendar.dates(joined[:_SHOWN], month_first=month_first):
                        label = pieces[at - 1] if at and not any(map(str.isdigit, pieces[at - 1])) else ""
                        yield day, _IS_CHANGE.search(f"{label[:_SHOWN]} {piece}") is not None


def _in_bylines(found: Found, month_first: bool) -> Iterator[date]:
    """Yield the dates in the first elements that are named for an author."""
    for node in islice(found.of(AUTHOR), _BYLINES):
        for piece in found.pieces(node.node, _BYLINES):
            if len(piece) <= _SHOWN:
                yield from calendar.dates(piece, month_first=month_first)


def _marked(found: Found, month_first: bool) -> Iterator[tuple[date, bool]]:
    """Yield the dates in elements that are named for one."""
    for node in found.of(DATE):
        if _NOT_ITS.search(node.get("class")):
            continue
        for text in _of_node(node, found):
            if len(text) <= _SHOWN:
                for day in calendar.dates(text, month_first=month_first):
                    yield day, _IS_CHANGE.search(text) is not None
