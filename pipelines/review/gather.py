"""Everything that the report's page shows of the documents of a build, in one pass over their columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.config import PrivateSection
from pipelines.contract.schema import UNKNOWN_LANGUAGE
from pipelines.review import counts, excerpts, sample, thresholds
from pipelines.review.counts import Counter
from pipelines.review.excerpts import Excerpt
from pipelines.review.rows import Fate, fates, parts, read
from pipelines.review.sample import Drawer, Sample
from pipelines.review.thresholds import Threshold
from pipelines.review.trial import Trial, score
from pipelines.text.judgement.rules.rule import Values
from pipelines.units.context import Dataset

VERSION = 1  # a page is written again if it was made by another


@dataclass(frozen=True, slots=True)
class Review:
    """A corpus as its columns show it."""

    fates: Mapping[Fate, int]
    counter: Counter
    sample: Sample
    trial: Trial
    thresholds: Sequence[Threshold]
    # Of the sample's documents, by threshold; also language_score, quality_score, models, characters.
    values: Mapping[str, Values]
    language_limits: NDArray[np.float64]  # of the sample's documents
    fixed: Sequence[str | None]  # of the sample's documents: a reason to drop it that has no threshold
    outcomes: Sequence[str | None]  # of the sample's documents, judged again: the reason, or None if kept
    excerpts: Sequence[Excerpt]


def gather(corpus: Dataset, classifier: Dataset | None) -> Review:
    """Read the columns of a corpus once, and some texts."""
    counted = fates(corpus)
    counter, drawer = Counter(), Drawer(counted)
    for rows in read(corpus, list(dict.fromkeys((*counts.COLUMNS, *sample.COLUMNS)))):
        if len(rows):
            counter.add(rows)
            drawer.add(rows)
    drawn, trial = drawer.finish(), Trial.of(corpus, classifier)
    described = thresholds.thresholds(trial.judgement.quality)
    columns = {name: drawn.rows[name].combine_chunks() for name in drawn.rows.column_names}
    found = _values(columns, trial)
    limits = np.array([_language_limit(trial, code) for code in columns["language"].to_pylist()], np.float64)
    shown = excerpts.choose(drawn, _limits(described, found, trial))
    private = PrivateSection.model_validate(corpus.manifest.config["private"])
    return Review(
        counted,
        counter,
        drawn,
        trial,
        described,
        found,
        limits,
        trial.without_numbers(columns).to_pylist(),
        trial.outcomes(columns).to_pylist(),
        excerpts.read(parts(corpus), drawn, shown, private),
    )


def _values(columns: Mapping[str, Any], trial: Trial) -> dict[str, Values]:
    found = dict(thresholds.values(columns["measures"]))
    found["language_score"], found["quality_score"] = (_floats(columns[name]) for name in ("language_score", "quality_score"))
    for name in trial.judgement.quality.score_names:
        found[f"scores.{name}"] = _floats(score(columns["scores"], name))
    found["characters"] = _floats(columns["characters"])
    return found


def _floats(column: Any) -> Values:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _language_limit(trial: Trial, code: str | None) -> float:
    return trial.judgement.language.limit_of(code or UNKNOWN_LANGUAGE)


def _limits(described: Sequence[Threshold], found: Mapping[str, Values], trial: Trial) -> list[tuple[Values, float | None]]:
    """Return the values with the limits around which documents are shown; a rule that is off is shown at its published limit."""
    limits: list[tuple[Values, float | None]] = [
        (found[one.key], one.limit if one.limit is not None else one.published) for one in described if one.key in found
    ]
    language = trial.judgement.language
    limits.append((found["language_score"], language.score_limit if language.score_limit is not None else 0.65))
    return [*limits, (found["quality_score"], trial.score_limit), (found["characters"], None)]
