"""Character references of HTML (`&amp;`, `&#8217;`): a table of the named ones, and kernels that decode text."""

import html.entities
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.scanning import FNV_OFFSET, FNV_PRIME, is_letter, lookup
from pipelines.text.extraction.pages.tags import hash_table, name_hash
from pipelines.text.kernels import jit_borrowing

_SLOTS = 8192
GROWS_FROM = 5  # bytes of a reference that is one byte longer as text (&nGt; and &nLt;); no other grows
LONGEST_LEGACY = 6  # of the names that need no semicolon, such as "&Aacute"
# What browsers read for the numbers of C1 controls, which older pages write for characters of Windows-1252.
_WINDOWS = bytes(range(0x80, 0xA0))


class References(NamedTuple):
    """Named references: `keys` are hashes of the name, with its semicolon if it needs one; a key of 0 is free."""

    keys: NDArray[np.uint64]
    first: NDArray[np.uint32]
    second: NDArray[np.uint32]  # 0: a single character
    windows: NDArray[np.uint32]  # the characters of &#128; to &#159;


def references() -> References:
    """Return the table of all 2,231 names of the HTML standard (section 13.5)."""
    keys, places = hash_table(map(name_hash, html.entities.html5), _SLOTS)
    first, second = np.zeros(_SLOTS, np.uint32), np.zeros(_SLOTS, np.uint32)
    for slot, text in zip(places, html.entities.html5.values(), strict=True):
        first[slot], second[slot] = ord(text[0]), ord(text[1]) if len(text) > 1 else 0
    windows = [ord(bytes([byte]).decode("cp1252", "replace")) for byte in _WINDOWS]
    windows = [code if code != 0xFFFD else byte for code, byte in zip(windows, _WINDOWS, strict=True)]
    return References(keys, first, second, np.array(windows, np.uint32))


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
    key, place, best, after = FNV_OFFSET, at + 1, -1, at
    while place < stop and place - at <= 32:
        byte = data[place]
        is_end = byte == 59
        if not (is_end or is_letter(byte) or 48 <= byte <= 57):
            break
        key = (key ^ np.uint64(byte)) * FNV_PRIME
        place += 1
        if is_end or place - at - 1 <= LONGEST_LEGACY:
            slot = lookup(named.keys, key)
            if slot >= 0:
                best, after = slot, place
        if is_end:
            break
    return best, after


@jit_borrowing
def append_decoded(data: Any, at: int, stop: int, out: Any, size: int, named: Any) -> int:
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
def append_copied(data: Any, at: int, stop: int, out: Any, size: int) -> int:
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
