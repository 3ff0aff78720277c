r"""Cut long texts into pieces of nearly equal size: at the end of a paragraph, else of a sentence, a line or a word.

"Piece" means a piece of a document here, as in the contract. The pieces joined are the text.

    >>> split_text("One two. Three four.\n\nFive six.", limit=24)
    ['One two. Three four.\n\n', 'Five six.']
"""

import re
import unicodedata
from itertools import chain

_SLACK = 0.25  # of the limit, by which a piece's end may differ from the one that makes all pieces equal
_ENDS = (
    re.compile(r"\n\n+"),  # a paragraph
    re.compile(r"[.!?…][\"'”’»)\]]*[ \t\n]|[。！？｡।॥።։۔؟][」』”’）]*[ \t\n]?"),  # a sentence
    re.compile(r"\n"),
    re.compile(r"[ \t]"),  # a word
)
_ZWJ = "\u200d"


def split_text(text: str, limit: int) -> list[str]:
    """Cut a text into pieces of at most `limit` characters; a text within the limit is one piece.

    No piece ends before a combining mark, beside a zero-width joiner or within a flag, unless it has no other place to end.
    """
    assert limit > 0, limit
    count = -(-len(text) // limit)
    cuts, start = [0], 0
    while len(text) - start > limit:
        # Ideally, the remaining pieces are equal; after an early cut, one more piece may be needed.
        remaining = max(count - len(cuts) + 1, -(-(len(text) - start) // limit))
        start = _cut(text, start, start + -(-(len(text) - start) // remaining), limit)
        cuts.append(start)
    return [text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _cut(text: str, start: int, ideal: int, limit: int) -> int:
    """Return the end of the piece that begins at `start`: the nearest to `ideal` of the best kind available."""
    slack = int(limit * _SLACK)
    first, last = max(start + 1, ideal - slack), min(start + limit, ideal + slack, len(text))
    for end in _ENDS:
        places = [m.end() for m in end.finditer(text, first - 1, last) if first <= m.end() <= last]
        if places:
            return min(places, key=lambda place: (abs(place - ideal), place))
    return _hard_cut(text, start, min(ideal, last), min(start + limit, len(text) - 1))


def _hard_cut(text: str, start: int, ideal: int, furthest: int) -> int:
    """Return the last place up to `ideal` that parts two characters, else the first one after it, else `ideal`."""
    for place in chain(range(ideal, start, -1), range(ideal + 1, furthest + 1)):
        if not _joins_previous(text, place):
            return place
    return ideal


def _joins_previous(text: str, place: int) -> bool:
    """Return whether a reader sees the characters at `place` and before it as one: marks, joiners, skin tones, flags."""
    character, previous = text[place], text[place - 1]
    if unicodedata.category(character)[0] == "M" or _ZWJ in (character, previous):
        return True
    if _is_of_flag(character):  # two such letters are a flag
        first = place
        while first and _is_of_flag(text[first - 1]):
            first -= 1
        return (place - first) % 2 == 1
    return "\U0001f3fb" <= character <= "\U0001f3ff" or "\U000e0020" <= character <= "\U000e007f"


def _is_of_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
