r"""Parse HTML into a tree of columns: a row a node, in the order of the document.

The tokenizer follows the HTML standard (section 13.2.5), the tree builder the parts of section 13.2.6 that decide where text
belongs: void and raw elements, end tags that pages leave out, scopes of tables and lists, misnested formatting. It makes no
elements that the page does not have (no <tbody>), and puts text in tables where it stands. Time and memory are linear in the
bytes of the page: the stack of open elements has at most MAX_DEPTH, as in browsers, and an element below it has no children.

    >>> tree = parse(b"<p>One<p>Two &amp; <b>three</b>")
    >>> [tags.NAMES[tag] for tag in tree.tag], tree.parent.tolist(), tree.end.tolist()
    (['p', '#text', 'p', '#text', 'b', '#text'], [-1, 0, -1, 2, 2, 4], [2, 2, 6, 4, 6, 6])
    >>> tree.text.tobytes()
    b'OneTwo & three'
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages import tags
from pipelines.text.extraction.pages.open_elements import kept_by_end_tag, kept_by_start_tag
from pipelines.text.extraction.pages.references import GROWS_FROM, References, append_copied, append_decoded, references
from pipelines.text.extraction.pages.scanning import (
    find_byte,
    find_cdata_end,
    find_comment_end,
    find_end_tag,
    hashed_name,
    is_cdata,
    is_letter,
    is_space,
    lookup,
    next_markup,
    read_attribute,
)
from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, HEADING, IDS, OTHER, RAW, REFERENCES, TEXT, VOID, Names
from pipelines.text.kernels import jit, jit_borrowing, jit_internal

MAX_DEPTH = 512
_PADDING = 8  # bytes after the page, which loads of eight bytes may read
_LEAST_ATTRIBUTE = 3  # bytes: a known name has two, and something parts it from what stands before

A, BODY, HTML, BR, XMP = (IDS[name] for name in ("a", "body", "html", "br", "xmp"))
SVG, MATH, PLAINTEXT, SCRIPT, STYLE = (IDS[name] for name in ("svg", "math", "plaintext", "script", "style"))
HREF = ATTRIBUTE_IDS["href"]

# The builder's numbers, as places in an array.
NODES, TEXT_BYTES, ATTRIBUTES, DEPTH, LINK, FOREIGN = range(6)  # LINK: the open <a href>; FOREIGN: open <svg> and <math>


class Tree(NamedTuple):
    """A page: columns of its nodes and of their attributes.

    The text of a text node is `text[start:stop]`: decoded, with its white space as it was written. An element whose content is
    raw (script, style) has that content in `markup[start:stop]`; of other elements the two are equal.
    """

    tag: NDArray[np.uint8]  # index into tags.NAMES
    parent: NDArray[np.int32]  # -1 at the root
    end: NDArray[np.int32]  # the node after the last descendant
    start: NDArray[np.int32]
    stop: NDArray[np.int32]
    link: NDArray[np.int32]  # of a text: the <a href> that holds it, or -1
    first_attribute: NDArray[np.int32]  # an entry more than nodes
    attribute: NDArray[np.uint8]  # index into tags.ATTRIBUTES; the unknown ones are left out
    value_start: NDArray[np.int32]  # of the attribute's value in `markup`: references are not decoded
    value_stop: NDArray[np.int32]
    text: NDArray[np.uint8]
    markup: NDArray[np.uint8]


def parse(markup: bytes, *, is_xml: bool = False) -> Tree:
    """Parse a page in UTF-8. With `is_xml`, empty-element tags and CDATA sections count as in XML."""
    data = np.frombuffer(markup + bytes(_PADDING), np.uint8)
    names, named = _tables()
    columns: Any = _parse(data, is_xml, names, named)
    return Tree._make((*columns, data))


@functools.cache
def _tables() -> tuple[Names, References]:
    return tags.names(), references()


class _Page(NamedTuple):
    """The columns of a Tree while they are filled: as many entries as the page can need."""

    tag: Any
    parent: Any
    end: Any
    start: Any
    stop: Any
    link: Any
    first_attribute: Any
    attribute: Any
    value_start: Any
    value_stop: Any
    text: Any


class _Stack(NamedTuple):
    """The open elements, the innermost last."""

    node: Any
    tag: Any
    name: Any  # hash of the name: elements with unknown names have one tag
    opened: Any  # how many are open, by tag
    unclosed: Any  # by tag: raw elements that have no end tag from here on


@jit
def _parse(data: Any, is_xml: bool, names: Any, named: Any) -> Any:
    size = data.size - _PADDING
    page, stack = _empty(data, size)
    state = np.zeros(6, np.int64)
    state[LINK] = -1
    at = np.int64(0)  # for 0, all that it is passed to would be compiled once more
    while at < size:
        begin = at
        at = next_markup(data, at, size)
        _add_text(data, begin, at, page, stack, state, named)
        if at >= size:
            break
        byte = data[at + 1]
        if byte == 33 or byte == 63:  # "<!" or "<?"
            at = _declaration(data, at, size, is_xml, page, stack, state, named)
        elif byte == 47 and not (at + 2 < size and is_letter(data[at + 2])):
            at = find_byte(data, at, size, 62) + 1  # a bogus comment
        else:
            at = _tag(data, at, size, is_xml, page, stack, state, names, named)
    _close(0, page, stack, state)
    nodes, attributes = state[NODES], state[ATTRIBUTES]
    page.first_attribute[nodes] = attributes
    return (
        page.tag[:nodes].copy(),
        page.parent[:nodes].copy(),
        page.end[:nodes].copy(),
        page.start[:nodes].copy(),
        page.stop[:nodes].copy(),
        page.link[:nodes].copy(),
        page.first_attribute[: nodes + 1].copy(),
        page.attribute[:attributes].copy(),
        page.value_start[:attributes].copy(),
        page.value_stop[:attributes].copy(),
        page.text[: state[TEXT_BYTES]].copy(),
    )


@jit_internal
def _empty(data: Any, size: int) -> Any:
    """Return room for the page: every "<" begins an element at most, and the text after it."""
    most = 4
    for at in range(size):
        most += 2 if data[at] == 60 else 0
    attributes = size // _LEAST_ATTRIBUTE + 1
    page = _Page(
        np.zeros(most, np.uint8),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.zeros(most, np.int32),
        np.zeros(most, np.int32),
        np.empty(most, np.int32),
        np.empty(most + 1, np.int32),
        np.empty(attributes, np.uint8),
        np.empty(attributes, np.int32),
        np.empty(attributes, np.int32),
        np.empty(size + size // GROWS_FROM + 4, np.uint8),
    )
    stack = _Stack(
        np.empty(MAX_DEPTH, np.int32),
        np.empty(MAX_DEPTH, np.uint8),
        np.empty(MAX_DEPTH, np.uint64),
        np.zeros(256, np.int32),
        np.zeros(256, np.bool_),
    )
    return page, stack


@jit_borrowing
def _add(tag: int, start: int, stop: int, link: int, page: Any, stack: Any, state: Any) -> None:
    """Append a node below the innermost open element."""
    node, depth = state[NODES], state[DEPTH]
    page.tag[node], page.parent[node] = tag, stack.node[depth - 1] if depth else -1
    page.start[node], page.stop[node], page.link[node] = start, stop, link
    page.first_attribute[node], page.end[node] = state[ATTRIBUTES], node + 1
    state[NODES] = node + 1


@jit_borrowing
def _add_text(data: Any, at: int, stop: int, page: Any, stack: Any, state: Any, named: Any) -> None:
    """Append data[at:stop], if there is any text in it, with its references decoded."""
    before = state[TEXT_BYTES]
    state[TEXT_BYTES] = append_decoded(data, at, stop, page.text, before, named)
    if state[TEXT_BYTES] > before:
        _add(TEXT, before, state[TEXT_BYTES], state[LINK], page, stack, state)


@jit_borrowing
def _add_raw_text(data: Any, at: int, stop: int, page: Any, stack: Any, state: Any) -> None:
    """Append data[at:stop], if there is any text in it, as it is."""
    before = state[TEXT_BYTES]
    state[TEXT_BYTES] = append_copied(data, at, stop, page.text, before)
    if state[TEXT_BYTES] > before:
        _add(TEXT, before, state[TEXT_BYTES], state[LINK], page, stack, state)


@jit_borrowing
def _declaration(data: Any, at: int, size: int, is_xml: bool, page: Any, stack: Any, state: Any, named: Any) -> int:
    """Pass over what begins with "<!" or "<?"; return the place after it. A CDATA section of XML is text."""
    if at + 3 < size and data[at + 2] == 45 and data[at + 3] == 45:
        return find_comment_end(data, at, size)
    if (is_xml or state[FOREIGN]) and is_cdata(data, at, size):
        end = find_cdata_end(data, at + 9, size)
        _add_raw_text(data, at + 9, end, page, stack, state)
        return end + 3
    return find_byte(data, at, size, 62) + 1


@jit_borrowing
def _tag(data: Any, at: int, size: int, is_xml: bool, page: Any, stack: Any, state: Any, names: Any, named: Any) -> int:
    """Read the tag at `at`, with an element's content if that is no markup; return the place after it."""
    is_end = data[at + 1] == 47
    key, place = hashed_name(data, at + (2 if is_end else 1), size)
    slot = lookup(names.tag_keys, key)
    tag = int(names.tag_ids[slot]) if slot >= 0 else OTHER
    kind = int(names.kinds[tag])
    first = state[ATTRIBUTES]
    place, closes_itself = _attributes(data, place, size, is_end, page, state, names)
    if place >= size:  # the page ends inside a tag
        state[ATTRIBUTES] = first
        return size
    if is_end:
        _end(key, tag, kind, names.kinds, page, stack, state)
        return place + 1
    if (tag in (BODY, HTML)) and stack.opened[tag]:
        state[ATTRIBUTES] = first
        return place + 1
    _close(kept_by_start_tag(tag, kind, stack.tag, state[DEPTH], names.kinds, stack.opened), page, stack, state)
    _begin(tag, place + 1, first, page, stack, state)
    if kind & VOID or (closes_itself and (is_xml or state[FOREIGN] or tag in (SVG, MATH))):
        return place + 1
    if kind & (RAW | REFERENCES) and not (state[FOREIGN] and tag != SCRIPT and tag != STYLE):
        end = _content_end(data, place + 1, size, key, tag, stack)
        if end >= 0:
            _content(data, place + 1, end, tag, kind, page, stack, state, named)
            return min(size, find_byte(data, end, size, 62) + 1)
    _open(tag, key, stack, state)
    return place + 1


