"""The parts of the page whose numbers are those of report.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.pages import figures
from flows.pages.elements import section, table, text
from flows.pages.figures import Bar, Report

_SHOWN_REPEATS = 20
_WEB_PAGES_NOTE = (
    "What the pages show and what the extractor kept of it, in characters without white space. A fallback is a page for which the"
    " extractor took its second way."
)
_LIMITS_NOTE = (
    "The last score within each share of <code>quality.keep</code>, among the documents that pass language and rules and are no"
    " copies, without those of curated sources."
)
_MASKS_NOTE = (
    "Occurrences by language of the document. The corpus' table <code>masks</code> has the place of each;"
    " <code>corpusmill explain</code> shows those of a document."
)
_BENCHMARKS_NOTE = (
    "A document that was dropped counts for the item of which it has the largest share, one that items were cut out of for"
    " each of these."
)


def later_sections(report: Report) -> list[str]:
    """Return the sections that follow the counts of documents."""
    return [
        section("Tokens", _tokens(report)),
        section("Deduplication", _deduplication(report)),
        section("Largest clusters", _largest(report)),
        section("Repeated lines and paragraphs", _repeated(report)),
        section("Benchmarks", "".join(f"<p>{text(line)}</p>" for line in figures.benchmarks(report)), _BENCHMARKS_NOTE),
        section("Shares of scores", _limits(report), _LIMITS_NOTE),
        section("Masked private data", _masks(report), _MASKS_NOTE),
        section("Cut out of kept documents", _cuts(report), "Characters by stage and reason."),
        section("Web pages", _web_pages(report), _WEB_PAGES_NOTE),
        section("Takedown", "".join(f"<p>{text(line)}</p>" for line in figures.takedown(report))),
    ]


def funnel_table(report: Report) -> str:
    """Return the funnel as a table: a row for every stage and reason, a column for every source."""
    rows = figures.funnel(report)
    names = ["stage", "", *map(text, report["funnel"]), "all"]
    cells = [[stage, what, *map(_number, counts), f"{sum(counts):,}"] for stage, what, counts in rows]
    return table(names, cells, numbers=range(2, len(names)), totals=2)


def _web_pages(report: Report) -> str:
    names = figures.WEB_PAGES_COLUMNS
    cells = [
        [
            text(row.source),
            f"{row.pages:,}",
            f"{row.visible_characters:,}",
            f"{row.kept_characters:,}",
            f"{row.kept_share:.1%}",
            _number(row.fallbacks),
            _number(row.without_main_text),
        ]
        for row in figures.web_pages(report)
    ]
    return table(names, cells, numbers=range(1, len(names)))


def _cuts(report: Report) -> str:
    rows = figures.cuts(report)
    names = ["stage", "", *map(text, report["funnel"]), "all"]
    cells = [[stage, change, *map(_number, counts), f"{sum(counts):,}"] for stage, change, counts in rows]
    return table(names, cells, numbers=range(2, len(names)))


def _limits(report: Report) -> str:
    cells = [
        [text(row.share), text(row.language), f"{row.value:.6g}", f"{row.within:,}", f"{row.scored:,}"]
        for row in figures.limits(report)
    ]
    return table(("share", "language", "ends at", "within", "scored"), cells, numbers=(2, 3, 4)) if cells else ""


def _masks(report: Report) -> str:
    types, rows = figures.masks(report)
    cells = [[text(language), *map(_number, counts), f"{sum(counts):,}"] for language, counts in rows]
    return table(["language", *types, "all"], cells, numbers=range(1, len(types) + 2), totals=1) if cells else ""


def _deduplication(report: Report) -> str:
    rows = figures.removed_by_source(report)
    if not rows:
        return "<p>Deduplication is off.</p>"
    cells = [
        [text(row.source), f"{row.documents:,}", *map(_number, row[2:]), f"{row.removed:,}", f"{row.share:.1%}"] for row in rows
    ]
    names = ("source", "documents", "exact", "near", "same URL", "removed", "share")
    tables = [table(names, cells, numbers=range(1, 7), totals=1)]
    if earlier := figures.earlier(report):
        cells = [[text(name), f"{documents:,}", f"{removed:,}"] for name, documents, removed in earlier]
        tables.append(table(("earlier corpus", "published", "removed for it"), cells, numbers=(1, 2)))
    sizes, similarities = figures.sizes(report), figures.similarities(report)
    tables.append(
        '<div class="pair">'
        + _bars(f"{report['clusters']['clusters']:,} clusters by members", ("members", "clusters"), sizes)
        + _bars("removed documents by similarity to the survivor", ("similarity", "removed"), similarities)
        + "</div>"
    )
    cells = [[name, f"{count:,}", meaning] for name, count, meaning in figures.notes(report)]
    tables.append(table(("verification", "number", "meaning"), cells, numbers=(1,)) if cells else "")
    return "".join(f"<p></p>{made}" for made in tables if made)


def _bars(caption: str, names: tuple[str, str], bars: Sequence[Bar]) -> str:
    if not bars:
        return ""
    highest = max(1, *(bar.number for bar in bars))
    rows = "".join(
        f'<tr><td>{bar.label}</td><td class="number">{bar.number:,}</td>'
        f'<td class="bar"><i{"" if bar.number else " class=none"} style="width:{100 * bar.number / highest:.1f}%"></i></td></tr>'
        for bar in bars
    )
    head = f'<tr><th>{names[0]}</th><th class="number">{names[1]}</th><th></th></tr>'
    return f"<table><caption>{caption}</caption>{head}{rows}</table>"


def _largest(report: Report) -> str:
    return table(
        ("members", "removed", "similarity", "survivor of most"),
        [
            [f"{entry['members']:,}", f"{entry['removed']:,}", figures.alike(entry), _excerpt(entry)]
            for entry in figures.largest(report)
        ],
        numbers=(0, 1),
    )


def _excerpt(cluster: Mapping[str, Any]) -> str:
    excerpt = cluster["excerpt"]
    if excerpt is None:
        return f'<span class="id">{text(cluster["survivor"] or cluster["cluster"])}</span> in an earlier corpus'
    title = f"<b>{text(excerpt['title'])}</b> " if excerpt["title"] else ""
    # An untrusted address is shown, not linked.
    url = f"{text(excerpt['url'])}<br>" if excerpt["url"] else ""
    named = f'<span class="id">{text(excerpt["source"])} {text(cluster["survivor"])}</span><br>{title}{url}'
    return f'<div class="excerpt">{named}{text(figures.begins(cluster))}</div>'


def _repeated(report: Report) -> str:
    rows = figures.repeated(report, _SHOWN_REPEATS)
    cells = [[row.kind, f"{row.documents:,}", f'<div class="excerpt">{text(row.text)}</div>'] for row in rows]
    return table(("", "documents", "text"), cells, numbers=(1,)) if cells else ""


def _tokens(report: Report) -> str:
    cells = [
        [*map(text, row[:3]), f"{row.documents:,}", f"{row.tokens:,}", f"{row.utf8_bytes / max(1, row.tokens):.2f}"]
        for row in figures.tokens(report)
    ]
    names = ("vocabulary", "split", "source", "documents", "tokens", "bytes per token")
    return table(names, cells, numbers=range(3, 6)) if cells else ""


def _number(count: int) -> str:
    return f"{count:,}" if count else "·"
