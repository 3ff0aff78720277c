"""Other thresholds on the stored columns of a build: which documents a build with them would keep, without reading a source.

Documents that the stages `rejudge`, `language` and `quality` dropped, and those that were kept, are judged again; what other
stages dropped (unreadable, excluded, copies, contaminated, full of private data) stays dropped.

Limits: a build with other thresholds may choose another survivor of a cluster of copies, since deduplication prefers documents
that pass; a document that the rules dropped has no score yet and passes the classifier here; own rules in Python are not run.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import UNKNOWN_LANGUAGE
from pipelines.contract.settings import override, validated
from pipelines.judgement_config import LanguageSection, QualitySection
from pipelines.review.rows import JUDGED_STAGES
from pipelines.rule_thresholds import RuleSets
from pipelines.stages.judgement import language
from pipelines.stages.judgement.rules import Judgement
from pipelines.text.judgement.rules.expression import Expression
from pipelines.units.context import Dataset

COLUMNS = ("source", "language", "language_score", "languages", "measures", "rule", "quality_score", "scores", "stage", "reason")
_NONE = pa.scalar(None, pa.string())


@dataclass(frozen=True, slots=True)
class Trial:
    """The settings that judge documents by their columns."""

    judgement: Judgement
    score_limit: float | None  # of the build's classifier; None if it is off
    functions: frozenset[str]  # names of own rules in Python, which are not run
    shares: Mapping[str, Mapping[str, float]]  # where a share of scores ends, by its name and language

    @classmethod
    def of(cls, corpus: Dataset, classifier: Dataset | None, changes: Sequence[str] = ()) -> Self:
        """Return the settings of a build after `changes` (`section.key=value`). Raise ConfigError for one that has no place."""
        config = changed(corpus.manifest.config, changes)
        quality, functions = _quality(config["quality"])
        recorded = config["language"]
        paths: dict[str, Any] = {"models": [{**model, "path": ""} for model in recorded.get("models", ())]}
        paths |= {"model": ""} if recorded.get("model_sha256") else {}  # a manifest has no path of a machine
        section = validated(LanguageSection, {**recorded, **paths}, "the build's config: language")
        curated = frozenset(source["name"] for source in config["sources"] if source.get("curated"))
        facts = classifier.manifest.facts if classifier is not None else {}
        limits = corpus.manifest.facts.get("limits", {})
        shares = {name: {code: one["value"] for code, one in found.items()} for name, found in limits.items()}
        threshold = facts.get("threshold") if facts.get("on") else None
        return cls(Judgement(section, quality, curated), threshold, functions, shares)

    @property
    def exempt(self) -> frozenset[str]:
        """The sources that the rules do not judge."""
        return self.judgement.curated if self.judgement.quality.rules_for == "crawl" else frozenset()

    def outcomes(self, columns: Mapping[str, Any]) -> pa.Array:
        """Return the reason for which each document would be dropped; null if it would be kept."""
        judged = _judged(columns)
        reasons = pc.coalesce(self.of_language(columns), self.of_rules(columns), self.of_scores(columns))
        return pc.if_else(judged, reasons, columns["reason"])

    def of_language(self, columns: Mapping[str, Any]) -> pa.Array:
        """Return the DropReason against the language of each document; null if there is none."""
        section = self.judgement.language
        if not section.enabled:
            return pa.nulls(len(columns["language"]), pa.string())
        return language.reasons(_batch(columns, "language", "language_score", "languages"), section)

    def of_rules(self, columns: Mapping[str, Any]) -> pa.Array:
        """Return the DropReason of the first rule that each document breaks; null if there is none."""
        documents = _batch(columns, "language", "measures")
        found = np.full(documents.num_rows, None, object)
        sources = np.array(columns["source"].to_pylist(), object)
        for source in sorted(set(sources.tolist())):
            rows = np.flatnonzero(sources == source)
            broken = self.judgement.verdicts(documents.take(pa.array(rows)), source)[0]
            found[rows] = pc.list_element(pc.split_pattern(broken, ":", max_splits=1), 0).to_pylist()
        reasons = pa.array(found, pa.string())
        return pc.coalesce(reasons, self._of_functions(columns["rule"]))

    def of_scores(self, columns: Mapping[str, Any]) -> pa.Array:
        """Return LOW_QUALITY for each document that its scores drop; null if they do not."""
        scores = columns["quality_score"]
        low = pa.repeat(pa.scalar(False), len(scores))
        if self.score_limit is not None:
            low = pc.fill_null(pc.less(scores, self.score_limit), False)
        if self.judgement.quality.keep is not None:
            low = pc.or_(low, self._broken_expression(columns, self.judgement.quality.keep))
        return pc.if_else(low, DropReason.LOW_QUALITY.value, _NONE)

    def without_numbers(self, columns: Mapping[str, Any]) -> pa.Array:
        """Return the reasons without a threshold, null if there is none: languages not kept, own rules, `quality.keep`."""
        against = self.of_language(columns)
        unwanted = pc.if_else(pc.equal(against, DropReason.LANGUAGE_UNCERTAIN.value), _NONE, against)
        no_rules = {"rules": RuleSets.model_validate([]), "rules_by_language": {}}
        judgement = replace(self.judgement, quality=self.judgement.quality.model_copy(update=no_rules))
        others = replace(self, judgement=judgement, score_limit=None)
        return pc.coalesce(unwanted, others.of_rules(columns), others.of_scores(columns))

    def _of_functions(self, rule: pa.Array) -> pa.Array:
        """Return OWN_RULE where the build's own rule in Python dropped the document."""
        names = pa.array(sorted(f"{DropReason.OWN_RULE.value}:{name}" for name in self.functions), pa.string())
        return pc.if_else(pc.is_in(rule, names), DropReason.OWN_RULE.value, _NONE)

    def _broken_expression(self, columns: Mapping[str, Any], keep: str) -> pa.Array:
        names = self.judgement.quality.score_names
        expression = Expression(keep, ("quality_score", *names))
        measures = columns["measures"]
        fields = [*(field.name for field in measures.type), "quality_score", *names, *(one.name for one in expression.shares)]
        scores = [score(columns["scores"], name) for name in names]
        limits = [self._limits(columns["language"], one.name) for one in expression.shares]
        values = pa.StructArray.from_arrays([*measures.flatten(), columns["quality_score"], *scores, *limits], names=fields)
        curated = pa.array(sorted(self.judgement.curated), pa.string())
        return pc.and_(pc.invert(pc.fill_null(expression.keeps(values), True)), pc.invert(pc.is_in(columns["source"], curated)))

    def _limits(self, languages: pa.Array, share: str) -> pa.Array:
        """Return where a share of scores ends in the language of each document; null where its language has no score."""
        limits = self.shares.get(share, {})
        codes, values = pa.array(list(limits), pa.string()), pa.array(list(limits.values()), pa.float64())
        return values.take(pc.index_in(pc.fill_null(languages, UNKNOWN_LANGUAGE), value_set=codes))


