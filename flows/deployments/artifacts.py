"""Markdown artifacts: what a flow run shows in Prefect's pages."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flows.pages import figures
from flows.pages.shown import visible


def key(corpus: str) -> str:
    """Return the key of a corpus' funnels in Prefect: lower-case letters, digits and dashes."""
    return "funnel-" + re.sub(r"[^a-z0-9-]+", "-", corpus.lower())


def funnel(report: Mapping[str, Any], uri: str) -> str:
    """Return the closing report (pipelines.release.closing_report) as markdown: the funnel, removed copies, tokens by source."""
    lines = [f"# {_cell(report['corpus'])}", "", f"Published: `{uri}`", "", "## Funnel", "", *_funnel(report["funnel"])]
    lines += [line for entry in figures.takedown(report) for line in ("", f"Takedown: {_cell(entry)}")]
    lines += [line for entry in figures.benchmarks(report) for line in ("", f"Benchmark: {_cell(entry)}")]
    masked = figures.masked(report)
    lines += ["", f"Masked private data: {masked}"] if masked else []
    lines += _web_pages(report)
    lines += _deduplication(report)
    for name, facts in report["tokens"].items():
        lines += ["", f"## Tokens of the vocabulary {name}", "", *_tokens(facts["tokens"])]
    return "\n".join(lines) + "\n"


def _web_pages(report: Mapping[str, Any]) -> list[str]:
    """Return what was kept of the pages of each source."""
    rows = figures.web_pages(report)
    if not rows:
        return []
    lines = _heads("Web pages", figures.WEB_PAGES_COLUMNS)
    for row in rows:
        counts = f"{row.pages:,} | {row.visible_characters:,} | {row.kept_characters:,} | {row.kept_share:.1%}"
        lines.append(f"| {_cell(row.source)} | {counts} | {row.fallbacks:,} | {row.without_main_text:,} |")
    return lines


def _deduplication(report: Mapping[str, Any]) -> list[str]:
    """Return the removed copies by source and grain, the two histograms and the largest clusters."""
    rows = figures.removed_by_source(report)
    if not rows:
        return []
    lines = _heads("Deduplication", figures.REMOVED_COLUMNS)
    for row in rows:
        counts = " | ".join(f"{count:,}" for count in (*row[1:], row.removed))
        lines.append(f"| {_cell(row.source)} | {counts} | {row.share:.1%} |")
    for name, bars in (("members", figures.sizes(report)), ("similarity", figures.similarities(report))):
        lines += ["", f"| {name} | {'clusters' if name == 'members' else 'removed'} |", "|---|---:|"]
        lines += [f"| {bar.label} | {bar.number:,} |" for bar in bars]
    for corpus, published, removed in figures.earlier(report):
        lines += [
            "",
            f"Earlier corpus {_cell(corpus)}: {published:,} documents; {removed:,} documents of this build are already in it.",
        ]
    lines += [
        "",
        "| largest clusters: members | removed | similarity | survivor of most | its text begins |",
        "|---:|---:|---|---|---|",
    ]
    for entry in figures.largest(report):
        shown = f"{figures.alike(entry)} | {_cell(figures.name_of(entry))} | {_cell(figures.begins(entry))}"
        lines.append(f"| {entry['members']:,} | {entry['removed']:,} | {shown} |")
    return lines


def _heads(title: str, columns: Sequence[str]) -> list[str]:
    """Return the heading and the first lines of a table with a row for each source; all columns but the first are numbers."""
    return ["", f"## {title}", "", f"| {' | '.join(columns)} |", f"|---{'|---:' * (len(columns) - 1)}|"]


def _cell(text: str) -> str:
    """Escape untrusted text, so that it is neither markdown nor HTML."""
    return re.sub(r"([\\`*_\[\]<>|~&#])", r"\\\1", visible(text))


def _funnel(funnel: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    lines = ["| source | stage | documents in | dropped | documents out | dropped by reason |", "|---|---|---:|---:|---:|---|"]
    for source, stages in funnel.items():
        for line in stages:
            dropped = line["documents_dropped"]
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(dropped.items(), key=lambda r: (-r[1], r[0])))
            taken = line["documents_in"] + line["documents_split"]
            lines.append(
                f"| {source} | {line['stage']} | {taken:,} | {sum(dropped.values()):,} | {line['documents_out']:,} | {reasons} |"
            )
    return lines


def _tokens(splits: Mapping[str, Mapping[str, Mapping[str, Mapping[str, int]]]]) -> list[str]:
    lines = ["| split | source | language | documents | tokens | bytes per token |", "|---|---|---|---:|---:|---:|"]
    for split, sources in splits.items():
        for source, languages in sources.items():
            for language, counts in languages.items():
                rate = counts["utf8_bytes"] / counts["tokens"] if counts["tokens"] else 0.0
                lines.append(f"| {split} | {source} | {language} | {counts['rows']:,} | {counts['tokens']:,} | {rate:.2f} |")
    return lines
