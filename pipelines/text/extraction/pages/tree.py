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
from pipelines.text.extraction.pages.references import LONGEST_LEGACY, References, references
from pipelines.text.extraction.pages.tags import (
    ATTRIBUTE_IDS,
    CELL,
    CLOSES_P,
    HEAD_CONTENT,
    HEADING,
    IDS,
    OTHER,
    RAW,
    REFERENCES,
    ROW,
    ROW_GROUP,
    SCOPE,
    SPECIAL,
    TEXT,
    VOID,
    Names,
)
from pipelines.text.kernels import jit, jit_borrowing, jit_internal, load64, lowest_bit

MAX_DEPTH = 512
_PADDING = 8  # bytes after the page, which loads of eight bytes may read
_REFERENCE_GROWS = 5  # a reference of so many bytes (&nGt; and &nLt;) is one byte longer as text; no other grows

A, P, LI, DD, DT, TABLE = (IDS[name] for name in ("a", "p", "li", "dd", "dt", "table"))
OL, UL, OPTION, BUTTON, BODY, HTML = (IDS[name] for name in ("ol", "ul", "option", "button", "body", "html"))
SVG, MATH, BR, PLAINTEXT, OPTGROUP = (IDS[name] for name in ("svg", "math", "br", "plaintext", "optgroup"))
RP, RT, RB, RTC, SCRIPT, STYLE, IMG = (IDS[name] for name in ("rp", "rt", "rb", "rtc", "script", "style", "img"))
ADDRESS, DIV, HEAD, NOSCRIPT, MENU, DIR = (IDS[name] for name in ("address", "div", "head", "noscript", "menu", "dir"))
_ONES, _HIGH_BITS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_CDATA = np.frombuffer(b"[CDATA[", np.uint8)
ATTRIBUTE_HREF = ATTRIBUTE_IDS["href"]
XMP = IDS["xmp"]


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


@jit_borrowing
def _is_space(byte: int) -> bool:
    return byte == 32 or (9 <= byte <= 13 and byte != 11)


@jit_borrowing
def _lookup(keys: Any, key: Any) -> int:
    """Return the slot of a key, or -1."""
    mask = np.uint64(keys.size - 1)
    slot = key & mask
    while keys[slot] != 0:
        if keys[slot] == key:
            return np.int64(slot)  # pyright: ignore[reportReturnType]
        slot = (slot + np.uint64(1)) & mask
    return -1


@jit_borrowing
def _is_letter(byte: int) -> bool:
    return 97 <= (byte | 32) <= 122


@jit_borrowing
def _find_byte(data: Any, at: int, stop: int, byte: int) -> int:
    """Return the place of the next such byte before `stop`, or `stop`; 8 bytes after `stop` must be readable."""
    pattern = _ONES * np.uint64(byte)
    while at < stop:
        word = load64(data, at) ^ pattern
        zeros = (word - _ONES) & ~word & _HIGH_BITS  # the lowest set bit marks the first equal byte
        if zeros:
            return min(at + (lowest_bit(zeros) >> 3), stop)
        at += 8
    return stop


@jit_borrowing
def _find_end_tag(data: Any, at: int, size: int, name: Any) -> int:
    """Return the place of the next "</name" (its FNV hash) before a space, "/" or ">"; -1 if there is none."""
    while True:
        at = _find_byte(data, at, size, 60)
        if at + 2 >= size:
            return -1
        if data[at + 1] == 47:
            key, place = _FNV_OFFSET, at + 2
            while place < size and not _is_space(data[place]) and data[place] != 47 and data[place] != 62:
                byte = data[place]
                key = (key ^ np.uint64(byte + 32 if 65 <= byte <= 90 else byte)) * _FNV_PRIME
                place += 1
            if key == name and place < size:
                return at
            at = max(at + 1, place)
        else:
            at += 1


