"""What a page says of its elements: kinds that they hand down, words of class and id, whether they are hidden."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.scanning import FNV_OFFSET, FNV_PRIME, lookup
from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, IDS, NAMES
from pipelines.text.kernels import jit_borrowing

# What an element hands down to all that it contains: names (of features, too) in the order of their bits, and elements.
_INHERITED = {
    "article": "article",
    "main": "main",
    "nav": "nav menu",
    "header": "header",
    "footer": "footer",
    "aside": "aside",
    "form": "form",
    "figure": "figure",
    "table": "table",
    "list": "ul ol",
    "quote": "blockquote q",
    "in_pre": "pre xmp listing code",
    "button": "button",
    "label": "label legend",
    "concealed": "",  # by its attributes: see is_concealed
    "noscript": "noscript",
    "details": "details",
    "section": "section",
    "address": "address",
    "ordered": "ol",
    "paragraph": "p",
    "definition": "dl",
}
INHERITED = tuple(_INHERITED)
ARTICLE, TABLE, LIST, CONCEALED = (1 << INHERITED.index(name) for name in ("article", "table", "list", "concealed"))

CLASS, ID, ROLE, STYLE, HIDDEN_ATTRIBUTE, ARIA_HIDDEN, ITEMPROP = (
    ATTRIBUTE_IDS[name] for name in ("class", "id", "role", "style", "hidden", "aria-hidden", "itemprop")
)


def _bits() -> NDArray[np.int64]:
    bits = np.zeros(len(NAMES), np.int64)
    for bit, elements in enumerate(_INHERITED.values()):
        bits[[IDS[name] for name in elements.split()]] |= 1 << bit
    return bits


BITS = _bits()  # of INHERITED, by tag
_ROLE_PREFIX, _ITEMPROP_PREFIX, _WHOLE_PREFIX = np.uint64(0x526F6C65), np.uint64(0x50726F70), np.uint64(0x57686F6C)
_NONE = np.frombuffer(b"display:none", np.uint8)


@jit_borrowing
def odds_of(keys: Any, odds: Any, key: Any) -> float:
    """Return the log odds of a token, 0 if it is not known; `keys` is a hash table (open addressing, 0 is free)."""
    slot = lookup(keys, key)
    return odds[slot] if slot >= 0 else np.float32(0)  # pyright: ignore[reportReturnType]


@jit_borrowing
def name_tokens(markup: Any, start: int, stop: int, prefix: Any, out: Any, size: int) -> int:
    """Append the hashes of the words of a class or id, and of each name as a whole; return the new size.

    Words end at case changes and at all that is no letter: "hide-postDate2" has hide, post, date.
    """
    word, length, whole, whole_length = FNV_OFFSET ^ prefix, 0, FNV_OFFSET ^ prefix ^ _WHOLE_PREFIX, 0
    was_lower = False
    for at in range(start, stop + 1):
        byte = markup[at] if at < stop else np.uint8(32)
        is_upper = 65 <= byte <= 90
        is_letter = is_upper or 97 <= byte <= 122 or byte >= 128
        if (not is_letter or (is_upper and was_lower)) and length:
            if length > 1 and size < out.size:
                out[size] = word
                size += 1
            word, length = FNV_OFFSET ^ prefix, 0
        if is_letter:
            word = (word ^ np.uint64(byte | 32 if is_upper else byte)) * FNV_PRIME
            length += 1
        was_lower = is_letter and not is_upper
        if byte == 32 or 9 <= byte <= 13:
            if whole_length > 1 and size < out.size:
                out[size] = whole
                size += 1
            whole, whole_length = FNV_OFFSET ^ prefix ^ _WHOLE_PREFIX, 0
        elif not 48 <= byte <= 57:
            whole = (whole ^ np.uint64(byte | 32 if is_upper else byte)) * FNV_PRIME
            whole_length += 1
    return size


@jit_borrowing
def element_tokens(tree: Any, node: int, out: Any) -> int:
    """Write the token hashes of an element's class, id, role and itemprop; return their number."""
    size = 0
    for i in range(tree.first_attribute[node], tree.first_attribute[node + 1]):
        name = tree.attribute[i]
        if name in (CLASS, ID):
            size = name_tokens(tree.markup, tree.value_start[i], tree.value_stop[i], np.uint64(0), out, size)
        elif name == ROLE:
            size = name_tokens(tree.markup, tree.value_start[i], tree.value_stop[i], _ROLE_PREFIX, out, size)
        elif name == ITEMPROP:
            size = name_tokens(tree.markup, tree.value_start[i], tree.value_stop[i], _ITEMPROP_PREFIX, out, size)
    return size


@jit_borrowing
def class_hash(tree: Any, node: int) -> Any:
    """Return a hash of the class, without digits, so that "item-1" and "item-2" are alike."""
    value = FNV_OFFSET
    for i in range(tree.first_attribute[node], tree.first_attribute[node + 1]):
        if tree.attribute[i] == CLASS:
            for at in range(tree.value_start[i], min(tree.value_stop[i], tree.value_start[i] + 200)):
                if not 48 <= tree.markup[at] <= 57:
                    value = (value ^ np.uint64(tree.markup[at])) * FNV_PRIME
    return value


@jit_borrowing
def is_concealed(tree: Any, node: int) -> bool:
    """Return whether an element's own attributes hide it."""
    for i in range(tree.first_attribute[node], tree.first_attribute[node + 1]):
        name = tree.attribute[i]
        if name == HIDDEN_ATTRIBUTE:
            return True
        if name not in (ARIA_HIDDEN, STYLE):
            continue
        start, stop = tree.value_start[i], tree.value_stop[i]
        if name == ARIA_HIDDEN and stop - start == 4 and tree.markup[start] | 32 == 116:
            return True
        if name == STYLE:
            matched, at = 0, start
            while at < stop and matched < _NONE.size:
                byte = tree.markup[at]
                if byte != 32:
                    matched = (
                        matched + 1 if (byte | 32 if 65 <= byte <= 90 else byte) == _NONE[matched] else int(byte == _NONE[0])
                    )
                at += 1
            if matched == _NONE.size:
                return True
    return False
