"""The closing report as a page, as tables, in Prefect: the numbers are those of report.json, strangers' text stays text."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.console import Console

from flows.commands.corpora.console import closing_tables
from flows.commands.corpora.review import published
from flows.deployments import artifacts
from flows.pages import figures
from flows.pages.corpus.made import BuildFacts, build_facts
from flows.pages.corpus.page import report_page
from flows.pages.shown import visible


class Tables(HTMLParser):
    """The rows of all tables of a page, as texts; and whatever loads or runs something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.active: list[str] = []
        self.scripts = 0
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        loads = [n for n, value in attrs if n in ("src", "href") and not str(value).startswith("#")]
        if tag in ("img", "iframe", "link", "object") or loads or any(n[:2] == "on" for n, _ in attrs):
            self.active.append(tag)
        if tag == "script" and attrs != [("type", "application/json"), ("id", "page-data")]:
            self.scripts += 1
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def facts_of(tiny) -> BuildFacts:
    """What the page of the tiny corpus shows."""
    return build_facts(str(tiny.out), json.loads((tiny.out / "report.json").read_text()), published(str(tiny.out)))


@pytest.fixture
def page_of(facts_of) -> Callable[[dict[str, Any]], str]:
    """The page of the tiny corpus with another report."""
    return lambda report: report_page(replace(facts_of, report=report))


@pytest.fixture
def report(tiny) -> dict[str, Any]:
    return json.loads((tiny.out / "report.json").read_text())


def test_the_page_says_what_the_report_says(tiny, report, page_of) -> None:
    page = (tiny.out / "report.html").read_text()
    assert re.sub('<meta name="made-from" content="[0-9a-f]*">', "", page) == re.sub(
        '<meta name="made-from"[^>]*>', "", page_of(report)
    )
    tables = Tables(page)
    assert tables.active == [] and tables.scripts == 1
    rows = {tuple(row[:2]): row[2:] for row in tables.rows}
    last = {source: lines[-1] for source, lines in report["funnel"].items()}
    documents = [last[source]["documents_out"] for source in ("crawl", "novels", "tinywiki")]
    assert rows["corpus", "documents"] == [*map(str, documents), "14"]
    assert rows["corpus", "characters"][-1] == f"{sum(line['characters_out'] for line in last.values()):,}"
    for source, lines in report["funnel"].items():
        column = list(report["funnel"]).index(source)
        for line in lines:
            for reason, count in line["documents_dropped"].items():
                assert rows[line["stage"], f"- {reason}"][column] == str(count)
    removed = {
        (line["stage"], change): 0
        for lines in report["funnel"].values()
        for line in lines
        for change in line["characters_removed"]
    }
    for lines in report["funnel"].values():
        for line in lines:
            for change, count in line["characters_removed"].items():
                removed[line["stage"], change] += count
    assert removed and all(rows[key][-1] == f"{count:,}" for key, count in removed.items() if count)
    assert rows["crawl", "15"] == ["2", "1", "·", "3", "20.0%"]  # deduplication
    assert rows["all", "23"] == ["2", "1", "·", "3", "13.0%"]
    assert rows["0.9 to 0.95", "1"] == [""] and rows["1", "2"] == [""] and rows["2", "3"] == [""]
    largest = [row for row in tables.rows if len(row) == 4 and row[:2] == ["2", "1"]]
    assert [row[2] for row in largest] == ["1.00", "1.00", "0.90"]
    assert "Lantern Fair" in largest[0][3] and "The Lantern Fair is held in Merrin" in largest[0][3]
    for split, sources in report["tokens"]["tiny"]["tokens"].items():
        for source, languages in sources.items():
            tokens = sum(counts["tokens"] for counts in languages.values())
            assert any(row[:3] == ["tiny", split, source] and row[4] == f"{tokens:,}" for row in tables.rows)
    assert all(
        any(row[::2] == [name, value] for row in tables.rows if len(row) == 3) for name, value in report["fingerprints"].items()
    )


def told(report: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=160, highlight=False, soft_wrap=True)  # as plain_console
    for table in closing_tables(report, {}, "out"):
        console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_tables_and_the_artifact_say_the_same(report) -> None:
    lines = [re.split(r" {2,}", line.strip()) for line in told(report).splitlines()]
    assert ["crawl", "15", "2", "1", "·", "3", "20.0%"] in lines
    assert ["3 clusters, by members", "2: 3"] in lines
    assert ["removed, by similarity", "0.9 to 0.95: 1", "1: 2"] in lines
    (rye,) = [line for line in lines if "Rye bread for patient people" in line]
    assert rye[:4] == ["2", "1", "0.90", "Rye bread for patient people"] and rye[4].startswith("People write to me")
    markdown = artifacts.funnel(report, "out/release.json").splitlines()
    assert "| crawl | 15 | 2 | 1 | 0 | 3 | 20.0% |" in markdown
    assert "| 0.9 to 0.95 | 1 |" in markdown and "| 2 | 3 |" in markdown