@jit_borrowing
def _put(out: Any, size: int, code: int) -> int:
    """Append a code point in UTF-8; return the new size."""
    if code < 0x80:
        out[size] = code
        return size + 1
    if code < 0x800:
        out[size], out[size + 1] = 0xC0 | code >> 6, 0x80 | code & 63
        return size + 2
    if code < 0x10000:
        out[size], out[size + 1], out[size + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 63, 0x80 | code & 63
        return size + 3
    out[size], out[size + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 63
    out[size + 2], out[size + 3] = 0x80 | code >> 6 & 63, 0x80 | code & 63
    return size + 4


@jit_borrowing
def _number(data: Any, at: int, stop: int, windows: Any) -> tuple[int, int]:
    """Read "&#…" at `at`; return the code point and the place after it, or (-1, at)."""
    place = at + 2
    is_hex = place < stop and (data[place] | 32) == 120
    if is_hex:
        place += 1
    code, digits = 0, 0
    while place < stop:
        byte = data[place]
        if 48 <= byte <= 57:
            digit = byte - 48
        elif is_hex and 97 <= (byte | 32) <= 102:
            digit = (byte | 32) - 87
        else:
            break
        code = min(code * (16 if is_hex else 10) + digit, 0x110000)
        digits += 1
        place += 1
    if not digits:
        return -1, at
    if place < stop and data[place] == 59:
        place += 1
    if 0x80 <= code < 0xA0:
        code = int(windows[code - 0x80])
    if code == 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        code = 0xFFFD
    return code, place


@jit_borrowing
def _named(data: Any, at: int, stop: int, named: Any) -> tuple[int, int]:
    """Read "&name" at `at`; return the slot of the longest known name and the place after it, or (-1, at)."""
    key, place, best, after = _FNV_OFFSET, at + 1, -1, at
    while place < stop and place - at <= 32:
        byte = data[place]
        is_end = byte == 59
        if not (is_end or _is_letter(byte) or 48 <= byte <= 57):
            break
        key = (key ^ np.uint64(byte)) * _FNV_PRIME
        place += 1
        if is_end or place - at - 1 <= LONGEST_LEGACY:
            slot = _lookup(named.keys, key)
            if slot >= 0:
                best, after = slot, place
        if is_end:
            break
    return best, after


@jit_borrowing
def _decode(data: Any, at: int, stop: int, out: Any, size: int, named: Any) -> int:
    r"""Append data[at:stop] with references decoded, "\\r\\n" and "\\r" as "\\n" and without NUL; return the new size."""
    while at < stop:
        byte = data[at]
        if byte == 38 and at + 1 < stop:
            if data[at + 1] == 35:
                code, after = _number(data, at, stop, named.windows)
                if code >= 0:
                    size = _put(out, size, code)
                    at = after
                    continue
            else:
                slot, after = _named(data, at, stop, named)
                if slot >= 0:
                    size = _put(out, size, int(named.first[slot]))
                    if named.second[slot]:
                        size = _put(out, size, int(named.second[slot]))
                    at = after
                    continue
        elif byte == 13:
            if not (at + 1 < stop and data[at + 1] == 10):
                out[size] = 10
                size += 1
            at += 1
            continue
        elif byte == 0:
            at += 1
            continue
        out[size] = byte
        size += 1
        at += 1
    return size


@jit_borrowing
def _copy(data: Any, at: int, stop: int, out: Any, size: int) -> int:
    r"""Append data[at:stop] as it is, but for "\\r\\n" and "\\r", which are "\\n", and NUL; return the new size."""
    while at < stop:
        byte = data[at]
        if byte == 13:
            byte = np.uint8(0 if at + 1 < stop and data[at + 1] == 10 else 10)
        if byte:
            out[size] = byte
            size += 1
        at += 1
    return size


@jit_internal
def _grown(array: Any, size: int) -> Any:
    larger = np.empty(2 * array.size + 16, array.dtype)
    larger[:size] = array[:size]
    return larger


@jit_borrowing
def _reaches(stack_tag: Any, depth: int, kinds: Any, tag: int, barrier: int) -> int:
    """Return the level of the innermost open element `tag` within a barrier of kinds, or -1."""
    level = depth - 1
    while level >= 0:
        open_tag = stack_tag[level]
        if open_tag == tag:
            return level
        if kinds[open_tag] & barrier:
            return -1
        level -= 1
    return -1


@jit_borrowing
def _kept_by_start_tag(tag: int, kind: int, stack_tag: Any, depth: int, kinds: Any, opened: Any) -> int:
    """Return how many open elements stay open when this start tag comes: the others' end tags were left out."""
    if opened[HEAD] and not kind & HEAD_CONTENT:
        level = _reaches(stack_tag, depth, kinds, HEAD, SCOPE)  # what is in a <template> there stays in it
        depth = level if level >= 0 else depth
    if kind & CLOSES_P and opened[P]:
        level = _reaches(stack_tag, depth, kinds, P, SCOPE)
        if level >= 0 and not (opened[BUTTON] and _reaches(stack_tag, depth, kinds, BUTTON, SCOPE) > level):
            depth = level
    if kind & HEADING and depth and kinds[stack_tag[depth - 1]] & HEADING:
        return depth - 1
    if tag in (LI, DD, DT):
        level = depth - 1
        while level >= 0:
            top = stack_tag[level]
            if top == tag or (tag != LI and (top in (DD, DT))):
                return level
            if kinds[top] & SPECIAL and top != ADDRESS and top != DIV and top != P:
                break
            level -= 1
        return depth
    if kind & (CELL | ROW | ROW_GROUP) and opened[TABLE]:
        kept, level = depth, depth - 1
        while level >= 0 and stack_tag[level] != TABLE:
            other = kinds[stack_tag[level]]
            if other & CELL or (other & ROW and kind & (ROW | ROW_GROUP)) or (other & ROW_GROUP and kind & ROW_GROUP):
                kept = level
            level -= 1
        return kept
    if depth == 0:
        return depth
    top = stack_tag[depth - 1]
    if (tag in (OPTION, OPTGROUP)) and top == OPTION:
        return depth - 1
    if (tag in (RP, RT, RB, RTC)) and (top in (RP, RT, RB)):
        return depth - 1
    if (tag in (A, BUTTON)) and opened[tag]:
        level = _reaches(stack_tag, depth, kinds, tag, SPECIAL if tag == A else SCOPE)
        return level if level >= 0 else depth
    return depth


@jit_borrowing
def _kept_by_end_tag(name: Any, tag: int, kind: int, stack_name: Any, stack_tag: Any, depth: int, kinds: Any) -> int:
    """Return how many open elements stay open after this end tag; all of them if it ends none."""
    barrier = SCOPE if kind & SPECIAL else SPECIAL
    in_table = tag == TABLE or kind & (CELL | ROW | ROW_GROUP)
    level = depth - 1
    while level >= 0:
        top = stack_tag[level]
        if stack_name[level] == name or (kind & HEADING and kinds[top] & HEADING):
            return level
        if in_table:
            if top == TABLE:
                return depth
        elif kinds[top] & barrier or (tag == LI and (top in (UL, OL))):
            return depth
        level -= 1
    return depth


@jit
def _parse(data: Any, is_xml: bool, names: Any, named: Any) -> Any:
    size = data.size - _PADDING
    most = 4
    for at in range(size):
        most += 2 if data[at] == 60 else 0
    tag_of, parent_of = np.zeros(most, np.uint8), np.empty(most, np.int32)
    end_of, start_of, stop_of = np.empty(most, np.int32), np.zeros(most, np.int32), np.zeros(most, np.int32)
    link_of, first_of = np.empty(most, np.int32), np.empty(most + 1, np.int32)
    attribute = np.empty(most, np.uint8)
    value_start, value_stop = np.empty(most, np.int32), np.empty(most, np.int32)
    text = np.empty(size + size // _REFERENCE_GROWS + 4, np.uint8)
    stack, stack_tag = np.empty(MAX_DEPTH, np.int32), np.empty(MAX_DEPTH, np.uint8)
    stack_name = np.empty(MAX_DEPTH, np.uint64)
    opened = np.zeros(256, np.int32)  # open elements by tag
    unclosed = np.zeros(256, np.bool_)  # raw elements that have no end tag from here on
    kinds = names.kinds
    zero = np.int64(0)  # for 0, all that it is passed to would be compiled once more
    nodes, attributes, text_size, depth, link, foreign = 0, zero, zero, zero, -1, 0
    at = zero
    while at < size:
        # Text up to the next tag.
        begin = at
        while at < size:
            at = _find_byte(data, at, size, 60)
            if at + 1 >= size or _is_letter(data[at + 1]) or data[at + 1] == 33 or data[at + 1] == 47 or data[at + 1] == 63:
                break
            at += 1
        at = min(at, size)
        if at > begin:
            before = text_size
            text_size = _decode(data, begin, at, text, text_size, named)
            if text_size > before:
                tag_of[nodes], parent_of[nodes] = TEXT, stack[depth - 1] if depth else -1
                start_of[nodes], stop_of[nodes], link_of[nodes] = before, text_size, link
                first_of[nodes], end_of[nodes] = attributes, nodes + 1
                nodes += 1
        if at + 1 >= size:
            if at < size:  # a "<" at the very end is text
                text[text_size] = 60
                tag_of[nodes], parent_of[nodes] = TEXT, stack[depth - 1] if depth else -1
                start_of[nodes], stop_of[nodes], link_of[nodes] = text_size, text_size + 1, link
                first_of[nodes], end_of[nodes] = attributes, nodes + 1
                text_size += 1
                nodes += 1
            break
        byte = data[at + 1]
        if byte == 33 or byte == 63:  # "<!" or "<?"
            if at + 3 < size and data[at + 2] == 45 and data[at + 3] == 45:
                place = at + 4
                if place < size and data[place] == 62:
                    at = place + 1
                    continue
                if place + 1 < size and data[place] == 45 and data[place + 1] == 62:
                    at = place + 2
                    continue
                closed = -1
                while True:
                    place = _find_byte(data, place, size, 62)
                    if place >= size:
                        break
                    if place >= at + 6 and data[place - 1] == 45 and data[place - 2] == 45:
                        closed = place + 1
                        break
                    if place >= at + 7 and data[place - 1] == 33 and data[place - 2] == 45 and data[place - 3] == 45:
                        closed = place + 1
                        break
                    place += 1
                at = closed if closed >= 0 else size  # without an end, the rest of the page is a comment
                continue
            if (is_xml or foreign) and at + 9 <= size:
                is_cdata = True
                for i in range(7):
                    is_cdata = is_cdata and data[at + 2 + i] == _CDATA[i]
                if is_cdata:
                    begin = at + 9
                    place = begin
                    while place + 2 < size and not (data[place] == 93 and data[place + 1] == 93 and data[place + 2] == 62):
                        place += 1
                    if place + 2 >= size:
                        place = size
                    before = text_size
                    text_size = _copy(data, begin, place, text, text_size)
                    if text_size > before:
                        tag_of[nodes], parent_of[nodes] = TEXT, stack[depth - 1] if depth else -1
                        start_of[nodes], stop_of[nodes], link_of[nodes] = before, text_size, link
                        first_of[nodes], end_of[nodes] = attributes, nodes + 1
                        nodes += 1
                    at = place + 3
                    continue
            at = _find_byte(data, at, size, 62) + 1
            continue
        is_end = byte == 47
        if is_end and not (at + 2 < size and _is_letter(data[at + 2])):
            at = _find_byte(data, at, size, 62) + 1  # a bogus comment
            continue
        # The name.
        place = at + (2 if is_end else 1)
        key = _FNV_OFFSET
        while place < size:
            byte = data[place]
            if _is_space(byte) or byte == 47 or byte == 62:
                break
            key = (key ^ np.uint64(byte + 32 if 65 <= byte <= 90 else byte)) * _FNV_PRIME
            place += 1
        slot = _lookup(names.tag_keys, key)
        tag = int(names.tag_ids[slot]) if slot >= 0 else OTHER
        kind = int(kinds[tag])
        # The attributes; those of an end tag are read over.
        first = attributes
        closes_itself = False
        while place < size and data[place] != 62:
            byte = data[place]
            if _is_space(byte) or byte == 47:
                closes_itself = byte == 47
                place += 1
                continue
            closes_itself = False
            attribute_key = _FNV_OFFSET
            begin = place
            while place < size:
                byte = data[place]
                if _is_space(byte) or byte == 47 or byte == 62 or (byte == 61 and place > begin):
                    break
                attribute_key = (attribute_key ^ np.uint64(byte + 32 if 65 <= byte <= 90 else byte)) * _FNV_PRIME
                place += 1
            after = place
            while after < size and _is_space(data[after]):
                after += 1
            value_begin, value_end = place, place
            if after < size and data[after] == 61:
                place = after + 1
                while place < size and _is_space(data[place]):
                    place += 1
                if place < size and (data[place] == 34 or data[place] == 39):
                    value_begin = place + 1
                    value_end = _find_byte(data, value_begin, size, data[place])
                    place = min(value_end + 1, size)
                else:
                    value_begin = place
                    while place < size and not _is_space(data[place]) and data[place] != 62:
                        place += 1
                    value_end = place
            if is_end:
                continue
            slot = _lookup(names.attribute_keys, attribute_key)
            if slot < 0:
                continue
            number = names.attribute_ids[slot]
            is_new = True
            for i in range(first, attributes):
                is_new = is_new and attribute[i] != number
            if is_new:
                if attributes == attribute.size:
                    attribute = _grown(attribute, attributes)
                    value_start, value_stop = _grown(value_start, attributes), _grown(value_stop, attributes)
                attribute[attributes], value_start[attributes], value_stop[attributes] = number, value_begin, value_end
                attributes += 1
        if place >= size:  # the page ends inside a tag
            attributes = first
            break
        at = place + 1
        if is_end:
            if tag in (BODY, HTML) or (tag != OTHER and opened[tag] == 0 and not kind & HEADING):
                if tag == BR:
                    tag_of[nodes], parent_of[nodes] = BR, stack[depth - 1] if depth else -1
                    link_of[nodes], first_of[nodes], end_of[nodes] = -1, attributes, nodes + 1
                    nodes += 1
                continue
            kept = _kept_by_end_tag(key, tag, kind, stack_name, stack_tag, depth, kinds)
            if tag == A:
                link = -1
        else:
            if (tag in (BODY, HTML)) and opened[tag]:
                attributes = first
                continue
            kept = _kept_by_start_tag(tag, kind, stack_tag, depth, kinds, opened)
        while depth > kept:
            depth -= 1
            top = stack_tag[depth]
            end_of[stack[depth]] = nodes
            opened[top] -= 1
            if top == A:
                link = -1
            elif top in (SVG, MATH):
                foreign -= 1
        if is_end:
            continue
        tag_of[nodes], parent_of[nodes] = tag, stack[depth - 1] if depth else -1
        start_of[nodes], stop_of[nodes], link_of[nodes] = at, at, -1
        first_of[nodes], end_of[nodes] = first, nodes + 1
        node = nodes
        nodes += 1
        if tag == A:
            link = -1
            for i in range(first, attributes):
                if attribute[i] == ATTRIBUTE_HREF:
                    link = node
        if kind & VOID or (closes_itself and (is_xml or foreign or tag in (SVG, MATH))):
            continue
        if kind & (RAW | REFERENCES) and not (foreign and tag != SCRIPT and tag != STYLE):
            closed = -1
            if tag == PLAINTEXT:
                closed = size
            elif not unclosed[tag]:
                closed = _find_end_tag(data, at, size, key)
                unclosed[tag] = closed < 0
                if closed < 0 and (tag in (SCRIPT, STYLE)):
                    closed = size
            if closed >= 0:
                if kind & RAW:
                    start_of[node], stop_of[node] = at, closed
                if kind & REFERENCES or tag in (PLAINTEXT, XMP):
                    before = text_size
                    if kind & REFERENCES:
                        text_size = _decode(data, at, closed, text, text_size, named)
                    else:
                        text_size = _copy(data, at, closed, text, text_size)
                    if text_size > before:
                        tag_of[nodes], parent_of[nodes] = TEXT, node
                        start_of[nodes], stop_of[nodes], link_of[nodes] = before, text_size, link
                        first_of[nodes], end_of[nodes] = attributes, nodes + 1
                        nodes += 1
                        end_of[node] = nodes
                at = min(size, _find_byte(data, closed, size, 62) + 1)
                continue
        if depth < MAX_DEPTH:
            stack[depth], stack_tag[depth], stack_name[depth] = node, tag, key
            depth += 1
            opened[tag] += 1
            if tag in (SVG, MATH):
                foreign += 1
    while depth:
        depth -= 1
        end_of[stack[depth]] = nodes
    first_of[nodes] = attributes
    return (
        tag_of[:nodes].copy(),
        parent_of[:nodes].copy(),
        end_of[:nodes].copy(),
        start_of[:nodes].copy(),
        stop_of[:nodes].copy(),
        link_of[:nodes].copy(),
        first_of[: nodes + 1].copy(),
        attribute[:attributes].copy(),
        value_start[:attributes].copy(),
        value_stop[:attributes].copy(),
        text[:text_size].copy(),
    )