@jit_borrowing
def _attributes(data: Any, at: int, size: int, is_end: bool, page: Any, state: Any, names: Any) -> Any:
    """Read the attributes up to ">"; return its place, and whether "/" is before it. Those of an end tag are passed over."""
    first, closes_itself = state[ATTRIBUTES], False
    while at < size and data[at] != 62:
        byte = data[at]
        if is_space(byte) or byte == 47:
            closes_itself = byte == 47
            at += 1
            continue
        closes_itself = False
        key, start, stop, at = read_attribute(data, at, size)
        slot = lookup(names.attribute_keys, key)
        if is_end or slot < 0:
            continue
        number, place = names.attribute_ids[slot], state[ATTRIBUTES]
        is_new = True  # of two with the same name, the first one counts
        for i in range(first, place):
            is_new = is_new and page.attribute[i] != number
        if is_new:
            page.attribute[place], page.value_start[place], page.value_stop[place] = number, start, stop
            state[ATTRIBUTES] = place + 1
    return at, closes_itself


@jit_borrowing
def _begin(tag: int, at: int, first: int, page: Any, stack: Any, state: Any) -> None:
    """Append an element whose attributes begin at `first`."""
    node = state[NODES]
    _add(tag, at, at, -1, page, stack, state)
    page.first_attribute[node] = first
    if tag == A:
        state[LINK] = -1
        for i in range(first, state[ATTRIBUTES]):
            if page.attribute[i] == HREF:
                state[LINK] = node


