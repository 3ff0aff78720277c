"""Drop documents that break a quality rule (the stage `rules` has applied them), then those that are scored low.

Scores are those of the build's classifier and of the dataset scores; `quality.keep` is an expression over them, in which
shares such as the best tenth have their limits from that dataset, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import MACHINE, QualitySection
from pipelines.contract.batch import Batch, sift, with_columns
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import SCORE, UNKNOWN_LANGUAGE
from pipelines.stages.base import BatchFunction, ForUnit, Stage
from pipelines.text.judgement.rules.expression import Expression
from pipelines.text.judgement.rules.shares import Limit, Share

VERSION = 5
NAME = "quality"

Limits = Mapping[Share, Mapping[str, Limit]]  # by language


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


Scores = Callable[[str, str], pa.RecordBatch]  # from a source and a unit to its rows of the dataset scores


def stage(
    load: Callable[[], Classifier | None],
    fingerprint: str,
    section: QualitySection,
    curated: frozenset[str] = frozenset(),
    scores: Callable[[], Scores] | None = None,
    scored: str | None = None,
    limits: Limits = MappingProxyType({}),
) -> Stage:
    """Return the stage; `load` opens the classifier dataset of this fingerprint. `curated` sources are not scored.

    `scores` opens the dataset scores, if there is one, of the fingerprint `scored`; `limits` are those of the shares in `keep`.
    """
    settings = {
        NAME: section.model_dump(mode="json", exclude=MACHINE["quality"]),
        "curated": sorted(curated),
        "classifier": fingerprint,
        "scores": scored,
    }
    return Stage({NAME: VERSION}, partial(_open, load, section, curated, scores, dict(limits)), settings)


def _open(
    load: Callable[[], Classifier | None],
    section: QualitySection,
    curated: frozenset[str],
    scores: Callable[[], Scores] | None,
    limits: Limits,
) -> ForUnit:
    classifier = load()
    scores_of = scores() if scores is not None else None

    def for_unit(source: str, unit: str) -> BatchFunction:
        judge = filtering(None if source in curated else classifier)
        if source in curated or (scores_of is None and section.keep is None):
            return judge
        rows = scores_of(source, unit) if scores_of is not None else None
        score_documents = scoring(rows, section.score_names, section.keep, limits)
        return lambda batch: score_documents(judge(batch))

    return for_unit


def scoring(rows: pa.RecordBatch | None, names: Sequence[str], keep: str | None, limits: Limits) -> BatchFunction:
    """Fill `scores`, and sift LOW_QUALITY where the expression `keep` is false.

    `rows` are the unit's rows of the dataset scores, with the columns `names`. The detail has the scores, and the limits of
    shares and the measures that `keep` names.
    """
    expression = Expression(keep, ("quality_score", *names)) if keep is not None else None

    def run(batch: Batch) -> Batch:
        documents = batch.documents
        columns = _looked_up(rows, documents["id"], names) if rows is not None else []
        if columns:
            documents = with_columns(documents, scores=_listed(names, columns))
            batch = replace(batch, documents=documents)
        if expression is None:
            return batch
        measured = documents["measures"]
        shares = [_limits_of(documents["language"], limits[share]) for share in expression.shares]
        fields = [*(field.name for field in measured.type), "quality_score", *names, *(share.name for share in expression.shares)]
        values = pa.StructArray.from_arrays([*measured.flatten(), documents["quality_score"], *columns, *shares], names=fields)
        low = pc.if_else(pc.fill_null(expression.keeps(values), True), _NONE, DropReason.LOW_QUALITY.value)
        shown_names = {name: name for name in ("quality_score", *names, *expression.names)}
        shown_names |= {share.name: f"{share.name} ends at" for share in expression.shares}
        return sift(batch, NAME, low, _named(values, shown_names))

    return run


def _looked_up(rows: pa.RecordBatch, ids: pa.Array, names: Sequence[str]) -> list[pa.Array]:
    """Return the columns `names` of the rows with these ids; null where there is none."""
    places = pc.index_in(ids, value_set=rows["id"])
    return [rows[name].take(places) for name in names]


def _limits_of(languages: pa.Array, limits: Mapping[str, Limit]) -> pa.Array:
    """Return the limit of each document's language (float64); null where its language has no score."""
    codes = pa.array(list(limits), pa.string())
    values = pa.array([limit.value for limit in limits.values()], pa.float64())
    return values.take(pc.index_in(pc.fill_null(languages, UNKNOWN_LANGUAGE), value_set=codes))


def _named(values: pa.StructArray, names: Mapping[str, str]) -> pa.Array:
    """Return "name value, name value" for each row, without the values that are null; `names` has how a field is called."""
    parts = [pc.binary_join_element_wise(said, shown(values.field(name)), " ") for name, said in names.items()]
    # pyarrow 25 loses a row in which all parts are null, so each has an empty one in front.
    joined = pc.binary_join_element_wise(pa.repeat("", len(values)), *parts, ", ", null_handling="skip")
    return pc.utf8_ltrim(joined, ", ")


def _listed(names: Sequence[str], columns: Sequence[pa.Array]) -> pa.Array:
    """Return a list of (model, score) for each document, without the scores that are null; null where it has none."""
    rows = len(columns[0])
    known = np.stack([pc.is_valid(column).to_numpy(zero_copy_only=False) for column in columns], axis=1)
    models = pa.array(np.tile(np.array(names, object), rows)[known.reshape(-1)], pa.string())
    values = np.stack([pc.fill_null(column, 0).to_numpy(zero_copy_only=False) for column in columns], axis=1)
    items = pa.StructArray.from_arrays([models, pa.array(values[known])], fields=list(SCORE))
    offsets = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
    none = np.append(~known.any(axis=1), False)
    offsets = pa.array(offsets, pa.int32(), mask=none)
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
        scores = score_known(classifier, batch.documents)
        batch = replace(batch, documents=with_columns(batch.documents, quality_score=scores))
        threshold = classifier.threshold
        low = pc.if_else(pc.less(scores, threshold), DropReason.LOW_QUALITY.value, pa.scalar(None, pa.string()))
        return sift(batch, NAME, low, shown(scores))

    return run


def score_known(classifier: Classifier, documents: pa.RecordBatch) -> pa.Array:
    """Return the classifier's scores (float32); null in languages that it was not trained on."""
    known = pc.is_in(documents["language"], pa.array(sorted(classifier.languages), pa.string()))
    scores = classifier.score(documents.filter(known)).cast(pa.float32())
    return pc.replace_with_mask(pa.nulls(len(known), pa.float32()), known, scores)


def reasons(documents: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
    """Return the DropReason of the rule that each document breaks, and the measured value or the own rule's name."""
    parts = pc.split_pattern(documents["rule"], ":", max_splits=1)
    own = pc.replace_substring_regex(documents["rule"], "^[^:]*:?", "")
    return pc.list_element(parts, 0), pc.coalesce(shown(documents["rule_value"]), own)


_NONE = pa.scalar(None, pa.string())


def shown(values: pa.Array) -> pa.Array:
    """Return measured values as a drop's detail shows them."""
    return pc.round(values.cast(pa.float64()), 4).cast(pa.string())
