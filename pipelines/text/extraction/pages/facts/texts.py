"""The texts in a part of a page: what a browser shows of an element, or of what comes before and after one."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.tags import HIDDEN, IDS, NAMES, TEXT, names
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.kernels import jit, jit_borrowing

MAX_NODES = 600  # of a part that are looked at
MAX_NODES_BEFORE = 150
MAX_PIECE_BYTES = 400  # of a text; a longer one, which is a paragraph, is LONG
LONG = "…"

_GAP, _HIDDEN_KIND = 1, 2  # what an element does to its texts; 0: nothing
_BREAKS = "br p div li ul ol tr td th h1 h2 h3 h4 dt dd section header footer article figure figcaption table"


def inner_text(tree: Tree, node: int, limit: int = 1000) -> str:
    """Return about the first `limit` bytes of what a browser shows of a node, on one line."""
    first, last = node + 1, int(tree.end[node])
    if last == first + 1 and tree.tag[first] == TEXT:  # the usual heading
        return _line(tree, int(tree.start[first]), min(int(tree.stop[first]), int(tree.start[first]) + limit))
    parts: list[str] = []
    for start, stop in _places(tree.tag, tree.end, tree.start, tree.stop, tree.text, _kinds(), first, last, 100, True).tolist():
        raw = tree.text[start : min(stop, start + limit)].tobytes()
        parts.append(raw.decode("utf-8", "ignore") if stop else " ")
        limit -= len(raw)
        if limit <= 0:
            break
    return " ".join("".join(parts).split())


def pieces(tree: Tree, first: int, last: int, limit: int) -> list[str]:
    """Return the first `limit` texts from node `first` to before `last` that are not only white space, each on one line."""
    places = _places(tree.tag, tree.end, tree.start, tree.stop, tree.text, _kinds(), first, last, limit, False)
    return [_piece(tree, start, stop) for start, stop in places.tolist()]


def pieces_before(tree: Tree, node: int, limit: int) -> list[str]:
    """Return the last texts before a node, the nearest first."""
    places = _places_before(tree.tag, tree.parent, tree.start, tree.stop, tree.text, _kinds(), node, limit)
    return [_piece(tree, start, stop) for start, stop in places.tolist()]


def node_of(tree: Tree, wanted: str) -> int | None:
    """Return the first shown text that is `wanted`, but for white space around it."""
    letters = np.frombuffer(wanted.encode("utf-8", "ignore"), np.uint8)
    node = _text_node(tree.tag, tree.parent, tree.start, tree.stop, tree.text, _kinds(), letters)
    return node if node >= 0 else None


def _piece(tree: Tree, start: int, stop: int) -> str:
    return _line(tree, start, stop) if stop - start <= MAX_PIECE_BYTES else LONG


def _line(tree: Tree, start: int, stop: int) -> str:
    return " ".join(tree.text[start:stop].tobytes().decode("utf-8", "ignore").split())


@functools.cache
def _kinds() -> NDArray[np.uint8]:
    """Return what each element does to the texts in it."""
    kinds = np.zeros(len(NAMES), np.uint8)
    kinds[[IDS[name] for name in _BREAKS.split()]] = _GAP
    kinds[(names().kinds & HIDDEN) != 0] = _HIDDEN_KIND
    return kinds


@jit_borrowing
def _first_letter(text: Any, begin: int, after: int) -> int:
    """Return the place of the first byte that is not white space, or `after`."""
    while begin < after and (text[begin] == 32 or 9 <= text[begin] <= 13):
        begin += 1
    return begin


@jit
def _places(
    tag: Any, end: Any, start: Any, stop: Any, text: Any, kinds: Any, first: int, last: int, limit: int, is_whole: bool
) -> Any:
    """Return start and stop of the shown texts; (0, 0) is a gap between them, with `is_whole`, which keeps white space, too."""
    places = np.empty((limit, 2), np.int64)
    count, node = 0, first
    last = min(last, first + MAX_NODES)
    while node < last and count < limit:
        kind = kinds[tag[node]]
        if tag[node] == TEXT:
            begin = start[node] if is_whole else _first_letter(text, start[node], stop[node])
            if begin < stop[node]:
                places[count, 0], places[count, 1] = begin, stop[node]
                count += 1
        elif kind == _HIDDEN_KIND:
            node = end[node]
            continue
        elif kind == _GAP and is_whole:
            places[count, 0], places[count, 1] = 0, 0
            count += 1
        node += 1
    return places[:count]


@jit
def _places_before(tag: Any, parent: Any, start: Any, stop: Any, text: Any, kinds: Any, node: int, limit: int) -> Any:
    """Return start and stop of the shown texts before a node, the nearest first."""
    places = np.empty((limit, 2), np.int64)
    count = 0
    for at in range(node - 1, max(-1, node - 1 - MAX_NODES_BEFORE), -1):
        if tag[at] != TEXT or (parent[at] >= 0 and kinds[tag[parent[at]]] == _HIDDEN_KIND):
            continue
        begin = _first_letter(text, start[at], stop[at])
        if begin < stop[at]:
            places[count, 0], places[count, 1] = begin, stop[at]
            count += 1
            if count == limit:
                break
    return places[:count]


@jit
def _text_node(tag: Any, parent: Any, start: Any, stop: Any, text: Any, kinds: Any, letters: Any) -> int:
    """Return the first shown text that is these bytes, or -1."""
    for node in range(tag.size):
        if tag[node] != TEXT or stop[node] - start[node] < letters.size:
            continue
        if parent[node] >= 0 and kinds[tag[parent[node]]] == _HIDDEN_KIND:
            continue
        begin, after = start[node], stop[node]
        while begin < after and text[begin] <= 32:
            begin += 1
        while begin < after and text[after - 1] <= 32:
            after -= 1
        same = after - begin == letters.size
        for i in range(letters.size):
            if not same:
                break
            same = text[begin + i] == letters[i]
        if same:
            return node
    return -1
