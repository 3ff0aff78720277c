"""Unwrap hard-wrapped books: join the lines of paragraphs, keep verse and layout.

A line is full if the first word of the next line would not have fitted on it. A file is hard-wrapped if at least 60 % of the
lines that another line follows are full and hardly any line is longer. In such a file, a block between blank lines is prose
if most of its lines are full; other blocks (verse, tables, addresses, headings) and other files are unchanged.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_MIN_WIDTH, _MAX_WIDTH = 30, 200  # characters; narrower is a column of names, wider is one line per paragraph
_FULL_SHARE = 0.6  # of a file's lines that another line follows
_MAX_WORD = 20  # characters; a longer one is a rule or an address
_BEYOND_SHARE = 0.35  # of a wrapped file's text that may be in far longer lines
_FULL_SHARE_OF_PROSE = 0.5  # of a block's lines
_PAIRED_SHARE = 0.2  # of a wrapped file's lines, at least, that are followed by another line
_SLACK = 0.85  # of the width, which a full line and the next word exceed: typists' and printers' margins are ragged
_LONG_BLOCK_LINES = 30  # on average: then indents and short last lines separate paragraphs, not blank lines
_EAST_ASIAN = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_HANGUL = re.compile(r"[\u1100-\u11ff\uac00-\ud7ff]")  # written with spaces between words
_SENTENCE_END = re.compile(r"[.!?…:;][\"'”’»)\]]*$")
_SPEECH = re.compile(r"[—–―][^—–―]|-- ?\S|- ")
_SUSPENDED = re.compile(r"(?:und|oder|bzw\.|and|or|og|och|en|i|lub)\b")  # "Vor- und Nachteile": the hyphen ends its word


@dataclass(frozen=True, slots=True)
class _Shape:
    """The wrapping of a file."""

    width: int  # which nearly all lines keep to
    margin: int  # blanks before an ordinary line
    indents: int | None  # blanks before a paragraph's first line, if indents separate paragraphs
    is_dense: bool  # paragraphs follow each other without a blank line


def unwrap(text: str) -> str:
    r"""Join the lines of paragraphs, with a space, or with nothing between East Asian characters.

    Blank lines between paragraphs are kept. Paragraphs separated by an indent or a short last line get a line each.
    """
    lines = [line.rstrip() for line in text.split("\n")]
    shape = _shape(lines)
    if shape is None:
        return text
    out: list[str] = []
    for block in _blocks(lines):
        out += _join_lines(block, shape) if len(block) > 1 and _is_prose(block, shape) else block
    return "\n".join(out)


def _shape(lines: list[str]) -> _Shape | None:
    printed = [line for line in lines if line.strip()]
    if len(printed) < 10:
        return None
    pairs = [(a, b) for a, b in pairwise(lines) if a.strip() and b.strip()]
    width = _width(printed, pairs)
    if width is None:
        return None
    blanks = [len(line) - len(line.lstrip(" \u3000")) for line in printed]
    margin = max(set(blanks), key=blanks.count)
    is_dense = len(pairs) > _LONG_BLOCK_LINES * sum(1 for _ in _blocks(lines)) / 2
    deeper = [blank for blank in blanks if blank > margin]
    indents = max(set(deeper), key=deeper.count) if deeper else None
    return _Shape(width, margin, indents, is_dense)


def _width(printed: list[str], pairs: list[tuple[str, str]]) -> int | None:
    """Return the width that the file is wrapped at; None if it is not.

    The widest line says little: some files have lines that were joined by accident. So the width is the greatest of a few
    quantiles of the lines' lengths at which enough lines are full.
    """
    lengths = sorted(map(len, printed))
    if len(pairs) < max(5, _PAIRED_SHARE * len(printed)):
        return None
    for quantile, least in ((0.98, _FULL_SHARE), (0.95, _FULL_SHARE), (0.9, _FULL_SHARE), (0.75, _FULL_SHARE), (0.5, 0.85)):
        width = lengths[int(quantile * (len(lengths) - 1))]
        if not _MIN_WIDTH <= width <= _MAX_WIDTH:
            continue
        beyond = sum(length for length in lengths if length > 1.5 * width)
        full = sum(_is_full(a, b, width) for a, b in pairs)
        if beyond <= _BEYOND_SHARE * sum(lengths) and full >= least * len(pairs):
            return width
    return None


def _first_word(line: str) -> str:
    stripped = line.lstrip()
    if _EAST_ASIAN.match(stripped) and not _HANGUL.match(stripped):
        return stripped[:1]
    return stripped.split(maxsplit=1)[0] if stripped else ""


def _is_full(line: str, following: str, width: int) -> bool:
    word = _first_word(following)
    if _is_east_asian(line[-1]) or _is_east_asian(word[0]):  # such lines break anywhere except before a few marks
        return len(line) > width - 4
    return len(line) + 1 + min(len(word), _MAX_WORD) > _SLACK * width


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Yield runs of printed lines and runs of blank ones."""
    block: list[str] = []
    for line in lines:
        if block and bool(line.strip()) != bool(block[-1].strip()):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _is_prose(block: list[str], shape: _Shape) -> bool:
    if not block[0].strip():
        return False
    if shape.is_dense:
        return True
    indented = sum(len(line) - len(line.lstrip()) > shape.margin for line in block[1:])
    if indented > 0.5 * (len(block) - 1) and shape.indents is None:
        return False
    full = sum(_is_full(a, b, shape.width) for a, b in pairwise(block))
    return full >= _FULL_SHARE_OF_PROSE * (len(block) - 1)


def _join_lines(block: list[str], shape: _Shape) -> list[str]:
    out = [block[0].strip()] if shape.margin else [block[0].rstrip()]
    for line, following in pairwise(block):
        if _starts_paragraph(line, following, shape):
            out.append(following.strip())
        else:
            out[-1] = _join(out[-1], following.strip())
    return out


def _starts_paragraph(line: str, following: str, shape: _Shape) -> bool:
    indent, before = (len(x) - len(x.lstrip(" \u3000")) for x in (following, line))
    if indent > shape.margin and indent > before:
        return True
    if not shape.is_dense:
        return False
    if not _is_full(line, following, shape.width):
        return bool(_SENTENCE_END.search(line)) or len(line) < 0.7 * shape.width
    return bool(_SENTENCE_END.search(line) and _SPEECH.match(following.lstrip()))


def _join(left: str, right: str) -> str:
    if not left or not right:
        return left + right
    if _is_east_asian(left[-1]) and _is_east_asian(right[0]):
        return left + right
    if left.endswith(("--", "—")) or (left[-1] == "-" and left[-2:-1].isalpha() and not _SUSPENDED.match(right)):
        return left + right
    return f"{left} {right}"


def _is_east_asian(character: str) -> bool:
    return _EAST_ASIAN.match(character) is not None and _HANGUL.match(character) is None
