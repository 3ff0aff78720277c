"""Character references of HTML (`&amp;`, `&#8217;`) as a hash table for kernels."""

import html.entities
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.tags import name_hash

_SLOTS = 8192
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
    keys = np.zeros(_SLOTS, np.uint64)
    first, second = np.zeros(_SLOTS, np.uint32), np.zeros(_SLOTS, np.uint32)
    for name, text in html.entities.html5.items():
        key = name_hash(name)
        slot = key % _SLOTS
        while keys[slot]:
            slot = (slot + 1) % _SLOTS
        keys[slot], first[slot], second[slot] = key, ord(text[0]), ord(text[1]) if len(text) > 1 else 0
    windows = [ord(bytes([byte]).decode("cp1252", "replace")) for byte in _WINDOWS]
    windows = [code if code != 0xFFFD else byte for code, byte in zip(windows, _WINDOWS, strict=True)]
    return References(keys, first, second, np.array(windows, np.uint32))
