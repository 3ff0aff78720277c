r"""Keep the single characters between tags that Resiliparse loses.

With `main_content`, Resiliparse 1.0 passes over a text of one character of the private use area, because it is an icon. But it
compares the three bytes in the wrong order, so every single character that UTF-8 writes in three bytes counts as one: the "と"
of <a>東京</a>と<a>大阪</a>, an em dash, a minus sign, "€", a stand-in of code (`characters.code_spaces`). A second character in
such a text, which is removed after the extraction, keeps it. Icons are still passed over.

    >>> unguarded(guarded("<b>a</b>\u2212<b>b</b>")), guarded("<b>a</b>\uf015<b>b</b>") == "<b>a</b>\uf015<b>b</b>"
    ('<b>a</b>−<b>b</b>', True)
"""

import re
from html import unescape

_GUARD = "\ufdeb"  # a noncharacter, like the stand-ins of code: never text
_LOST = "[\\u0800-\\ud7ff\\uf900-\\uffff]"  # three bytes in UTF-8, without the private use area
_SINGLE = re.compile(rf">[ \t\r\n\f]*+({_LOST}|&#?[0-9A-Za-z]{{2,31}};)(?=[ \t\r\n\f]*+<)")
_IS_LOST = re.compile(_LOST)


def guarded(html: str) -> str:
    """Return a page with a second character in every text of a single one that Resiliparse would lose."""
    return _SINGLE.sub(_guard, html.replace(_GUARD, ""))


def unguarded(text: str) -> str:
    """Return the extracted text without the second characters."""
    return text.replace(_GUARD, "")


def _guard(match: re.Match[str]) -> str:
    return f"{match[0]}{_GUARD}" if _IS_LOST.fullmatch(unescape(match[1])) else match[0]
