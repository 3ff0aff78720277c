"""Read a page's linked data (JSON-LD, schema.org): the objects that describe the page itself.

Limits: a script of more than MAX_BYTES and what is nested deeper than the page's main entity is not read: reviews, comments and
related articles have authors and dates of their own. Broken JSON is read for its first few fields.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

MAX_BYTES = 2**19  # of all scripts of a page
MAX_OBJECTS = 500
MAX_DEPTH = 8

Object = dict[str, Any]

# What a page is about is an object of one of these types, the best first; others (breadcrumbs, the site, its owner) are not.
_RANKS = (
    ("article", ("Article", "Posting", "Report", "Review", "Recipe", "HowTo", "Chapter", "Question", "ClaimReview")),
    ("thing", ("Product", "VideoObject", "Movie", "Book", "Course", "Event", "JobPosting", "SoftwareApplication", "Dataset")),
    ("page", ("WebPage", "ItemPage", "QAPage", "FAQPage", "AboutPage", "ProfilePage", "CollectionPage", "MedicalWebPage")),
)
_BROKEN = re.compile(rb'"(headline|datePublished|dateCreated|license)"\s*:\s*"((?:[^"\\]|\\.){1,500})"')
_BROKEN_AUTHOR = re.compile(
    rb'"author"\s*:\s*[\[{\s]{0,20}(?:"@type"\s*:\s*"[^"]{0,40}"\s*,\s*)?"name"\s*:\s*"((?:[^"\\]|\\.){1,200})"'
)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")


def objects(scripts: Sequence[bytes]) -> list[Object]:
    """Return the objects of all scripts: those at the top, in graphs and lists, and main entities."""
    left = MAX_BYTES
    top: list[Any] = []
    for script in scripts:
        left -= len(script)
        if left < 0:
            break
        top.append(_parsed(script))
    return list(_spread(top))


def _parsed(script: bytes) -> Any:
    text = script.decode("utf-8", "ignore").strip().removeprefix("<!--").removesuffix("-->").strip().rstrip(";")
    for repaired in (text, _TRAILING_COMMA.sub(r"\1", text)):
        try:
            return json.loads(repaired, strict=False)
        except (ValueError, RecursionError):
            continue
    fields = {match[1].decode(): _string(match[2]) for match in _BROKEN.finditer(script)}
    author = _BROKEN_AUTHOR.search(script)
    return {"@type": "Article", **fields, **({"author": _string(author[1])} if author else {})}


def _string(raw: bytes) -> str:
    try:
        return str(json.loads(b'"' + raw + b'"', strict=False))
    except ValueError:
        return raw.decode("utf-8", "ignore")


def _spread(top: list[Any]) -> Iterator[Object]:
    """Yield the objects of graphs, lists and main entities, in the order of the page."""
    count = 0
    stack = [(value, 0) for value in reversed(top)]
    while stack and count < MAX_OBJECTS:
        value, depth = stack.pop()
        if depth > MAX_DEPTH:
            continue
        if isinstance(value, list):
            stack.extend((item, depth + 1) for item in reversed(value[:MAX_OBJECTS]))
        elif isinstance(value, dict):
            count += 1
            yield value
            stack.extend((value[name], depth + 1) for name in ("mainEntity", "mainEntityOfPage", "@graph") if name in value)


def types(value: Object) -> tuple[str, ...]:
    """Return the types of an object, without the vocabulary before them: "NewsArticle"."""
    named = value.get("@type", ())
    listed = named if isinstance(named, list) else [named]
    return tuple(name.rsplit("/", 1)[-1].rsplit(":", 1)[-1] for name in listed if isinstance(name, str))


def main(found: Iterable[Object]) -> list[Object]:
    """Return the objects that describe the page, the best first: an article before a product before the page itself."""
    ranked = [(rank, value) for value in found if (rank := _rank(value)) is not None]
    return [value for _, value in sorted(ranked, key=lambda pair: pair[0])]


def is_article(value: Object) -> bool:
    """Return whether an object is a text that the page consists of."""
    return _rank(value) == 0


def _rank(value: Object) -> int | None:
    for name in types(value):
        for rank, (_, endings) in enumerate(_RANKS):
            if name.endswith(endings):
                return rank
    return None


def texts(value: Any, names: Sequence[str] = ("name",), by_id: Mapping[str, Object] | None = None) -> Iterator[str]:
    """Yield the strings in a value: itself, those of a list, and the `names` of objects ("@id" refers to one of `by_id`)."""
    values = value[:50] if isinstance(value, list) else [value]
    for item in values:
        if isinstance(item, str):
            yield clean(item)
        elif isinstance(item, dict):
            known = item
            if by_id is not None and not any(name in item for name in names):
                known = by_id.get(str(item.get("@id")), item)
            for name in names:
                for text in (inner for inner in _strings(known.get(name)) if inner):
                    yield clean(text)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value[:20] if isinstance(item, str)] if isinstance(value, list) else []


def clean(text: str) -> str:
    """Return a text on one line, without references (which JSON does not have, but pages write)."""
    return " ".join((html.unescape(text) if "&" in text else text)[:2000].split())


def by_id(found: Iterable[Object]) -> dict[str, Object]:
    """Return the objects that have an "@id"."""
    return {value["@id"]: value for value in found if isinstance(value.get("@id"), str) and len(value) > 1}
