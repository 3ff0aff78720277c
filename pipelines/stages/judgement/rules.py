"""Fill `rule` and `rule_value`: the first quality rule that each document breaks. Nothing is dropped.

The rules are functions of the column `measures`, which `judge` filled when the text was read, so a changed threshold needs no
source again. Clusters, repeats and the classifier ask for the same verdict (`Judgement.passes`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import CorpusConfig, LanguageSection, QualitySection
from pipelines.contract.batch import Batch, with_columns
from pipelines.stages.base import BatchFunction, ForUnit, Stage
from pipelines.stages.judgement import own_rules
from pipelines.stages.judgement.language import reasons
from pipelines.text.judgement.rules import verdict

VERSION = 1
NAME = "rules"
_COLUMNS = ("language", "language_score", "languages", "measures")  # of documents, which languages and published rules need


@dataclass(frozen=True)
class Judgement:
    """What decides, as far as columns show, whether a document is kept: languages, rules, and the sources that have rules."""

    language: LanguageSection
    quality: QualitySection
    curated: frozenset[str]  # sources

    @classmethod
    def of(cls, config: CorpusConfig) -> Self:
        """Return the judgement of a build; workers on other machines need no path of this one, so it has none."""
        models = [model.model_copy(update={"path": ""}) for model in config.language.models]
        language = config.language.model_copy(update={"model": None, "models": tuple(models)})
        quality = config.quality.model_copy(update={"bad_words": {}})
        return cls(language, quality, frozenset(source.name for source in config.sources if source.curated))

    def made_from(self) -> dict[str, Any]:
        """Return what determines the verdicts."""
        return {
            "language": self.language.limits(),
            "rules": self.quality.rules.thresholds(),
            "by_language": self._by_language(),
            "own": own_rules.made_from(self.quality.own),
            "curated": sorted(self.curated) if self.quality.rules_for == "crawl" else [],
            "versions": [VERSION, verdict.VERSION],
        }

    @property
    def columns(self) -> list[str]:
        """The columns of documents by which they are judged."""
        return list(dict.fromkeys([*_COLUMNS, *own_rules.columns_of(self.quality.own)]))

    def verdicts(self, documents: pa.RecordBatch, source: str) -> tuple[pa.Array, pa.Array]:
        """Return the first rule that each document of a source breaks (null if none) and its value (null: an own rule)."""
        if self.quality.rules_for == "crawl" and source in self.curated:
            return pa.nulls(documents.num_rows, pa.string()), pa.nulls(documents.num_rows, pa.float32())
        rules = self.quality.rules.thresholds()
        found, values = verdict.judge_by_language(documents["measures"], documents["language"], rules, self._by_language())
        return pc.coalesce(found, own_rules.broken(self.quality.own, documents)), values

    def passes(self, documents: pa.RecordBatch, source: str) -> pa.Array:
        """Return whether the stages language and quality would keep each document of a source, by its `columns`.

        The classifier's verdict is not known yet.
        """
        return pc.and_(pc.is_null(self.verdicts(documents, source)[0]), passes_language(documents, self.language))

    def _by_language(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        quality = self.quality
        return {code: quality.rules.thresholds(changed) for code, changed in sorted(quality.rules_by_language.items())}


def passes_language(documents: pa.RecordBatch, language: LanguageSection) -> pa.Array:
    """Return whether the stage language would keep each document."""
    kept = pa.repeat(pa.scalar(True), documents.num_rows)
    if language.enabled:
        kept = pc.and_(pc.is_valid(documents["language_score"]), pc.is_null(reasons(documents, language)))
    return kept


def stage(judgement: Judgement) -> Stage:
    """Fill the columns `rule` and `rule_value` of every document."""
    return Stage({NAME: VERSION}, partial(_open, judgement), {NAME: judgement.made_from()})


def _open(judgement: Judgement) -> ForUnit:
    def for_unit(source: str, _unit: str) -> BatchFunction:
        def run(batch: Batch) -> Batch:
            broken, values = judgement.verdicts(batch.documents, source)
            documents = with_columns(batch.documents, rule=broken, rule_value=values)
            return replace(batch, documents=documents)

        return run

    return for_unit
