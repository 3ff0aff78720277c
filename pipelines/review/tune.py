"""What other thresholds would change: every document of a build judged again by its stored columns, counted and shown.

Limits: those of a trial (trial.py). Where a share of scores ends, and the classifier's threshold for another
`quality.keep_share`, are found again on the documents that have a score; a build finds the latter on documents that it holds out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import PrivateSection
from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.schema import UNKNOWN_LANGUAGE, sampling_key
from pipelines.contract.tables import read_batches
from pipelines.review import excerpts
from pipelines.review.excerpts import Excerpt
from pipelines.review.rows import UNSHOWN, Rows, parts, read
from pipelines.review.trial import COLUMNS, Trial, changed, full, score
from pipelines.text.judgement.rules import shares
from pipelines.units.context import Dataset

_JUDGED = (  # what a trial can change; the rest of a config needs a build
    *("quality.rules", "quality.rules_by_language", "quality.rules_for", "quality.own", "quality.keep", "quality.keep_share"),
    *("language.keep", "language.score_limit", "language.score_limits", "language.mixed"),
)
_SUMS = ("kept", "would", "gained", "lost", "characters_gained", "characters_lost")


class TuneError(UserError):
    """A change that cannot be tried on stored columns; the message has the fix."""


@dataclass(slots=True)
class Tuned:
    """What changes, as rows of plain values."""

    totals: dict[str, int]  # kept, would (be kept), gained, lost: documents; characters, characters_gained, characters_lost
    groups: list[dict[str, Any]]  # the same by source and language, those that change most first
    gained: list[dict[str, Any]]  # documents and characters by the reason for which they had been dropped
    lost: list[dict[str, Any]]  # and by the reason for which they would be dropped
    unscored: int  # gained documents without a score of the classifier, which a build may drop for theirs
    survivors: int  # lost documents of which copies were dropped: a build may keep a copy that passes
    examples: dict[str, list[tuple[dict[str, Any], Excerpt]]] = field(default_factory=dict)  # "gained" and "lost"


def check(changes: Sequence[str], config: Mapping[str, Any]) -> None:
    """Raise TuneError for a change that stored columns cannot show."""
    if not changes:
        raise TuneError("name what to change, such as gopher.min_words=30, language.score_limit=0.5 or 'keep=dclm > 0.02'")
    for change in changes:
        key = full(change).partition("=")[0]
        if not any(key == name or key.startswith(f"{name}.") for name in _JUDGED):
            raise TuneError(f"{change}: only a build shows what {key} changes; here are tried {', '.join(_JUDGED)}")
    mixed = changed(config, changes)["language"]["mixed"]
    if mixed == "cut" != config["language"]["mixed"]:
        raise TuneError('language.mixed="cut": what would be cut is not known; build the corpus with it')


def tune(corpus: Dataset, classifier: Dataset | None, clusters: Dataset | None, changes: Sequence[str], examples: int) -> Tuned:
    """Judge all documents again after `changes` (`section.key=value`), with this many examples of what is gained and lost."""
    check(changes, corpus.manifest.config)
    trial = _with_limits(corpus, Trial.of(corpus, classifier, changes), changes)
    tally = _Tally(examples)
    for rows in read(corpus, list(dict.fromkeys(("id", "detail", *COLUMNS)))):
        if len(rows):
            tally.add(rows, trial)
    return tally.tuned(corpus, clusters, trial)


def _with_limits(corpus: Dataset, trial: Trial, changes: Sequence[str]) -> Trial:
    """Return the trial with the limits of shares, and the classifier's threshold, that its settings give."""
    recorded, quality = corpus.manifest.config["quality"], trial.judgement.quality
    if trial.score_limit is not None and quality.keep_share != recorded["keep_share"]:
        scores = np.sort(np.concatenate([batch["quality_score"].drop_null().to_numpy() for batch in _scored(corpus, trial)]))
        limit = float(scores[int((1 - quality.keep_share) * len(scores))]) if len(scores) else trial.score_limit
        trial = replace(trial, score_limit=limit)
    found: dict[str, Mapping[str, float]] = {}
    for share in quality.shares:
        columns = [(_column(batch, share.score), batch["language"]) for batch in _scored(corpus, trial)]
        values, languages = (pa.concat_arrays([pair[n] for pair in columns]) for n in (0, 1)) if columns else (None, None)
        limits = shares.limits(values, languages, share) if columns else {}
        found[share.name] = {code: limit.value for code, limit in limits.items()}
    return replace(trial, shares=found)


def _scored(corpus: Dataset, trial: Trial) -> Iterator[Mapping[str, Any]]:
    """Yield the columns of the documents that pass language and rules and are no copies, without those of curated sources."""
    for rows in read(corpus, COLUMNS):
        columns = rows.columns
        reached = pc.or_(pc.is_null(columns["stage"]), pc.is_in(columns["stage"], pa.array(["quality", "private"])))
        passes = pc.and_(pc.is_null(trial.of_language(columns)), pc.is_null(trial.of_rules(columns)))
        curated = pc.is_in(columns["source"], pa.array(sorted(trial.judgement.curated), pa.string()))
        chosen = pc.and_(pc.and_(reached, passes), pc.invert(curated))
        yield {name: columns[name].filter(chosen) for name in ("quality_score", "scores", "language")}


def _column(columns: Mapping[str, Any], name: str) -> pa.Array:
    return columns["quality_score"] if name == "quality_score" else score(columns["scores"], name)


