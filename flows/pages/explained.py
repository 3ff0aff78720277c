"""Pages that show what was kept of web pages: an index, and a page for each with its blocks in the original's order.

Everything on them was written by strangers: it is escaped, its directions and controls are made visible, no address is a link,
and the pages forbid the browser to run or to fetch anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from expectations.page import document_of_style
from flows.pages.shown import visible
from pipelines.text.extraction.explained import Block, Explained

_SECURITY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
_SHOWN_ADDRESS = 300  # characters
_STYLE = """
:root{color-scheme:light dark;--kept:#1a7f37;--left:#b35900;--line:#8884}
body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:64rem;padding:0 1rem}
h1{font-size:1.3rem;margin:.2rem 0;overflow-wrap:anywhere} p.fact{margin:.1rem 0;color:#777;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%} td,th{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:left}
td{vertical-align:top}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap} td.text{overflow-wrap:anywhere}
.block{display:grid;grid-template-columns:9rem minmax(0,1fr);gap:.8rem;border-left:5px solid;padding:.15rem .6rem;margin:2px 0}
.kept{border-color:var(--kept);background:#1a7f3712} .left{border-color:var(--left)} .left .text{color:#888}
.verdict{font-size:12px;white-space:nowrap;overflow:hidden} .kept b{color:var(--kept)} .left b{color:var(--left)}
.bar{display:block;height:4px;background:var(--line)} .bar i{display:block;height:4px;background:currentColor}
.text{white-space:pre-wrap;overflow-wrap:anywhere} .why{color:#777;display:block;font-size:12px}
.why{white-space:nowrap;overflow:hidden;text-overflow:ellipsis} .why:hover{white-space:normal}
pre.whole{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);padding:.6rem} summary{cursor:pointer}
#only:checked~main .left{display:none} label{cursor:pointer}
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A web page in the index."""

    file: str  # the name of its page
    url: str
    title: str
    fate: str  # "kept", or the reason for which it was dropped
    visible_characters: int
    kept_characters: int


def page(shown: Shown, explained: Explained, text: str) -> str:
    """Return the page of one web page as HTML; `text` is what was made of its kept blocks."""
    blocks = "".join(map(_block, explained.blocks)) or "<p>This page shows no text.</p>"
    facts = [visible(shown.url, _SHOWN_ADDRESS), f"{shown.fate}: {_summary(shown, explained)}"]
    body = (
        f"<h1>{_text(shown.title or shown.url)}</h1>{''.join(f'<p class=fact>{escape(fact)}</p>' for fact in facts)}"
        '<p><a href="index.html">all pages</a></p><input type="checkbox" id="only"><label for="only"> only what was kept</label>'
        f"<main>{blocks}</main>{_whole(text)}"
    )
    return document_of_style(_text(shown.title or shown.url), body, _STYLE, _SECURITY)


def _whole(text: str) -> str:
    """Return the text as the corpus would have it, folded."""
    if not text:
        return ""
    return f'<details><summary>the text as it is written</summary><pre class=whole dir="auto">{_lines(text)}</pre></details>'


def _lines(text: str) -> str:
    """Return a text of several lines, escaped: `visible` alone makes one line of it."""
    return "\n".join(escape(visible(line.replace("\t", "    "))) for line in text.split("\n"))


def index(pages: Sequence[Shown], others: int = 0) -> str:
    """Return the index as HTML; `others` is the number of documents without a page here."""
    names = ("", "page", "", "visible", "kept", "share")
    head = "".join(f"<th{' class=number' if name in names[3:] else ''}>{name}</th>" for name in names)
    rows = "".join(_row(number, shown) for number, shown in enumerate(pages, 1))
    note = (
        f"<p class=fact>{others:,} other documents have no page here: they are no web pages, or could not be read.</p>"
        if others
        else ""
    )
    body = f"<h1>{len(pages):,} web pages</h1>{note}<table><tr>{head}</tr>{rows}</table>"
    return document_of_style(f"{len(pages):,} web pages", body, _STYLE, _SECURITY)


def _row(number: int, shown: Shown) -> str:
    counts = (f"{shown.visible_characters:,}", f"{shown.kept_characters:,}", _share(shown))
    name = f'<a href="{escape(shown.file)}">{_text(shown.title or shown.url)}</a><br>{_text(shown.url)}'
    cells = "".join(f"<td class=number>{count}</td>" for count in counts)
    return f"<tr><td class=number>{number:,}</td><td class=text>{name}</td><td>{escape(shown.fate)}</td>{cells}</tr>"


def _block(block: Block) -> str:
    probability = ""
    if block.probability is not None:
        share = min(1.0, max(0.0, block.probability))
        probability = f' {block.probability:.2f}<span class=bar><i style="width:{100 * share:.0f}%"></i></span>'
    what, tag = "kept" if block.kept else "left", f" &lt;{escape(visible(block.tag, 20))}&gt;" if block.tag else ""
    facts = [visible(fact, 400) for fact in (block.why, block.path) if fact]
    why = f"<span class=why>{escape(' · '.join(facts))}</span>" if facts else ""
    return (
        f'<div class="block {what}"><div class=verdict><b>{what}</b>{tag}{probability}</div>'
        f'<div class=text dir="auto">{_lines(block.text)}{why}</div></div>'
    )


def _summary(shown: Shown, explained: Explained) -> str:
    limit = "; the model keeps next to nothing here, and a rule decided" if explained.is_fallback else ""
    if explained.least_probability is not None:
        limit = f"; blocks from {explained.least_probability:.2f} on are kept"
    return (
        f"{shown.kept_characters:,} of {shown.visible_characters:,} visible characters ({_share(shown)}),"
        f" {sum(block.kept for block in explained.blocks):,} of {len(explained.blocks):,} blocks{limit}"
    )


def _share(shown: Shown) -> str:
    return f"{shown.kept_characters / shown.visible_characters:.0%}" if shown.visible_characters else "-"


def _text(text: str) -> str:
    return escape(visible(text, _SHOWN_ADDRESS))
