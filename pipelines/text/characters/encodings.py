"""Decode bytes by their byte order mark, declared encoding, as UTF-8, or by detection; every result is checked.

Limits: a detector distinguishes single-byte encodings of one script (Latin-1, Latin-2 …) and can be wrong; a text of a few
words in one of them cannot be identified.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_BYTE_ORDER_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
_MARKS = tuple(mark for mark, _ in _BYTE_ORDER_MARKS)
_SAMPLE_BYTES = 2**17  # seen by the detector
_IMPLAUSIBLE = re.compile(  # controls except whitespace and escape, U+FFFD, private use, noncharacters
    r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffd-\uffff\U000f0000-\U0010ffff]"
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b") | {127})
_IMPLAUSIBLE_SHARE = 0.01
_SPACE = re.compile(r"\s|[。、，．・！？]")
_UNSPACED_CHARACTERS = 200  # no text is this long without a space, a line end or a mark
_BROKEN_SHARE = 0.005  # of the characters of UTF-8 that may be broken: a byte lost in transit, a paragraph pasted in
_SUPERSETS = {"shift_jis": "cp932", "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "hz": "gb18030", "tis_620": "cp874"}
_FALLBACKS = ("cp932", "gb18030", "euc_jp", "big5hkscs", "cp949", "cp1252")  # tried if the detector's answer fails


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text with line feeds as line ends and no byte order mark, and Python's name of its encoding."""

    text: str
    encoding: str


