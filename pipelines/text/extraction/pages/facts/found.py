"""Gather the places where a page speaks of itself: `<meta>`, `<link>`, headings, `<time>`, and elements that are named for it.

A kernel passes over the tree once and returns the few nodes that matter; Python then reads their attributes.
"""

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.facts import texts
from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, IDS, NAMES
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.kernels import jit, jit_borrowing

# Why a node matters: bits.
NAMED = 1  # its element: meta, link, title, h1, time, html, a script of linked data
AUTHOR = 2  # its class or id speaks of an author
DATE = 4  # its class or id speaks of a date
SAYS_AUTHOR = 8  # itemprop or rel: author or creator
SAYS_DATE = 16  # itemprop: datePublished or the like
LICENSE = 32  # rel: license
COMMONS = 64  # a link to Creative Commons

MAX_NODES = 64  # of one reason other than NAMED
MAX_NAMED = 500
_PROPERTIES = 10  # nodes of an element where its properties are looked for
AFTER, BEFORE = 30, 8  # texts around a heading
MAX_VALUE_BYTES = 4000  # of an attribute that is read

_META, _LINK, _TITLE, _H1, _TIME, _HTML, _SCRIPT, _BODY, _SVG, _BASE = (
    IDS[name] for name in ("meta", "link", "title", "h1", "time", "html", "script", "body", "svg", "base")
)
_ITEMPROP, _CONTENT, _REL, _HREF, _TYPE, _CLASS, _NAME, _PROPERTY, _HTTP_EQUIV = (
    ATTRIBUTE_IDS[name] for name in ("itemprop", "content", "rel", "href", "type", "class", "name", "property", "http-equiv")
)
_WORDS = (
    *((word, AUTHOR) for word in ("author", "byline", "by-line", "writer", "username", "user-name", "poster")),
    *((word, DATE) for word in ("date", "publish", "posted", "timestamp", "time-stamp", "pubtime")),
)
_TELLING = (
    *((word, SAYS_AUTHOR) for word in ("author", "creator")),
    *((word, SAYS_DATE) for word in ("datepublished", "datecreated", "pubdate")),
    ("license", LICENSE),
)

_READ = (
    *("name", "property", "itemprop", "http-equiv", "content", "class", "id", "rel", "href", "itemtype"),
    *("datetime", "pubdate", "lang", "xml:lang", "title"),
)
_RELATIONS = tuple((word, NAMED) for word in ("canonical", "license", "author"))  # of a <link>
_LINKED = (("ld+json", NAMED),)  # the type of a <script>
_COMMONS = (("crea", COMMONS),)  # "https://creativecommons.org/…", at its place in an address

Place = tuple[int, int]  # first byte, and the one after the last


class Words(NamedTuple):
    """Words to search for, joined, with the end and the reason of each."""

    letters: NDArray[np.uint8]
    ends: NDArray[np.int64]
    reasons: NDArray[np.uint8]
    pairs: NDArray[np.bool_]  # by the low five bits of two letters: whether a word may begin with them


class Node(NamedTuple):
    """A node that matters."""

    node: int
    tag: int
    reasons: int
    attributes: Sequence[tuple[int, int, int]]  # number in tags.ATTRIBUTES, start and stop of the value
    markup: memoryview

    def get(self, attribute: str) -> str:
        """Return an attribute's value, or an empty string."""
        wanted = ATTRIBUTE_IDS[attribute]
        return next((_value(self.markup, start, stop) for name, start, stop in self.attributes if name == wanted), "")


