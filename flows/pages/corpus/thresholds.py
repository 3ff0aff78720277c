"""The thresholds with their histograms and sliders: empty figures that report.js fills, and the data of the sample."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from flows.pages.corpus.beside import quantiles
from flows.pages.elements import packed, section, text
from flows.pages.shown import MEANINGS, visible
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import UNKNOWN_LANGUAGE
from pipelines.review.gather import Review
from pipelines.review.rows import JUDGED_STAGES
from pipelines.review.thresholds import Threshold
from pipelines.rule_thresholds import RuleSets
from pipelines.text.judgement.languages.groups import SCORE_LIMIT, members
from pipelines.text.judgement.rules import signs

SETS = {
    "c4": "C4",
    "gopher": "Gopher, quality",
    "gopher_repetition": "Gopher, repetition",
    "fineweb": "FineWeb",
    "refinedweb": "RefinedWeb",
    "signs": "Signs of no running text",
}
_KEY = (
    '<p class="key"><i class="kept"></i>kept <i class="alone"></i>dropped by this threshold alone <i class="shared"></i>by this'
    ' and others <i class="other"></i>by others. Heights are square roots, so that rare values are seen.</p>'
)
_LANGUAGE, _QUALITY = "language.score_limit", "quality.score"


def thresholds_section(review: Review) -> str:
    """Return the section with all thresholds, those that are off folded; empty if there is no document to judge."""
    if not review.sample.rows.num_rows:
        return ""
    on = {one.set for one in review.thresholds if one.limit is not None}
    groups = [("Scores", _scores(review), True)]
    groups += [(title, _of_set(review, name), True) for name, title in SETS.items() if name in on]
    groups += [(f"{title} (off)", _of_set(review, name), False) for name, title in SETS.items() if name not in on]
    folds = "".join(
        f'<details class="set"{" open" if is_open else ""}><summary>{title}</summary>'
        f'<div class="cards">{"".join(cards)}</div></details>'
        for title, cards, is_open in groups
        if cards
    )
    return section(
        "Thresholds", f"<noscript><p>The thresholds need JavaScript.</p></noscript>{_bar(review)}{folds}", _note(review)
    )


def _note(review: Review) -> str:
    sample = review.sample
    drawn = (
        f"All {sample.documents:,} documents are judged here, so the numbers are exact."
        if sample.is_whole
        else f"Estimated from a sample of {sample.rows.num_rows:,} of {sample.documents:,} documents, kept and dropped for every"
        " reason; rare reasons are drawn more densely, and every document counts for those that it stands for. ± is the 95 %"
        " interval of the sampling."
    )
    return (
        f"Move a threshold and see what would be kept with all thresholds as they are set below. {drawn} What was dropped before"
        " the languages and rules are judged (copies, benchmarks, takedowns, unreadable records) stays dropped. A build may"
        " differ where copies have another survivor or the classifier scores what the rules now drop;"
        " <code>corpusmill tune</code> counts all documents."
    )


def _bar(review: Review) -> str:
    """Return the line with the result, which stays in view, and the sources that are shown."""
    names = sorted(source for source, _, _ in review.fates)
    sources = list(dict.fromkeys(names))
    judged = _judged_sources(review)
    checked = {name: " checked" if name in judged else "" for name in sources}
    boxes = "".join(
        f'<label><input type="checkbox" data-source="{n}"{checked[name]}>{text(name)}</label>' for n, name in enumerate(sources)
    )
    shown = f'<fieldset class="axis shown"><legend>histograms of</legend>{boxes}</fieldset>'
    return (
        '<form class="trial" id="trial" autocomplete="off"><p class="result"><span class="kept"></span>'
        ' <span class="change"></span><button type="button" class="reset" hidden>Reset</button></p>'
        "<details><summary>By source and language, and the lines to write</summary>"
        f'<div class="pair effects"></div></details></form>{shown}{_KEY}'
    )


def _scores(review: Review) -> list[str]:
    cards: list[str] = []
    if review.trial.judgement.language.enabled:
        cards.append(_card(_LANGUAGE, "score of the language", MEANINGS[DropReason.LANGUAGE_UNCERTAIN], "language.score_limit"))
    if not np.isnan(review.values["quality_score"]).all():
        cards.append(_card(_QUALITY, "score of the classifier", MEANINGS[DropReason.LOW_QUALITY], "quality_score"))
    cards += [
        _card(name, f"score of {name.removeprefix('scores.')}", "decides in quality.keep", name)
        for name in review.values
        if name.startswith("scores.")
    ]
    return [*cards, _card("characters", "characters of a text", "", "")]


def _of_set(review: Review, name: str) -> list[str]:
    return [
        _card(one.key, _named(one), MEANINGS[DropReason(one.reason)] if name != "signs" else _of_sign(one), one.key)
        for one in review.thresholds
        if one.set == name
    ]


def _of_sign(one: Threshold) -> str:
    if one.name == signs.LIMIT:
        return "a page with more signs is dropped"
    return "a page with so many is kept whatever its signs" if one.name == signs.ENOUGH else "a sign; several drop a page"


def _named(one: Threshold) -> str:
    way, _, what = one.name.partition("_")
    words = re.sub(r"(\d)gram", r"\1-gram", what.replace("_", " "))
    return {"min": f"{words}, at least", "max": f"{words}, at most"}.get(way, f"{way} {words}")


def _card(key: str, title: str, meaning: str, code: str) -> str:
    shown = f"<code>{escape(code)}</code>" if code else ""
    note = f'<small class="meaning">{escape(meaning)}</small>' if meaning else ""
    return (
        f'<figure class="card" data-key="{escape(key)}"><figcaption><b>{escape(title)}</b>'
        f'<label class="switch" hidden><input type="checkbox" class="on">on</label></figcaption>{shown}{note}'
        '<svg class="plot" role="img"></svg>'
        f'<div class="slide" hidden><input type="range" min="0" max="1000" step="1" aria-label="threshold of {escape(title)}">'
        f'<input type="number" class="exact" step="any" aria-label="exact threshold of {escape(title)}"></div>'
        '<p class="effect"></p><details class="around"><summary>Documents around it</summary><div></div></details></figure>'
    )


# The data


def data(review: Review, other: Review | None = None) -> dict[str, Any]:
    """Return the sample and the thresholds for the page's script, and the values of another build."""
    rows = review.sample.rows
    fates = sorted(review.fates)
    sources = list(dict.fromkeys(source for source, _, _ in fates))
    codes = [code or UNKNOWN_LANGUAGE for code in rows["language"].to_pylist()]
    languages = sorted(set(codes))
    drawn = np.bincount(rows["fate"].to_numpy(), minlength=len(fates)) if rows.num_rows else np.zeros(len(fates), int)
    columns, numbers = _columns(review.values)
    return {
        "documents": review.sample.documents,
        "whole": review.sample.is_whole,
        "judged": list(JUDGED_STAGES),
        "default_sets": sorted(RuleSets().thresholds()),
        "sources": [visible(name) for name in sources],
        "exempt": [sources.index(name) for name in sorted(review.trial.exempt) if name in sources],
        "languages": languages,
        "fates": [
            [sources.index(source), stage, reason, review.fates[source, stage, reason], int(drawn[n])]
            for n, (source, stage, reason) in enumerate(fates)
        ],
        "fate": packed(rows["fate"].to_numpy(), "<u2"),
        "language": packed(np.array([languages.index(code) for code in codes]), "<u2"),
        "fixed": packed(np.array([reason is not None for reason in review.fixed]), "u1"),
        "language_limits": packed(review.language_limits, "<f4"),
        "columns": columns,
        "thresholds": _thresholds(review, numbers, languages),
        "examples": _examples(review),
        "other": {} if other is None else quantiles(other, _judged_sources(other)),
    }