def decode(data: bytes, declared: str | None = None) -> Decoded | None:
    r"""Decode bytes; return None if they are not text in any of the encodings tried.

    Order: byte order mark; the declared encoding, if it is valid; UTF-8; UTF-16 without a mark (recognised by its NUL bytes);
    the detector's answer (Resiliparse); the encodings of East Asia and Windows-1252; UTF-8 with a few broken bytes, which
    become U+FFFD. The text must be plausible: hardly any controls, private-use characters or noncharacters.

    >>> decode("Grüße\r\n".encode("cp1252"))
    Decoded(text='Grüße\n', encoding='cp1252')
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _lenient(data[len(mark) :], encoding)
    for encoding in _candidates(data, declared):
        text = _strict(data, encoding)
        if text is not None and (_has_few_controls(data) if encoding == "utf-8" else _is_plausible(text)):
            return Decoded(lines(text), encoding)
    return _lenient(data, "utf-8") or _damaged(data, declared)


def valid_utf8(data: bytes, declared: str | None = None) -> tuple[str, bytes] | None:
    r"""Return a text in valid UTF-8 and its bytes, both with their line ends, if `decode` would read it as that; else None.

    It saves copies of long texts whose reader knows "\r\n". A character that is cut off at the end is left out.

    >>> valid_utf8("Größe\r\n".encode()), valid_utf8("Größe".encode("cp1252"))
    (('Größe\r\n', b'Gr\xc3\xb6\xc3\x9fe\r\n'), None)
    """
    sample = data[:_SAMPLE_BYTES]
    if python_encoding(declared) not in (None, "utf-8") or data.startswith(_MARKS) or b"\0" in sample or b"\x1b$" in sample:
        return None
    try:
        text, used = codecs.utf_8_decode(data, "strict", False)
    except UnicodeDecodeError:
        return None
    return (text, data[:used]) if (text or len(data) < 4) and _has_few_controls(data) else None


def python_encoding(label: str | None) -> str | None:
    """Return Python's name of the encoding that a page's label means to browsers; None if it is unknown.

    >>> python_encoding(" ISO-8859-1"), python_encoding("x-sjis"), python_encoding("klingon")
    ('cp1252', 'cp932', None)
    """
    label = (label or "").strip(" \t\r\n\"';,").lower()
    if not label:
        return None
    for name in (map_encoding_to_html5(label, fallback_utf8=False), label):
        if name is None:
            continue
        try:
            codec = codecs.lookup(name).name.replace("-", "_")
        except LookupError:
            continue
        if codecs.lookup(name)._is_text_encoding:  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
            return _SUPERSETS.get(codec, codec.replace("utf_8_sig", "utf_8").replace("utf_", "utf-"))
    return None


def _candidates(data: bytes, declared: str | None) -> Iterator[str]:
    """Yield the encodings to try, each once, in order of trust."""
    known: set[str] = set()
    nul_rich = data[:_SAMPLE_BYTES].count(0) * 100 > len(data[:_SAMPLE_BYTES])
    first = python_encoding(declared)
    if first and not (nul_rich and not first.startswith("utf-")):
        known.add(first)
        yield first
    if nul_rich:
        even, odd = data[0:_SAMPLE_BYTES:2].count(0), data[1:_SAMPLE_BYTES:2].count(0)
        yield from ("utf-16-le", "utf-16-be") if odd >= even else ("utf-16-be", "utf-16-le")
        return  # no single-byte or East Asian encoding has NULs
    if b"\x1b$" in data[:_SAMPLE_BYTES]:  # ISO-2022 writes East Asian text in ASCII bytes, which are valid UTF-8 too
        yield _detected(data) or "iso2022_jp"
    if "utf-8" not in known:
        yield "utf-8"
    if _is_nearly_utf8(data):
        return  # `decode` then reads it as UTF-8 with a few broken bytes
    known |= {"utf-8", detected := _detected(data) or "utf-8"}
    if detected != first and detected != "utf-8":
        yield detected
    yield from (name for name in _FALLBACKS if name not in known)


def _is_nearly_utf8(data: bytes) -> bool:
    """Return whether hardly any character beyond ASCII is broken: other encodings are not valid UTF-8 by chance."""
    text = data[:_SAMPLE_BYTES].decode("utf-8", "replace")
    beyond, broken = len(text) - len(text.encode("ascii", "ignore")), text.count("\ufffd")
    return 0 < broken * 10 < beyond and broken <= _BROKEN_SHARE * len(text)


def _detected(data: bytes) -> str | None:
    # html5_compatible is off because it turns cp949 (Korean) into UTF-8.
    encoding = python_encoding(detect_encoding(data, max_len=_SAMPLE_BYTES, html5_compatible=False))
    return None if encoding and encoding.startswith("utf-16") else encoding


def _strict(data: bytes, encoding: str) -> str | None:
    """Return the text if every byte decodes and the text encodes to as many bytes."""
    try:
        text, used = codecs.getincrementaldecoder(encoding)("strict").decode(data, False), len(data)
    except (UnicodeDecodeError, LookupError):
        return None
    if encoding == "utf-8":
        return text if len(data) < 4 or text else None  # the decoder ignores a character cut off at the end
    try:
        back = text.encode(encoding)
    except UnicodeEncodeError:
        return None
    return text if 0 <= used - len(back) < 4 else None


def _has_few_controls(data: bytes) -> bool:
    """Return whether valid UTF-8 is text: the only other files that are valid UTF-8 are binary ones of small byte values."""
    return len(data) - len(data.translate(None, _CONTROLS)) <= _IMPLAUSIBLE_SHARE * len(data)


def _is_plausible(text: str) -> bool:
    if len(text) > _UNSPACED_CHARACTERS and not _SPACE.search(text):
        return False
    return len(_IMPLAUSIBLE.findall(text)) <= _IMPLAUSIBLE_SHARE * len(text)


def _lenient(data: bytes, encoding: str) -> Decoded | None:
    text = data.decode(encoding, "replace")
    limit = _BROKEN_SHARE if encoding == "utf-8" else _IMPLAUSIBLE_SHARE
    broken = text.count("\ufffd")
    if broken > max(1.0, limit * len(text)) or not _is_plausible(text):
        return None
    return Decoded(lines(text), encoding)


def _damaged(data: bytes, declared: str | None) -> Decoded | None:
    """Decode with the declared or detected encoding, allowing for a few broken characters."""
    for encoding in (python_encoding(declared), _detected(data)):
        if encoding and not encoding.startswith("utf-16") and (decoded := _lenient(data, encoding)):
            return decoded
    return None


def lines(text: str) -> str:
    """Return a text with line feeds as line ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