@jit_borrowing
def _end(key: Any, tag: int, kind: int, kinds: Any, page: Any, stack: Any, state: Any) -> None:
    """Close what an end tag closes."""
    if tag in (BODY, HTML) or (tag != OTHER and stack.opened[tag] == 0 and not kind & HEADING):
        if tag == BR:
            _add(BR, 0, 0, -1, page, stack, state)
        return
    _close(kept_by_end_tag(key, tag, kind, stack.name, stack.tag, state[DEPTH], kinds), page, stack, state)
    if tag == A:
        state[LINK] = -1


@jit_borrowing
def _close(kept: int, page: Any, stack: Any, state: Any) -> None:
    """Close the innermost elements until `kept` are open."""
    depth = state[DEPTH]
    while depth > kept:
        depth -= 1
        top = stack.tag[depth]
        page.end[stack.node[depth]] = state[NODES]
        stack.opened[top] -= 1
        if top == A:
            state[LINK] = -1
        elif top in (SVG, MATH):
            state[FOREIGN] -= 1
    state[DEPTH] = depth


@jit_borrowing
def _content_end(data: Any, at: int, size: int, key: Any, tag: int, stack: Any) -> int:
    """Return where the content of a raw element ends; -1 if its content is markup after all, because it has no end tag."""
    if tag == PLAINTEXT:
        return size
    end = -1 if stack.unclosed[tag] else find_end_tag(data, at, size, key)
    if end < 0 and not stack.unclosed[tag]:
        stack.unclosed[tag] = True
        if tag in (SCRIPT, STYLE):
            return size
    return end


@jit_borrowing
def _content(data: Any, at: int, end: int, tag: int, kind: int, page: Any, stack: Any, state: Any, named: Any) -> None:
    """Give the element that was appended last its content, data[at:end]: raw, or as a text node."""
    node = state[NODES] - 1
    if kind & RAW:
        page.start[node], page.stop[node] = at, end
    if not (kind & REFERENCES or tag in (PLAINTEXT, XMP)):
        return
    if kind & REFERENCES:
        _add_text(data, at, end, page, stack, state, named)
    else:
        _add_raw_text(data, at, end, page, stack, state)
    if state[NODES] > node + 1:
        page.parent[node + 1] = node
        page.end[node] = node + 2


@jit_borrowing
def _open(tag: int, key: Any, stack: Any, state: Any) -> None:
    """Let what follows be inside the element that was appended last, unless that is too deep."""
    depth = state[DEPTH]
    if depth < MAX_DEPTH:
        stack.node[depth], stack.tag[depth], stack.name[depth] = state[NODES] - 1, tag, key
        stack.opened[tag] += 1
        state[DEPTH] = depth + 1
        state[FOREIGN] += tag in (SVG, MATH)
