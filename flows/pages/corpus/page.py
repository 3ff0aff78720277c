"""report.html: a whole build on one page that needs no network.

Its numbers are those of report.json and of the columns of the corpus (pipelines.review); when and where it was built is in
`timings.jsonl`. The page's size is bounded: what grows with the number of documents is counted, sampled or cut.
"""

import hashlib
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from expectations import page
from flows.pages import figures
from flows.pages.corpus.beside import beside_section
from flows.pages.corpus.funnel import few_sources, picture
from flows.pages.corpus.made import BuildFacts, build_facts, made_section
from flows.pages.corpus.sections import funnel_table, later_sections
from flows.pages.corpus.tables import counted_sections
from flows.pages.corpus.thresholds import data, thresholds_section
from flows.pages.elements import asset, policy, scripted, section, text
from flows.pages.shown import visible
from pipelines.contract import files
from pipelines.release import PAGE
from pipelines.review.gather import VERSION, Review
from pipelines.units.context import TIMINGS, Dataset

_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("sample.js", "cards.js", "documents.js", "tables.js")
_HEAD = 2000  # characters of a page in which its mark is
_FUNNEL_NOTE = (
    "Documents by stage and reason; every dropped document is in the corpus' table of drops. Click a reason to see some."
)


def write_page(out: str, report: Mapping[str, Any], built: Mapping[str, Dataset]) -> None:
    """Write report.html of a finished build into its folder, unless the one there is of the same build."""
    uri, stamp = files.join(out, PAGE), _stamp(out, report)
    if not files.exists(uri) or _mark(stamp) not in files.read_text(uri)[:_HEAD]:
        files.write_text(uri, report_page(build_facts(out, report, built), stamp))


def _stamp(out: str, report: Mapping[str, Any]) -> str:
    """Return a hash of everything that the page of a build depends on."""
    timings = files.join(out, TIMINGS)
    noted = files.read_text(timings) if files.exists(timings) else ""
    made_from = [VERSION, json.dumps(report, sort_keys=True), noted, _script(), _style()]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def _mark(stamp: str) -> str:
    return f'<meta name="made-from" content="{stamp}">'


def _script() -> str:
    return asset("drawing.js") + "".join((_ASSETS / name).read_text(encoding="utf-8") for name in _SCRIPTS)


def _style() -> str:
    return asset("common.css") + (_ASSETS / "report.css").read_text(encoding="utf-8")


def report_page(build: BuildFacts, stamp: str = "", other: BuildFacts | None = None) -> str:
    """Return the page as HTML, with another build beside it; `stamp` names what it was made from."""
    report = few_sources(build.report)
    parts = [
        _head(build),
        beside_section(build, other) if other is not None else "",
        section("The funnel", picture(report) + _folded("As a table", funnel_table(report)), _FUNNEL_NOTE),
        thresholds_section(build.review),
        section("Documents", _documents(build.review), _documents_note(build.review)),
        *counted_sections(build.review.counter),
        *later_sections(report),
        made_section(build.made, build.built, report["fingerprints"]),
    ]
    body = f"<main>{''.join(parts)}</main>{scripted(_script(), data(build.review, other.review if other is not None else None))}"
    title = f"Corpus {escape(visible(report['corpus']))}"
    return page.document(title, body, _style(), policy(_script()) + _mark(stamp))


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>{content}</details>" if content else ""


def _head(build: BuildFacts) -> str:
    report, facts = build.report, build.made
    sample = f" A sample build: about {report['limit']:,} documents of each source." if report.get("limit") else ""
    rows = [counts for stage, _, counts in figures.funnel(report) if stage == "corpus"]
    kept, characters = sum(rows[0]), sum(rows[1])
    found = next(sum(counts) for _, what, counts in figures.funnel(report) if what == "documents found")
    tokens = figures.tokens(report)
    tiles = [
        (f"{kept:,}", f"documents of {found:,} found" + (f", {kept / found:.1%}" if found else "")),
        (figures.large(characters), "characters"),
        *((figures.large(count), f"tokens, {escape(visible(name))}") for name, count in _by_vocabulary(tokens).items()),
        (str(len(report["funnel"])), "sources" if len(report["funnel"]) != 1 else "source"),
        *([(facts.minutes, f"on {escape(facts.machine)}" if facts.machine else "of work")] if facts.seconds else []),
    ]
    shown = "".join(f'<div class="tile"><b>{number}</b><small>{label}</small></div>' for number, label in tiles)
    when = f"Built {escape(facts.finished.replace('T', ' ').replace('+00:00', ' UTC'))}" if facts.finished else ""
    by = f" by corpusmill {escape(facts.version)}" if facts.version else ""
    workers = f", {facts.workers} {'worker' if facts.workers == 1 else 'workers'}" if facts.workers else ""
    line = f"<p class=note>{when}{by}{workers}.{sample}</p>" if when else f"<p class=note>{sample}</p>"
    return f'<h1>Corpus {text(report["corpus"])}</h1>{line}<div class="tiles">{shown}</div>'


def _by_vocabulary(tokens: list[figures.Tokens]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in tokens:
        counts[row.vocabulary] = counts.get(row.vocabulary, 0) + row.tokens
    return counts


def _documents(review: Review) -> str:
    if not review.excerpts:
        return ""
    return (
        '<form class="find" autocomplete="off"><input type="search" id="find" aria-label="search the documents"'
        ' placeholder="search titles, texts, addresses, reasons"><select id="fate" aria-label="kept or dropped">'
        '<option value="">kept and dropped</option></select>'
        '<select id="order" aria-label="order"></select></form><p class="note" id="matches" aria-live="polite"></p>'
        '<div id="list"></div><button type="button" id="more" hidden>Show more</button>'
    )


def _documents_note(review: Review) -> str:
    of = f"{len(review.excerpts):,} of {review.sample.documents:,} documents"
    return (
        f"The beginnings of {of}: some for every reason, and those nearest to the thresholds. Private data in them is masked;"
        " what was taken down is not shown. <code>corpusmill explain</code> shows a whole document."
    )
