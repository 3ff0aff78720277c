r"""What the first bytes of a body say that it is, whatever its Content-Type says.

The patterns are those of the WHATWG's MIME Sniffing Standard (sections 6 and 7.1), with more names of HTML elements, and with
more types of files that servers send as text/html. Only the beginning is read, so the cost does not depend on the body's size.

    >>> file_type(b"\r\n%PDF-1.4 ..."), file_type(b"<p>%PDF-1.4")
    ('a PDF file', None)
    >>> is_html(b" <!-- x --><p>"), is_html(b"<pre-history>"), is_html("<html>".encode("utf-16-le"))
    (True, False, True)
    >>> xml_root(b'<?xml version="1.0"?><!DOCTYPE html><html xmlns="...">'), xml_root(b"<rss>"), xml_root(b"none")
    ('html', 'rss', None)
"""

import re
from typing import Any

_HEAD_BYTES = 4096
_COMMENT_BYTES = 2**16  # a licence may precede the root of an XML file
_WHITE = b"\t\n\f\r "
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}

_SIGNATURES = (
    (rb"\s{0,1024}%PDF-", "a PDF file"),
    (rb"%!PS-Adobe-", "a PostScript file"),
    (rb"\{\\rtf", "an RTF file"),
    (rb"\x89PNG\r\n\x1a\n", "a PNG image"),
    (rb"GIF8[79]a", "a GIF image"),
    (rb"\xff\xd8\xff", "a JPEG image"),
    (rb"RIFF.{4}WEBP", "a WebP image"),
    (rb"\x00\x00[\x01\x02]\x00", "an icon"),
    (rb"II\*\x00|MM\x00\*", "a TIFF image"),
    (rb"\x00\x00\x00\x0cjP  \r\n|\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (rb"PK\x03\x04|PK\x05\x06\x00", "a ZIP file (or an office document)"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document"),
    (rb"\x1f\x8b\x08", "a gzip file"),
    (rb"BZh[1-9]1AY&SY", "a bzip2 file"),
    (rb"\xfd7zXZ\x00", "an xz file"),
    (rb"\x28\xb5\x2f\xfd", "a zstd file"),
    (rb"Rar!\x1a\x07", "a RAR file"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z file"),
    (rb"MSCF\x00", "a CAB file"),
    (rb".{4}ftyp", "an MP4 file"),
    (rb"\x1a\x45\xdf\xa3", "a WebM or Matroska file"),
    (rb"RIFF.{4}(?:AVI |WAVE)", "an audio or video file"),
    (rb"OggS\x00|fLaC\x00|FLV\x01|MThd\x00\x00|ID3[\x02-\x04]", "an audio or video file"),
    (rb"[FCZ]WS[\x01-\x2f]", "a Flash file"),
    (rb"wOF[F2]|\x00\x01\x00\x00[\x00\x01]|OTTO\x00|ttcf\x00", "a font"),
    (rb"\x7fELF|MZ.\x00|\xca\xfe\xba\xbe", "a program"),
    (rb"SQLite format 3\x00", "an SQLite database"),
)
_FILE = re.compile(b"|".join(b"(%s)" % pattern for pattern, _ in _SIGNATURES), re.S)

_ELEMENTS = (
    "html|head|script|iframe|h[1-6]|div|font|table|a|style|title|b|body|br|p"  # the standard's
    "|meta|link|base|span|center|frameset|article|section|main|header|nav|ul|ol|form|img|noscript|strong|hr"
)
_HTML = re.compile(rf"(?:<!doctype\s+html|<(?:{_ELEMENTS}))[\s/>]|<!--".encode(), re.I)
_BLANKS: Any = re.compile(rb"[\t\n\f\r ]*")  # it matches anywhere
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_DOCTYPE = re.compile(rb"<!doctype\b[^>\[]*(?:\[.*?\]\s*)?>", re.I | re.S)
_DOCTYPE_START, _BRACKET, _SUBSET_END = re.compile(r"<!doctype\b", re.I), re.compile(r"[>\[]"), re.compile(r"\]\s*>")
_ROOT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")


def file_type(body: bytes) -> str | None:
    """Return, in words, what file of another type than text the body is; None if its first bytes are not of a known one."""
    match = _FILE.match(body, 0, _HEAD_BYTES)
    return _SIGNATURES[match.lastindex - 1][1] if match and match.lastindex else None


def is_html(body: bytes) -> bool:
    """Return whether a body of unknown type begins as a page does."""
    return _HTML.match(_head(body)) is not None


def is_declared_xml(body: bytes) -> bool:
    """Return whether the body begins with an XML declaration."""
    return _head(body).startswith(b"<?xml")


def is_binary(body: bytes) -> bool:
    """Return whether the body holds bytes that no text has ("binary data bytes" of the standard)."""
    return _BINARY.search(_head(body)) is not None


def xml_root(body: bytes) -> str | None:
    """Return the name of the root element without its prefix, in lower case; None if the body is no XML (or begins late)."""
    head, at = _head(body, _COMMENT_BYTES), 0
    while True:
        at = _BLANKS.match(head, at).end()
        for opening, closing in ((b"<?", b"?>"), (b"<!--", b"-->")):
            if head.startswith(opening, at):
                end = head.find(closing, at)
                if end < 0:
                    return None
                at = end + len(closing)
                break
        else:
            match = _DOCTYPE.match(head, at)
            if not match:
                break
            at = match.end()
    root = _ROOT.match(head, at)
    return root[1].decode("ascii", "replace").lower() if root else None


def without_subset(markup: str) -> str:
    """Return XML without the declarations inside its DOCTYPE, which end elsewhere than HTML's tokenizer thinks.

    >>> without_subset('<?xml version="1.0"?><!DOCTYPE html [<!ENTITY a ">">]><html>')
    '<?xml version="1.0"?><!DOCTYPE html ><html>'
    """
    doctype = _DOCTYPE_START.search(markup, 0, _COMMENT_BYTES)  # the first one only: to search on takes quadratic time
    start = _BRACKET.search(markup, doctype.end(), _COMMENT_BYTES) if doctype else None
    end = _SUBSET_END.search(markup, start.end(), _COMMENT_BYTES) if start and start[0] == "[" else None
    return f"{markup[: start.start()]}>{markup[end.end() :]}" if start and end else markup


def _head(body: bytes, limit: int = _HEAD_BYTES) -> bytes:
    """Return the beginning of a body in UTF-8, without byte order mark and white space; UTF-16 is known by its mark or a "<"."""
    head = body[:limit]
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, "ignore").encode().lstrip(_WHITE)
    if head.startswith(b"<\x00"):
        head = head.decode("utf-16-le", "ignore").encode()
    elif head.startswith(b"\x00<"):
        head = head.decode("utf-16-be", "ignore").encode()
    return head.lstrip(_WHITE)
