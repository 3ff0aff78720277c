"""JSON Lines in UTF-16 or UTF-32, as Windows writes them: read as UTF-8, with the places of the bytes in the file.

Such a file begins with a byte order mark, or with "{" and a NUL byte beside it. What is no character of the encoding becomes
U+FFFD.
"""

import codecs
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Read = Callable[[int], bytes]

SNIFFED_BYTES = 4


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding other than UTF-8."""

    name: str
    unit: int  # bytes: 2 or 4
    mark: int  # bytes of the byte order mark


_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, Encoding("utf-32-le", 4, 4)),
    (codecs.BOM_UTF32_BE, Encoding("utf-32-be", 4, 4)),
    (codecs.BOM_UTF16_LE, Encoding("utf-16-le", 2, 2)),
    (codecs.BOM_UTF16_BE, Encoding("utf-16-be", 2, 2)),
)
_ZEROS = {  # which of the first four bytes are 0, as the first two characters of JSON are ASCII (RFC 4627, 3)
    (False, True, True, True): Encoding("utf-32-le", 4, 0),
    (True, True, True, False): Encoding("utf-32-be", 4, 0),
    (False, True, False, True): Encoding("utf-16-le", 2, 0),
    (True, False, True, False): Encoding("utf-16-be", 2, 0),
}


def sniffed(beginning: bytes) -> Encoding | None:
    """Return the encoding of a file by its first bytes; None if it is UTF-8, or at least none of these.

    >>> sniffed('{"text"'.encode("utf-16-le")).name, sniffed(b'{"te')
    ('utf-16-le', None)
    """
    for mark, encoding in _MARKS:
        if beginning.startswith(mark):
            return encoding
    return _ZEROS.get(tuple(byte == 0 for byte in beginning[:SNIFFED_BYTES]))  # pyright: ignore[reportArgumentType, reportCallIssue]


def transcoded(read: Read, encoding: Encoding) -> Read:
    """Return a function that reads UTF-8; `read` continues after the byte order mark."""
    decoder = codecs.getincrementaldecoder(encoding.name)("replace")
    at_the_end = False

    def next_piece(size: int) -> bytes:
        nonlocal at_the_end
        while not at_the_end:
            data = read(size)
            at_the_end = not data
            text = decoder.decode(data, final=at_the_end)
            if text:
                return text.encode()
        return b""

    return next_piece


class Utf8Stream(io.RawIOBase):
    """A file in any of these encodings or in UTF-8, as a stream of UTF-8 without the byte order marks of the others."""

    def __init__(self, read: Read) -> None:
        """Sniff the file, of which nothing has been read yet."""
        beginning = beginning_of(read)
        encoding = sniffed(beginning)
        rest = after(beginning[encoding.mark if encoding else 0 :], read)
        self._read = transcoded(rest, encoding) if encoding else rest
        self._pending = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or a part of it; return the number of bytes, 0 at the end."""
        piece = self._pending or self._read(len(buffer))
        some, self._pending = piece[: len(buffer)], piece[len(buffer) :]
        buffer[: len(some)] = some
        return len(some)


def beginning_of(read: Read) -> bytes:
    """Read the bytes that `sniffed` needs, or a few more."""
    beginning = b""
    while len(beginning) < SNIFFED_BYTES and (piece := read(SNIFFED_BYTES)):
        beginning += piece
    return beginning


def after(beginning: bytes, read: Read) -> Read:
    """Return a function that reads these bytes, then continues with `read`."""
    pending = [beginning] if beginning else []
    return lambda size: pending.pop() if pending else read(size)


def size(data: bytes | bytearray | memoryview, unit: int) -> int:
    """Return how many bytes UTF-8 takes in an encoding of so many bytes a unit (1: UTF-8 itself)."""
    if unit == 1:
        return len(data)
    return unit * int(_units(np.frombuffer(data, np.uint8), unit).sum(dtype=np.int64))


def places(data: bytes, at: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """Return where these bytes of UTF-8, ascending, lie in the encoded text."""
    if unit == 1 or not len(at):
        return at
    starts = np.concatenate([[0], at])
    units = np.append(_units(np.frombuffer(data, np.uint8), unit), np.uint8(0))  # a place may be the end
    sums = np.add.reduceat(units, starts, dtype=np.int64)
    empty = np.diff(starts, append=len(data) + 1) == 0  # reduceat gives these the value at their start
    return unit * np.cumsum(np.where(empty, 0, sums))[:-1]


def _units(data: NDArray[np.uint8], unit: int) -> NDArray[np.uint8]:
    """Return how many units begin at each byte: two for four bytes of UTF-8 in UTF-16, none within a character."""
    begins = ((data & 0xC0) != 0x80).astype(np.uint8)
    return begins + (data >= 0xF0) if unit == 2 else begins
