"""Kernels that find their way in the bytes of a page: where names, attributes, comments and tags begin and end.

`size` is the length of the page; 8 bytes after it must be readable. Hashes are those of `tags.name_hash`.
"""

from typing import Any

import numpy as np

from pipelines.text.extraction.pages import tags
from pipelines.text.kernels import jit_borrowing, load64, lowest_bit

FNV_OFFSET, FNV_PRIME = np.uint64(tags.FNV_OFFSET), np.uint64(tags.FNV_PRIME)
_ONES, _HIGH_BITS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_CDATA = np.frombuffer(b"<![CDATA[", np.uint8)


@jit_borrowing
def is_space(byte: int) -> bool:
    """Return whether a byte is white space in HTML."""
    return byte == 32 or (9 <= byte <= 13 and byte != 11)


@jit_borrowing
def is_letter(byte: int) -> bool:
    """Return whether a byte is an ASCII letter."""
    return 97 <= (byte | 32) <= 122


@jit_borrowing
def lookup(keys: Any, key: Any) -> int:
    """Return the slot of a key in a hash table (open addressing; a key of 0 is free), or -1."""
    mask = np.uint64(keys.size - 1)
    slot = key & mask
    while keys[slot] != 0:
        if keys[slot] == key:
            return np.int64(slot)  # pyright: ignore[reportReturnType]
        slot = (slot + np.uint64(1)) & mask
    return -1


@jit_borrowing
def find_byte(data: Any, at: int, stop: int, byte: int) -> int:
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
def hashed_name(data: Any, at: int, size: int) -> Any:
    """Return the hash of a tag's name in lower case, and the place after it: white space, "/", ">" or the end."""
    key = FNV_OFFSET
    while at < size:
        byte = data[at]
        if is_space(byte) or byte == 47 or byte == 62:
            break
        key = (key ^ np.uint64(byte + 32 if 65 <= byte <= 90 else byte)) * FNV_PRIME
        at += 1
    return key, at


@jit_borrowing
def find_end_tag(data: Any, at: int, size: int, name: Any) -> int:
    """Return the place of the next "</name" (its hash) before white space, "/" or ">"; -1 if there is none."""
    while True:
        at = find_byte(data, at, size, 60)
        if at + 2 >= size:
            return -1
        if data[at + 1] == 47:
            key, place = hashed_name(data, at + 2, size)
            if key == name and place < size:
                return at
            at = max(at + 1, place)
        else:
            at += 1


@jit_borrowing
def find_comment_end(data: Any, at: int, size: int) -> int:
    """Return the place after the comment that begins at `at`; without an end, the rest of the page is a comment."""
    place = at + 4
    if place < size and data[place] == 62:  # <!-->
        return place + 1
    if place + 1 < size and data[place] == 45 and data[place + 1] == 62:  # <!--->
        return place + 2
    while True:
        place = find_byte(data, place, size, 62)
        if place >= size:
            return size
        if place >= at + 6 and data[place - 1] == 45 and data[place - 2] == 45:
            return place + 1
        if place >= at + 7 and data[place - 1] == 33 and data[place - 2] == 45 and data[place - 3] == 45:  # --!>
            return place + 1
        place += 1


@jit_borrowing
def is_cdata(data: Any, at: int, size: int) -> bool:
    """Return whether "<![CDATA[" stands at `at`."""
    is_same = at + _CDATA.size <= size
    for i in range(_CDATA.size if is_same else 0):
        is_same = is_same and data[at + i] == _CDATA[i]
    return is_same


@jit_borrowing
def find_cdata_end(data: Any, at: int, size: int) -> int:
    """Return the place of the next "]]>", or the length."""
    while at + 2 < size and not (data[at] == 93 and data[at + 1] == 93 and data[at + 2] == 62):
        at += 1
    return at if at + 2 < size else size


@jit_borrowing
def next_markup(data: Any, at: int, size: int) -> int:
    """Return the place of the next "<" that begins a tag, a comment or a declaration; the length if there is none."""
    while True:
        at = find_byte(data, at, size, 60)
        if at + 1 >= size:
            return size
        byte = data[at + 1]
        if is_letter(byte) or byte == 33 or byte == 47 or byte == 63:  # "!", "/", "?"
            return at
        at += 1


@jit_borrowing
def read_attribute(data: Any, at: int, size: int) -> Any:
    """Read the attribute at `at`: the hash of its name in lower case, where its value begins and ends, the place after it."""
    key, begin = FNV_OFFSET, at
    while at < size:
        byte = data[at]
        if is_space(byte) or byte == 47 or byte == 62 or (byte == 61 and at > begin):
            break
        key = (key ^ np.uint64(byte + 32 if 65 <= byte <= 90 else byte)) * FNV_PRIME
        at += 1
    equals = _after_space(data, at, size)
    if equals >= size or data[equals] != 61:
        return key, at, at, at
    begin = _after_space(data, equals + 1, size)
    if begin < size and (data[begin] == 34 or data[begin] == 39):
        end = find_byte(data, begin + 1, size, data[begin])
        return key, begin + 1, end, min(end + 1, size)
    end = begin
    while end < size and not is_space(data[end]) and data[end] != 62:
        end += 1
    return key, begin, end, end


@jit_borrowing
def _after_space(data: Any, at: int, size: int) -> int:
    while at < size and is_space(data[at]):
        at += 1
    return at
