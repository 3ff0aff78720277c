r"""Wikitext to plain prose.

Comments, references, tables, files and unknown templates are removed; the text of known templates (`templates`), link texts,
headings, list items and code (<syntaxhighlight>, <pre>, several lines in a row that begin with a space) are kept. The white
space of code is written as stand-ins (`characters.code_spaces`), which `normalize` turns back. mwparserfromhell, which is
slow, parses only the templates whose text is kept, up to a limited size; `markup` scans everything else.

>>> plain_text("'''Oslo''' is the [[Capital city|capital]].<ref>A</ref> {{Infobox}}\n\n== Places ==\n* [[Alna]], a river")
'Oslo is the capital.\n\nPlaces\n\n- Alna, a river'

Limits: tables are dropped whole, with their prose; an unknown template has no text.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.text.characters import code_spaces
from pipelines.text.extraction.wikitext.markup import (
    ANY_WIKI,
    BREAK,
    CODE,
    GONE,
    LINK,
    LINK_END,
    NONCHARACTERS,
    PROTECT_BRACKETS,
    PROTECTED,
    UNPROTECT,
    WEB,
    Wiki,
    strip_markup,
    strip_residue,
)

__all__ = ["ANY_WIKI", "Page", "Wiki", "extract", "plain_text"]

PROSE_CHARACTERS = 60  # a paragraph this long is prose even without a full stop (Thai has none)


@dataclass(frozen=True, slots=True)
class Page:
    """The text of a page."""

    text: str
    prose: bool  # false: a disambiguation page, a list of links


@dataclass(slots=True)
class _Line:
    """A heading, a list item or a paragraph."""

    kind: str  # "heading", "item" or "text"
    text: str
    level: int  # of a heading
    linked: float  # share of the characters that are link text
    web: bool  # has a link to the web


def plain_text(wikitext: str, wiki: Wiki = ANY_WIKI) -> str:
    """Return a page's paragraphs, headings and lists, separated by blank lines, an item per line; "" if there is no prose."""
    return extract(wikitext, wiki).text


def extract(wikitext: str, wiki: Wiki = ANY_WIKI) -> Page:
    """Return the text of a page, and whether it is prose."""
    marked = strip_markup(wikitext, wiki)
    lines = [_unprotect(line) for line in _lines(marked)]
    lines = _drop_empty_sections(_drop_reference_sections(lines))
    prose = any(map(_is_prose, lines)) and _DISAMBIGUATION.search(wikitext) is None
    return Page(_join(lines), prose)


def _unprotect(line: _Line) -> _Line:
    if PROTECTED.search(line.text):
        line.text = line.text.translate(UNPROTECT).strip()
    return line


# --- lines ------------------------------------------------------------------------------------------------------------

_SIGNS = "=*#:;|"  # that begin a heading, an item or a row of a table
_HEADING = re.compile(r"(={1,6})(.+?)\1[\s\ufdd2]*")
_UNCLOSED_HEADING = re.compile(r"^={2,6} ?(?=\w)")
_ITEM = re.compile(r"[*#:;]+")
_RULE = re.compile(r"-{4,}")
_WRITTEN_WITHOUT_SPACES = "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef"
_WRAP = re.compile(rf"(?<=[{_WRITTEN_WITHOUT_SPACES}])\n(?=[{_WRITTEN_WITHOUT_SPACES}])")


def _lines(text: str) -> Iterator[_Line]:
    """Yield headings, items and paragraphs in order; a paragraph's lines are joined as a browser joins them."""
    paragraph: list[str] = []
    indented: list[str] = []  # lines that begin with a space: MediaWiki shows them as code
    for raw in text.split("\n"):
        stripped = raw.strip()
        if raw[:1] == " " and stripped and (indented or stripped[0] not in _SIGNS):
            if paragraph:
                yield from _paragraph(paragraph)
                paragraph = []
            indented.append(raw)
            continue
        if indented:
            yield from _indented(indented)
            indented = []
        if stripped[:1] == GONE and not stripped.strip(GONE + " "):
            stripped = ""  # where a table or a box was
        if stripped and stripped[0] not in _SIGNS + CODE and not stripped.startswith("----"):
            paragraph.append(stripped)
            continue
        if paragraph:
            yield from _paragraph(paragraph)
            paragraph = []
        if stripped:
            yield from _single_line(stripped)
    yield from _indented(indented)
    yield from _paragraph(paragraph)


