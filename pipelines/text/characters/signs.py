r"""Which signs are words of their own where texts are compared: those of formulas and code, not those of prose.

"2 + 2 = 4" and "2 - 2 = -4" have the same words, and so have two files of code that differ in their operators. So

- mathematical signs count everywhere: Unicode's category Sm (+ < = > × ÷ ≤ ∑ …) and ^ \ { };
- the operators - * / % & | ~ ! count where a line is dense in signs: one for at most `LETTERS_PER_SIGN` letters and digits.

Prose keeps its shingles, but for short lines with an operator ("AT&T"). These are no operators, wherever they are: hyphens and
dashes between words ("well-known", "rye - a recipe", "her gown--"), bullets and quotation marks at the start of a line ("* one",
"> as you said"), a "!" that ends a sentence, what has no operand after it on its line ("* * *"), emphasis ("*so*"), "5% of", and
rows of four equal signs or more ("-----"). Menus ("Home | News") are short lines and have signs, in all copies of a page alike.

    >>> [text[place] for text in ["a - b", "rye bread - a recipe", "* one\n* two", "x = !y*z"] for place in places(text)]
    ['-', '=', '!', '*']

A minus sign (U+2212) is compared as a hyphen. The fraction slash of "½", and the bar and tilde of full width, which are marks
of Japanese and Chinese prose, are no signs.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.kernels import jit

VERSION = 1

LETTERS_PER_SIGN = 16
ORNAMENT = 4  # equal signs in a row

NONE, ALWAYS, DENSE = range(3)
_ALWAYS, _DENSE = "+<=>^\\{}", "-*/%&|~!"
_OPERAND_STARTS = "([{\"'$\\-+!~&*@"  # besides letters, digits and everything beyond ASCII

_SPACE, _TAB, _NEWLINE, _MINUS, _NOT, _EQUALS = (ord(character) for character in " \t\n-!=")
_BULLETS = "+->*|"


def ascii_classes() -> NDArray[np.uint8]:
    """Return NONE, ALWAYS or DENSE of each ASCII character."""
    classes = np.zeros(128, np.uint8)
    classes[[ord(sign) for sign in _ALWAYS]] = ALWAYS
    classes[[ord(sign) for sign in _DENSE]] = DENSE
    return classes


def places(text: str) -> list[int]:
    """Return the places of the signs of an ASCII text that count."""
    data, classes = np.frombuffer(text.encode("ascii"), np.uint8), ascii_classes()
    line_end, is_dense = 0, False
    found: list[int] = []
    for i in np.flatnonzero(classes[data]).tolist():
        is_word, line_end, is_dense = is_counted(data, i, 0, len(data), classes, line_end, is_dense)
        found += [i] if is_word else []
    return found


def _flags(characters: str) -> NDArray[np.bool_]:
    flags = np.zeros(256, np.bool_)
    flags[[ord(character) for character in characters]] = True
    return flags


_IS_WORD = _flags("".join(chr(code) for code in range(128) if chr(code).isalnum() or chr(code) == "_"))
_IS_WORD[128:] = True
_IS_LETTER = _IS_WORD & ~_flags("0123456789_")
_IS_OPERAND = _IS_WORD | _flags(_OPERAND_STARTS)
_IS_SPACE = _flags(" \t\n\r\x0b\x0c")
_IS_BULLET = _flags(_BULLETS)
_IS_LEVEL = _flags("*/%")  # operators with spaces on both sides or on none


@jit
def is_counted(data: Any, i: int, begin: int, end: int, classes: Any, line_end: int, is_dense: bool) -> Any:
    """Return whether the sign at byte `i` of the text data[begin:end] counts, and the end and the density of a line.

    Lines are measured when they are needed: `line_end` and `is_dense` are what the previous call returned, at first `begin`
    and anything.
    """
    if not _is_sign(data, i, begin, end, classes):
        return False, line_end, is_dense
    if classes[data[i]] == ALWAYS:
        return True, line_end, is_dense
    if i >= line_end:
        line_end, is_dense = _density(data, i, begin, end, classes)
    return is_dense, line_end, is_dense


@jit
def _density(data: Any, i: int, begin: int, end: int, classes: Any) -> Any:
    """Return the end of the line that has byte `i`, and whether the line is dense in signs."""
    start = i
    while start > begin and data[start - 1] != _NEWLINE:
        start -= 1
    letters, signs, j = 0, 0, start
    while j < end and data[j] != _NEWLINE:
        letters += _IS_WORD[data[j]] & ((data[j] < 0x80) | (data[j] >= 0xC0))
        if data[j] < 0x80 and classes[data[j]] != NONE:
            signs += _is_sign(data, j, begin, end, classes)
        j += 1
    return j, signs * LETTERS_PER_SIGN >= letters


@jit
def _is_sign(data: Any, i: int, begin: int, end: int, classes: Any) -> bool:
    """Return whether the sign at byte `i` may count, by the characters around it."""
    sign, first, last = data[i], i, i + 1  # the row of equal signs
    while first > begin and data[first - 1] == sign and i - first < ORNAMENT:
        first -= 1
    while last < end and data[last] == sign and last - i < ORNAMENT:
        last += 1
    if last - first >= ORNAMENT or (sign == _MINUS and last - first > 1):
        return False
    before = data[first - 1] if first > begin else np.uint8(_NEWLINE)
    after = data[last] if last < end else np.uint8(_NEWLINE)
    left, right = first - 1, last
    while left >= begin and (data[left] == _SPACE or data[left] == _TAB):
        left -= 1
    if _IS_BULLET[sign] and _IS_SPACE[after] and (left < begin or data[left] == _NEWLINE):
        return False
    if classes[sign] == ALWAYS:
        return True
    if after == _EQUALS:  # != += *=
        return True
    while right < end and (data[right] == _SPACE or data[right] == _TAB):
        right += 1
    if right >= end or data[right] == sign or not _IS_OPERAND[data[right]]:
        return False
    if sign == _NOT:
        return not _IS_SPACE[after] and not _IS_WORD[before]
    if sign == _MINUS:
        return not _is_dash(data, left, right, begin, end)
    return not _IS_LEVEL[sign] or _IS_SPACE[before] == _IS_SPACE[after]


@jit
def _is_dash(data: Any, left: int, right: int, begin: int, end: int) -> Any:
    """Return whether a letter is at `left` and one at `right`, and not both are a word: "rye - a recipe", but not "a - b"."""
    if left < begin or not _IS_LETTER[data[left]] or not _IS_LETTER[data[right]]:
        return False
    is_longer = left > begin and _IS_LETTER[data[left - 1]]
    return is_longer or (right + 1 < end and _IS_LETTER[data[right + 1]])
