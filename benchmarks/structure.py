r"""How well code, tables and formulas come through an extractor: edit similarity, after WebMainBench (arXiv 2511.23119).

Of a page's text, the code blocks, the tables and the formulas are taken out and put together, each kind by itself; of a kind,
the similarity is 1 - Levenshtein distance / length of the longer side, and 0 to 1. A page counts for a kind if its truth or its
text has any of it, so what is made up costs as much as what is lost. As there:

- code is what ``` fences hold, or at least two lines indented by four spaces or a tab after an empty line;
- a table is an HTML table, or lines with "|" whose second is a rule (|---|); a row is its cells' texts with a space between;
- a formula is $$...$$, $...$, \[...\] or \(...\), outside code.

Other than there, runs of white space within formulas and cells count as one space, and backticks and escapes within cells are
left out: they are no content.
"""

import re
from typing import NamedTuple

import lxml.html
import numpy as np

from pipelines.text.kernels import jit

KINDS = ("code", "tables", "formulas")
_FENCED = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.S | re.M)
_INDENTED = re.compile(r"(?:\A|\n[ \t]*\n)((?:(?: {4}|\t)[^\n]*(?:\n|\Z)|[ \t]*\n(?= {4}|\t)){2,})")
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_FORMULA = re.compile(r"(?<!\\)(?:\$\$(.+?)(?<!\\)\$\$|\$(.+?)(?<!\\)\$|\\\[(.+?)\\\]|\\\((.+?)\\\))", re.S)
_RULE = re.compile(r"[ \t]*\|?(?:[ \t]*:?-{3,}:?[ \t]*\|?)+[ \t]*")
_CELL_END = re.compile(r"(?<!\\)\|")
_HTML_TABLE = re.compile(r"<table\b.*?</table\s*>", re.S | re.I)


class Structure(NamedTuple):
    """A page's code, tables and formulas, each as one text."""

    code: str
    tables: str
    formulas: str


def of_truth(row: dict[str, list]) -> Structure:
    """Return the structure of a line of truth.jsonl (see structure_set.py)."""
    rows = [" ".join(_plain(cell) for cell in cells if cell) for table in row["tables"] for cells in table]
    return Structure("\n".join(row["code"]), "\n".join(rows), "\n".join(_plain(latex) for latex in row["formulas"]))


def of_text(text: str) -> Structure:
    r"""Return the structure of an extracted text.

    >>> of_text("Take $x$:\n\n```py\nif x:\n    y()\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    Structure(code='if x:\n    y()', tables='a b\n1 2', formulas='x')
    """
    fenced = [match[2].removesuffix("\n") for match in _FENCED.finditer(text)]
    rest = _FENCED.sub("\n", text)
    indented = [_without_indent(match[1]) for match in _INDENTED.finditer(rest)]
    rest = _INDENTED.sub("\n\n", rest)
    formulas = [_plain(next(filter(None, match.groups()))) for match in _FORMULA.finditer(_INLINE_CODE.sub("", rest))]
    return Structure("\n".join(fenced + indented), "\n".join(_rows(rest)), "\n".join(formulas))


def similarities(truth: Structure, found: Structure) -> dict[str, float]:
    """Return the similarity of each kind that either side has."""
    return {kind: similarity(wanted, text) for kind, wanted, text in zip(KINDS, truth, found, strict=True) if wanted or text}


def similarity(first: str, second: str) -> float:
    """Return 1 - Levenshtein distance / length of the longer text; of two empty texts 1.

    >>> similarity("kitten", "sitting")
    0.5714285714285714
    """
    longest = max(len(first), len(second))
    return 1 - int(_distance(_points(first), _points(second))) / longest if longest else 1.0


def _points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@jit
def _distance(first: np.ndarray, second: np.ndarray) -> int:
    """Levenshtein distance, a row at a time."""
    row = np.arange(len(second) + 1, dtype=np.int32)
    for i in range(len(first)):
        corner = row[0]
        row[0] = i + 1
        for j in range(len(second)):
            above = row[j + 1]
            best = corner + (first[i] != second[j])
            row[j + 1] = min(best, above + 1, row[j] + 1)
            corner = above
    return row[-1]


def _without_indent(block: str) -> str:
    return re.sub(r"^(?: {4}|\t)", "", block, flags=re.M).strip("\n")


def _rows(text: str) -> list[str]:
    """Return the rows of all tables, the HTML tables' first."""
    rows: list[str] = []
    for match in _HTML_TABLE.finditer(text):
        for row in lxml.html.fromstring(match[0]).iter("tr"):
            rows.append(" ".join(_plain(cell.text_content()) for cell in row.iterchildren("td", "th")))
    lines = _HTML_TABLE.sub("\n", text).split("\n")
    for start in range(len(lines) - 1):
        if "|" not in lines[start] or "|" not in lines[start + 1] or not _RULE.fullmatch(lines[start + 1]):
            continue
        rows.append(_row(lines[start]))
        for line in lines[start + 2 :]:
            if "|" not in line:
                break
            rows.append(_row(line))
    return [row for row in rows if row]


def _row(line: str) -> str:
    cells = (_plain(cell.replace("\\|", "|").replace("`", "")) for cell in _CELL_END.split(line.strip().strip("|")))
    return " ".join(cell for cell in cells if cell)


def _plain(text: str) -> str:
    return " ".join(text.split())
