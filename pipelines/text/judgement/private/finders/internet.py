"""Internet addresses, IPv4 and IPv6, and what looks like one: versions, numbers of sections."""

import ipaddress
import re
from collections.abc import Iterator

from pipelines.text.judgement.private.evidence import LETTERS
from pipelines.text.judgement.private.findings import PrivateType
from pipelines.text.judgement.private.windows import Found, Window

_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_V4 = re.compile(
    rf"(?<![{LETTERS}.])(?<!\d[,-])({_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE})(?![{LETTERS}]|\.\d|-[a-z]|\.in-addr|,\d|/\d{{3}})"
)
_VERSION_BEFORE = re.compile(
    r"(?:\b(?:chrome|chromium|firefox|safari|opera|edge|android|ios|windows|macos|linux|kernel|java|jdk|php|python|mysql|oracle|bios|"
    r"player|reader|acrobat|office|itunes|server|versions?|vers?|v|releases?|rel|builds?|firmware|drivers?|updates?|updated to|"
    r"patch|upgraded? to|chapters?|chap|sections?|sec|art|articles?|tables?|tab|figures?|fig|items?|rules?|oids?|"
    r"paragraphs?|clauses?|appendix|annex|kapitel|"
    r"abschnitt|versión|versione|version|versão|wersja|версия|版本|バージョン)[\s.:#(=\"']{0,3}|§\s?|[A-Za-z]/)\Z",
    re.IGNORECASE,
)
_ADDRESS_NEAR = re.compile(
    r"\b(?:ip|ips|ipv4|address|addr|adresse|host|hosts|server|servers|dns|nameserver|ping|router|gateway|netmask|subnet|client|peer|"
    r"tcp|udp|https?|ssh|port|listen|inet|proxy|firewall)\b|://|адрес|сервер|地址|アドレス",
    re.IGNORECASE,
)
_NETWORK = re.compile(r"/\d{1,3}\b")  # the length of a prefix: the address is that of a network
_SMALL = 20  # fewer than two numbers above it: a version or a section, unless a word says otherwise


def ipv4(window: Window, *, public_only: bool) -> Iterator[Found]:
    """Yield the IPv4 addresses in a NUMBER."""
    if window.value.count(".") < 3:
        return
    for match in _V4.finditer(window.text, max(0, window.at - 1), min(len(window.text), window.stop + 5)):
        start, end = match.span(1)
        if start < window.at or end > window.stop or _VERSION_BEFORE.search(window.text, max(0, start - 24), start):
            continue
        numbers = [int(part) for part in match[1].split(".")]
        if numbers[3] == 0 and _NETWORK.match(window.text, end):
            continue
        if sum(number > _SMALL for number in numbers) < 2 or numbers[2:] == [0, 0] or numbers[0] == 0:
            near = window.text[max(0, start - 40) : start] + " " + window.text[end : end + 20]
            if not _ADDRESS_NEAR.search(near):
                continue
        if not public_only or _is_public(ipaddress.IPv4Address(match[1])):
            yield Found(PrivateType.IP, "ipv4", start, end)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not address.is_multicast


def ipv6(window: Window, *, public_only: bool) -> Iterator[Found]:
    """Yield the IPv6 address in COLONS."""
    value = window.value.rstrip(".")
    if value.endswith(":") and not value.endswith("::"):
        value = value[:-1]
    if value.startswith(":") and not value.startswith("::"):
        return
    groups = [group for group in value.split(":") if group]
    # "a::b" and "dead::beef" are names in some languages of programming.
    if len(groups) < 3 or groups[0].lower() == groups[1].lower() == "ffff" or not any(character.isdigit() for character in value):
        return
    if value.endswith("::") and _NETWORK.match(window.text, window.at + len(value)):
        return
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return
    if not public_only or _is_public(address):
        yield Found(PrivateType.IP, "ipv6", window.at, window.at + len(value))
