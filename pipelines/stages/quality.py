"""Drops what breaks a quality rule (judged before), then what the classifier scores low."""

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import QualitySection
from pipelines.contract.batch import Batch, Stage, sift, with_columns
from pipelines.contract.reasons import DropReason

VERSION = 1
NAME = "quality"


def stage(section: QualitySection, score: Callable[[pa.StringArray], pa.Array] | None, threshold: float | None) -> Stage:
    """Sift by the `rule` column (detail: the measured value); with a classifier, fill `quality_score` and sift LOW_QUALITY.

    Which rules were asked, `judge` decided by the same section. Give no `score` for curated sources, and while the
    classifier is off.
    """
    assert (score is None) == (threshold is None), "a classifier and its threshold come together"

    def run(batch: Batch) -> Batch:
        batch = sift(batch, NAME, batch.documents["rule"], _shown(batch.documents["rule_value"]))
        if score is None:
            return batch
        scores = score(batch.documents["text"]).cast(pa.float32())
        batch = replace(batch, documents=with_columns(batch.documents, quality_score=scores))
        low = pc.if_else(pc.less(scores, threshold), DropReason.LOW_QUALITY.value, pa.scalar(None, pa.string()))
        return sift(batch, NAME, low, _shown(scores))

    return run


def _shown(values: pa.Array) -> pa.Array:
    return pc.round(values.cast(pa.float64()), 4).cast(pa.string())
