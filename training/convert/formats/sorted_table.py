"""LevelDB's sorted tables (leveldb doc/table_format.md), which TensorFlow uses as the index of its checkpoints.

blocks of entries; the block of the meta index; the block of the index; the footer (48 bytes)

block   entries, restart points (uint32 each), their number (uint32); 1 byte: 0 as it is, 1 Snappy; masked CRC-32C (uint32)
entry   bytes shared with the preceding key, other bytes of the key, bytes of the value (varints); those bytes; the value
handle  offset and size of a block (varints); the values of the index are handles, the footer has the two of the indexes
"""

import struct
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract.tokenizers.sentencepiece_proto import ProtoError, varint
from training.convert.rules import WeightsError

_MASK_DELTA = 0xA282EAD8  # leveldb util/crc32c.h
_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5
_SNAPPY_RATIO = 64  # Snappy expands 3 bytes to 64 at most (google/snappy format_description.txt, copies); more is refused
AGAIN = "it is damaged or not whole; copy it again from where it was published"


def masked_crc32c(data: bytes | NDArray[np.uint8]) -> int:
    """Return the CRC-32C of bytes as LevelDB and TensorFlow store it (leveldb util/crc32c.h, Mask).

    They rotate the checksum and add a constant, because bytes that contain their own checksum make a poor input.

        >>> hex(masked_crc32c(b"123456789"))
        '0xc78ab0e5'
    """
    checksum = google_crc32c.value(data)
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & 0xFFFFFFFF


def read(data: bytes, where: str) -> dict[bytes, bytes]:
    """Return all entries of a table in key order, after checking every block's checksum.

    `where` names the file in messages. Raises WeightsError if it is not a table, or is damaged.
    """
    if len(data) < _FOOTER_BYTES:
        raise WeightsError(f"{where}: it has {len(data)} bytes, fewer than the footer of such a file; {AGAIN}")
    if struct.unpack_from("<Q", data, len(data) - 8)[0] != _MAGIC:
        raise WeightsError(f"{where}: it does not end as the index of a TensorFlow checkpoint does; {AGAIN}")
    try:
        return _entries(data)
    except _BrokenError as error:
        raise WeightsError(f"{where}: {error}; {AGAIN}") from error


class _BrokenError(ValueError):
    """A table that breaks its own rules; the message says where, without the file."""


def _entries(data: bytes) -> dict[bytes, bytes]:
    footer = len(data) - _FOOTER_BYTES
    meta, position = _handle(data, footer)
    index, _ = _handle(data, position)
    for _ in _pairs(_block(data, meta), meta):  # not needed, but it must be intact, too
        pass
    entries: dict[bytes, bytes] = {}
    last = None
    for _, value in _pairs(_block(data, index), index):
        handle, _ = _handle(value, 0)
        for key, content in _pairs(_block(data, handle), handle):
            if last is not None and key <= last:
                raise _BrokenError(f"its key {key!r} is out of order")
            entries[key] = content
            last = key
    return entries


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = _varint(data, position)
    size, position = _varint(data, position)
    return (offset, size), position


def _block(data: bytes, handle: tuple[int, int]) -> bytes:
    """Return the content of a block, decompressed."""
    offset, size = handle
    end = offset + size
    if end + _TRAILER_BYTES + _FOOTER_BYTES > len(data):
        raise _BrokenError(f"its block of bytes {offset} to {end} reaches beyond its end")
    if struct.unpack_from("<I", data, end + 1)[0] != masked_crc32c(data[offset : end + 1]):
        raise _BrokenError(f"the checksum of its block of bytes {offset} to {end} does not fit")
    if data[end] == 0:
        return data[offset:end]
    if data[end] == 1:
        return _without_snappy(data[offset:end], offset)
    raise _BrokenError(f"its block at byte {offset} is compressed in a way (number {data[end]}) that no TensorFlow wrote")


def _without_snappy(content: bytes, offset: int) -> bytes:
    size, _ = _varint(content, 0)
    if size > _SNAPPY_RATIO * len(content):
        raise _BrokenError(f"its block at byte {offset} says that it holds {size} bytes, which Snappy could not")
    codec: Any = pa.Codec("snappy")
    try:
        return codec.decompress(content, size, asbytes=True)
    except OSError as error:
        raise _BrokenError(f"its block at byte {offset} is not what Snappy makes: {error}") from error


def _pairs(block: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block."""
    restarts = struct.unpack_from("<I", block, len(block) - 4)[0] if len(block) >= 4 else 0
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise _BrokenError(f"its block at byte {handle[0]} is too short for its restart points")
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        other, position = _varint(block, position)
        size, position = _varint(block, position)
        if shared > len(key) or position + other + size > end:
            raise _BrokenError(f"its block at byte {handle[0]} has an entry that is longer than the block")
        key = key[:shared] + block[position : position + other]
        position += other + size
        yield key, block[position - size : position]


def _varint(block: bytes, position: int) -> tuple[int, int]:
    try:
        return varint(block, position)
    except ProtoError:
        raise _BrokenError(f"it has no number where one should be (byte {position} of a block)") from None
