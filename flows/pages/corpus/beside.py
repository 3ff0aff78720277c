"""Another build beside this one: their numbers, what each kept and dropped, and how their configs and versions differ."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flows.pages import figures
from flows.pages.corpus.made import DEFAULTS, BuildFacts, flat
from flows.pages.elements import packed, section, table, text
from pipelines.review.gather import Review
from pipelines.review.rows import JUDGED_STAGES

QUANTILES = 400  # of the other build's values, from which its histograms are drawn
_SHOWN = 60  # languages and reasons
_NOTHING = "·"

Counts = Mapping[tuple[str, ...], int]


def beside_section(this: BuildFacts, other: BuildFacts) -> str:
    """Return the section that compares two builds; differences are those of this one from the other."""
    names = ("", "this build", "the other", "difference", "")
    counted = [
        table(names, _numbers(this, other), numbers=(1, 2, 3)),
        _compared("kept, by source", _kept(this.report), _kept(other.report)),
        _compared("kept, by language", _languages(this.review), _languages(other.review)),
        _compared("dropped, by stage and reason", _dropped(this.report), _dropped(other.report)),
    ]
    settings = [
        _settings("config", "The configs", _config(this, other), _config(other, this)),
        _settings("versions of stages", "The versions of the stages", _versions(this), _versions(other)),
    ]
    note = (
        f"The other is {text(other.report['corpus'])}, {other.report['fingerprints'].get('corpus', '')[:12]}"
        + (f", built {other.made.finished[:10]}" if other.made.finished else "")
        + ". In the histograms below, its documents are a line."
    )
    beside = "".join(f"<div>{made}</div>" for made in counted if made)
    return section("Beside another build", f'<div class="pair">{beside}</div>{"".join(settings)}', note)


def _numbers(this: BuildFacts, other: BuildFacts) -> list[list[str]]:
    rows: list[tuple[str, float, float]] = []
    one, two = _figures(this), _figures(other)
    for name in dict.fromkeys((*one, *two)):
        rows.append((name, one.get(name, 0), two.get(name, 0)))
    return [[name, *_cells(first, second)] for name, first, second in rows]


def _figures(build: BuildFacts) -> dict[str, float]:
    report = build.report
    rows = figures.funnel(report)
    found = next(sum(counts) for _, what, counts in rows if what == "documents found")
    kept, characters = (sum(counts) for stage, _, counts in rows if stage == "corpus")
    removed = figures.removed_by_source(report)
    types, masks = figures.masks(report)
    tokens: dict[str, float] = {}
    for row in figures.tokens(report):
        tokens[f"tokens, {row.vocabulary}"] = tokens.get(f"tokens, {row.vocabulary}", 0) + row.tokens
    return {
        "documents found": found,
        "documents kept": kept,
        "characters kept": characters,
        **tokens,
        **({"copies removed": removed[-1].removed} if removed else {}),
        **({"masks": sum(masks[-1][1])} if types else {}),
        **({"seconds": round(sum(build.made.seconds.values()))} if build.made.seconds else {}),
    }


def _cells(first: float, second: float) -> list[str]:
    """Return both numbers, their difference, and it as a share of the other."""
    difference = first - second
    shown = f"{difference:+,}".replace("-", "−") if difference else _NOTHING
    share = f"{difference / second:+.1%}".replace("-", "−") if second and difference else ""
    share = f"× {first / second:,.1f}" if second and first > 10 * second else share
    return [f"{first:,}", f"{second:,}", shown, share]


def _kept(report: Mapping[str, Any]) -> Counts:
    return {(source,): lines[-1]["documents_out"] if lines else 0 for source, lines in report["funnel"].items()}


def _dropped(report: Mapping[str, Any]) -> Counts:
    counts: dict[tuple[str, ...], int] = {}
    for lines in report["funnel"].values():
        for line in lines:
            for reason, number in line["documents_dropped"].items():
                counts[line["stage"], reason] = counts.get((line["stage"], reason), 0) + number
    return counts


def _languages(review: Review) -> Counts:
    counts: dict[tuple[str, ...], int] = {}
    for row in review.counter.languages.table().to_pylist():
        counts[(row["language"],)] = counts.get((row["language"],), 0) + row["kept"]
    return {key: number for key, number in counts.items() if number}


def _compared(title: str, one: Counts, two: Counts) -> str:
    """Return the counts of both, those that differ most first."""
    keys = sorted({*one, *two}, key=lambda key: (-abs(one.get(key, 0) - two.get(key, 0)), key))[:_SHOWN]
    cells = [[" ".join(text(part) for part in key), *_cells(one.get(key, 0), two.get(key, 0))] for key in keys]
    return table((title, "this build", "the other", "difference", ""), cells, numbers=(1, 2, 3), kind="sortable")


def _config(build: BuildFacts, other: BuildFacts) -> dict[str, str]:
    """Return the settings of a build; sources and vocabularies that the other build has not are one setting each.

    A default that the other build's release of the program did not know is left out.
    """
    one, two = (flat(one.built["corpus"].manifest.config) for one in (build, other))
    known = {_entry(key) for key in two}
    settings: dict[str, str] = {}
    for key, value in one.items():
        if key.startswith(_LISTS) and _entry(key) not in known:
            settings[_entry(key)] = "…"
        elif key in two or value not in (DEFAULTS.get(key, "none"), "[]"):
            settings[key] = value
    return settings


_LISTS = ("sources.", "vocabularies.")


def _entry(key: str) -> str:
    return ".".join(key.split(".")[:2])


def _versions(build: BuildFacts) -> dict[str, str]:
    return {name: str(value) for name, value in build.built["corpus"].manifest.made_from.get("versions", {}).items()}


def _settings(title: str, subject: str, one: Mapping[str, str], two: Mapping[str, str]) -> str:
    """Return the settings that differ."""
    keys = [key for key in dict.fromkeys((*one, *two)) if one.get(key) != two.get(key)]
    cells = [[f"<code>{text(key)}</code>", *(_setting(of.get(key)) for of in (one, two))] for key in keys]
    if not cells:
        return f"<p class=note>{subject} are the same.</p>"
    return f'<p></p><div class="config">{table((title, "this build", "the other"), cells, kind="sortable")}</div>'


def _setting(value: str | None) -> str:
    return _NOTHING if value is None else f"<code>{text(value)}</code>"


# The other build's values for the histograms


def quantiles(review: Review, sources: Sequence[str]) -> dict[str, Any]:
    """Return, of the documents of these sources that are judged, their number and the quantiles of each value, packed."""
    rows = review.sample.rows
    stages = [stage is None or stage in JUDGED_STAGES for stage in rows["stage"].to_pylist()]
    chosen = np.array(stages, np.bool_) & np.isin(np.array(rows["source"].to_pylist(), object), list(sources))
    weights = review.sample.weights
    return {
        key: [float(weights[known].sum()), packed(_quantiles(values[known], weights[known]), "<f4")]
        for key, values in review.values.items()
        if (known := chosen & ~np.isnan(values)).any()
    }


def _quantiles(values: Any, weights: Any) -> Any:
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    at = np.searchsorted(sums, (np.arange(QUANTILES) + 0.5) / QUANTILES * sums[-1])
    return values[order][np.minimum(at, len(values) - 1)]
