"""Decompress gzip, bzip2, xz and zstd streams, several in a row, judged by their first bytes and not by the file's name.

Everything that can be read is returned before an error is raised. NULs after a stream are padding; other bytes that are no
stream are an error. The first frame of a zstd file may hold the dictionary of the others (IIPC's WARC files in zstd, 1.0;
RFC 8878, 3.1.2).
"""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Any, BinaryIO, Protocol

import zstandard

ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zstd")
SHOWN = ".gz, .bz2, .xz, .zst or .zstd"  # these, for messages
BYTES_PER_PIECE = 2**18  # of content, at least, but for the last piece

_BYTES_PER_READ = 2**16  # of the stored stream
_BYTES_FED = 2**12  # at once: a block of four bytes may stand for 128 KiB (zstd), and an error loses what it was fed with
_MAGIC_BYTES = 8
_WINDOW_BYTES = 2**31  # of zstd --long=31
_DICTIONARY = b"\x5d\x2a\x4d\x18"
_NO_DICTIONARY = "the zstd stream needs a dictionary that the file does not hold: decompress it with `zstd -d -D DICTIONARY`"
_MAX_DICTIONARY_BYTES = 2**27
_ZSTD = b"\x28\xb5\x2f\xfd"
_FORMATS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", _ZSTD: "zstd"}

Read = Callable[[int], bytes]


class BrokenStreamError(Exception):
    """A compressed stream that is damaged, or that ends early (`is_cut_off`)."""

    def __init__(self, detail: str, *, is_cut_off: bool = False) -> None:
        super().__init__(detail)
        self.is_cut_off = is_cut_off


def uncompressed(path: str) -> str:
    """Return a path in lower case without the ending of its compression, if it has one.

    >>> uncompressed("a/B.jsonl.GZ")
    'a/b.jsonl'
    """
    lower = path.lower()
    ending = next((ending for ending in ENDINGS if lower.endswith(ending)), "")
    return lower.removesuffix(ending)


def compression(head: bytes) -> str | None:
    """Return the name of the compression of a file that begins with these bytes (8 or more are enough), or None.

    >>> compression(b"BZh91AY&SY"), compression(b"WARC/1.0")
    ('bzip2', None)
    """
    if head[1:4] == _DICTIONARY[1:] and 0x50 <= head[0] <= 0x5F:  # a frame without content, which zstd skips
        return "zstd"
    return next((name for magic, name in _FORMATS.items() if head.startswith(magic)), None)


def pieces(read: Read) -> Iterator[bytes]:
    """Yield the content of a stored stream of which `read` returns the next bytes; one that is not compressed as it is.

    Raise BrokenStreamError after all content before the damage.
    """
    parts: list[bytes] = []
    try:
        for part in filter(None, _Streams(read).content()):  # an empty piece would be taken for the end
            parts.append(part)
            if sum(map(len, parts)) >= BYTES_PER_PIECE:
                yield b"".join(parts)
                parts = []
    except BrokenStreamError:
        if parts:
            yield b"".join(parts)
        raise
    if parts:
        yield b"".join(parts)


class Content(io.RawIOBase):
    """The content of a stored stream as a file to read from beginning to end."""

    def __init__(self, stored: BinaryIO) -> None:
        self._pieces, self._rest = pieces(stored.read), b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with the next bytes and return their number; raise BrokenStreamError."""
        self._rest = self._rest or next(self._pieces, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class _Inflater(Protocol):
    """What the decompressors of zlib, bz2, lzma and zstandard have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


class _Streams:
    """The compressed streams of a file, one after another."""

    def __init__(self, read: Read) -> None:
        self._read, self._stored = read, b""
        self._zstd = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)

    def content(self) -> Iterator[bytes]:
        """Yield the content in parts of any size."""
        self._fill(_MAGIC_BYTES)
        if compression(self._stored) is None:
            yield from self._as_it_is()
        while self._stored:
            name = compression(self._stored)
            if name == "zstd" and not self._stored.startswith(_ZSTD):
                self._skip_frame()
            elif name is not None:
                yield from self._stream(name)
            elif self._stored.strip(b"\0"):
                raise BrokenStreamError("bytes that are no compressed stream follow one")
            else:
                self._stored = b""
            self._fill(_MAGIC_BYTES)

    def _as_it_is(self) -> Iterator[bytes]:
        while self._stored:
            yield self._stored
            self._stored = self._read(_BYTES_PER_READ)

    def _fill(self, count: int) -> None:
        """Read until `count` bytes are there, or the end is reached."""
        while len(self._stored) < count and (more := self._read(_BYTES_PER_READ)):
            self._stored += more

    def _take(self, count: int) -> bytes:
        """Return the next bytes, fewer at the end."""
        self._fill(count)
        taken, self._stored = self._stored[:count], self._stored[count:]
        return taken

    def _stream(self, name: str) -> Generator[bytes]:
        inflater, inflate = self._opened(name)
        while not inflater.eof:
            fed = self._take(_BYTES_FED)
            if not fed:
                raise BrokenStreamError(f"the {name} stream is cut off", is_cut_off=True)
            try:
                yield from inflate(fed)
            except (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
                if "Dictionary mismatch" in str(error):
                    raise BrokenStreamError(_NO_DICTIONARY) from None
                raise BrokenStreamError(f"damaged {name} stream: {error}") from None
        self._stored = inflater.unused_data + self._stored

    def _opened(self, name: str) -> tuple[_Inflater, Callable[[bytes], Iterator[bytes]]]:
        if name == "gzip":
            inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            return inflater, lambda fed: iter((inflater.decompress(fed),))
        if name == "zstd":
            frame: Any = self._zstd.decompressobj()
            return frame, lambda fed: iter((frame.decompress(fed),))
        packed = bz2.BZ2Decompressor() if name == "bzip2" else lzma.LZMADecompressor(lzma.FORMAT_XZ)
        return packed, lambda fed: _bounded(packed, fed)

    def _skip_frame(self) -> None:
        """Pass over a frame that zstd skips, or take the dictionary that it holds."""
        header = self._take(8)
        remaining = int.from_bytes(header[4:], "little")
        if not header.startswith(_DICTIONARY):
            while remaining and (skipped := self._take(min(remaining, _BYTES_PER_READ))):
                remaining -= len(skipped)
        elif remaining > _MAX_DICTIONARY_BYTES:
            raise BrokenStreamError(f"a zstd dictionary of {remaining:,} bytes; no more than {_MAX_DICTIONARY_BYTES:,} are read")
        else:
            self._use_dictionary(self._take(remaining))

    def _use_dictionary(self, stored: bytes) -> None:
        data = stored
        if stored.startswith(_ZSTD):
            data = b"".join(_Streams(io.BytesIO(stored).read).content())
        dictionary = zstandard.ZstdCompressionDict(data)
        self._zstd = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=_WINDOW_BYTES)


def _bounded(packed: bz2.BZ2Decompressor | lzma.LZMADecompressor, fed: bytes) -> Iterator[bytes]:
    """Yield the content in parts that fit into memory: a few bytes of bzip2 or xz may stand for gigabytes."""
    yield packed.decompress(fed, BYTES_PER_PIECE)
    while not packed.eof and not packed.needs_input:
        yield packed.decompress(b"", BYTES_PER_PIECE)
