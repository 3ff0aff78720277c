"""CRC-32C (Castagnoli, RFC 3720 appendix B.4), and how LevelDB and TensorFlow store it.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'

Python's zlib has only the other CRC-32. Eight bytes a round by eight tables (Kounavis and Berry 2005, "slicing-by-8").
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # of Castagnoli, bits reversed
_MASK_DELTA = 0xA282EAD8  # leveldb util/crc32c.h: a sum over bytes that hold sums is stored changed


def _tables() -> NDArray[np.uint32]:
    """(8, 256): what a byte adds to the sum when 0 … 7 bytes come behind it."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    tables = [table]
    for _ in range(7):
        tables.append(table[tables[-1] & 0xFF] ^ (tables[-1] >> 8))
    return np.stack(tables)


_TABLES = _tables()


def crc32c(data: bytes | NDArray[Any]) -> int:
    """The sum of bytes, or of an array's bytes as they lie in memory (C order)."""
    array = (
        np.frombuffer(data, np.uint8).copy() if isinstance(data, bytes) else np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    )
    words = len(array) // 8
    return int(_crc32c(array[: words * 8].view(np.uint64), array[words * 8 :], _TABLES))


def masked(data: bytes | NDArray[Any]) -> int:
    """The sum as a file of LevelDB or TensorFlow stores it (leveldb util/crc32c.h, Mask)."""
    found = crc32c(data)
    return ((found >> 15 | found << 17) + _MASK_DELTA) & 0xFFFFFFFF


@numba.njit(cache=True, nogil=True)
def _crc32c(words: Any, rest: Any, tables: Any) -> Any:  # pragma: no cover (compiled)
    crc = np.uint64(0xFFFFFFFF)
    byte = np.uint64(0xFF)
    for word in words:
        w = word ^ crc
        crc = np.uint64(
            tables[7, w & byte]
            ^ tables[6, (w >> np.uint64(8)) & byte]
            ^ tables[5, (w >> np.uint64(16)) & byte]
            ^ tables[4, (w >> np.uint64(24)) & byte]
            ^ tables[3, (w >> np.uint64(32)) & byte]
            ^ tables[2, (w >> np.uint64(40)) & byte]
            ^ tables[1, (w >> np.uint64(48)) & byte]
            ^ tables[0, w >> np.uint64(56)]
        )
    for value in rest:
        crc = np.uint64(tables[0, (crc ^ np.uint64(value)) & byte]) ^ (crc >> np.uint64(8))
    return crc ^ np.uint64(0xFFFFFFFF)