def _indented(lines: list[str]) -> Iterator[_Line]:
    """Yield several lines in a row that begin with a space as one block; a single one is mostly a slip in a paragraph."""
    if len(lines) < 2:
        for line in lines:
            yield from _single_line(line.strip())
        return
    parts = [_cleaned(_strip_quotes(code_spaces.protected(line[1:].rstrip()))) for line in lines]
    text = code_spaces.NEWLINE.join(part.text for part in parts)
    if not _NOTHING.fullmatch(text):
        linked = sum(part.linked * len(part.text) for part in parts) / len(text)
        yield _Line("text", text, 0, linked, any(part.web for part in parts))


def _paragraph(lines: list[str]) -> Iterator[_Line]:
    joined = "\n".join(_strip_quotes(line) for line in lines)
    return _line("text", _WRAP.sub("", joined).replace("\n", " "))


def _single_line(stripped: str) -> Iterator[_Line]:
    if stripped[0] == CODE:
        return iter([_Line("text", stripped[1:], 0, 0.0, web=False)])
    heading = _HEADING.fullmatch(stripped) if stripped[0] == "=" else None
    if heading:
        return _line("heading", _strip_quotes(heading[2].strip("= ")), len(heading[1]))
    if stripped[0] == "=":  # a heading that is not closed
        stripped = _UNCLOSED_HEADING.sub("", stripped)
    if stripped[0] == "|":  # a row of a table that a template opened
        return iter(())
    marks = _ITEM.match(stripped)
    if marks is None:
        return _line("text", _strip_quotes(_RULE.sub("", stripped, count=1)))
    kind = "item" if "*" in marks[0] or "#" in marks[0] else "text"
    return _line(kind, _strip_quotes(stripped[marks.end() :]))


_QUOTES = re.compile(r"'{2,}")


def _strip_quotes(line: str) -> str:
    """Remove bold and italics by MediaWiki's rules: one of four quotes is text; one of three may be an apostrophe."""
    if "''" not in line:
        return line
    runs = list(_QUOTES.finditer(line))
    widths = [{2: 2, 3: 3, 4: 3}.get(len(run[0]), 5) for run in runs]
    bold, italic = sum(width != 2 for width in widths), sum(width != 3 for width in widths)
    apostrophe = _apostrophe_run(line, runs, widths) if bold % 2 and italic % 2 else None
    out: list[str] = []
    place = 0
    for index, (run, width) in enumerate(zip(runs, widths, strict=True)):
        out += [line[place : run.start()], "'" * (len(run[0]) - width + (index == apostrophe))]
        place = run.end()
    return "".join([*out, line[place:]])


def _apostrophe_run(line: str, runs: list[re.Match[str]], widths: list[int]) -> int | None:
    """Return which run of three quotes is an apostrophe and italics (MediaWiki, Parser::doQuotes).

    That is the first one after a word of one letter, else after a longer word, else after a space.
    """
    best: tuple[int, int] | None = None
    for index, (run, width) in enumerate(zip(runs, widths, strict=True)):
        before = line[max(0, run.start() - 2) : run.start()]
        preference = 2 if before[-1:] == " " else 0 if before[:1] == " " and len(before) == 2 else 1
        if width == 3 and (best is None or preference < best[0]):
            best = (preference, index)
    return best[1] if best else None


_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_SPACE = re.compile(r"[ \t\xa0]{2,}|[\t\xa0]")  # not a single space: replacing those would take most of the time
_LINKED = re.compile("\ufdd0([^\ufdd1]*)\ufdd1")
_EMPTY_BRACKETS = re.compile(r" ?[(（\[\ufdd5](?:[ ,;:、，；/]|\ufdd2)*[)）\]\ufdd6]")
_OPENING_BRACKETS = ("(", "（", "[", "\ufdd5")
_AFTER_BRACKET = re.compile(r"(?<=[(（])(?:[ ,;:、，；]{0,4}\ufdd2){1,8}[ ,;:、，；]*")
_BEFORE_BRACKET = re.compile(r"(?:[ ,;:、，；]{0,4}\ufdd2){1,8}[ ,;:、，；]{0,4}(?=[)）])")  # bounded, so that it is linear
_GONE_TWICE = re.compile("\ufdd2(?: ?\ufdd2)+")
_BEFORE_MARK = re.compile(r" ?\ufdd2(?= ?[,.;:!?、。，；）)])")
_MARK_BEFORE_MARK = re.compile("[,;:、，；] ?\ufdd2(?= ?[,.;!?。，；])")  # "2013, {{ISBN|…}}." ends in one mark
_FIRST_MARK = re.compile(r"^(?: ?\ufdd2)+[ ,;:.–—-]+")
_NOTHING = re.compile(r"[\W_]*")


def _line(kind: str, marked: str, level: int = 0) -> Iterator[_Line]:
    """Yield the finished line, unless it has only signs."""
    line = _cleaned(marked)
    if not _NOTHING.fullmatch(line.text):
        yield _Line(kind, line.text, level, line.linked, line.web)


