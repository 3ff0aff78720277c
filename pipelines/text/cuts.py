r"""Runs of words cut out of texts, without traces: no empty line, no double space, no mark that belonged to what went.

>>> text = 'He wrote:\n\n- "All of this goes."\n\nThen he slept.'
>>> cut(text.encode(), [Run(8, 14, 30, 34)])
b'He wrote:\n\nThen he slept.'
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

VERSION = 1

_OPENING = "([{<\"'“‘„‚«‹「『《〈（【¿¡*_"
_TO_THE_NEXT_SPACE = re.compile(r"^\S+")


class Run(NamedTuple):
    """A run of words in a text, in bytes, with the bounds of its neighbours."""

    before: int  # behind the word before it; 0 if there is none
    start: int
    end: int  # behind its last word
    behind: int  # where the next word starts; the text's length if there is none


def cut(text: bytes, runs: Iterable[Run]) -> bytes:
    """The text without the runs, which come in order and have a word between two of them; b"" when no word is left.

    Lines of which no word is left go whole. Of a line that stays, the opening marks before the run and what follows it up to the
    next space go too. Where space stood on both sides, the one with more line breaks stays.
    """
    kept: list[bytes] = []
    at, words_left = 0, False
    for run in runs:
        words_left |= run.before > at
        left, right = text[run.before : run.start].decode(), text[run.end : run.behind].decode()
        kept += [text[at : run.before], _seam(left, right, run.before == 0, run.behind == len(text)).encode()]
        at = run.behind
    words_left |= at < len(text)
    return b"".join([*kept, text[at:]]) if words_left else b""


def _seam(left: str, right: str, begins: bool, finishes: bool) -> str:
    """What stays between the word before a run and the word behind it, of what stood between them and the run."""
    if (begins or "\n" in left) and (finishes or "\n" in right):
        left = left[: left.rfind("\n") + 1]
        right = right[right.find("\n") :] if "\n" in right else ""
    else:
        left, right = left.rstrip(_OPENING), _TO_THE_NEXT_SPACE.sub("", right)
    before, behind = left.rstrip(), right.lstrip()
    spaces = [left[len(before) :], right[: len(right) - len(behind)]]
    if (begins and not before) or (finishes and not behind):
        return before + behind
    breaks = max(space.count("\n") for space in spaces)
    return before + ("\n" * breaks or " " * any(spaces)) + behind
