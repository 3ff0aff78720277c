"""Hash tables of a page's own keys (open addressing, linear probing; a key of 0 is free)."""

from typing import Any

import numpy as np

from pipelines.text.kernels import jit_borrowing

_MOST_PROBES = 512  # a page may choose names and texts that collide; beyond this, they count as the same


@jit_borrowing
def slots_for(keys: int) -> int:
    """Return how many slots a table of so many keys gets: a power of two, at most half of it used."""
    slots = 16
    while slots < 2 * keys:
        slots *= 2
    return slots


@jit_borrowing
def slot_of(table: Any, key: Any) -> Any:
    """Return the slot of a key, or the one that it would get."""
    mask = np.uint64(table.size - 1)
    slot = (key ^ key >> np.uint64(32)) & mask
    last = slot + np.uint64(_MOST_PROBES)
    while table[slot & mask] != 0 and table[slot & mask] != key and slot < last:
        slot += np.uint64(1)
    return slot & mask
