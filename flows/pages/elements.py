"""Elements of pages: sections, tables, untrusted text, and a script of our own with its data. All of it needs no network."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from flows.pages.shown import visible

_ASSETS = Path(__file__).parent / "assets"


def section(title: str, content: str, note: str = "") -> str:
    """Return a section of a page with its heading; empty if the content is empty."""
    if not content:
        return ""
    name = title.lower().replace(" ", "-")
    return f'<section id="{name}"><h2>{title}</h2>{f"<p class=note>{note}</p>" if note else ""}{content}</section>'


def table(
    names: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = (), totals: int = 0, kind: str = ""
) -> str:
    """Return a table of cells that are already HTML; the last `totals` rows are sums. `kind` is its class."""
    right = set(numbers)
    classes = [' class="number"' if column in right else "" for column in range(len(names))]
    head = "".join(f"<th{kind}>{name}</th>" for kind, name in zip(classes, names, strict=True))
    cells = ["".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(classes, row, strict=True)) for row in rows]
    plain, sums = (cells[:-totals], cells[-totals:]) if totals else (cells, [])
    body = "".join(f"<tr>{row}</tr>" for row in plain) + "".join(f'<tr class="total">{row}</tr>' for row in sums)
    named = f' class="{kind}"' if kind else ""
    return f'<div class="wide"><table{named}><tr>{head}</tr>{body}</table></div>' if cells else ""


def text(value: object) -> str:
    """Return untrusted text as HTML: escaped, without control characters, isolated in its own direction."""
    return f"<bdi>{escape(visible(str(value)))}</bdi>"


def packed(values: Any, kind: str) -> str:
    """Return numbers for a script: an array of this kind (little-endian, such as "<f4") in base64."""
    return base64.b64encode(np.ascontiguousarray(values, np.dtype(kind)).tobytes()).decode()


def asset(*names: str) -> str:
    """Return files of pages/assets, one after the other."""
    return "".join((_ASSETS / name).read_text(encoding="utf-8") for name in names)


def policy(script: str) -> str:
    """Return the element of a page's head that lets a browser run this script alone and load nothing.

    Untrusted text is escaped; even if some were not, no other script would run.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    content = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return f'<meta http-equiv="Content-Security-Policy" content="{content}">'


def scripted(script: str, data: Any) -> str:
    """Return a script with its data: JSON, escaped so that no text can end the element around it."""
    plain = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "&<>\u2028\u2029":
        plain = plain.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="page-data">{plain}</script><script>{script}</script>'