@dataclass(slots=True)
class _Tally:
    """Counts of what changes, and the examples whose ids hash lowest."""

    most: int
    held: list[pa.Table] = field(default_factory=list)
    lost_ids: list[pa.Array] = field(default_factory=list)
    unscored: int = 0
    shown: dict[str, list[tuple[float, dict[str, Any]]]] = field(default_factory=lambda: {"gained": [], "lost": []})

    def add(self, rows: Rows, trial: Trial) -> None:
        """Count a batch."""
        columns = dict(rows.columns)
        outcomes = trial.outcomes(columns)
        was, now = pc.is_null(columns["stage"]), pc.is_null(outcomes)
        gained, lost = pc.and_(now, pc.invert(was)), pc.and_(was, pc.invert(now))
        self.held.append(_grouped(columns, outcomes, was, now, gained, lost))
        self.lost_ids.append(columns["id"].filter(lost))
        if trial.score_limit is not None:
            judged = pc.invert(pc.is_in(columns["source"], pa.array(sorted(trial.judgement.curated), pa.string())))
            self.unscored += pc.sum(pc.and_(pc.and_(gained, judged), pc.is_null(columns["quality_score"]))).as_py() or 0
        for name, mask, reasons in (("gained", gained, columns["reason"]), ("lost", lost, outcomes)):
            self._show(name, rows, mask, reasons)

    def _show(self, name: str, rows: Rows, mask: pa.Array, reasons: pa.Array) -> None:
        """Keep the lowest hashes of the documents that change."""
        hidden = pc.is_in(pc.fill_null(rows.columns["reason"], ""), pa.array(sorted(UNSHOWN)))
        at = np.flatnonzero(pc.and_(mask, pc.invert(hidden)).to_numpy(zero_copy_only=False))
        keys = sampling_key(rows.columns["id"])[at]
        for place in np.argsort(keys, kind="stable")[: self.most].tolist():
            row = int(at[place])
            facts = {key: rows.columns[key][row].as_py() for key in ("source", "language", "characters")}
            facts |= {"id": rows.columns["id"][row].as_py().hex(), "reason": reasons[row].as_py()}
            self.shown[name].append((float(keys[place]), {**facts, "place": (rows.part, rows.group, row)}))
        self.shown[name] = sorted(self.shown[name], key=lambda entry: (entry[0], entry[1]["id"]))[: self.most]

    def tuned(self, corpus: Dataset, clusters: Dataset | None, trial: Trial) -> Tuned:
        """Return everything that was counted."""
        table = pa.concat_tables(self.held) if self.held else None
        groups = _sums(table, ("source", "language")) if table is not None else []
        groups.sort(key=lambda row: (-(row["gained"] + row["lost"]), row["source"], row["language"]))
        totals = {name: sum(row[name] for row in groups) for name in (*_SUMS, "characters")}
        by_reason = {
            what: sorted(
                (row for row in _sums(table, (reason,)) if row[what]) if table is not None else (),
                key=lambda row: (-row[what], row[reason]),
            )
            for what, reason in (("gained", "before"), ("lost", "after"))
        }
        lost = pa.chunked_array(self.lost_ids, pa.binary(16)).combine_chunks()
        private = PrivateSection.model_validate(corpus.manifest.config["private"])
        examples = {name: _read(corpus, [facts for _, facts in found], private) for name, found in self.shown.items()}
        survivors = _survivors(clusters, lost)
        return Tuned(totals, groups, by_reason["gained"], by_reason["lost"], self.unscored, survivors, examples)


def _grouped(columns: Mapping[str, Any], outcomes: Any, was: Any, now: Any, gained: Any, lost: Any) -> pa.Table:
    """Return the counts of a batch by source, language, and the reasons before and after."""
    characters = columns["characters"]
    flags = dict(zip(_SUMS, (was, now, gained, lost, gained, lost), strict=True))
    numbers = {
        name: pc.multiply(mask.cast(pa.int64()), characters if name.startswith("characters") else 1)
        for name, mask in flags.items()
    }
    numbers["characters"] = pc.multiply(was.cast(pa.int64()), characters)
    keys = {
        "source": columns["source"],
        "language": pc.fill_null(columns["language"], UNKNOWN_LANGUAGE),
        "before": pc.fill_null(columns["reason"], ""),
        "after": pc.fill_null(outcomes, ""),
    }
    grouped = pa.table({**keys, **numbers}).group_by(list(keys), use_threads=False)
    summed = grouped.aggregate([(name, "sum") for name in numbers])
    return summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])


def _sums(table: pa.Table, keys: Sequence[str]) -> list[dict[str, Any]]:
    names = (*_SUMS, "characters")
    summed = table.group_by(list(keys), use_threads=False).aggregate([(name, "sum") for name in names])
    return summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names]).to_pylist()


def _survivors(clusters: Dataset | None, lost: pa.Array) -> int:
    """Return how many of the lost documents are survivors of copies."""
    if clusters is None or not len(lost):
        return 0
    found = pa.array([], pa.binary(16))
    for part in clusters.manifest.of("clusters"):
        for rows in read_batches(files.join(clusters.uri, part.path), ["survivor"]):
            survivors = rows["survivor"].filter(pc.is_in(rows["survivor"], value_set=lost))
            found = pc.unique(pa.concat_arrays([found, survivors]))
    return len(found)


def _read(corpus: Dataset, facts: Sequence[dict[str, Any]], private: PrivateSection) -> list[tuple[dict[str, Any], Excerpt]]:
    shown = excerpts.at(parts(corpus), [one.pop("place") for one in facts], private)
    return list(zip(facts, shown, strict=True))