def _cleaned(marked: str) -> _Line:
    """Return a line of text without marks and entities."""
    text = marked
    if "&" in text:
        text = _ENTITY.sub(_decode_entity, text)
    text = _SPACE.sub(" ", text)
    if GONE in text:
        text = _tidy(text)
    linked = sum(len(shown) for shown in _LINKED.findall(text)) if LINK in text else 0
    web = WEB in text
    for mark in (LINK, LINK_END, GONE, WEB, CODE):
        text = text.replace(mark, "")
    text = _SPACE.sub(" ", strip_residue(text))
    text = "\n".join(part.strip() for part in text.split(BREAK) if part.strip()) if BREAK in text else text.strip()
    return _Line("text", text, 0, linked / max(1, len(text)), web)


def _decode_entity(entity: re.Match[str]) -> str:
    """Return the characters of an entity; brackets are protected, since they are text whatever is beside them."""
    return NONCHARACTERS.sub("", html.unescape(entity[0])).translate(PROTECT_BRACKETS)


def _tidy(text: str) -> str:
    """Remove the brackets, commas and spaces around what was removed."""
    text = _GONE_TWICE.sub(GONE, text)
    if any(bracket in text for bracket in _OPENING_BRACKETS):
        text = _EMPTY_BRACKETS.sub(lambda match: "" if GONE in match[0] else match[0], text)
        text = _BEFORE_BRACKET.sub("", _AFTER_BRACKET.sub("", text))
    return _FIRST_MARK.sub("", _BEFORE_MARK.sub("", _MARK_BEFORE_MARK.sub("", text)))


# --- sections ---------------------------------------------------------------------------------------------------------

_SENTENCE_END = re.compile(r"[.!?…。！？｡।؟۔։።][\"'”’»）)\]」』]*$")
_BIBLIOGRAPHIC = re.compile(r"\b(?:ISBN|ISSN|OCLC|doi|PMID|LCCN)\b")
_DISAMBIGUATION = re.compile(
    r"__DISAMBIG__|\{\{\s*(?:disambig|disambiguation|dab|hndis|geodis|begriffsklärung|homonymie|homonymes|desambiguación|desambigua"
    r"|desambiguação|disambigua|неоднозначность|пояснение|багатозначність|曖昧さ回避|aimai|消歧义|消歧義|disamb|동음이의|توضيح"
    r"|định hướng|trang định hướng|ujednoznacznienie|doorverwijspagina|dp|olika betydelser|förgrening|rozcestník)\s*[|}]",
    re.IGNORECASE,
)


def _is_prose(line: _Line) -> bool:
    long = len(line.text) >= PROSE_CHARACTERS
    if line.kind == "text":
        return (long and line.linked < 0.6) or (line.linked < 0.9 and _SENTENCE_END.search(line.text) is not None)
    return line.kind == "item" and long and not _is_reference(line)


def _is_reference(line: _Line) -> bool:
    """Return whether a line only refers elsewhere, to a page, a web address or a book."""
    return line.linked > 0.5 or line.web or _BIBLIOGRAPHIC.search(line.text) is not None


def _drop_reference_sections(lines: list[_Line]) -> list[_Line]:
    """Remove the last sections if they only refer elsewhere (see also, literature, web links), whatever their headings."""
    while True:
        last = max((index for index, line in enumerate(lines) if line.kind == "heading"), default=0)
        if last == 0 or not _only_refers(lines[last + 1 :]):
            return lines
        lines = lines[:last]


def _only_refers(section: list[_Line]) -> bool:
    lines = [line for line in section if line.kind == "item" or _is_prose(line) or _is_reference(line)]  # not labels
    if any(line.kind == "text" and not _is_reference(line) for line in lines):
        return False
    return 2 * sum(map(_is_reference, lines)) >= len(lines)


def _drop_empty_sections(lines: list[_Line]) -> list[_Line]:
    """Remove headings that have no line below them, neither their own nor a deeper heading's."""
    kept: list[_Line] = []
    next_level = 0  # of the next heading; 7, deeper than any, if a line follows
    for line in reversed(lines):
        if line.kind == "heading" and line.level >= next_level:
            continue
        next_level = line.level if line.kind == "heading" else 7
        kept.append(line)
    return kept[::-1]


def _join(lines: list[_Line]) -> str:
    out: list[str] = []
    previous = ""
    for line in lines:
        if out:
            out.append("\n" if previous == line.kind == "item" else "\n\n")
        out.append(f"- {line.text}" if line.kind == "item" else line.text)
        previous = line.kind
    return "".join(out)
