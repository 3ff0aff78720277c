"""Kernels: what the head of a page says that tells main text from the rest, for the features.

The words of title and description, the types that linked data (JSON-LD) and og:type name, the shape of the canonical address.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.characters.code_points import decode
from pipelines.text.characters.counts import DIGIT, LETTER, SPACELESS
from pipelines.text.extraction.pages.blocks import PAIR_PRIME
from pipelines.text.extraction.pages.scanning import FNV_OFFSET, FNV_PRIME
from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS
from pipelines.text.kernels import jit_borrowing

NAME, PROPERTY, CONTENT, TYPE, REL, HREF = (
    ATTRIBUTE_IDS[name] for name in ("name", "property", "content", "type", "rel", "href")
)
SET_SIZE = 64  # of 64 bits: a set of words by 12 bits of their hashes
_MOST_WORDS, _MOST_DESCRIPTION = 100, 1000  # words; bytes


def _bytes(word: str) -> NDArray[np.uint8]:
    return np.frombuffer(word.encode(), np.uint8)


_DESCRIPTION, _OG_TYPE, _LD_JSON, _CANONICAL = map(_bytes, ("description", "og:type", "ld+json", "canonical"))
_ARTICLE, _POSTING, _BLOG, _DISCUSSION = map(_bytes, ("article", "posting", "blog", "discussion"))
_PRODUCT, _QUESTION, _QA, _COLLECTION = map(_bytes, ("product", "question", "qapage", "collectionpage"))
_ITEM_LIST, _WEBSITE = map(_bytes, ("itemlist", "website"))


@jit_borrowing
def add_words(text: Any, at: int, stop: int, characters: Any, lower: Any, out: Any) -> int:
    """Add the words of a text, hashed as `blocks` hashes them, to a set of bits; return their number."""
    key, length, before, words = FNV_OFFSET, 0, np.uint64(0), 0
    while at <= stop and words < _MOST_WORDS:
        code, size = decode(text, at) if at < stop else (32, 1)
        at += size
        bits = int(characters[code])
        if bits & SPACELESS:
            if before:
                _add(out, (before ^ np.uint64(code)) * PAIR_PRIME)
                words += 1
            before = np.uint64(code)
        elif bits & (LETTER | DIGIT):
            key = (key ^ np.uint64(lower[code])) * FNV_PRIME
            length += 1
            before = np.uint64(0)
        elif not (code == 39 or code == 0x2019):
            if length > 1:
                _add(out, key)
                words += 1
            key, length, before = FNV_OFFSET, 0, np.uint64(0)
    return words


@jit_borrowing
def _add(words: Any, key: Any) -> None:
    place = key >> np.uint64(52)
    words[place >> np.uint64(6)] |= np.uint64(1) << (place & np.uint64(63))


@jit_borrowing
def shared(tokens: Any, start: int, stop: int, words: Any) -> Any:
    """Return how many words of a block are in a set (by 12 bits of their hashes: a few are by chance)."""
    shared = 0
    for i in range(start, stop):
        place = tokens[i] >> np.uint64(52)
        shared += np.int64(words[place >> np.uint64(6)] >> (place & np.uint64(63)) & np.uint64(1))
    return shared


@jit_borrowing
def _value(tree: Any, node: int, name: int) -> tuple[int, int]:
    """Return where an attribute's value stands in the markup; (0, 0) if there is none."""
    for i in range(tree.first_attribute[node], tree.first_attribute[node + 1]):
        if tree.attribute[i] == name:
            return tree.value_start[i], tree.value_stop[i]
    return 0, 0


@jit_borrowing
def _holds(data: Any, start: int, stop: int, word: Any) -> bool:
    """Return whether an ASCII word (in lower case) stands in the bytes, in any case."""
    for at in range(start, stop - word.size + 1):
        i = 0
        while i < word.size and (data[at + i] | 32 if 65 <= data[at + i] <= 90 else data[at + i]) == word[i]:
            i += 1
        if i == word.size:
            return True
    return False


@jit_borrowing
def read_meta(tree: Any, node: int, characters: Any, lower: Any, description: Any, says: Any) -> None:
    """Take the description and og:type of a <meta>."""
    start, stop = _value(tree, node, NAME)
    if start == stop:
        start, stop = _value(tree, node, PROPERTY)
    begin, end = _value(tree, node, CONTENT)
    if _holds(tree.markup, start, stop, _DESCRIPTION):
        add_words(tree.markup, begin, min(end, begin + _MOST_DESCRIPTION), characters, lower, description)
    elif _holds(tree.markup, start, stop, _OG_TYPE):
        _note_type(tree.markup, begin, end, says)


@jit_borrowing
def _note_type(data: Any, start: int, stop: int, says: Any) -> None:
    """Note what a page calls itself."""
    if _holds(data, start, stop, _ARTICLE) or _holds(data, start, stop, _POSTING) or _holds(data, start, stop, _BLOG):
        if _holds(data, start, stop, _DISCUSSION):
            says[2] = True
        else:
            says[0] = True
    elif _holds(data, start, stop, _PRODUCT):
        says[1] = True
    elif _holds(data, start, stop, _QUESTION) or _holds(data, start, stop, _QA):
        says[2] = True
    elif _holds(data, start, stop, _COLLECTION) or _holds(data, start, stop, _ITEM_LIST):
        says[3] = True
    elif _holds(data, start, stop, _WEBSITE):
        says[4] = True


@jit_borrowing
def types_of_data(tree: Any, node: int, says: Any) -> None:
    """Note the types of the objects of a script of linked data (JSON-LD)."""
    start, stop = _value(tree, node, TYPE)
    if not _holds(tree.markup, start, stop, _LD_JSON):
        return
    data, stop = tree.markup, tree.stop[node]
    at = tree.start[node]
    while at < stop - 8:
        if (
            data[at] == 64 and data[at + 1] == 116 and data[at + 2] == 121 and data[at + 3] == 112 and data[at + 4] == 101
        ):  # @type
            _note_type(data, at + 5, min(stop, at + 45), says)
            at += 5
        at += 1


@jit_borrowing
def read_canonical(tree: Any, node: int, address: Any) -> None:
    """Measure the path of the canonical address: depth, hyphens, digits, length, whether there is a query."""
    start, stop = _value(tree, node, REL)
    if not _holds(tree.markup, start, stop, _CANONICAL):
        return
    start, stop = _value(tree, node, HREF)
    slashes = 0
    for at in range(start, stop):
        byte = tree.markup[at]
        slashes += byte == 47
        if slashes >= 3:
            address[0] = slashes - 2
            address[1] += byte == 45
            address[2] += 48 <= byte <= 57
            address[3] += 1
            address[4] += byte == 63
