"""Judge once more what `repeats` and `decontaminate` cut: a stump must not be published under a rule that it breaks.

Only documents that were cut and passed before are judged, by the rules of their source and by their language; all others keep
their first verdict, and the stages `language` and `quality` drop them as ever. A document that stays has the language and the
score of its published text.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import LanguageSection, QualitySection
from pipelines.contract.batch import Batch, sift, with_columns
from pipelines.contract.reasons import DropReason
from pipelines.stages.base import BatchFunction, ForUnit, Model, Stage
from pipelines.stages.judgement import judge
from pipelines.stages.judgement.language import verdicts
from pipelines.stages.judgement.quality import shown
from pipelines.stages.judgement.rules import Judgement, passes_language

VERSION = 2
NAME = "rejudge"


def stage(judgement: Judgement, quality: QualitySection, models: Sequence[Model], *, runs: bool = True) -> Stage:
    """Sift UNFIT_AFTER_CUT (detail: the rule and its value, or the reason against the language with its score)."""
    bad_words = judge.read_lists(quality)
    measured = judge.made_from(quality, bad_words)
    settings = {NAME: {"language": judge.identity(models), "measures": measured} if runs else None}
    versions = {NAME: f"{VERSION}/judge-{judge.VERSION}"}
    return Stage(versions, partial(_open, judgement, tuple(models), bad_words), settings, runs=runs)


def _open(judgement: Judgement, models: tuple[Model, ...], bad_words: judge.Lists) -> ForUnit:
    language = judgement.language
    judge_documents = judge.judging(judge.opened(language, models), judgement.quality, bad_words)

    def for_unit(source: str, _unit: str) -> BatchFunction:
        def run(batch: Batch) -> Batch:
            rows = np.flatnonzero(_to_judge(batch, language))
            judged = judge_documents(batch.documents.take(pa.array(rows)))
            broken, values = judgement.verdicts(judged, source)
            judged = with_columns(judged, rule=broken, rule_value=values)
            reasons, details = _verdicts(judged, language)
            places = np.full(batch.documents.num_rows, -1)
            places[rows] = np.arange(len(rows))
            at = pa.array(places, mask=places < 0)
            batch = replace(batch, documents=_replaced(batch.documents, rows, judged), cut=None)
            return sift(batch, NAME, reasons.take(at), details.take(at))

        return run

    return for_unit


def _to_judge(batch: Batch, language: LanguageSection) -> NDArray[np.bool_]:
    """Return which documents were cut and would have been kept as they were."""
    if batch.cut is None:
        return np.zeros(batch.documents.num_rows, np.bool_)
    passed = pc.and_(pc.is_null(batch.documents["rule"]), passes_language(batch.documents, language))
    return pc.and_(batch.cut, passed).to_numpy(zero_copy_only=False)


def _verdicts(documents: pa.RecordBatch, language: LanguageSection) -> tuple[pa.Array, pa.Array]:
    """Return UNFIT_AFTER_CUT for each document that would not pass, with its detail; null for the others."""
    with_values = pc.binary_join_element_wise(documents["rule"], shown(documents["rule_value"]), " ")
    rules = pc.coalesce(with_values, documents["rule"])  # null where none is broken
    details = rules
    if language.enabled:
        reasons, scores = verdicts(documents, language)
        details = pc.coalesce(pc.binary_join_element_wise(reasons, scores, " "), rules)
    return pc.if_else(pc.is_valid(details), DropReason.UNFIT_AFTER_CUT.value, pa.scalar(None, pa.string())), details


def _replaced(documents: pa.RecordBatch, rows: NDArray[np.int64], judged: pa.RecordBatch) -> pa.RecordBatch:
    """Return the documents with the rows in `rows` replaced by `judged`."""
    if not len(rows):
        return documents
    places = np.arange(documents.num_rows)
    places[rows] = documents.num_rows + np.arange(len(rows))
    for name in ("language", "language_score", "languages", "measures", "rule", "rule_value"):
        index = documents.schema.get_field_index(name)
        values = pa.concat_arrays([documents[name], judged[name]]).take(pa.array(places))
        documents = documents.set_column(index, documents.schema.field(index), values)
    return documents
