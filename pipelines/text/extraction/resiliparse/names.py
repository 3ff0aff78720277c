r"""Pages whose article Resiliparse takes for a menu, comments or post metadata because of a name.

Its rules know the classes and ids of many sites, and match parts of others: "has-comments", "hide-post-date" and "nav" on the
wrapper of an article remove all of it. Without any names, menus are found by their elements alone, so this second reading
counts only if the first one found next to no prose and the second finds an article.

    >>> without_names('<div class="post nav" id=x data-id="1"><p title="class=a">')
    '<div data-id="1"><p title="class=a">'
"""

import re

_TAG = re.compile(r"""<[A-Za-z](?:[^<>"']|"[^"<]*"|'[^'<]*')*+>""")  # no "<" in values: each is read once
_ATTRIBUTE = re.compile(r"""(\s[^\s=<>"'/]+)(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>"']+))?""")
_NAMES = frozenset(("class", "id", "role", "itemprop"))
_SENTENCES = re.compile(r"[。！？]")
_LINE_CHARACTERS = 80  # a line of so many is prose; in scripts without spaces a third, if a sentence ends in it
_ARTICLE_CHARACTERS = 250  # of prose
_SHARE = 0.05  # of the second reading's prose; with .2 and no least length, F1 on 749 pages of news falls from .909 to .907


def may_have_lost(text: str) -> bool:
    """Return whether the first reading has so little prose that a second one is worth its time."""
    return _prose(text) < _ARTICLE_CHARACTERS


def has_lost(text: str, second: str) -> bool:
    """Return whether the second reading has an article that the first one lacks."""
    prose = _prose(second)
    return prose >= _ARTICLE_CHARACTERS and _prose(text) <= _SHARE * prose


def without_names(html: str) -> str:
    """Return a page without the attributes that name its elements."""
    return _TAG.sub(lambda tag: _ATTRIBUTE.sub(_unless_name, tag[0]), html)


def _unless_name(attribute: re.Match[str]) -> str:
    return "" if attribute[1].strip().lower() in _NAMES else attribute[0]


def _prose(text: str) -> int:
    return sum(len(line) for line in text.split("\n") if len(line) >= _LINE_CHARACTERS or _is_dense(line))


def _is_dense(line: str) -> bool:
    return len(line) >= _LINE_CHARACTERS // 3 and _SENTENCES.search(line) is not None
