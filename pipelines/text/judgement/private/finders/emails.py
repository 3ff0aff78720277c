"""E-mail addresses, written with "@" or, as authors hide them from machines, with "(at)" and "(dot)"."""

import re
from collections.abc import Iterator

from pipelines.text.judgement.private.evidence import LETTERS
from pipelines.text.judgement.private.findings import PrivateType
from pipelines.text.judgement.private.windows import Found, Window

REACH = (320, 260)  # bytes around the anchor: 64 and 255 are the longest local part and domain (RFC 5321, 4.5.3.1)

_LOCAL_REVERSED = re.compile(rf"[{LETTERS}.%+\-'=&*/!#$^`{{|}}~]{{1,64}}")
_LABEL = rf"(?:(?!_)[{LETTERS}])(?:[{LETTERS}-]{{0,61}}(?!_)[{LETTERS}])?"
_DOMAIN = re.compile(rf"((?:{_LABEL}\.){{1,8}})(xn--[a-z0-9-]{{2,59}}|[A-Za-z\u00aa-\u0dff]{{2,24}})(?![{LETTERS}@(\[])")
_DOT = r"\s?(?:\(dot\)|\[dot\]|\{dot\}|\bdot\b|\.)\s?"
_SPELLED_LOCAL = re.compile(r"([\w.%+-]{1,64}) ?\Z")
_SPELLED_DOMAIN = re.compile(rf" ?((?:[a-z0-9-]{{1,63}}{_DOT}){{1,4}}[a-z]{{2,24}})\b", re.IGNORECASE)
_CREDENTIALS = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://([^\s/@:?#]{0,64}:[^\s/@]{1,200})\Z", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r".*[<>{}$%*\[\]].*|(?:user(?:name)?|guest|login|name|me|foo|root|admin|scott):(?:pass(?:word|wd)?|guest|secret|bar|tiger|x+)",
    re.IGNORECASE,
)

# Ends of names that are no top-level domains: images of other resolutions ("logo@2x.png"), packages, source files.
_FILES = frozenset(
    (
        *("png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "ico", "css", "scss", "js", "mjs", "jsx", "ts", "tsx", "json"),
        *("html", "htm", "xml", "php", "txt", "pdf", "java", "class", "jar", "yaml", "yml", "conf", "service", "target", "timer"),
    )
)


def emails(window: Window) -> Iterator[Found]:
    """Yield the address at an AT, or the user name and password of an address "scheme://user:password@host"."""
    if window.value != "@":
        yield from _spelled(window)
        return
    before = window.text[: window.at]
    credentials = _CREDENTIALS.search(before) if "://" in before else None
    if credentials and _PLACEHOLDER.fullmatch(credentials[1]):
        return
    if credentials:
        yield Found(PrivateType.SECRET, "url_password", *credentials.span(1))
        return
    local = _LOCAL_REVERSED.match(before[: -65 - 1 : -1])
    domain = _DOMAIN.match(window.text, window.stop)
    if local is None or domain is None:
        return
    start = _local_start(before, window.at - local.end())
    end = _domain_end(domain)
    is_remote = window.text[end : end + 1] == ":" and before[start:] == "git"  # git@github.com:owner/name
    if start < window.at and end and not is_remote:
        yield Found(PrivateType.EMAIL, "email", start, end)


def _local_start(before: str, start: int) -> int:
    """Return the start of the local part in what may belong to it: not in a path, a query or quotes before it."""
    local = before[start:]
    # "/", "=", "'" and their like are legal, but nearly always what stands before an address.
    start += max(local.rfind(sign) for sign in "/=&*'`{|}~!#$^") + 1
    while start < len(before) and before[start] in ".-+%_":
        start += 1
    is_word = any(character.isalnum() for character in before[start:])
    return start if is_word and not before.endswith(".") else len(before)


def _domain_end(domain: re.Match[str]) -> int:
    """Return the end of a domain without the word after it ("bob@site.com.Then"); 0 if it is the name of a file."""
    labels, top = domain[1], domain[2]
    if top[0].isupper() and labels.count(".") > 1 and labels[:-1].rsplit(".", 1)[1].islower():
        return domain.end(1) - 1
    return 0 if top.lower() in _FILES else domain.end()


def _spelled(window: Window) -> Iterator[Found]:
    local = _SPELLED_LOCAL.search(window.text, max(0, window.at - 66), window.at)
    domain = _SPELLED_DOMAIN.match(window.text, window.stop)
    if local and domain and domain[1].rsplit(".", 1)[-1].lower() not in _FILES:
        yield Found(PrivateType.EMAIL, "spelled_email", local.start(), domain.end())
