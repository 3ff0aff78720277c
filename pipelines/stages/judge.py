"""Add language and rule verdicts as columns, while the text is in memory for the first time. Nothing is dropped."""

from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow.compute as pc

from pipelines.config import LanguageSection, QualitySection
from pipelines.contract.batch import Batch, with_columns
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
    model = LanguageModel(model_file.local()) if language.enabled and model_file is not None else None

    def run(batch: Batch) -> Batch:
        documents = batch.documents
        if model is not None:
            names, scores = model.identify(documents["text"], language.prefix_characters)
            documents = with_columns(documents, language=names, language_score=scores)
        if apply_rules:
            english = np.asarray(pc.fill_null(pc.equal(documents["language"], "en"), False))
            rules, values = judge(documents["text"], english, quality.rules)
            documents = with_columns(documents, rule=rules, rule_value=values)
        return replace(batch, documents=documents)

    return for_every_unit(run)
