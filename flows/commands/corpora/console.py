"""What a build prints at its end: the closing tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.pages import figures
from flows.pages.shown import visible
from pipelines.contract import files
from pipelines.contract.manifest import RELEASE
from pipelines.release import PAGE, REPORT

SHOWN_REPEATS = 10  # lines, and as many paragraphs


def plain_console() -> Console:
    """Return a console on standard output; if that is not a terminal, it is wide enough to break no table and no path."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=160)


def closing_tables(report: Mapping[str, Any], seconds: Mapping[str, float], out: str) -> list[Table | Text | str]:
    """Return the closing tables: the funnel, removed copies, tokens, seconds, and the paths of the output."""
    places = [
        f"published  {files.join(out, RELEASE)}",
        f"report     {files.join(out, PAGE)}, and as {REPORT}",
        f"gates      {files.join(out, 'gates')}",
    ]
    tables = [
        _funnel_table(report),
        Text("\n".join(f"takedown: {visible(line)}" for line in figures.takedown(report))),
        Text("\n".join(f"benchmark: {visible(line)}" for line in figures.benchmarks(report) if not line.startswith("  "))),
        Text("\n".join(_limits(report))),
        Text(f"masked: {masked}" if (masked := figures.masked(report)) else ""),
        _web_pages_table(report),
        _removed_table(report),
        _clusters_notes(report),
        _largest_table(report),
        _repeated_table(report),
        _tokens_table(report),
        _notes(report),
        _seconds(seconds),
        "\n".join(places),
    ]
    return [table for table in tables if table]


def closing_line(report: Mapping[str, Any], seconds: float, out: str) -> str:
    """Return one line about a build that is finished."""
    documents = sum(lines[-1]["documents_out"] for lines in report["funnel"].values())
    tokens = Counter[str]()
    for row in figures.tokens(report):
        tokens[row.vocabulary] += row.tokens
    counts = "".join(f", {number:,} tokens of {name}" for name, number in tokens.items())
    return (
        f"{report['corpus']}: {documents:,} documents{counts}, in {seconds:.1f} s;"
        f" published {files.join(out, RELEASE)}, report {files.join(out, PAGE)}"
    )


def _limits(report: Mapping[str, Any]) -> list[str]:
    """Return a line for each share of scores: its documents in all languages."""
    rows = figures.limits(report)
    by_share = {row.share: [other for other in rows if other.share == row.share] for row in rows}
    return [
        f"{share}: {sum(row.within for row in group):,} of {sum(row.scored for row in group):,} documents"
        f" ({group[0].language} ends at {group[0].value:.4g})"
        for share, group in by_share.items()
    ]


