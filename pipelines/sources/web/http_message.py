"""Parse an HTTP response in a WARC record: status, type, and the decoded body.

Archives break the rules: header lines end in a bare line feed (ClueWeb), and headers name encodings that the archiver has
already removed. FastWARC's parser silently accepts a truncated or wrongly chunked body, so the message is parsed here.
"""

import io
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastwarc.stream_io import BrotliReader, ZstdReader

_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_MAX_HEAD_BYTES = 2**18
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]{0,1024})?\r?\n")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.I)
# Fields about the page itself. Last-Modified is none: servers give the time at which they made the page from a template.
_ABOUT = frozenset({"x-robots-tag", "tdm-reservation", "link", "content-language"})


class MessageError(ValueError):
    """A broken HTTP message; the error names the fault."""


@dataclass(frozen=True, slots=True)
class Head:
    """The status line and the headers that matter."""

    status: int
    media_type: str  # "text/html", in lower case; "" if there is none
    charset: str | None
    transfer_encodings: tuple[str, ...]
    content_encodings: tuple[str, ...]
    bytes: int  # of the head; the body begins after it
    # What the fields below say, by name: a name may occur several times.
    about: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


def parse_head(block: bytes) -> Head:
    """Parse the head of a response. Raise MessageError if it does not begin like one."""
    status = _STATUS.match(block)
    if not status:
        raise MessageError("no HTTP status line")
    end = _HEAD_END.search(block, 0, _MAX_HEAD_BYTES)
    lines = block[: end.start() if end else min(len(block), _MAX_HEAD_BYTES)].decode("latin-1").splitlines()[1:]
    fields: dict[str, str] = {}
    about: dict[str, tuple[str, ...]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            name, value = name.strip().lower(), value.strip()
            fields.setdefault(name, value)
            if name in _ABOUT:
                about[name] = (*about.get(name, ()), value)
    content_type = fields.get("content-type", "")
    charset = _CHARSET.search(content_type)
    return Head(
        status=int(status[1]),
        media_type=re.split(r"[;,\s]", content_type.lower(), maxsplit=1)[0],
        charset=charset[1] if charset else None,
        transfer_encodings=_names(fields.get("transfer-encoding", "")),
        content_encodings=_names(fields.get("content-encoding", "")),
        bytes=end.end() if end else len(block),
        about=about,
    )


def body(block: bytes, head: Head, max_bytes: int) -> bytes:
    """Return the body, unchunked and decompressed: at most `max_bytes` + 1 of it, as a guard against compression bombs.

    Raise MessageError if an encoding is broken or incomplete.
    """
    data = block[head.bytes :]
    if "chunked" in head.transfer_encodings and _CHUNK_SIZE.match(data):
        data = unchunked(data)
    for name in reversed(head.content_encodings + tuple(n for n in head.transfer_encodings if n != "chunked")):
        if name in _DECODERS and data and not _is_undone(name, data):
            data = _DECODERS[name](data, max_bytes + 1)
    return data


def unchunked(data: bytes) -> bytes:
    r"""Return the joined chunks; their lines may end in a bare line feed.

    >>> unchunked(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
    b'abcde'
    """
    chunks: list[bytes] = []
    place = 0
    while place < len(data):
        size = _CHUNK_SIZE.match(data, place)
        if not size:
            if not data[place:].strip():
                break
            raise MessageError(f"byte {place:,} of the chunked body is no chunk size")
        length, start = int(size[1], 16), size.end()
        if length == 0:
            break
        if start + length > len(data):
            raise MessageError(f"the chunk at byte {place:,} says {length:,} bytes and has {len(data) - start:,}")
        chunks.append(data[start : start + length])
        place = start + length
        place += 2 if data[place : place + 2] == b"\r\n" else data[place : place + 1] == b"\n"
    return b"".join(chunks)


def _names(header: str) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in header.split(",") if name.strip())


def _is_undone(encoding: str, data: bytes) -> bool:
    """Return whether the archiver has already decompressed the body."""
    if encoding in ("gzip", "x-gzip"):
        return not data.startswith(b"\x1f\x8b")
    if encoding == "zstd":
        return not data.startswith(b"\x28\xb5\x2f\xfd")
    return data[:64].lstrip().startswith((b"<", b"\xef\xbb\xbf<"))  # no realistic deflate or Brotli stream begins like this


def _inflate(data: bytes, limit: int, window_bits: int) -> bytes:
    parts: list[bytes] = []
    while data and limit > 0:
        inflater = zlib.decompressobj(window_bits)
        try:
            parts.append(inflater.decompress(data, limit))
        except zlib.error as error:
            raise MessageError(f"compressed body: {error}") from None
        limit -= len(parts[-1])
        if limit > 0 and not inflater.eof:
            raise MessageError("the compressed body breaks off")
        data = inflater.unused_data if inflater.unused_data.startswith(b"\x1f\x8b") else b""  # a further member
    return b"".join(parts)


def _deflate(data: bytes, limit: int) -> bytes:
    """Inflate a body declared as deflate, which should be a zlib stream but often is a raw one."""
    is_zlib = len(data) > 1 and data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
    return _inflate(data, limit, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


def _gzip(data: bytes, limit: int) -> bytes:
    return _inflate(data, limit, zlib.MAX_WBITS | 16)


def _by(reader: type[BrotliReader] | type[ZstdReader]) -> Callable[[bytes, int], bytes]:
    def decode(data: bytes, limit: int) -> bytes:
        try:
            return reader(io.BytesIO(data)).read(limit)
        except (OSError, ValueError) as error:
            raise MessageError(f"compressed body: {error}") from None

    return decode


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _by(BrotliReader),
    "zstd": _by(ZstdReader),
}
