"""What a page says of itself: title, author, date, language, address, licence, type, opt-outs, images.

A page says most things several times, for people, search engines and social networks, and not always the same. `facts/` has a
module for each fact, with the order in which its places count.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import numpy as np

from pipelines.text.extraction.pages import opt_outs
from pipelines.text.extraction.pages.facts import addresses, authors, dates, kinds, licenses, linked_data, titles
from pipelines.text.extraction.pages.facts.found import Found, find
from pipelines.text.extraction.pages.facts.images import Image, images
from pipelines.text.extraction.pages.facts.linked_data import Object
from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, IDS
from pipelines.text.extraction.pages.tree import Tree

_MAX_ADDRESS = 2000  # characters
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_LINK = re.compile(r"<([^<>\s]*)>\s*(?:;[^,<]*?\brel\s*=\s*\"?([^\";,]*))")  # of a header Link, with its relation
_NOT_WRITTEN = frozenset({"product", "listing", "organization", "place", "event", "job", "software", "course"})


@dataclass(frozen=True, slots=True)
class About:
    """What a page says of itself; None where it says nothing."""

    title: str | None = None
    author: str | None = None  # several are divided by "; "
    date: str | None = None  # of publication: a day in ISO 8601
    language: str | None = None  # BCP 47: a hint
    canonical_url: str | None = None  # absolute, http or https
    license: str | None = None  # an SPDX identifier, or the address of another licence
    site_type: str | None = None  # a schema.SITE_TYPES
    opt_outs: tuple[str, ...] = ()  # of the page and of the headers: schema.OPT_OUTS


def about(
    tree: Tree,
    url: str | None = None,
    headers: Mapping[str, Sequence[str]] | None = None,
    retrieved: str | None = None,
) -> About:
    """Return what a page says of itself.

    `headers` are those of the response (names in lower case): x-robots-tag, tdm-reservation, link, content-language. `retrieved`
    is the time of the crawl in ISO 8601: no date lies after it.
    """
    found, said, url = find(tree), headers or {}, _address(url)
    objects = linked_data.objects(found.scripts)
    described = linked_data.main(objects)
    names = list(_site_names(found, objects))
    kind = kinds.site_type(found, described)
    language = _language(found, said)
    is_written = kind not in _NOT_WRITTEN and not addresses.is_home(url)
    title = titles.title(found, described, names, url)
    found.heading = title.node if title else None
    return About(
        title=title.text if title else None,
        author=authors.author(found, described, linked_data.by_id(objects), names, is_written=is_written),
        date=dates.published(found, described, url, retrieved, month_first=dates.is_month_first(language or "", url)),
        language=language,
        canonical_url=_canonical(found, said, _base(found, url)),
        license=licenses.license_of(found, described, _base(found, url)) or _linked(said, "license", url),
        site_type=kind,
        opt_outs=opt_outs.in_order(_opt_outs(found, said)),
    )


def images_of(tree: Tree, url: str | None = None, within: tuple[int, int] | None = None) -> list[Image]:
    """Return a page's images: all, or those of the nodes from the first to before the last of `within`."""
    found = Found(tree, tree.markup.data)
    for node in np.flatnonzero(tree.tag == IDS["base"])[:1].tolist():
        found.base = found.attribute(node, ATTRIBUTE_IDS["href"])
    return images(found, _base(found, _address(url)), within)


def _address(url: str | None) -> str | None:
    """Return an address if it can be parsed."""
    try:
        return url if url is None or urlsplit(url).hostname is not None else None
    except ValueError:
        return None


def _base(found: Found, url: str | None) -> str | None:
    """Return the address from which the page's relative ones start: that of its `<base>`, else its own."""
    return _absolute(found.base, url) or url if found.base else url


def _site_names(found: Found, objects: Sequence[Object]) -> Iterator[str]:
    """Yield what the page's site is called."""
    yield from found.meta("og:site_name", "application-name", "apple-mobile-web-app-title")
    for value in objects:
        if any(name in ("WebSite", "Organization", "NewsMediaOrganization") for name in linked_data.types(value)):
            yield from linked_data.texts(value.get("name"))
        yield from linked_data.texts(value.get("publisher"))


def _language(found: Found, headers: Mapping[str, Sequence[str]]) -> str | None:
    candidates = (found.language, *headers.get("content-language", ()), *found.meta("content-language", "language", "og:locale"))
    for candidate in candidates:
        tag = candidate.strip().replace("_", "-")
        if _LANGUAGE.fullmatch(tag):
            return tag
    return None


def _canonical(found: Found, headers: Mapping[str, Sequence[str]], url: str | None) -> str | None:
    for relation, address in found.links:
        if "canonical" in relation.split() and (absolute := _absolute(address, url)) is not None:
            return absolute
    linked = _linked(headers, "canonical", url)
    if linked is not None:
        return linked
    return next((absolute for text in found.meta("og:url") if (absolute := _absolute(text, url)) is not None), None)


def _linked(headers: Mapping[str, Sequence[str]], relation: str, url: str | None) -> str | None:
    """Return the address in a header Link that has this relation."""
    for field in headers.get("link", ()):
        for address, relations in _LINK.findall(field[:10_000]):
            if relation in relations.lower().split() and (absolute := _absolute(address, url)) is not None:
                return licenses.identifier(absolute) or absolute if relation == "license" else absolute
    return None


def _absolute(address: str, url: str | None) -> str | None:
    """Return an address that begins with http or https, or None if it has none."""
    try:
        address = address.strip()
        absolute = address if address.startswith(("https://", "http://")) else urljoin(url or "", address)
        host = urlsplit(absolute).hostname
    except ValueError:
        return None
    is_one = absolute.lower().startswith(("http://", "https://")) and host and len(absolute) <= _MAX_ADDRESS
    return absolute if is_one and not any(char.isspace() for char in absolute) else None


def _opt_outs(found: Found, headers: Mapping[str, Sequence[str]]) -> set[str]:
    said = opt_outs.of_headers(headers)
    for text in found.meta(*opt_outs.AGENTS):
        said |= opt_outs.of_robots(text)
    for text in found.meta("tdm-reservation"):
        said |= opt_outs.of_reservation(text)
    return said
