"""Drops what breaks a quality rule (judged before), then what the classifier scores low."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.batch import Batch, Stage, sift, with_columns
from pipelines.contract.reasons import DropReason

VERSION = 1
NAME = "quality"


class Classifier(Protocol):
    """What this stage asks of a classifier."""

    @property
    def languages(self) -> frozenset[str]:
        """The languages that it has learned."""
        ...

    @property
    def threshold(self) -> float:
        """Keep a document that scores at least this much."""
        ...

    @property
    def score(self) -> Callable[[pa.StringArray], pa.Array]:
        """From texts to scores in 0..1."""
        ...


def stage(classifier: Classifier | None) -> Stage:
    """Sift by the `rule` column (detail: the measured value); with a classifier, fill `quality_score` and sift LOW_QUALITY.

    Which rules were asked, `judge` has decided. The classifier is None for curated sources, and while it is off; documents
    in languages that it has not learned are not scored, and stay.
    """

    def run(batch: Batch) -> Batch:
        batch = sift(batch, NAME, batch.documents["rule"], _shown(batch.documents["rule_value"]))
        if classifier is None:
            return batch
        known = pc.is_in(batch.documents["language"], pa.array(sorted(classifier.languages), pa.string()))
        scored = classifier.score(batch.documents["text"].filter(known)).cast(pa.float32())
        scores = pc.replace_with_mask(pa.nulls(len(known), pa.float32()), known, scored)
        batch = replace(batch, documents=with_columns(batch.documents, quality_score=scores))
        threshold = classifier.threshold
        low = pc.if_else(pc.less(scores, threshold), DropReason.LOW_QUALITY.value, pa.scalar(None, pa.string()))
        return sift(batch, NAME, low, _shown(scores))

    return run


def _shown(values: pa.Array) -> pa.Array:
    return pc.round(values.cast(pa.float64()), 4).cast(pa.string())
