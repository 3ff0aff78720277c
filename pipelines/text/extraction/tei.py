"""TEI (the Text Encoding Initiative's XML): a book's text without header, title page, notes and page breaks.

Limits: of a critical edition (apparatus, several witnesses), the base text with its corrections is returned.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

_BLOCKS = frozenset((
    "ab", "argument", "byline", "closer", "div", "div1", "div2", "div3", "div4", "epigraph", "head", "item", "label", "lg",
    "list", "opener", "p", "quote", "row", "sp", "speaker", "stage", "salute", "signed", "table", "trailer", "dateline",
    "postscript", "floatingText", "group", "text", "front", "body", "back",
))  # fmt: skip
_LINES = frozenset(["l", "lb"])
_SKIPPED = frozenset((
    "teiHeader", "note", "fw", "pb", "cb", "milestone", "gap", "figDesc", "graphic", "titlePage", "sic", "orig", "abbr",
    "del", "surplus", "bibl", "listBibl", "index",
))  # fmt: skip
_SKIPPED_DIVISIONS = frozenset((
    "titlepage", "notes", "note", "advert", "advertisement", "ads", "contents", "toc", "index", "bibliography", "colophon",
    "imprint", "license",
))  # fmt: skip
_REFERENCE = re.compile(r"[\s\d*†‡()\[\].]*")
_TITLE_SUFFIX = re.compile(r"\s*[:;]\s*(?:édition|edición|edição|edition|ediție|wydanie)?\s*ELTeC(?:[ -]\w+)*\s*$", re.I)


class TeiError(ValueError):
    """The XML is not TEI, or not well-formed; the message gives line and column."""


class NotTeiError(TeiError):
    """The XML is well-formed, but not TEI."""


@dataclass(frozen=True, slots=True)
class TeiText:
    """A text (a blank line between paragraphs, a newline between verses) and the title from the header."""

    text: str
    title: str | None


def tei_text(data: bytes) -> TeiText:
    """Return the text of a TEI document, or of all documents of a teiCorpus in order; entities are never expanded.

    Raise TeiError if the XML is not well-formed, NotTeiError if it is not TEI.
    """
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True)
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise TeiError(f"not well-formed XML: {error}") from None
    if _name(root) not in ("TEI", "TEI.2", "teiCorpus"):
        raise NotTeiError(f"the root is <{_name(root)}>, not <TEI>")
    pieces: list[str] = []
    for text in root.iterfind(".//{*}text"):
        if not any(_name(parent) in ("text", "group") for parent in text.iterancestors()):
            _append_text(text, pieces)
    return TeiText(_tidy("".join(pieces)), _title(root))


def _name(element: Any) -> str:
    tag = element.tag
    return tag.rsplit("}", 1)[-1] if isinstance(tag, str) else ""


def _append_text(root: Any, pieces: list[str]) -> None:
    r"""Append the text in document order, with "\n\n" around blocks and "\v" around verses; without recursion."""
    skipped: Any = None
    for event, element in etree.iterwalk(root, events=("start", "end")):
        name = _name(element)
        if skipped is None:
            pieces.append("\n\n" if name in _BLOCKS else "\v" if name in _LINES and not _is_inside_word(element) else "")
            if event == "start":
                if _is_skipped(element, name):
                    skipped = element
                elif name:  # an entity has none; its text is the entity's name
                    pieces.append(_with_single_spaces(element.text))
        if event == "end":
            if skipped is element:
                skipped = None
            if skipped is None and element is not root:
                pieces.append(_with_single_spaces(element.tail))


def _is_skipped(element: Any, name: str) -> bool:
    if name in ("sic", "orig", "abbr"):  # skipped if their correction is beside them
        return _name(element.getparent()) == "choice"
    if name in _SKIPPED:
        return True
    if name == "ref":
        return _REFERENCE.fullmatch("".join(element.itertext())) is not None
    return name.startswith("div") and element.get("type", "").lower() in _SKIPPED_DIVISIONS


def _is_inside_word(element: Any) -> bool:
    return element.get("break") == "no"


def _with_single_spaces(text: str | None) -> str:
    return re.sub(r"\s+", " ", text) if text else ""


def _tidy(text: str) -> str:
    return "\n\n".join(_paragraphs(text))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n[ \n\v]*\n", text):
        lines = [" ".join(line.split(" ")).strip() for line in paragraph.split("\v")]
        if joined := "\n".join(re.sub(r" {2,}", " ", line) for line in lines if line):
            yield joined


def _title(root: Any) -> str | None:
    for title in root.iterfind(".//{*}teiHeader//{*}titleStmt/{*}title"):
        text = _TITLE_SUFFIX.sub("", " ".join("".join(title.itertext()).split()))
        if text:
            return _TITLE_SUFFIX.sub("", text)
    return None
