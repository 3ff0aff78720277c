"""Coordinates: a latitude with a longitude, as decimals or in degrees, minutes and seconds."""

import re
from collections.abc import Iterator

from pipelines.text.judgement.private.evidence import LETTERS
from pipelines.text.judgement.private.findings import PrivateType
from pipelines.text.judgement.private.windows import Found, Window
from pipelines.text.judgement.private.words import words

_DECIMAL = r"[-+−]?\d{1,3}\.\d{3,15}"
_PAIR = re.compile(
    rf"(?<![{LETTERS}.,])({_DECIMAL}) ?°? ?([NS])?(?:, ?|; ?| ?/ ?| )(?:lon(?:gitude)?[:=]? ?)?({_DECIMAL}) ?°? ?([EWO])?"
    rf"(?![{LETTERS}]|\.\d)"
)
_DEGREES = r"\d{1,3} ?° ?(?:\d{1,2}(?:[.,]\d+)? ?[′'’] ?)?(?:\d{1,2}(?:[.,]\d+)? ?(?:[″\"”]|''|′′) ?)?"
_SEXAGESIMAL = re.compile(rf"(?<![{LETTERS}]){_DEGREES} ?[NS](?:,|;| |/| and ){{0,3}}{_DEGREES} ?[EWO](?![{LETTERS}])")
_NEAR = words("lat lon lng long latitude longitude coord* koordinat* gps geo* location position located map maps",
              "широта долгота координат* 坐标 座標 経度 緯度")  # fmt: skip
DEGREE_REACH = (4, 80)  # bytes
_LEAST_PLACES = 4  # decimal places of both numbers without a word beside them: 11 m


def decimals(window: Window) -> Iterator[Found]:
    """Yield the pairs of decimals in a NUMBER and around it."""
    if "." not in window.value:
        return
    for match in _PAIR.finditer(window.text, max(0, window.at - 24)):
        if match.start() >= window.stop:
            break
        if match.end() > window.at and _is_pair(window, match):
            yield Found(PrivateType.COORDINATES, "decimal", *match.span())


def degrees(window: Window) -> Iterator[Found]:
    """Yield the latitude, with a longitude after it, whose degrees end at a DEGREE."""
    start = window.at
    while start and window.text[start - 1].isdigit():
        start -= 1
    match = _SEXAGESIMAL.match(window.text, start)
    if match:
        yield Found(PrivateType.COORDINATES, "degrees", *match.span())


def _is_pair(window: Window, match: re.Match[str]) -> bool:
    latitude, longitude = (float(match[group].replace("−", "-")) for group in (1, 3))
    if abs(latitude) > 90 or abs(longitude) > 180:
        return False
    if match[2] and match[4]:
        return True
    # A row of a table has more numbers than two.
    around = window.text[max(0, match.start() - 4) : match.start()] + window.text[match.end() : match.end() + 4]
    if any(map(str.isdigit, around)):
        return False
    if window.names(_NEAR, match.start(), 60):
        return True
    places = [len(match[group].split(".")[1]) for group in (1, 3)]
    is_large = max(abs(latitude), abs(longitude)) >= 10
    return "," in match[0] and min(places) >= _LEAST_PLACES and is_large
