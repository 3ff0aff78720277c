"""Add language and rule verdicts as columns, while the text is in memory for the first time. Nothing is dropped."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import LanguageSection, QualitySection
from pipelines.contract.batch import with_columns
from pipelines.stages.base import ForUnit, Model, Stage, for_every_unit
from pipelines.text.judgement.langid import LanguageModel
from pipelines.text.judgement.rules.verdict import judge

VERSION = 3
NAME = "judge"


def stage(language: LanguageSection, quality: QualitySection, model: Model | None, *, apply_rules: bool) -> Stage:
    """Fill `language` and `language_score` (with a model) and `rule` and `rule_value` (with `apply_rules`).

    Without a model, no text is known to be English, so rules for English are not applied.
    """
    return Stage(
        {NAME: VERSION},
        partial(_open, language, quality, model, apply_rules),
        {
            "language": language.model_dump(mode="json", exclude={"model"}),
            "rules": list(quality.rules) if apply_rules else [],
        },
        {"language": model.sha256 if model else None},
    )


def _open(language: LanguageSection, quality: QualitySection, model_file: Model | None, apply_rules: bool) -> ForUnit:
    judge_documents = judging(language, opened(language, model_file), quality.rules if apply_rules else ())
    return for_every_unit(lambda batch: replace(batch, documents=judge_documents(batch.documents)))


def opened(language: LanguageSection, model: Model | None) -> LanguageModel | None:
    """Load the language model; return None if languages are not judged."""
    return LanguageModel(model.local()) if language.enabled and model is not None else None


def judging(
    language: LanguageSection, model: LanguageModel | None, rules: Sequence[str]
) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Return the function that fills the columns of documents: the language with a model, the rule with rule sets."""

    def run(documents: pa.RecordBatch) -> pa.RecordBatch:
        if model is not None:
            names, scores = model.identify(documents["text"], language.prefix_characters)
            documents = with_columns(documents, language=names, language_score=scores)
        if rules:
            english = np.asarray(pc.fill_null(pc.equal(documents["language"], "en"), False))
            broken, values = judge(documents["text"], english, rules)
            documents = with_columns(documents, rule=broken, rule_value=values)
        return documents

    return run