def changed(config: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Return a build's recorded config after `changes`: `section.key=value`, or gopher.min_words=30, or keep=EXPRESSION."""
    data = copy.deepcopy(dict(config))
    if isinstance(data["quality"].get("rules"), list):  # of an older release of the program
        data["quality"]["rules"] = RuleSets.model_validate(data["quality"]["rules"]).model_dump(mode="json")
    for change in changes:
        _switch_on(data, full(change))
        override(data, full(change))
    return data


def _switch_on(data: dict[str, Any], change: str) -> None:
    """Give a set of rules that is off a table in which every rule is off, so that one of them can be changed."""
    names = change.partition("=")[0].split(".")
    if names[:2] == ["quality", "rules"] and len(names) == 4 and data["quality"]["rules"].get(names[2]) is False:
        fields = type(getattr(RuleSets.model_validate([names[2]]), names[2])).model_fields
        data["quality"]["rules"][names[2]] = dict.fromkeys(fields, False)


def full(change: str) -> str:
    """Return a change with its whole place in the config.

    >>> full("gopher.min_words=30"), full("score_limit=0.5"), full("quality.keep_share=0.5")
    ('quality.rules.gopher.min_words=30', 'language.score_limit=0.5', 'quality.keep_share=0.5')
    """
    key, equals, value = change.partition("=")
    if key.split(".")[0] in RuleSets.model_fields:
        key = f"quality.rules.{key}"
    elif key in ("keep", "keep_share"):
        key = f"quality.{key}"
    elif key in ("score_limit", "mixed") or key.startswith("score_limits."):
        key = f"language.{key}"
    return f"{key}{equals}{value}"


def _quality(recorded: Mapping[str, Any]) -> tuple[QualitySection, frozenset[str]]:
    """Return the section without the own rules in Python, and the names of these: a manifest has no path of a machine."""
    own = recorded.get("own", {})
    functions = frozenset(name for name, rule in own.items() if not isinstance(rule, str))
    without_paths: dict[str, Any] = {"own": {name: rule for name, rule in own.items() if name not in functions}}
    without_paths["models"] = [{**model, "path": None, "run": ""} for model in recorded.get("models", ())]
    if recorded.get("perplexity"):
        without_paths["perplexity"] = {**recorded["perplexity"], "models": {"": ""}}
    section = validated(QualitySection, {**recorded, **without_paths}, "the build's config: quality")
    return section, functions


def _judged(columns: Mapping[str, Any]) -> pa.Array:
    """Return which documents are judged again."""
    stage = columns["stage"]
    return pc.or_(pc.is_null(stage), pc.is_in(stage, pa.array(JUDGED_STAGES, pa.string())))


def _batch(columns: Mapping[str, Any], *names: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([columns[name] for name in names], names=list(names))


def score(scores: pa.Array, name: str) -> pa.Array:
    """Return the score of one model, from the column `scores`; null for documents without it."""
    items, parents = pc.list_flatten(scores), pc.list_parent_indices(scores)
    chosen = pc.equal(pc.struct_field(items, "model"), name)
    found = np.full(len(scores), np.nan, np.float32)
    found[parents.filter(chosen).to_numpy()] = pc.struct_field(items.filter(chosen), "score").to_numpy()
    return pa.array(found, mask=np.isnan(found))
