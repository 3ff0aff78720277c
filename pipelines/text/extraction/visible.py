"""How much text a page shows, counted in its markup: characters that are not white space, outside of tags, scripts and comments.

Limits: what style sheets hide is counted, and a character reference is one character whatever it means. One pass, linear.
"""

from typing import Any

import numpy as np

from pipelines.text.kernels import jit

_REFERENCE_BYTES = 10  # of a character reference without its ";", at most
_SILENT = (b"script", b"style", b"title", b"noscript", b"template", b"head")


def visible_characters(markup: str) -> int:
    """Return the number of characters that a browser would show, without white space.

    >>> visible_characters("<title>T</title><p>a b&amp;</p><script>x</script><!-- y -->")
    3
    """
    return int(_count(np.frombuffer(markup.encode("utf-8", "replace"), np.uint8), _NAMES, _LENGTHS))


def characters(text: str) -> int:
    """Return the number of characters of a text that are not white space."""
    return sum(map(len, text.split()))


_NAMES = np.zeros((len(_SILENT), max(map(len, _SILENT))), np.uint8)
for _row, _name in enumerate(_SILENT):
    _NAMES[_row, : len(_name)] = np.frombuffer(_name, np.uint8)
_LENGTHS = np.array([len(name) for name in _SILENT])


@jit
def _silent(data: Any, at: int, names: Any, lengths: Any) -> int:
    """Return which of the names is at a byte as a whole tag name; -1 if none."""
    for row in range(lengths.size):
        end = at + lengths[row]
        if end >= data.size or (97 <= (data[end] | 0x20) <= 122) or 48 <= data[end] <= 57:
            continue
        same = True
        for i in range(lengths[row]):
            same &= data[at + i] | 0x20 == names[row, i]
        if same:
            return row
    return -1


@jit
def _begins_a_tag(byte: int) -> bool:
    """Return whether a byte makes a tag, or what is like one, of the "<" before it."""
    return 97 <= (byte | 0x20) <= 122 or byte == 47 or byte == 33 or byte == 63  # "/", "!", "?"


@jit
def _count(data: Any, names: Any, lengths: Any) -> int:
    count, at, inside = 0, 0, -1  # `inside`: the silent element that is open
    while at < data.size:
        byte = data[at]
        if byte != 60 or at + 1 == data.size or not _begins_a_tag(data[at + 1]):  # "<"
            if inside < 0 and byte > 32 and byte & 0xC0 != 0x80:
                count += 1
                if byte == 38:  # "&"
                    end = at + 1
                    while end < min(data.size, at + _REFERENCE_BYTES) and (
                        data[end] == 35 or 48 <= data[end] <= 57 or data[end] | 0x20 > 96
                    ):
                        end += 1
                    at = end if at + 1 < end < data.size and data[end] == 59 else at
            at += 1
            continue
        is_closing = data[at + 1] == 47
        if inside < 0 and at + 3 < data.size and data[at + 1] == 33 and data[at + 2] == 45 and data[at + 3] == 45:
            at += 4
            while at < data.size and not (data[at] == 62 and data[at - 1] == 45 and data[at - 2] == 45):
                at += 1
            at += 1
            continue
        name = _silent(data, at + 1 + is_closing, names, lengths)
        if inside >= 0 and not (is_closing and name == inside):
            at += 1
            continue
        inside = -1 if inside >= 0 else (name if not is_closing else -1)
        while at < data.size and data[at] != 62:
            at += 1
        at += 1
    return count
