"""The licence that a page gives itself: rel=license, linked data, `<meta>`, a link to Creative Commons in its footer.

A link to Creative Commons elsewhere is often that of one picture; it counts if what is around it speaks of a licence of the text.
"""

import re
from collections.abc import Iterator, Sequence

from pipelines.text.extraction.pages.facts import addresses
from pipelines.text.extraction.pages.facts.found import COMMONS, LICENSE, Found
from pipelines.text.extraction.pages.facts.linked_data import Object, texts
from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, IDS

MAX_CHARACTERS = 500  # of an address

_CC = re.compile(
    r"creativecommons\.org/(?:licenses/(?P<terms>by(?:-nc)?(?:-nd|-sa)?|sa|nc|nd|nc-sa|nd-nc)/(?P<version>\d\.\d)"
    r"(?:/(?P<port>[a-z]{2,3}|scotland)\b(?!\.))?|publicdomain/(?P<public>zero|mark)/1\.0)",
    re.I,
)
_SPDX = re.compile(r"(?:spdx\.org/licenses/|opensource\.org/licenses?/)([A-Za-z0-9][A-Za-z0-9.+-]*?)(?:\.html|\.php|/)?$", re.I)
_WRITTEN = re.compile(
    r"\bCC[- ](BY(?:[- ]NC)?(?:[- ](?:ND|SA))?)[- ]?(\d\.\d)(?:\s+(?:International|Unported|Deed|Intl))?\s*$"
    r"|\b(CC0)(?:[- ]1\.0)?\s*$",
    re.I,
)
# The ports that SPDX has names for; the others differ from the unported licence in wording alone.
_PORTS = (
    "BY-2.5-AU BY-3.0-AT BY-3.0-AU BY-3.0-DE BY-3.0-IGO BY-3.0-NL BY-3.0-US BY-NC-3.0-DE BY-NC-ND-3.0-DE BY-NC-ND-3.0-IGO"
    " BY-NC-SA-2.0-DE BY-NC-SA-2.0-FR BY-NC-SA-2.0-UK BY-NC-SA-3.0-DE BY-NC-SA-3.0-IGO BY-ND-3.0-DE BY-SA-2.0-UK BY-SA-2.1-JP"
    " BY-SA-3.0-AT BY-SA-3.0-DE BY-SA-3.0-IGO"
)
_METAS = ("dcterms.license", "dc.rights.license", "license", "dcterms.rights", "dc.rights", "dcterms.rights.license", "copyright")
_FOOTER = re.compile(r"foot|licen[sc]|copyright|copyleft|rights|colophon|imprint", re.I)
_OF_TEXT = re.compile(
    r"(?:content|work|text|article|page|site|wiki|post|book|material|documentation|entry|blog|story|paper|inhalt|artikel|contenu"
    r"|contenido|obra|текст|материал)\w*\b[^.]{0,150}\b(?:licen[sc]|lizenz|лиценз|available under)"
    r"|except where otherwise|open access",
    re.I,
)
_OF_PICTURE = re.compile(r"\b(?:image|photo|picture|figure|foto|bild|flickr|wikimedia|icon|music|font|video)", re.I)
_FOOTER_TAG, _A = IDS["footer"], IDS["a"]
_CLASS, _ID = ATTRIBUTE_IDS["class"], ATTRIBUTE_IDS["id"]


def license_of(found: Found, described: Sequence[Object], url: str | None) -> str | None:
    """Return an SPDX identifier, or the address of another licence, or None."""
    for address in _in_markup(found, described):
        named = identifier(address)
        if named is not None:
            return named
        if (absolute := addresses.absolute(address, url)) is not None and len(absolute) <= MAX_CHARACTERS:
            return absolute
    for text in found.meta(*_METAS):
        if (named := identifier(text) or _in_words(text)) is not None:
            return named
    distinct = set(_shown(found))
    return distinct.pop() if len(distinct) == 1 else None


def identifier(address: str) -> str | None:
    """Return the SPDX identifier of an address of a licence.

    >>> identifier("http://creativecommons.org/licenses/by-nc-sa/3.0/de/legalcode")
    'CC-BY-NC-SA-3.0-DE'
    """
    match = _CC.search(address)
    if match is None:
        other = _SPDX.search(address.strip())
        return other[1] if other else None
    if match["public"]:
        return "CC0-1.0" if match["public"].lower() == "zero" else "CC-PDM-1.0"
    name = f"{match['terms'].upper()}-{match['version']}"
    ported = f"{name}-{(match['port'] or '').upper()}"
    return f"CC-{ported if match['port'] and ported in _PORTS else name}"


def _in_words(text: str) -> str | None:
    match = _WRITTEN.search(text[:200])
    if match is None:
        return None
    return "CC0-1.0" if match[3] else f"CC-{match[1].upper().replace(' ', '-')}-{match[2]}"


def _in_markup(found: Found, described: Sequence[Object]) -> Iterator[str]:
    """Yield the addresses that the page's markup calls its licence."""
    for relation, address in found.links:
        if "license" in relation.split():
            yield address
    for value in described:
        yield from texts(value.get("license"), ("url", "@id"))
    for node in found.of(LICENSE):
        if node.tag == _A and "license" in node.get("rel").lower().split():
            yield node.get("href")


def _shown(found: Found) -> Iterator[str]:
    """Yield the licences of links to Creative Commons that speak of the page."""
    for node in found.of(COMMONS):
        named = identifier(node.get("href"))
        if named is not None and _is_of_page(found, node.node):
            yield named


def _is_of_page(found: Found, link: int) -> bool:
    tree, node = found.tree, link
    for _ in range(12):
        node = int(tree.parent[node])
        if node < 0:
            return False
        if tree.tag[node] == _FOOTER_TAG or _FOOTER.search(f"{found.attribute(node, _CLASS)} {found.attribute(node, _ID)}"):
            return True
        if tree.end[node] - node < 40:
            text = found.text(node, 600)
            if _OF_PICTURE.search(text):
                return False
            if _OF_TEXT.search(text):
                return True
    return False
