"""The funnel as a picture: a bar for every stage that drops documents, by source, and what it dropped by reason.

A bar shows what went into the stage: first what left it, a colour a source, then what it dropped, striped. Bands lead from one
bar to the next. The picture is HTML and SVG and needs no script.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from flows.pages.elements import text
from flows.pages.figures import stages
from flows.pages.shown import MEANINGS
from pipelines.contract.reasons import DropReason

COLOURS = 10  # in common.css
_REASONS = frozenset(reason.value for reason in DropReason)
_MANY = 6  # reasons, from which on they are shown in two columns
_OTHERS = "other sources"

Report = Mapping[str, Any]
Lines = Mapping[str, Sequence[Mapping[str, Any]]]  # by source, as in report["funnel"]


@dataclass(frozen=True, slots=True)
class Level:
    """A bar: what each source brought to a stage, what it kept, and what was dropped for which reason."""

    stage: str
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    reasons: Mapping[str, tuple[int, ...]]  # dropped, by reason and source


def few_sources(report: Report, most: int = COLOURS) -> Report:
    """Return a report in which the smallest of many sources are one, so that a page stays small."""
    funnel: Lines = report["funnel"]
    if len(funnel) <= most:
        return report
    order = sorted(funnel, key=lambda name: (-(funnel[name][0]["documents_in"] if funnel[name] else 0), name))
    shown = set(order[: most - 1])
    rest = [name for name in funnel if name not in shown]
    other = f"{len(rest)} {_OTHERS}"
    skipped = {name: counts for name, counts in report["skipped"].items() if name in shown}
    summed: Counter[str] = Counter()
    for name in rest:
        summed.update(report["skipped"].get(name, {}))
    lines = {name: funnel[name] for name in funnel if name in shown} | {other: _added([funnel[name] for name in rest])}
    return {**report, "funnel": lines, "skipped": {**skipped, other: dict(summed)}}


def _added(sources: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the sums of the lines of several sources, stage by stage; a source without a stage passes it unchanged."""
    funnel = {str(number): lines for number, lines in enumerate(sources) if lines}
    added: list[dict[str, Any]] = []
    left = {source: {**lines[0], **_passed(lines[0], "in")} for source, lines in funnel.items()}
    for stage in stages({"funnel": funnel}):
        at = {source: _at(lines, stage) or left[source] for source, lines in funnel.items()}
        left = {source: {**line, **_passed(line, "out")} for source, line in at.items()}
        added.append(_sum(stage, list(at.values())))
    return added


def _passed(line: Mapping[str, Any], way: str) -> dict[str, Any]:
    """Return a line that lets through what a line took in, or gave out, without a loss."""
    through = {f"{what}_{at}": line[f"{what}_{way}"] for what in ("documents", "characters") for at in ("in", "out")}
    return {key: through.get(key, type(value)()) for key, value in line.items()}


