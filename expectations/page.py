"""The overview of a gate: one HTML page, readable offline, with what failed and the figures."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from expectations.validation import Finding

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_ROWS = 200  # of a table of figures
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1c1c1c;background:#fff}
h1{font-size:1.5rem;margin-bottom:.2rem} h2{font-size:1.1rem;margin-top:2rem} code{font-size:.92em}
table{border-collapse:collapse;width:100%;font-size:13px} td,th{border:1px solid #ccc;padding:.3rem .5rem;text-align:left;
vertical-align:top}
.findings td:nth-child(5){overflow-wrap:anywhere} th{background:#f2f2f2} .wide{overflow-x:auto} .wide td{white-space:nowrap}
.failed{background:#fde8e8} .verdict{padding:.6rem .9rem;border-left:6px solid #2e7d32;background:#edf7ed}
.verdict.failed{border-color:#c62828;background:#fde8e8}
"""


def overview(
    dataset: str, uri: str, findings: Sequence[Finding], tables: Mapping[str, "pd.DataFrame"], docs: Mapping[str, str]
) -> str:
    """Return the page as HTML; `docs` holds the path of each table's Data Docs page, relative to this page."""
    failed = [finding for finding in findings if not finding.passed]
    verdict = f"{len(failed)} of {len(findings)} expectations failed" if failed else f"all {len(findings)} expectations met"
    body = [
        f"<h1>Gate of {escape(dataset)}</h1><p><code>{escape(uri)}</code></p>",
        f'<p class="verdict{" failed" if failed else ""}"><b>{"FAILED" if failed else "Passed"}</b>: {verdict}</p>',
    ]
    if failed:
        body.append("<h2>What failed</h2>" + _findings(failed))
    body.append("<h2>All expectations</h2>" + _findings(findings))
    body.append("<h2>Great Expectations' Data Docs</h2><ul>")
    body += [f'<li><a href="{escape(path)}">{escape(table)}</a></li>' for table, path in docs.items()]
    body.append("</ul>")
    body += [f"<h2>Table {escape(table)}</h2>{_frame(frame)}" for table, frame in tables.items() if not table.endswith("_sample")]
    title = f"Gate of {escape(dataset)}: {verdict}"
    return document(title, "".join(body))


def document(title: str, body: str, style: str = "", meta: str = "") -> str:
    """Return a whole page in the style that most pages share; `title`, `body` and `meta` (for its head) are escaped HTML."""
    return document_of_style(title, body, _STYLE + style, meta)


def document_of_style(title: str, body: str, style: str, meta: str = "") -> str:
    """Return a whole page in a style of its own; `title`, `body` and `meta` are escaped HTML."""
    width = '<meta name="viewport" content="width=device-width,initial-scale=1">'
    head = f'<meta charset="utf-8">{meta}{width}<title>{title}</title><style>{style}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _findings(findings: Sequence[Finding]) -> str:
    rows = "".join(
        f'<tr class="{"passed" if finding.passed else "failed"}"><td>{"met" if finding.passed else "<b>failed</b>"}</td>'
        f"<td>{escape(finding.expectation.table)}</td><td>{escape(finding.expectation.column)}</td>"
        f"<td><code>{escape(finding.expectation.kind)}</code><br>{escape(_arguments(finding.expectation.kwargs))}</td>"
        f"<td>{escape(finding.observed)}</td><td>{escape(finding.expectation.why)}</td></tr>"
        for finding in findings
    )
    names = ("", "table", "column", "expectation", "observed", "why")
    header = "".join(f"<th>{name}</th>" for name in names)
    return f'<table class="findings"><tr>{header}</tr>{rows}</table>'


def _arguments(kwargs: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
    return text if len(text) <= 200 else f"{text[:197]}…"


def _frame(frame: "pd.DataFrame") -> str:
    rest = f"<p>… and {len(frame) - _SHOWN_ROWS:,} more</p>" if len(frame) > _SHOWN_ROWS else ""
    return f'<div class="wide">{frame.head(_SHOWN_ROWS).to_html(index=False, border=0, float_format="{:.4g}".format)}</div>{rest}'
