"""Drop documents that break a quality rule (the stage `rules` has applied them), then those that are scored low.

Scores are those of the build's classifier and of the models that the config names; `quality.keep` is an expression over them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import MACHINE, QualitySection
from pipelines.contract import files
from pipelines.contract.batch import Batch, sift, with_columns
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import SCORE
from pipelines.stages.base import BatchFunction, ForUnit, Model, Stage
from pipelines.text.judgement import models
from pipelines.text.judgement.models import QualityModelError, Scorer
from pipelines.text.judgement.rules.expression import Expression

VERSION = f"4/models-{models.VERSION}"
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
    load: Callable[[], Classifier | None],
    fingerprint: str,
    section: QualitySection,
    curated: frozenset[str] = frozenset(),
    found: Sequence[Model] = (),
) -> Stage:
    """Return the stage; `load` opens the classifier dataset of this fingerprint. `curated` sources are not scored.

    `found` are the files of `section.models`.
    """
    settings = {
        NAME: section.model_dump(mode="json", exclude=MACHINE["quality"]),
        "curated": sorted(curated),
        "classifier": fingerprint,
        "quality_models": [model.sha256 for model in found],
    }
    return Stage({NAME: VERSION}, partial(_open, load, section, curated, tuple(found)), settings)


def _open(
    load: Callable[[], Classifier | None], section: QualitySection, curated: frozenset[str], found: Sequence[Model]
) -> ForUnit:
    classifier = load()
    scorers = opened(section, found)
    score_documents = scoring(scorers, section.keep)

    def for_unit(source: str, _unit: str) -> BatchFunction:
        judge = filtering(None if source in curated else classifier)
        if source in curated or not (scorers or section.keep):
            return judge
        return lambda batch: score_documents(judge(batch))

    return for_unit


def model_files(section: QualitySection) -> list[Model]:
    """Return the files of `section.models`. Raise QualityModelError if one is missing or is not the one that the config pins."""
    found: list[Model] = []
    for model in section.models:
        sha256 = models.sha256_of(model.path) if files.is_local(model.path) else files.sha256(model.path)
        if model.sha256 not in (None, sha256):
            raise QualityModelError(
                f"{model.path}: is not the model that quality.models.sha256 pins (sha256 {sha256[:12]}…, wanted"
                f" {str(model.sha256)[:12]}…); fetch it again, or correct the hash"
            )
        found.append(Model(model.path, sha256))
    return found


def check_models(section: QualitySection) -> None:
    """Raise QualityModelError if a model of the config cannot be used."""
    opened(section, model_files(section))


def opened(section: QualitySection, found: Sequence[Model]) -> dict[str, Scorer]:
    """Load the models of the config; return their scorers by name. Raise QualityModelError if one cannot be used."""
    return {
        model.name: models.load(file.local(), model.labels, model.characters)
        for model, file in zip(section.models, found, strict=True)
    }


def scoring(scorers: Mapping[str, Scorer], keep: str | None) -> BatchFunction:
    """Fill `scores`, and sift LOW_QUALITY where the expression `keep` is false (detail: scores, and the measures it names)."""
    names = ("quality_score", *scorers)
    expression = Expression(keep, names) if keep is not None else None

    def run(batch: Batch) -> Batch:
        documents = batch.documents
        columns = [scorer(documents["text"]) for scorer in scorers.values()]
        if columns:
            documents = with_columns(documents, scores=_listed(list(scorers), columns))
            batch = replace(batch, documents=documents)
        if expression is None:
            return batch
        measured = documents["measures"].flatten()
        fields = [*(field.name for field in documents["measures"].type), *names]
        values = pa.StructArray.from_arrays([*measured, documents["quality_score"], *columns], names=fields)
        low = pc.if_else(pc.fill_null(expression.keeps(values), True), _NONE, DropReason.LOW_QUALITY.value)
        return sift(batch, NAME, low, _named(values, dict.fromkeys((*names, *expression.names))))

    return run


def _named(values: pa.StructArray, names: Iterable[str]) -> pa.Array:
    """Return "name value, name value" for each row, without the values that are null."""
    parts = [pc.binary_join_element_wise(name, shown(values.field(name)), " ") for name in names]
    known = [part for part in parts if part.null_count < len(part)]  # pyarrow joins an array of nulls alone to a single row
    return pc.binary_join_element_wise(*known, ", ", null_handling="skip") if known else pa.nulls(len(values), pa.string())


def _listed(names: Sequence[str], columns: Sequence[pa.Array]) -> pa.Array:
    """Return a list of (model, score) for each document."""
    rows = len(columns[0])
    models = pa.array(list(names) * rows, pa.string())
    scores = pa.array(np.stack([column.to_numpy() for column in columns], axis=1).reshape(-1))
    items = pa.StructArray.from_arrays([models, scores], fields=list(SCORE))
    offsets = pa.array(np.arange(rows + 1) * len(names), pa.int32())
    return pa.ListArray.from_arrays(offsets, items, type=pa.list_(pa.field("item", SCORE, nullable=False)))


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


_NONE = pa.scalar(None, pa.string())


def shown(values: pa.Array) -> pa.Array:
    """Return measured values as a drop's detail shows them."""
    return pc.round(values.cast(pa.float64()), 4).cast(pa.string())
