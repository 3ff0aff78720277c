r"""Cuts a long text into pieces of nearly equal size: at a paragraph's end, else a sentence's, else a word's, else hard.

Nothing is lost and nothing is added: the pieces, put together, are the text.

    >>> pieces("One two. Three four.\n\nFive six.", limit=24)
    ['One two. Three four.\n\n', 'Five six.']
"""

import re
import unicodedata

# A piece may end this far (as a share of the limit) before or after the place that would make all pieces equal.
_SLACK = 0.25
_ENDS = (
    re.compile(r"\n\n+"),  # a paragraph
    re.compile(r"[.!?…][\"'”’»)\]]*[ \t\n]|[。！？｡।॥።။։۔؟][」』”’）]*[ \t\n]?"),  # a sentence
    re.compile(r"\n"),
    re.compile(r"[ \t]"),  # a word
)
_ZWJ = "\u200d"


def pieces(text: str, limit: int) -> list[str]:
    """The pieces of a text, each of at most `limit` characters; a text within the limit is one piece.

    A piece is never cut before a combining mark or beside a zero-width joiner, unless it consists of nothing else.
    """
    assert limit > 0, limit
    count = -(-len(text) // limit)
    cuts, start = [0], 0
    while len(text) - start > limit:
        # Ideal ends share what is left equally; a cut that came early may make one more piece necessary.
        left = max(count - len(cuts) + 1, -(-(len(text) - start) // limit))
        start = _cut(text, start, start + -(-(len(text) - start) // left), limit)
        cuts.append(start)
    return [text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _cut(text: str, start: int, ideal: int, limit: int) -> int:
    """The best place to end the piece that begins at `start`: the end nearest to `ideal` of the best kind there is."""
    slack = int(limit * _SLACK)
    first, last = max(start + 1, ideal - slack), min(start + limit, ideal + slack, len(text))
    for end in _ENDS:
        places = [m.end() for m in end.finditer(text, first - 1, last) if first <= m.end() <= last]
        if places:
            return min(places, key=lambda place: (abs(place - ideal), place))
    return _hard_cut(text, start, min(ideal, last))


def _hard_cut(text: str, start: int, ideal: int) -> int:
    place = ideal
    while place > start + 1 and _belongs_to_the_one_before(text, place):
        place -= 1
    return ideal if place == start + 1 and _belongs_to_the_one_before(text, place) else place


def _belongs_to_the_one_before(text: str, place: int) -> bool:
    here, before = text[place], text[place - 1]
    return unicodedata.category(here)[0] == "M" or here == _ZWJ or before == _ZWJ or "\U0001f3fb" <= here <= "\U0001f3ff"