def test_what_was_kept_of_the_web_pages_is_shown_everywhere(report, page_of) -> None:
    counts = {"pages": 300, "visible_characters": 20_000, "kept_characters": 9_050, "fallbacks": 4, "without_main_text": 12}
    report["web_pages"] = {
        "crawl": {"snapshot": "x", **counts},
        "news": {"snapshot": "y", **dict.fromkeys(counts, 0), "pages": 1},
    }
    wanted = ["crawl", "300", "20,000", "9,050", "45.2%", "4", "12"]
    nothing = ["news", "1", "0", "0", "0.0%"]
    lines = [re.split(r" {2,}", line.strip()) for line in told(report).splitlines()]
    assert wanted in lines and [*nothing, "·", "·"] in lines and ["all", "301", *wanted[2:]] in lines
    page = Tables(page_of(report)).rows
    assert wanted in page and [*nothing, "·", "·"] in page and ["all", "301", *wanted[2:]] in page
    markdown = artifacts.funnel(report, "x")
    assert f"| {' | '.join(wanted)} |" in markdown and f"| {' | '.join([*nothing, '0', '0'])} |" in markdown
    report["web_pages"] = {}
    assert "without main text" not in told(report) + page_of(report) + artifacts.funnel(report, "x")


HOSTILE = "</td><script>alert(1)</script><img src=x onerror=y> \x1b[2J \u202eevil & | `[a](http://b)`\n\n# top"


def hostile(report: dict[str, Any]) -> dict[str, Any]:
    """The same report with every text that strangers write."""
    cluster = {**report["clusters"]["largest_clusters"][0]}
    cluster["excerpt"] = {"source": "web", "title": HOSTILE, "url": HOSTILE, "text": HOSTILE}
    earlier = {"documents": 9, "removed": 4}
    clusters = {**report["clusters"], "largest_clusters": [cluster], "earlier": {HOSTILE: earlier}, "capped_buckets": 5}
    repeats = {"enabled": True, "lines": {"found": 1, "repeated": 1, "most": [{"documents": 77, "text": HOSTILE}]}}
    return {**report, "corpus": HOSTILE, "clusters": clusters, "repeats": repeats}


def test_entries_of_exclude_without_a_document_are_named_everywhere(report, page_of) -> None:
    report["exclude"] = {
        "ids": {"names": 2, "matched": 2, "unmatched": []},
        "urls": {"names": 12, "matched": 0, "unmatched": [f"a.org/{i:02}<b>" for i in range(12)]},
        "hosts": {"names": 3_000_000, "matched": 1, "unmatched": [f"host{i:04}.org" for i in range(1000)]},
    }
    ids = "2 of 2 ids matched a document"
    urls = f"0 of 12 urls matched a document; no document for {', '.join(f'a.org/{i:02}<b>' for i in range(10))} and 2 more"
    hosts = f"1 of 3,000,000 hosts matched a document; no document for {', '.join(f'host{i:04}.org' for i in range(10))}"
    hosts += " and 2,999,989 more"
    assert figures.takedown(report) == [ids, urls, hosts]
    shown = [str(table) for table in closing_tables(report, {}, "out")]
    assert "\n".join(f"takedown: {line}" for line in (ids, urls, hosts)) in shown
    page = page_of(report)
    assert all(escape(line) in page for line in (ids, urls, hosts))
    assert artifacts.funnel(report, "x").count("Takedown: ") == 3 and "<b>" not in artifacts.funnel(report, "x")
    report["exclude"] = {}
    assert "Takedown" not in page_of(report) and not any("takedown" in str(t) for t in closing_tables(report, {}, "out"))


def test_masks_are_counted_by_language_and_type_everywhere(report, page_of) -> None:
    report["private"] = {"de": {"email": 3, "phone": 1}, "und": {"email": 2}}
    rows = Tables(page_of(report)).rows
    at = rows.index(["language", "email", "phone", "all"])
    assert rows[at + 1 : at + 4] == [["de", "3", "1", "4"], ["und", "2", "·", "2"], ["all", "5", "1", "6"]]
    console = Console(file=io.StringIO(), width=200)
    for table in closing_tables(report, {}, "out"):
        console.print(table)
    assert "masked: 5 email, 1 phone" in console.file.getvalue()
    assert "Masked private data: 5 email, 1 phone" in artifacts.funnel(report, "x")
    report["private"] = {}
    assert "Masked" not in page_of(report) + artifacts.funnel(report, "x")


def test_texts_of_strangers_are_only_text(report, page_of) -> None:
    bad = hostile(report)
    page = page_of(bad)
    tables = Tables(page)
    assert tables.active == [] and tables.scripts == 1 and "<script>alert" not in page
    assert ["line", "77", visible(HOSTILE)] in tables.rows
    assert [visible(HOSTILE), "9", "4"] in tables.rows
    assert ["capped buckets", "5", "buckets beyond deduplicate.bucket_limit"] in tables.rows
    markdown = artifacts.funnel(bad, "out/release.json")
    assert "<script" not in markdown.replace("\\<script", "") and "[a](" not in markdown
    for shown in (page, told(bad), markdown):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    assert f"earlier corpus {visible(HOSTILE)}: 9 documents; 4 documents of this build are already in it" in told(bad).replace(
        "\n", " "
    )


def test_without_deduplication_and_tokens_the_page_is_still_one(report, page_of) -> None:
    bare = {**report, "clusters": {"enabled": False}, "tokens": {}, "index": {"enabled": False}}
    page = page_of(bare)
    assert "Deduplication is off." in page and "Largest clusters" not in page and "Tokens" not in page
    assert "deduplication is off" in told(bare) and "Deduplication" not in artifacts.funnel(bare, "x")