def _funnel_table(report: Mapping[str, Any]) -> Table:
    """Return the funnel: a row per stage and reason, a column per source, in documents; the last row is in characters."""
    table = Table(title=Text(f"{visible(report['corpus'])}: the funnel (documents)"), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    for name in [*report["funnel"], "all"]:
        table.add_column(name, justify="right")
    rows = figures.funnel(report)
    for number, (stage, counted, counts) in enumerate(rows):
        if number == len(rows) - 2:
            table.add_section()
        table.add_row(stage, counted, *map(_number, counts), f"{sum(counts):,}")
    return table


def _number(count: int) -> str:
    return f"{count:,}" if count else "·"


def _table_of_sources(title: str, columns: Sequence[str]) -> Table:
    """Return a table without rows yet; all columns but the first are numbers."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column(columns[0])
    for name in columns[1:]:
        table.add_column(name, justify="right")
    return table


def _web_pages_table(report: Mapping[str, Any]) -> Table | str:
    """Return how much of what the web pages of each source show was kept."""
    rows = figures.web_pages(report)
    if not rows:
        return ""
    table = _table_of_sources("web pages (characters without white space)", figures.WEB_PAGES_COLUMNS)
    for row in rows:
        shown = (f"{row.pages:,}", f"{row.visible_characters:,}", f"{row.kept_characters:,}", f"{row.kept_share:.1%}")
        table.add_row(row.source, *shown, _number(row.fallbacks), _number(row.without_main_text))
    return table


def _removed_table(report: Mapping[str, Any]) -> Table | str:
    """Return the documents that deduplication removed, by source and grain."""
    rows = figures.removed_by_source(report)
    if not rows:
        return "deduplication is off"
    table = _table_of_sources("deduplication (documents)", figures.REMOVED_COLUMNS)
    for row in rows:
        table.add_row(row.source, f"{row.documents:,}", *map(_number, row[2:]), f"{row.removed:,}", f"{row.share:.1%}")
    return table


def _clusters_notes(report: Mapping[str, Any]) -> Text:
    """Return the histograms, one line each, then the caps that were reached and the documents of earlier corpora."""
    if not report["clusters"].get("enabled"):
        return Text()
    sizes = "   ".join(f"{bar.label}: {bar.number:,}" for bar in figures.sizes(report) if bar.number)
    alike = "   ".join(f"{bar.label}: {bar.number:,}" for bar in figures.similarities(report) if bar.number)
    lines = [f"{report['clusters']['clusters']:,} clusters" + (f", by members  {sizes}" if sizes else "")]
    lines += [f"removed, by similarity  {alike}"] if alike else []
    lines += [f"{name} {number:,} ({meaning})" for name, number, meaning in figures.notes(report) if not name.startswith("edges")]
    for corpus, published, removed in figures.earlier(report):
        lines.append(
            f"earlier corpus {visible(corpus)}: {published:,} documents; {removed:,} documents of this build are already in it"
        )
    return Text("\n".join(lines))


def _largest_table(report: Mapping[str, Any]) -> Table | str:
    clusters = figures.largest(report)
    if not clusters:
        return ""
    table = Table(title="largest clusters", title_justify="left", box=SIMPLE_HEAD)
    for name in ("members", "removed", "similarity", "survivor of most", "its text begins"):
        table.add_column(name, justify="right" if name in ("members", "removed") else "left", no_wrap=True, overflow="ellipsis")
    for entry in clusters:
        text = visible(figures.begins(entry))
        counts = (f"{entry['members']:,}", f"{entry['removed']:,}", figures.alike(entry))
        table.add_row(*counts, *(Text(value[:50]) for value in (visible(figures.name_of(entry)), text)))
    return table


def _repeated_table(report: Mapping[str, Any]) -> Table | str:
    rows = figures.repeated(report, SHOWN_REPEATS)
    if not rows:
        return ""
    table = Table(title="most repeated lines and paragraphs", title_justify="left", box=SIMPLE_HEAD)
    for name in ("", "documents", "text"):
        table.add_column(name, justify="right" if name == "documents" else "left", no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(row.kind, f"{row.documents:,}", Text(visible(row.text)[:100]))
    return table


def _tokens_table(report: Mapping[str, Any]) -> Table | str:
    rows = figures.tokens(report)
    if not rows:
        return "no vocabulary is configured, so there are no token shards"
    table = Table(title="tokens", title_justify="left", box=SIMPLE_HEAD)
    for name in ("vocabulary", "split", "source", "documents", "tokens", "bytes per token"):
        table.add_column(name, justify="left" if name in ("vocabulary", "split", "source") else "right")
    for row in rows:
        rate = row.utf8_bytes / max(1, row.tokens)
        table.add_row(row.vocabulary, row.split, row.source, f"{row.documents:,}", f"{row.tokens:,}", f"{rate:.2f}")
    return table


def _notes(report: Mapping[str, Any]) -> str:
    classifier = report["classifier"]
    if not classifier.get("on"):
        return f"quality classifier: off ({classifier.get('why', 'not configured')})"
    held_out = classifier["held_out"]
    return (
        f"quality classifier: threshold {classifier['threshold']:.3f},"
        f" held-out precision {held_out['precision']:.3f}, recall {held_out['recall']:.3f},"
        f" area under the curve {held_out['area_under_curve']:.3f}"
    )


def _seconds(seconds: Mapping[str, float]) -> str:
    if not seconds:
        return "nothing had to be built: every dataset is finished"
    return "seconds: " + "  ".join(f"{name} {value:.1f}" for name, value in seconds.items())
