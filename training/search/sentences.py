"""Sentences of a text, by a rule: one ends at `.`, `!` or `?` before a space, and at the end of a line."""

import re

SENTENCE = re.compile(r"\S.*?(?:[.!?]['\"”’)]*(?=\s)|(?=\n)|\Z)", re.DOTALL)


def sentence_at(text: str, begin: int, end: int) -> tuple[int, int]:
    """Return where the sentences around a span of a text begin and end (characters).

    >>> text = "One two. Three four! Five."; first, last = sentence_at(text, 9, 14); text[first:last]
    'Three four!'
    """
    around = [one.span() for one in SENTENCE.finditer(text) if one.end() > begin and one.start() < end]
    return (around[0][0], around[-1][1]) if around else (begin, end)
