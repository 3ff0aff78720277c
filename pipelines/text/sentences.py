"""Where sentences start, in many languages, by rules of script: one compiled pass over the UTF-8 bytes.

A sentence ends
- at a line end, unless the line is wrapped: the next line begins with a lower-case letter and this one does not end
  like a sentence;
- after 。！？｡ and their like, which need no space behind them, unless the sentence goes on after the closing bracket
  (Japanese 「…。」と言った);
- after . ! ? … ؟ । ۔ and their like, closing quotes and brackets included, when white space and then no lower-case letter
  follow. A full stop does not end a sentence after an abbreviation, a single letter, a number of one or two digits
  (ordinals, "1. Item"), a word with a full stop inside ("e.g.", "z.B."), or a short capitalised one before a number.

Sentences cover the text: the first starts at 0, each ends where the next one starts, white space belongs to the
sentence before it.

Limits: rules, not a model. Names such as "Yahoo! Inc." and a sentence that ends in an abbreviation are cut wrongly;
scripts that mark no sentence ends (Thai) are cut at lines only.
"""

import unicodedata
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

VERSION = 1

# Character classes. A character of no class is a letter of a script without case, a digit or anything else.
_OTHER, _LOWER, _UPPER, _DIGIT, _SPACE, _NEWLINE, _STOP, _END, _FULL_END, _CLOSE, _OPEN, _COMMA = range(12)

_ENDS = (
    "!?\u2026\u203d\u203c\u2047\u2048\u2049\u061f\u06d4\u0589"
    "\u0964\u0965\u1362\u1367\u1368\u104a\u104b\u17d4\u17d5\u0df4\u1803\u1809"
)
_FULL_ENDS = "\u3002\uff01\uff1f\uff61\uff0e"
_CLOSES = "\"')]}\u201d\u2019\u00bb\u203a\u300d\u300f\u3011\u3009\u300b\u3015\uff09\uff3d\uff5d\u201c"  # “ closes in German
_OPENS = (  # dashes too: « … ! » — said he
    "([{\u00ab\u2039\u201e\u201a\u300c\u300e\u3010\u3008\u300a\u3014\uff08\uff3b\uff5b\u00bf\u00a1\u2018\u2013\u2014"
)
_COMMAS = ",;:\u3001\uff0c\uff1b\uff1a\u060c\u061b"
# What follows a closing bracket when a Japanese sentence goes on after a quotation.
_GOES_ON = "\u3068\u3063\u306a\u306e\u3092\u306b\u306f\u304c\u3082\u3067"

# Before a full stop; without it, lower case. English, German, French, Spanish, Italian, Polish, Russian.
_ABBREVIATIONS = """
mr mrs ms dr prof st jr sr vs etc fig figs vol vols ch pp no nos gen col capt lt sgt rev hon messrs mt ft inc ltd co corp dept est
approx ca cf al ed eds trans repr jan feb mar apr jun jul aug sep sept oct nov dec op cit ibid
bzw usw nr str hr fr frl geb gest jh bd ggf evtl sog vgl abb zit hrsg aufl inkl exkl mio mrd tel
mme mlle mm av bd env sr sra srta dña ud uds pág núm art arts
sig dott avv ing
tzn np itd itp ul św ks zob ok wg
т г гг в вв ул д стр см др пр тыс млн млрд руб им н э рис табл гл
"""


def sentence_starts(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r"""Where the sentences of N texts start.

    Args:
        data: the UTF-8 bytes of all texts, one after the other.
        offsets: N + 1: text n is data[offsets[n]:offsets[n + 1]].

    Returns:
        The byte offsets in `data` at which sentences start, ascending, and N + 1 offsets into them by text. A text
        that is not empty has at least one sentence.

    >>> text = b"Dr. Who left. He said: \"Go!\" Then 3.5 km.\nEnd"
    >>> starts, _ = sentence_starts(np.frombuffer(text, np.uint8), np.array([0, len(text)]))
    >>> starts.tolist()
    [0, 14, 29, 42]
    """
    return _scan(data, offsets, *_tables())


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint64]]:
    """Class by code point (of the first two planes), whether a character continues a quotation, hashes of abbreviations."""
    classes = np.zeros(0x20000, np.uint8)
    for code in range(0x20000):
        category = unicodedata.category(chr(code))
        if category == "Ll":
            classes[code] = _LOWER
        elif category in ("Lu", "Lt"):
            classes[code] = _UPPER
        elif category == "Nd":
            classes[code] = _DIGIT
        elif category == "Zs" or code in (0x09, 0x0B, 0x0C, 0x0D, 0x85):
            classes[code] = _SPACE
    for characters, kind in ((_ENDS, _END), (_FULL_ENDS, _FULL_END), (_CLOSES, _CLOSE), (_OPENS, _OPEN), (_COMMAS, _COMMA)):
        classes[[ord(c) for c in characters]] = kind
    classes[0x0A], classes[ord(".")] = _NEWLINE, _STOP
    goes_on = np.zeros(0x20000, np.bool_)
    goes_on[[ord(c) for c in _GOES_ON + _COMMAS]] = True
    words = {form for word in _ABBREVIATIONS.split() for form in (word, word.capitalize())}
    hashes = np.array(sorted(_fnv(word.encode()) for word in words), np.uint64)
    return classes, goes_on, hashes


def _fnv(data: bytes) -> int:
    key = 0xCBF29CE484222325
    for byte in data:
        key = ((key ^ byte) * 0x100000001B3) % 2**64
    return key


