"""What a page says against its use: directives for robots and the reservation of text and data mining.

    noindex       robots: noindex, or none
    noai          robots: noai (DeviantArt's convention: not for the training of models)
    noimageai     robots: noimageai (the same of images alone)
    tdm           tdm-reservation: 1 (TDM Reservation Protocol, W3C community group, 2024)

Directives are in `<meta name="robots">` and in headers X-Robots-Tag; those for one crawler count if it is Google's or Common
Crawl's (`<meta name="googlebot">`, `X-Robots-Tag: CCBot: noai`). robots.txt and tdmrep.json are files of their
own, for crawlers to obey.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from pipelines.contract.schema import OPT_OUTS

AGENTS = frozenset({"robots", "googlebot", "ccbot"})  # whose directives count; a directive for nobody is for all robots

_DIRECTIVE = re.compile(r"[^\s,;]+")
_AGENT = re.compile(r"([a-z][a-z0-9_.*-]*):(.*)")
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_MEANS = {"noindex": "noindex", "none": "noindex", "noai": "noai", "noimageai": "noimageai"}


def of_robots(content: str) -> set[str]:
    """Return the opt-outs in a list of directives; after "name:", directives are for that crawler.

    >>> sorted(of_robots("googlebot: noindex, max-snippet: 9, otherbot: noai"))
    ['noindex']
    """
    found: set[str] = set()
    counts = True
    for directive in _DIRECTIVE.findall(content[:10_000].lower()):
        name = directive
        if (agent := _AGENT.fullmatch(directive)) and agent[1] not in _WITH_VALUE:
            counts, name = agent[1] in AGENTS, agent[2]
        if counts and name in _MEANS:
            found.add(_MEANS[name])
    return found


def of_reservation(content: str) -> set[str]:
    """Return "tdm" if text and data mining is reserved: "1". Anything else says nothing."""
    return {"tdm"} if content.strip() == "1" else set()


def of_headers(fields: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the opt-outs in the fields (names in lower case) of a response."""
    found: set[str] = set()
    for content in fields.get("x-robots-tag", ()):
        found |= of_robots(content)
    for content in fields.get("tdm-reservation", ()):
        found |= of_reservation(content)
    return found


def in_order(found: Iterable[str]) -> tuple[str, ...]:
    """Return opt-outs in the order of OPT_OUTS."""
    distinct = set(found)
    return tuple(name for name in OPT_OUTS if name in distinct)
