"""Addresses of the web."""

import re
from collections.abc import Iterator

from pipelines.text.judgement.private.findings import PrivateType
from pipelines.text.judgement.private.windows import Found, Window

REACH = (16, 2048)

_SCHEME = re.compile(r"(?:https?|ftps?|sftp|wss?|ssh)\Z", re.IGNORECASE)
_REST = re.compile(r"[^\s<>\"`{}|\\^\[\]“”«»\u3000-\uffef]{3,}")
_HOST = re.compile(r"[^/?#]*[^\W_][^/?#]*")
_AFTER = ".,;:!?'*_~-"  # signs of the sentence, not of the address


def urls(window: Window) -> Iterator[Found]:
    """Yield the address at a SCHEME."""
    text, start, after = window.text, window.at, window.stop
    if window.value == ":":
        scheme = _SCHEME.search(text, 0, window.at)
        if scheme is None:
            return
        start, after = scheme.start(), window.stop + 2
    rest = _REST.match(text, after)
    if rest is None or not _HOST.match(rest[0]) or (window.value != ":" and "." not in rest[0]):
        return
    end = _without_signs(text, after, rest.end())
    if end > after + 2:
        yield Found(PrivateType.URL, "url", start, end)


def _without_signs(text: str, start: int, end: int) -> int:
    """Return the end of an address without the sentence's signs after it; a bracket that it opens is its own."""
    while end > start:
        last = text[end - 1]
        if last in _AFTER or (last == ")" and text.count("(", start, end) < text.count(")", start, end)):
            end -= 1
        else:
            break
    return end
