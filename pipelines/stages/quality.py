"""Drop documents that break a quality rule (the stage `rules` has applied them), then those that the classifier scores low."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import MACHINE, QualitySection
from pipelines.contract.batch import Batch, sift, with_columns
from pipelines.contract.reasons import DropReason
from pipelines.stages.base import BatchFunction, ForUnit, Stage

VERSION = 2
NAME = "quality"


class Classifier(Protocol):
    """The part of a classifier that this stage uses."""

    @property
    def languages(self) -> frozenset[str]:
        """The languages that it was trained on."""
        ...

    @property
    def threshold(self) -> float:
        """The lowest score of a document that is kept."""
        ...

    def score(self, documents: pa.RecordBatch) -> pa.Array:
        """Return scores in 0..1 of documents in these languages."""
        ...


def stage(
    load: Callable[[], Classifier | None], fingerprint: str, section: QualitySection, curated: frozenset[str] = frozenset()
) -> Stage:
    """Return the stage; `load` opens the classifier dataset of this fingerprint. `curated` sources are not scored."""
    settings = {
        NAME: section.model_dump(mode="json", exclude=MACHINE["quality"]),
        "curated": sorted(curated),
        "classifier": fingerprint,
    }
    return Stage({NAME: VERSION}, partial(_open, load, curated), settings)


def _open(load: Callable[[], Classifier | None], curated: frozenset[str]) -> ForUnit:
    classifier = load()
    return lambda source, _unit: filtering(None if source in curated else classifier)


def filtering(classifier: Classifier | None) -> BatchFunction:
    """Sift by the `rule` column (detail: the measured value); with a classifier, fill `quality_score` and sift LOW_QUALITY.

    The classifier is None for curated sources and if it is off. Documents in languages that it was not trained on are kept
    without a score.
    """

    def run(batch: Batch) -> Batch:
        batch = sift(batch, NAME, *reasons(batch.documents))
        if classifier is None:
            return batch
        known = pc.is_in(batch.documents["language"], pa.array(sorted(classifier.languages), pa.string()))
        scored = classifier.score(batch.documents.filter(known)).cast(pa.float32())
        scores = pc.replace_with_mask(pa.nulls(len(known), pa.float32()), known, scored)
        batch = replace(batch, documents=with_columns(batch.documents, quality_score=scores))
        threshold = classifier.threshold
        low = pc.if_else(pc.less(scores, threshold), DropReason.LOW_QUALITY.value, pa.scalar(None, pa.string()))
        return sift(batch, NAME, low, shown(scores))

    return run


def reasons(documents: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
    """Return the DropReason of the rule that each document breaks, and the measured value or the own rule's name."""
    parts = pc.split_pattern(documents["rule"], ":", max_splits=1)
    own = pc.replace_substring_regex(documents["rule"], "^[^:]*:?", "")
    return pc.list_element(parts, 0), pc.coalesce(shown(documents["rule_value"]), own)


def shown(values: pa.Array) -> pa.Array:
    """Return measured values as a drop's detail shows them."""
    return pc.round(values.cast(pa.float64()), 4).cast(pa.string())
