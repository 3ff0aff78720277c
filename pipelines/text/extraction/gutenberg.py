"""Strip header, licence and credits from Project Gutenberg's books.

The marks have changed over the years: "*** START OF THIS PROJECT GUTENBERG EBOOK …", "***START OF THE PROJECT GUTENBERG
ETEXT…", and before 2001 a "small print" at the top that ends in "*END*THE SMALL PRINT! … *END*". Other texts are
returned unchanged.

Limits: credits and transcriber's notes are found only at the start of a book, and only in English.
"""

import re
from dataclasses import dataclass

_MAX_HEADER = 60_000  # characters; the old small print is about 12,000 long
_START = re.compile(
    r"^[ \t]*\*{1,3}[ \t]*START OF (?:THE |THIS )?PROJECT GUTENBERG(?:'S|’S)?\b[^*]{0,600}(?:\*{2,3}[ \t]*$|$)", re.I | re.M
)
_SMALL_PRINT_END = re.compile(r"^[ \t]*\*END[ *]*(?:OF )?THE SMALL PRINT!.*$", re.I | re.M)
_END = re.compile(r"^[ \t]*\*{1,3}[ \t]*END OF (?:THE |THIS )?PROJECT GUTENBERG\b.*", re.I | re.M)
_SPOKEN_END = re.compile(
    r"^[ \t]*(?:The )?End of (?:the |this )?Project Gutenberg.*|^[ \t]*(?:Ende|Fin) d\S+ (?:\S+ )?Proje[ck]t Gutenberg.*",
    re.I | re.M,
)
_LAST_LINES = 8  # between the spoken end and the mark
_NAME = re.compile(r"Project Gutenberg", re.I)
_TITLE = re.compile(r"^Title:[ \t]*(\S.*(?:\n[ \t]+\S.*)*)", re.M)
_FIRST_LINE = re.compile(r"^(?:The )?Project Gutenberg(?:'s|’s)?(?: (?:EBook|E-text|Etext) of)? (.+?)(?:,? by .*)?$", re.I | re.M)
_CREDIT = re.compile(
    r"(?:This |HTML |Html )?(?:e-?(?:text|book) |file |version )?(?:was )?"
    r"(?:Produced|Prepared|Transcribed|Scanned|Proofread|Digiti[sz]ed|Typed|Converted) (?:and \w+ )?(?:by|from)\b"
    r"|Images? (?:of the original pages )?(?:generously )?(?:are |were )?(?:made )?available (?:by|through|at|from)\b"
    r"|Note: (?:Project Gutenberg|Images of the original)"
    r"|See \d+-h\.htm or \d+-h\.zip"
    r"|\(This (?:file|book) was produced from",
    re.I,
)
_NOTE = re.compile(r"[\[{(*+| \t]*(?:Transcriber|Redactor|Editor)(?:'s|’s|s'|s’)? notes?\b(?! of)", re.I)
_MAX_NOTE = 4000  # characters
_BLANK_LINES = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)*")


@dataclass(frozen=True, slots=True)
class Book:
    """A book's text, and its title if the header has one."""

    text: str
    title: str | None = None


def strip_gutenberg(text: str) -> Book:
    r"""Return the book alone if this is a Project Gutenberg text; else the text unchanged.

    >>> strip_gutenberg("Title: A\n\n*** START OF THE PROJECT GUTENBERG EBOOK A ***\n\nProduced by B\n\nIt was.\n\n"
    ...     "*** END OF THE PROJECT GUTENBERG EBOOK A ***\nLicence")
    Book(text='It was.', title='A')
    """
    if not _NAME.search(text):
        return Book(text)
    start, end = _start(text), _END.search(text)
    if end is None and start is None:
        return Book(text)  # a book that mentions Project Gutenberg
    begin = start or 0
    stop = end.start() if end and end.start() > begin else len(text)
    stop = _spoken_end(text, begin, stop, marked=end is not None)
    body = _strip_credits(text[begin:stop].strip("\n \t"))
    return Book(body, _title(text[:begin]))


def _start(text: str) -> int | None:
    """Return the end of the header, that is, of the last of its marks; None if it has none."""
    head = text[:_MAX_HEADER]
    end = _END.search(head)
    head = head[: end.start()] if end else head
    marks = [*_START.finditer(head), *_SMALL_PRINT_END.finditer(head)]
    return max(mark.end() for mark in marks) if marks else None


def _spoken_end(text: str, begin: int, stop: int, marked: bool) -> int:
    """Return the start of "End of Project Gutenberg's …" shortly before the end mark, or in its place; else `stop`."""
    for match in reversed(list(_SPOKEN_END.finditer(text, begin, stop))):
        if not marked or text.count("\n", match.start(), stop) <= _LAST_LINES:
            return match.start()
        break
    return stop


def _strip_credits(body: str) -> str:
    """Remove "Produced by …" and transcriber's notes from the start of the body."""
    while True:
        first = _BLANK_LINES.search(body)
        paragraph = body[: first.start()] if first else body
        if _NOTE.match(paragraph):
            cut = _note_end(body)
        elif _CREDIT.match(paragraph.lstrip()) and len(paragraph) < _MAX_NOTE:
            cut = first.end() if first else len(body)
        else:
            return body
        body = body[cut:].lstrip("\n")


def _note_end(body: str) -> int:
    """Return the end of a note: its closing bracket, else the first two blank lines, else the end of its paragraph."""
    head = body[:_MAX_NOTE]
    opening = head.lstrip(" \t")[:1]
    if opening in "[{(" and (close := head.find({"[": "]", "{": "}", "(": ")"}[opening])) >= 0:
        return close + 1
    gap = re.search(r"\n[ \t]*\n[ \t]*\n", head) or _BLANK_LINES.search(head)
    return gap.end() if gap else len(head)


def _title(header: str) -> str | None:
    match = _TITLE.search(header) or _FIRST_LINE.search(header)
    return " ".join(match[1].split()) if match else None