@dataclass(slots=True)
class Found:
    """Where a page speaks of itself."""

    tree: Tree
    markup: memoryview
    metas: dict[str, list[Place]] = field(default_factory=dict[str, list[Place]])  # by name in lower case
    links: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # rel in lower case, and href
    titles: list[Node] = field(default_factory=list[Node])
    headings: list[Node] = field(default_factory=list[Node])
    times: list[Node] = field(default_factory=list[Node])
    scripts: list[bytes] = field(default_factory=list[bytes])  # linked data
    types: list[str] = field(default_factory=list[str])  # of <html> and <body>: itemtype
    language: str = ""
    base: str = ""  # of <base>: href
    marked: list[Node] = field(default_factory=list[Node])  # by a class, an itemprop or a rel
    heading: int | None = None  # the node that shows the title
    known: dict[int, list[str]] = field(default_factory=dict[int, list[str]])  # what `after` returned

    def meta(self, *wanted: str) -> Iterator[str]:
        """Yield the contents of metas with these names that are not empty, by name and then in order."""
        for name in wanted:
            for start, stop in self.metas.get(name, ()):
                content = _value(self.markup, start, stop)
                if content:
                    yield content

    def of(self, reason: int) -> Iterator[Node]:
        """Yield the marked nodes with this reason."""
        return (node for node in self.marked if node.reasons & reason)

    def text(self, node: int, limit: int = 1000) -> str:
        """Return about the first `limit` bytes of what a browser shows of a node, on one line."""
        return texts.inner_text(self.tree, node, limit)

    def attribute(self, node: int, name: int) -> str:
        """Return the value of an attribute (by number in tags.ATTRIBUTES) of any node; empty if it has none."""
        tree = self.tree
        for row in range(int(tree.first_attribute[node]), int(tree.first_attribute[node + 1])):
            if tree.attribute[row] == name:
                return _value(self.markup, int(tree.value_start[row]), int(tree.value_stop[row]))
        return ""

    def pieces(self, node: int, limit: int) -> list[str]:
        """Return the first `limit` texts in a node that are not only white space, each on one line."""
        return texts.pieces(self.tree, node + 1, int(self.tree.end[node]), limit)

    def places_of_title(self) -> list[int]:
        """Return the node that shows the title, then the headings."""
        headings = [node.node for node in self.headings]
        return headings if self.heading is None else [self.heading, *(node for node in headings if node != self.heading)]

    def property(self, node: int, name: str) -> str:
        """Return the content of the first `<meta itemprop=…>` of this name in a node, near its beginning."""
        for inner in range(node + 1, min(int(self.tree.end[node]), node + _PROPERTIES)):
            if self.tree.tag[inner] == _META and self.attribute(inner, _ITEMPROP) == name:
                return self.attribute(inner, _CONTENT)
        return ""

    def after(self, node: int) -> list[str]:
        """Return the first AFTER texts after a node."""
        if node not in self.known:
            self.known[node] = texts.pieces(self.tree, int(self.tree.end[node]), len(self.tree.tag), AFTER)
        return self.known[node]

    def before(self, node: int) -> list[str]:
        """Return the last BEFORE texts before a node, the nearest first."""
        return texts.pieces_before(self.tree, node, BEFORE)


def find(tree: Tree) -> Found:
    """Return the places where a page speaks of itself."""
    nodes, reasons, firsts, attributes, starts, stops = _scan(
        tree.tag, tree.first_attribute, tree.attribute, tree.value_start, tree.value_stop, tree.markup
    )
    markup = tree.markup.data
    found = Found(tree, markup)
    rows = list(zip(attributes.tolist(), starts.tolist(), stops.tolist(), strict=True))
    tags = tree.tag[nodes].tolist()
    bounds = firsts.tolist()
    for index, (node, tag, reason) in enumerate(zip(nodes.tolist(), tags, reasons.tolist(), strict=True)):
        places = rows[bounds[index] : bounds[index + 1]]
        if tag == _META:
            _add_meta(found.metas, places, markup)
        else:
            _add(found, Node(node, tag, reason, places, markup))
    return found


def _add_meta(metas: dict[str, list[Place]], places: Sequence[tuple[int, int, int]], markup: memoryview) -> None:
    content = (0, 0)
    for name, start, stop in places:
        if name == _CONTENT:
            content = (start, stop)
    for name, start, stop in places:
        if name in (_NAME, _PROPERTY, _HTTP_EQUIV, _ITEMPROP) and stop - start < 100:
            key = str(markup[start:stop], "latin-1").strip().lower()
            metas.setdefault(f"itemprop:{key}" if name == _ITEMPROP else key, []).append(content)


def _value(markup: memoryview, start: int, stop: int) -> str:
    text = str(markup[start : min(stop, start + MAX_VALUE_BYTES)], "utf-8", "ignore")
    if "&" in text:
        text = html.unescape(text)
    return text.strip() if text.isprintable() and "  " not in text else " ".join(text.split())


def _add(found: Found, node: Node) -> None:
    """Put a node where it belongs."""
    tag = node.tag
    if tag == _LINK:
        found.links.append((node.get("rel").lower(), node.get("href")))
        return
    if tag == _SCRIPT:
        found.scripts.append(bytes(found.markup[found.tree.start[node.node] : found.tree.stop[node.node]]))
        return
    if tag in (_HTML, _BODY):
        if tag == _HTML:
            found.language = node.get("lang") or node.get("xml:lang")
        found.types.append(node.get("itemtype"))
    elif tag == _BASE:
        found.base = found.base or node.get("href")
    elif tag == _TITLE:
        parent = int(found.tree.parent[node.node])
        if parent < 0 or found.tree.tag[parent] != _SVG:  # there, it is that of the drawing
            found.titles.append(node)
    elif tag == _H1:
        found.headings.append(node)
    elif tag == _TIME:
        found.times.append(node)
    if node.reasons & ~NAMED:
        found.marked.append(node)


