"""A file of an object store as Python reads it: few requests, however small the pieces that a reader takes.

Every read of an object is a request, which takes tens of milliseconds. Whoever reads on gets ever larger ranges; whoever jumps,
as a reader of Parquet does, gets small ones again.
"""

import io
from typing import Any

SMALLEST, LARGEST = 2**18, 2**23  # bytes of a range, unless a reader wants more at once


class Ranges(io.RawIOBase):
    """A stream over a file that answers `read_at(bytes, offset)` and `size()`; the bytes that were fetched last are kept."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file, self._bytes = file, int(file.size())
        self._at = 0
        self._first, self._held = 0, memoryview(b"")  # what was fetched last, and where it begins
        self._next = SMALLEST

    def readinto(self, buffer: Any) -> int:
        """Read up to as many bytes as the buffer holds; 0 at the end of the file."""
        wanted = memoryview(buffer).cast("B")
        if not self._first <= self._at < self._first + len(self._held):
            self._fetch(len(wanted))
        start = self._at - self._first
        piece = self._held[start : start + len(wanted)]
        wanted[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _fetch(self, wanted: int) -> None:
        reads_on = self._at == self._first + len(self._held)
        self._next = min(LARGEST, self._next * 2) if reads_on and self._held else SMALLEST
        self._first = self._at
        size = max(0, min(max(wanted, self._next), self._bytes - self._at))
        self._held = memoryview(self._file.read_at(size, self._at) if size else b"")

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; return it."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._bytes}[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._held = memoryview(b"")
            self._file.close()
        super().close()
