"""Counter-based random numbers: draw n of a key is a function of (key, n), so draws need no order.

    keys = key(seed, step, np.arange(rows))      # one 64-bit key per row
    word(keys[0], 5)                             # its draw 5: 64 bits
    below(word(keys[0], 5), 10)                  # 0 .. 9
    unit(word(keys[0], 5))                       # [0, 1)

splitmix64 (Steele, Lea, Flood 2014) as a counter-based generator: draw n of a key is the finaliser of key + (n + 1) * golden.
The compiled functions and the NumPy functions return the same numbers.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's increment, 2^64 / golden ratio
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _ONE = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(1)


def mix(words: Words) -> Words:
    """Apply splitmix64's finaliser: a bijection of 64-bit words that makes close words unrelated."""
    words = (words ^ (words >> _S30)) * _M1
    words = (words ^ (words >> _S27)) * _M2
    return words ^ (words >> _S31)


def key(seed: int, *numbers: int | NDArray[Any]) -> Words:
    """Return one 64-bit key for each combination of seed and numbers (arrays broadcast)."""
    out = mix(np.atleast_1d(np.asarray(seed & (2**64 - 1), dtype=np.uint64)) + GOLDEN)
    for number in numbers:
        out = mix(out * GOLDEN + np.atleast_1d(np.asarray(number)).astype(np.uint64) + _ONE)
    return out


def words(keys: Words, count: int) -> Words:
    """Return the first `count` draws of each key: (N,) -> (N, count)."""
    return mix(keys[:, None] + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)


@numba.njit(inline="always")
def word(key: Any, number: Any) -> Any:  # pragma: no cover (compiled)
    """Return draw `number` (from 0) of a key: 64 bits."""
    z = key + (np.uint64(number) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(inline="always")
def below(drawn: Any, limit: Any) -> Any:  # pragma: no cover (compiled)
    """Map a draw to 0 .. limit - 1, for limits under 2^32 (upper 32 bits times the limit: the bias is under 2^-32 * limit)."""
    return np.int64(((drawn >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32))


@numba.njit(inline="always")
def unit(drawn: Any) -> Any:  # pragma: no cover (compiled)
    """Map a draw to a float in [0, 1), by its upper 53 bits."""
    return np.float64(drawn >> np.uint64(11)) * 1.1102230246251565e-16
