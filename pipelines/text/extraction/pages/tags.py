"""Elements and attributes of HTML as small numbers, and what a tree builder must know of each element.

The kinds follow the HTML standard (sections 13.2.4.2 "special", 13.2.5 and 13.2.6); BLOCK follows its style sheet
(section 15.3): an element that begins a new line.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Bits of an element's kind.
VOID = 1  # has no content and no end tag
RAW = 2  # its content is text without references
REFERENCES = 4  # its content is text with references
BLOCK = 8  # text before, in and after it stands on different lines
CLOSES_P = 16  # its start tag ends an open <p>
SPECIAL = 32  # the end tag of an ordinary element does not reach beyond it
SCOPE = 64  # no end tag but a table's reaches beyond it
HIDDEN = 128  # a browser shows nothing of its text, or a control
HEADING = 256
CELL = 512
ROW = 1024
ROW_GROUP = 2048
HEAD_CONTENT = 4096  # may stand in <head>; anything else ends it

_KINDS = {
    VOID: "area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr",
    RAW: "script style xmp iframe noembed plaintext",
    REFERENCES: "title textarea",
    BLOCK: "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption"
    " figure  footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li listing main menu nav"
    " noscript ol optgroup option  p plaintext pre search section select summary table tbody td template tfoot"
    " th thead title tr ul xmp colgroup col video audio  iframe textarea canvas object",
    CLOSES_P: "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer form"
    " h1 h2 h3  h4 h5 h6 header hgroup hr listing main menu nav ol p plaintext pre search section summary table"
    " ul xmp dd dt li",
    SPECIAL: "address applet area article aside base basefont bgsound blockquote body br button caption center col"
    " colgroup dd  details dir div dl dt embed fieldset figcaption figure footer form frame frameset h1 h2 h3"
    " h4 h5 h6 head header hgroup hr  html iframe img input keygen li link listing main marquee menu meta nav"
    " noembed noframes noscript object ol p param  plaintext pre script search section select source style"
    " summary table tbody td template textarea tfoot th thead title tr  track ul wbr xmp",
    SCOPE: "applet caption html table td th marquee object template",
    HIDDEN: "script style noembed iframe template select option optgroup textarea object video audio canvas applet"
    " datalist head  title map svg noframes",
    HEADING: "h1 h2 h3 h4 h5 h6",
    CELL: "td th",
    ROW: "tr",
    ROW_GROUP: "tbody thead tfoot",
    HEAD_CONTENT: "html head base basefont bgsound link meta title noscript noframes style script template",
}
_ORDINARY = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark math mi mn mo ms mtext mrow msup msub mfrac"
    " msqrt mroot msubsup munder mover munderover mtable mtr mtd semantics annotation annotation-xml meter nobr output picture"
    " progress q rb rp rt rtc ruby s samp small span strike strong sub sup time tt u var slot button"
)
# Added later, after the others: the numbers of those are in compiled kernels and in models.
_LATER = "mlabeledtr mfenced menclose mmultiscripts mprescripts none mstyle mpadded mphantom merror mspace maction mjx-container"

TEXT, OTHER = 0, 1  # a text node; an element with an unknown name

_SORTED = sorted({name for text in (*_KINDS.values(), _ORDINARY) for name in text.split()})
NAMES: tuple[str, ...] = ("#text", "#other", *_SORTED, *_LATER.split())
IDS = {name: number for number, name in enumerate(NAMES)}
ATTRIBUTES: tuple[str, ...] = tuple(
    [
        "class",
        "id",
        "href",
        "src",
        "rel",
        "name",
        "property",
        "content",
        "itemprop",
        "itemtype",
        "itemscope",
        "role",
        "style",
        "hidden",
        "aria-hidden",
        "aria-label",
        "lang",
        "xml:lang",
        "http-equiv",
        "charset",
        "type",
        "title",
        "alt",
        "datetime",
        "pubdate",
        "colspan",
        "rowspan",
        "start",
        "reversed",
        "value",
        "encoding",
        "data-src",
        "data-lang",
        "srcset",
        "shadowrootmode",
        "datetime-local",
        "display",
        "mathvariant",
        "media",
        "data-tex",
        "data-latex",
        "data-expr",
        "data-math",
        "alttext",
        "data-mathml",
        "typeof",
        "about",
        "xmlns",
        "data-language",
        "open",
        "width",
        "height",
        "data-line-number",
        "close",
        "separators",
        "notation",
        "linethickness",
    ]
)
ATTRIBUTE_IDS = {name: number for number, name in enumerate(ATTRIBUTES)}

FNV_OFFSET, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


def name_hash(name: str | bytes) -> int:
    """Return the 64-bit FNV-1a hash of a name, as the kernels compute it."""
    value = FNV_OFFSET
    for byte in name.encode() if isinstance(name, str) else name:
        value = ((value ^ byte) * FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


class Names(NamedTuple):
    """Hash tables of element and attribute names (see `hash_table`), and kinds."""

    tag_keys: NDArray[np.uint64]
    tag_ids: NDArray[np.uint8]
    kinds: NDArray[np.uint16]  # by tag id
    attribute_keys: NDArray[np.uint64]
    attribute_ids: NDArray[np.uint8]


def hash_table(keys: Iterable[int], slots: int) -> tuple[NDArray[np.uint64], list[int]]:
    """Return a hash table (open addressing, linear probing; a key of 0 is free), and the slot of each key, for its value."""
    table, places = np.zeros(slots, np.uint64), []
    for key in keys:
        slot = key % slots
        while table[slot]:
            slot = (slot + 1) % slots
        table[slot] = key
        places.append(slot)
    return table, places


def name_table(numbers: Mapping[str, int], slots: int) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Return a hash table of names and, by slot, their numbers."""
    keys, places = hash_table(map(name_hash, numbers), slots)
    values = np.zeros(slots, np.uint8)
    values[places] = list(numbers.values())
    return keys, values


@functools.cache
def names() -> Names:
    """Return the tables of all known names."""
    kinds = np.zeros(len(NAMES), np.uint16)
    for bit, text in _KINDS.items():
        for name in text.split():
            kinds[IDS[name]] |= bit
    return Names(*name_table({name: IDS[name] for name in NAMES[2:]}, 1024), kinds, *name_table(ATTRIBUTE_IDS, 512))