@numba.njit(cache=True, nogil=True)
def _character(data: Any, position: int, end: int) -> Any:  # pragma: no cover (compiled)
    """The code point at a position, and its bytes."""
    lead = np.int64(data[position])
    if lead < 0x80:
        return lead, 1
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if position + size > end:
        return np.int64(0xFFFD), 1
    code = lead & (0x7F >> size)
    for i in range(1, size):
        code = (code << 6) | (np.int64(data[position + i]) & 0x3F)
    return code, size


@numba.njit(cache=True, nogil=True)
def _skip(data: Any, position: int, end: int, classes: Any, kinds: int) -> int:  # pragma: no cover (compiled)
    """The first position from here whose character's class is not in the bit set `kinds`."""
    while position < end:
        code, size = _character(data, position, end)
        kind = classes[code] if code < 0x20000 else 0
        if not (kinds >> kind) & 1:
            break
        position += size
    return position


@numba.njit(cache=True, nogil=True)
def _class_at(data: Any, position: int, end: int, classes: Any) -> int:  # pragma: no cover (compiled)
    if position >= end:
        return _OTHER
    code, _ = _character(data, position, end)
    return classes[code] if code < 0x20000 else _OTHER


@numba.njit(cache=True, nogil=True)
def _is_no_end(  # pragma: no cover (compiled)
    data: Any, begin: int, position: int, classes: Any, abbreviations: Any, before_digit: bool
) -> Any:  # fmt: skip
    """Whether the full stop at `position` belongs to the word before it (which starts at or after `begin`)."""
    start = position
    while start > begin and data[start - 1] > 0x20:  # white space beyond ASCII is no concern here
        start -= 1
    start = _skip(data, start, position, classes, (1 << _OPEN) | (1 << _CLOSE) | (1 << _COMMA))
    digits, letters = 0, 0
    key = np.uint64(0xCBF29CE484222325)
    place = start
    while place < position:
        code, size = _character(data, place, position)
        kind = classes[code] if code < 0x20000 else _OTHER
        if kind == _STOP and letters and not digits:
            return True  # "e.g", "U.S"
        digits += kind == _DIGIT
        letters += kind != _DIGIT
        for i in range(size):
            key = (key ^ np.uint64(data[place + i])) * np.uint64(0x100000001B3)
        place += size
    if letters == 0:
        return 1 <= digits <= 2
    first = _class_at(data, start, position, classes)
    if letters == 1 and digits == 0:
        return first in (_UPPER, _LOWER)
    if before_digit and letters <= 3 and digits == 0 and first == _UPPER:
        return True  # "Eph. 6:15", "Abs. 2"
    found = np.searchsorted(abbreviations, key)
    return found < len(abbreviations) and abbreviations[found] == key


@numba.njit(cache=True, nogil=True)
def _next_start(  # pragma: no cover (compiled)
    data: Any, begin: int, position: int, end: int, kind: int, ended: bool, classes: Any, goes_on: Any, abbreviations: Any
) -> int:  # fmt: skip
    """Where the next sentence starts if the character at `position` (of class `kind`) ends one; else -1."""
    spaces, ends = (1 << _SPACE) | (1 << _NEWLINE), (1 << _STOP) | (1 << _END) | (1 << _FULL_END) | (1 << _CLOSE)
    if kind == _NEWLINE:
        start = _skip(data, position, end, classes, spaces)
        single = start < position + 2 or data[position + 1] != 0x0A
        wrapped = single and not ended and _class_at(data, start, end, classes) == _LOWER
        return -1 if wrapped else start
    behind = _skip(data, position, end, classes, ends)
    if behind >= end:
        return -1
    if kind == _FULL_END:
        code, _ = _character(data, behind, end)
        closed = behind > position + 3
        if closed and code < 0x20000 and goes_on[code]:
            return -1
        return _skip(data, behind, end, classes, spaces)
    following = _class_at(data, behind, end, classes)
    if following != _SPACE:
        return -1  # a line end is the newline's concern
    start = _skip(data, behind, end, classes, 1 << _SPACE)
    opened = _skip(data, start, end, classes, (1 << _OPEN) | (1 << _CLOSE) | (1 << _SPACE))
    first = _class_at(data, opened, end, classes)
    if first in (_LOWER, _COMMA, _NEWLINE):
        return -1
    if kind == _STOP and _is_no_end(data, begin, position, classes, abbreviations, first == _DIGIT):
        return -1
    return start


@numba.njit(cache=True, nogil=True)
def _scan(  # pragma: no cover (compiled)
    data: Any, offsets: Any, classes: Any, goes_on: Any, abbreviations: Any
) -> Any:  # fmt: skip
    starts, count = np.empty(len(data) // 16 + 16, np.int64), 0
    counts = np.zeros(len(offsets), np.int64)
    for text in range(len(offsets) - 1):
        begin, end = offsets[text], offsets[text + 1]
        position, start, ended = begin, begin, False
        while position < end:
            if position == start:
                if count == len(starts):
                    larger = np.empty(2 * count, np.int64)
                    for j in range(count):  # a slice would take seconds to compile, for its error message
                        larger[j] = starts[j]
                    starts = larger
                starts[count] = start
                count += 1
                begin = start
            code, size = _character(data, position, end)
            kind = classes[code] if code < 0x20000 else _OTHER
            if kind in (_NEWLINE, _STOP, _END, _FULL_END):
                following = _next_start(data, begin, position, end, kind, ended, classes, goes_on, abbreviations)
                if following > position:
                    position = start = following
                    ended = False
                    continue
            if kind not in (_SPACE, _CLOSE):
                ended = kind in (_STOP, _END, _FULL_END)
            position += size
        counts[text + 1] = count
    return starts[:count], counts