# The kernel


def _words(reasons: Sequence[tuple[str, int]]) -> Words:
    pairs = np.zeros(1024, np.bool_)
    for word, _ in reasons:
        pairs[(ord(word[0]) & 31) << 5 | ord(word[1]) & 31] = True
    letters = np.frombuffer("".join(word for word, _ in reasons).encode(), np.uint8)
    ends = np.cumsum([len(word) for word, _ in reasons])
    return Words(letters, ends, np.array([reason for _, reason in reasons], np.uint8), pairs)


def _flags(size: int, places: Iterable[int]) -> NDArray[np.bool_]:
    flags = np.zeros(size, np.bool_)
    flags[list(places)] = True
    return flags


# Constants of the kernel: passing them with each call would take longer than many pages do.
_IS_NAMED = _flags(len(NAMES), (_META, _LINK, _TITLE, _H1, _TIME, _HTML, _SCRIPT, _BODY, _BASE))
_IS_READ = _flags(256, (ATTRIBUTE_IDS[name] for name in _READ))
_NAMING, _SAYING, _RELATING, _LINKING, _COMMONS_LINK = map(_words, (_WORDS, _TELLING, _RELATIONS, _LINKED, _COMMONS))


@jit_borrowing
def _reasons(data: Any, start: int, stop: int, words: Words) -> int:
    """Return the reasons of the words in a value, in any case of letters."""
    reasons = 0
    for at in range(start, stop - 1):
        if not words.pairs[(data[at] & 31) << 5 | data[at + 1] & 31]:
            continue
        begin = 0
        for word in range(words.ends.size):
            end = words.ends[word]
            if at + end - begin <= stop:
                same = True
                for i in range(end - begin):
                    byte = data[at + i]
                    same = same and words.letters[begin + i] == (byte + 32 if 65 <= byte <= 90 else byte)
                    if not same:
                        break
                if same:
                    reasons |= words.reasons[word]
            begin = end
    return reasons


@jit
def _scan(tag: Any, first: Any, attribute: Any, start: Any, stop: Any, data: Any) -> Any:
    """Return the nodes that matter, their reasons and the first of their attributes, and all these attributes."""
    counts = np.zeros(8, np.int64)  # nodes taken so far: by reason
    nodes, reasons = np.empty(tag.size, np.int32), np.empty(tag.size, np.uint8)
    many = 0
    for node in range(tag.size):
        begin, end = first[node], first[node + 1]
        bits = 0
        kind = tag[node]
        if _IS_NAMED[kind]:
            bits = NAMED
            if kind in (_LINK, _SCRIPT):
                bits = 0
                for i in range(begin, end):
                    if attribute[i] == (_REL if kind == _LINK else _TYPE):
                        bits = min(
                            1, _reasons(data, start[i], min(stop[i], start[i] + 200), _RELATING if kind == _LINK else _LINKING)
                        )
        if kind != _META and kind != _LINK and kind != _SCRIPT:
            for i in range(begin, end):
                name = attribute[i]
                if name == _CLASS:
                    bits |= _reasons(data, start[i], min(stop[i], start[i] + MAX_VALUE_BYTES), _NAMING)
                elif name == _HREF:
                    bits |= _reasons(data, start[i] + 6, min(stop[i], start[i] + 16), _COMMONS_LINK)
                elif name in (_ITEMPROP, _REL):
                    bits |= _reasons(data, start[i], min(stop[i], start[i] + MAX_VALUE_BYTES), _SAYING)
        taken = 0
        for bit in range(7):
            if bits >> bit & 1 and counts[bit] < (MAX_NAMED if bit == 0 else MAX_NODES):
                counts[bit] += 1
                taken |= 1 << bit
        if taken:
            nodes[many], reasons[many] = node, taken
            many += 1
    firsts = np.zeros(many + 1, np.int64)
    rows = np.empty(attribute.size, np.int64)
    place = 0
    for i in range(many):
        for row in range(first[nodes[i]], first[nodes[i] + 1]):
            if _IS_READ[attribute[row]]:
                rows[place] = row
                place += 1
        firsts[i + 1] = place
    rows = rows[:place]
    return nodes[:many].copy(), reasons[:many].copy(), firsts, attribute[rows], start[rows], stop[rows]
