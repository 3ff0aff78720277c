"""A hash table for kernels: uint64[2^bits, 4] of key, stamp, count and first place, so a lookup touches one cache line.

A slot is empty unless it has the current stamp, so nothing has to be cleared between documents.
"""

from typing import Any

import numpy as np

from pipelines.text.kernels import jit

BASE = np.uint64(0x9E3779B97F4A7C15)  # odd; 2^64 divided by the golden ratio


@jit
def slot_of(slots: Any, stamp: int, key: Any, bits: int) -> Any:
    """Return the slot of a key, or the empty slot where it belongs."""
    mask = (1 << bits) - 1
    slot: Any = np.int64((key * BASE) >> np.uint64(64 - bits))  # int() would stay unsigned in numba
    while slots[slot, 1] == stamp and slots[slot, 0] != key:
        slot = (slot + 1) & mask
    return slot


@jit
def put_key(slots: Any, slot: int, stamp: int, key: Any, place: int) -> None:
    """Fill an empty slot with a key that occurs once so far, at this place."""
    slots[slot, 0], slots[slot, 1], slots[slot, 2], slots[slot, 3] = key, stamp, 1, place


@jit
def bits_for(items: int) -> int:
    """Return the bits of a table that `items` keys fill by half at most."""
    bits = 4
    while (1 << bits) < 2 * items:
        bits += 1
    return bits