def _judged_sources(review: Review) -> list[str]:
    """Return the sources that the rules judge; all, if they judge none."""
    sources = sorted({source for source, _, _ in review.fates})
    return [name for name in sources if name not in review.trial.exempt] or sources


def _columns(values: Mapping[str, Any]) -> tuple[list[str], dict[str, int]]:
    """Return the distinct columns, and the number of the column of each value."""
    known: dict[str, int] = {}
    numbers = {key: known.setdefault(packed(column, "<f4"), len(known)) for key, column in values.items()}
    return list(known), numbers


def _thresholds(review: Review, numbers: Mapping[str, int], languages: Sequence[str]) -> list[dict[str, Any]]:
    found = [
        {
            "key": one.key,
            "kind": "sign"
            if one.set == "signs" and one.name not in (signs.LIMIT, signs.ENOUGH)
            else one.name
            if one.set == "signs"
            else "rule",
            "place": f"quality.rules.{one.set}",
            "name": one.name,
            "broken": one.broken,
            "reason": one.reason,
            "limit": one.limit,
            "published": one.published,
            "by": {str(languages.index(code)): limit for code, limit in one.by_language.items() if code in languages},
            "column": numbers.get(one.key),
        }
        for one in review.thresholds
    ]
    return [*found, *_score_thresholds(review, numbers, languages)]


def _score_thresholds(review: Review, numbers: Mapping[str, int], languages: Sequence[str]) -> list[dict[str, Any]]:
    language = review.trial.judgement.language
    own = {code for group in language.score_limits for code in (group, *members(group))}
    blank = {"broken": "below", "by": {}, "published": None}
    found: list[dict[str, Any]] = [{**blank, "key": "characters", "kind": "measure", "column": numbers["characters"]}]
    if language.enabled:
        limit = SCORE_LIMIT if language.score_limit is None else language.score_limit
        place = {"key": _LANGUAGE, "kind": "language", "place": "language", "name": "score_limit", "reason": "language_uncertain"}
        owners = [n for n, code in enumerate(languages) if code in own]
        found.append({**blank, **place, "limit": limit, "column": numbers["language_score"], "own": owners})
    place = {"kind": "quality", "place": "quality", "name": "keep", "reason": "low_quality"}
    found.append({**blank, **place, "key": _QUALITY, "limit": review.trial.score_limit, "column": numbers["quality_score"]})
    scores = [name for name in numbers if name.startswith("scores.")]
    return [*found, *({**blank, "key": name, "kind": "measure", "column": numbers[name]} for name in scores)]


def _examples(review: Review) -> list[list[Any]]:
    details = review.sample.rows["detail"].to_pylist()
    return [
        [one.row, visible(one.title), visible(one.url), visible(one.text), int(one.is_cut), visible(details[one.row] or "", 200)]
        for one in review.excerpts
    ]
