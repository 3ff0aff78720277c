r"""Keep the white space of code in web pages: it is replaced by stand-ins (`characters.code_spaces`) in the markup.

Code is <pre> (also <listing> and <xmp>), and an element <code>, <samp> or <kbd> that is a block of its own: it has several
lines and fills its paragraph or division. Code within a sentence is not a block.

    >>> marked("<p>x</p><pre>if a:\n    b</pre>") == "<p>x</p><pre>if a:\ufdef\ufded\ufded\ufded\ufdedb</pre>"
    True
"""

import re

from pipelines.text.characters.code_spaces import protected, without_stand_ins

_PREFORMATTED = frozenset(("pre", "listing", "xmp"))
_INLINE = frozenset(("code", "samp", "kbd"))
_OPENING = re.compile(r"<(?:(pre|listing|xmp|code|samp|kbd|script|style)\b[^<>]*>|!--)", re.IGNORECASE)
_TAG = re.compile(r"(<[^<>]*>)")
_BREAK = re.compile(r"<br\b[^<>]*>", re.IGNORECASE)
_BREAK_AND_BLANKS = re.compile(r"[ \t\n\r]*<br\b[^<>]*>[ \t\n\r]*", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\n\r]+")
# Character references of white space: the parser reads them later than this.
_REFERENCE = re.compile(r"&(?:nbsp|#0*(?:160|32)|#x0*(?:a0|20)|(tab|#0*9|#x0*9)|(newline|#0*10|#x0*a));", re.IGNORECASE)
_BLANK_START = re.compile(r"\A((?:<[^<>]*>)*)(?:[ \t]*\r?\n)+")
_BLANK_END = re.compile(r"[ \t\r\n]+((?:</?[A-Za-z][^<>]*>)*)\Z")
_BLOCKS = (
    "address|article|aside|blockquote|body|br|center|dd|details|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|header|hr"
    "|li|main|nav|ol|p|section|summary|table|tbody|td|th|tr|ul"
)
_BLOCK_BEFORE = re.compile(rf"</?(?:{_BLOCKS})\b[^<>]*>\s*\Z", re.IGNORECASE)
_BLOCK_AFTER = re.compile(rf"\s*(?:</?(?:{_BLOCKS})\b|\Z)", re.IGNORECASE)
_CHARACTERS_BEFORE = 500  # that are searched for the tag before an element


def marked(html: str) -> str:
    """Return a page with stand-ins for the white space of its code; each part of the page is read a fixed number of times."""
    html = without_stand_ins(html)
    out: list[str] = []
    place = 0
    unclosed: set[str] = set()
    while (tag := _OPENING.search(html, place)) is not None:
        name = (tag[1] or "!--").lower()
        out.append(html[place : tag.end()])
        place = tag.end()
        if name in unclosed:
            continue
        close = _CLOSING[name].search(html, place)
        if close is None:
            unclosed.add(name)
            continue
        content = html[place : close.start()]
        if name in _PREFORMATTED:
            content = _marked_lines(content)
        elif name in _INLINE and _is_block(html, tag.start(), content, close.end()):
            content = _marked_block(content)
        out.append(content)
        place = close.start()
    return "".join([*out, html[place:]]) if out else html


_CLOSING = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in (*_PREFORMATTED, *_INLINE, "script", "style")}
_CLOSING["!--"] = re.compile("-->")


def _is_block(html: str, start: int, content: str, end: int) -> bool:
    """Return whether an element that a browser does not take for preformatted is a block of several lines."""
    if "\n" not in content.strip() and not _BREAK.search(content):
        return False
    before = html[max(0, start - _CHARACTERS_BEFORE) : start]
    return _BLOCK_BEFORE.search(before) is not None and _BLOCK_AFTER.match(html, end) is not None


def _marked_block(content: str) -> str:
    """Mark an element outside <pre>: with <br>, only these are line ends, and the blanks of the markup do not count."""
    if _BREAK.search(content):
        content = _BREAK_AND_BLANKS.sub("<br>", _BLANKS.sub(" ", content))
    return _marked_lines(content)


def _marked_lines(content: str) -> str:
    content = _REFERENCE.sub(lambda match: "\t" if match[1] else "\n" if match[2] else "\xa0", _BREAK.sub("\n", content))
    content = _BLANK_END.sub(r"\1", _BLANK_START.sub(r"\1", content))
    parts = _TAG.split(content)
    return "".join(part if number % 2 else protected(part) for number, part in enumerate(parts))