def _sum(stage: str, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts: dict[str, Any] = {"stage": stage}
    for key in (key for key in lines[0] if key != "stage"):
        values = [line[key] for line in lines]
        counts[key] = sum(values) if isinstance(values[0], int) else dict(sum((Counter(value) for value in values), Counter()))
    return counts


def _at(lines: Sequence[Mapping[str, Any]], stage: str) -> Mapping[str, Any] | None:
    return next((line for line in lines if line["stage"] == stage), None)


def levels(report: Report, what: str) -> list[Level]:
    """Return the bars of a funnel in "documents" or "characters", those of stages without drops left out.

    The first level is what was found, the last what is in the corpus.
    """
    funnel: Lines = {source: lines for source, lines in report["funnel"].items() if lines}
    left = {source: lines[0][f"{what}_in"] for source, lines in funnel.items()}
    bars: list[Level] = []
    for stage in stages(report):
        at = {source: _at(lines, stage) for source, lines in funnel.items()}
        left = {source: line[f"{what}_out"] if line else left[source] for source, line in at.items()}
        if any(line["documents_dropped"] for line in at.values() if line):
            bars.append(_level(stage, tuple(left.values()), list(at.values()), what))
    return [*bars, Level("corpus", tuple(left.values()), (0,) * len(funnel), {})]


def _level(stage: str, kept: tuple[int, ...], lines: Sequence[Mapping[str, Any] | None], what: str) -> Level:
    names = sorted({reason for line in lines if line for reason in line["documents_dropped"]})
    reasons = {name: tuple(line[f"{what}_dropped"].get(name, 0) if line else 0 for line in lines) for name in names}
    return Level(stage, kept, tuple(map(sum, zip(*reasons.values(), strict=True))), reasons)


def picture(report: Report) -> str:
    """Return the funnel in documents and in characters, with buttons to switch between them; empty if nothing was found."""
    sources = [source for source, lines in report["funnel"].items() if lines]
    if not sources:
        return "<p>No document was found.</p>"
    legend = "".join(
        f'<span class="run r{n % COLOURS}"><i class="swatch"></i>{text(name)}</span>' for n, name in enumerate(sources)
    )
    choices = "".join(
        f'<label><input type="radio" name="unit" value="{what}"{" checked" if what == "documents" else ""}>{what}</label>'
        for what in ("documents", "characters")
    )
    head = f'<form class="controls" autocomplete="off"><fieldset class="axis"><legend>in</legend>{choices}</fieldset>'
    return f'{head}<span class="legend">{legend}</span></form>' + "".join(_drawn(report, w) for w in ("documents", "characters"))


def _drawn(report: Report, what: str) -> str:
    bars = levels(report, what)
    widest = max(1, *(sum(bar.kept) + sum(bar.dropped) for bar in bars))
    rows: list[str] = []
    for number, bar in enumerate(bars):
        following = bars[number + 1] if number + 1 < len(bars) else None
        rows.append(_row(bar, following, widest, what))
    return f'<div class="funnel by-{what}">{"".join(rows)}</div>'


def _row(bar: Level, following: Level | None, widest: int, what: str) -> str:
    kept, dropped = sum(bar.kept), sum(bar.dropped)
    total = kept + dropped
    share = f" <small>{kept / total:.1%} of {total:,}</small>" if total and bar.reasons else ""
    name = "in the corpus" if bar.stage == "corpus" else bar.stage
    left = f'<span class="left">{kept:,} {what}{" left" if bar.reasons else ""}{share}</span>'
    caption = f'<div class="level"><b>{text(name)}</b> {left}</div>'
    bands = _bands(bar, following, widest) if following else ""
    return (
        f'<div class="stage"><div class="stream">{caption}{_segments(bar, widest)}{bands}</div>'
        f'<ul class="reasons{" many" if len(bar.reasons) > _MANY else ""}">{_reasons(bar, total, what)}</ul></div>'
    )


def _segments(bar: Level, widest: int) -> str:
    pieces = [
        f'<i class="r{n % COLOURS}{kind}" style="width:{100 * count / widest:.4f}%"></i>'
        for kind, counts in (("", bar.kept), (" lost", bar.dropped))
        for n, count in enumerate(counts)
        if count
    ]
    return f'<div class="bar-of">{"".join(pieces)}</div>'


def _bands(bar: Level, following: Level, widest: int) -> str:
    """Return the bands from what left a stage to both parts of the next bar; drawn in a box of 1,000 by 100."""
    scale, shapes = 1000 / widest, list[str]()
    start = 0.0
    kept_at, lost_at = 0.0, float(sum(following.kept))
    for n, count in enumerate(bar.kept):
        parts = (following.kept[n], following.dropped[n])
        total = sum(parts) or 1
        for at, part, kind in ((kept_at, parts[0], ""), (lost_at, parts[1], " lost")):
            if part:
                width = count * part / total  # pieces and changes of characters make the next bar another size
                shapes.append(
                    _band(start * scale, (start + width) * scale, at * scale, (at + part) * scale, f"r{n % COLOURS}{kind}")
                )
                start += width
            elif total == 1:
                start += count
        kept_at, lost_at = kept_at + parts[0], lost_at + parts[1]
    return f'<svg class="bands" viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">{"".join(shapes)}</svg>'


def _band(left: float, right: float, below_left: float, below_right: float, kind: str) -> str:
    down = f"M{left:.2f} 0C{left:.2f} 55 {below_left:.2f} 45 {below_left:.2f} 100"
    up = f"H{below_right:.2f}C{below_right:.2f} 45 {right:.2f} 55 {right:.2f} 0Z"
    return f'<path class="{kind}" d="{down}{up}"/>'


def _reasons(bar: Level, total: int, what: str) -> str:
    order = sorted(bar.reasons, key=lambda name: (-sum(bar.reasons[name]), name))
    largest = max((sum(counts) for counts in bar.reasons.values()), default=1) or 1
    return "".join(_reason(name, bar.reasons[name], total, largest, what) for name in order)


def _reason(name: str, counts: Sequence[int], total: int, largest: int, what: str) -> str:
    number = sum(counts)
    bars = "".join(
        f'<i class="r{n % COLOURS} lost" style="width:{100 * count / largest:.3f}%"></i>'
        for n, count in enumerate(counts)
        if count
    )
    meaning = MEANINGS[DropReason(name)] if name in _REASONS else ""
    link = f'<a href="#documents" data-reason="{name}">{name}</a>' if what == "documents" else name
    why = f'<span class="why">{link} <small class="meaning">{text(meaning)}</small></span>'
    share = f'<span class="number">{number:,} <small>{number / max(1, total):.1%}</small></span>'
    return f'<li title="{escape(meaning)}">{why}{share}<div class="bar-of thin">{bars}</div></li>'
