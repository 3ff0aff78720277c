"""Drop documents whose language is unwanted or uncertain, according to the columns that `judge` filled."""

import re
from collections.abc import Collection, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import CorpusConfig, LanguageSection
from pipelines.contract.batch import sift
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import NO_LINGUISTIC_CONTENT, UNKNOWN_LANGUAGE
from pipelines.stages.base import ForUnit, Stage, for_every_unit
from pipelines.text.judgement.language_codes import nearest
from pipelines.text.judgement.languages.groups import GROUPS, expanded, members

VERSION = 2
NAME = "language"

_CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*")
_NAMED = frozenset({UNKNOWN_LANGUAGE, NO_LINGUISTIC_CONTENT})  # which no model must know


def stage(section: LanguageSection) -> Stage:
    """Sift LANGUAGE_UNWANTED, LANGUAGE_MIXED and LANGUAGE_UNCERTAIN (detail: the language and score, or all with their shares).

    The stage raises UserError on a batch that was not judged.
    """
    return Stage({NAME: VERSION}, partial(_open, section), {NAME: section.limits()}, runs=section.enabled)


def _open(section: LanguageSection) -> ForUnit:
    return for_every_unit(lambda batch: sift(batch, NAME, *verdicts(batch.documents, section)))


def verdicts(documents: pa.RecordBatch, section: LanguageSection) -> tuple[pa.Array, pa.Array]:
    """Return the reason against each document (null: none), and its language with the score ("de 0.93"), or its languages.

    Raise UserError if a document was not judged.
    """
    language, score = documents["language"], documents["language_score"]
    if score.null_count:
        raise UserError(f"stage {NAME}: {score.null_count} documents were not judged; build them with language.enabled")
    against = reasons(documents, section)
    shown = pc.round(score.cast(pa.float64()), 3).cast(pa.string())
    details = pc.binary_join_element_wise(pc.fill_null(language, "?"), shown, " ")
    is_mixed = pc.fill_null(pc.equal(against, DropReason.LANGUAGE_MIXED.value), False)
    if pc.any(is_mixed).as_py():
        details = pc.replace_with_mask(details, is_mixed, pa.array(_shown(documents["languages"].filter(is_mixed)), pa.string()))
    return against, details


def reasons(documents: pa.RecordBatch, section: LanguageSection) -> pa.Array:
    """Return the DropReason against each document, by its columns of languages; null for none, or where a score is null."""
    language = documents["language"]
    none = pa.scalar(None, pa.string())
    too_low = pc.less(documents["language_score"].cast(pa.float64()), _limits(language, section))
    against = pc.if_else(too_low, DropReason.LANGUAGE_UNCERTAIN.value, none)
    if section.mixed == "drop":
        against = pc.if_else(pc.is_valid(documents["languages"]), DropReason.LANGUAGE_MIXED.value, against)
    kept = pa.array(expanded(section.keep), pa.string())
    unwanted = pc.and_(bool(section.keep), pc.invert(pc.is_in(language, kept)))
    return pc.if_else(unwanted, DropReason.LANGUAGE_UNWANTED.value, against)


def _limits(language: pa.Array, section: LanguageSection) -> pa.Array:
    """Return the limit of each document's score."""
    names = pc.unique(language)
    limits = [section.limit_of(name or UNKNOWN_LANGUAGE) for name in names.to_pylist()]
    # A float32 score equals its limit if the limit is rounded as it is.
    return pa.array(np.array(limits, np.float32).astype(np.float64)).take(pc.index_in(language, names))


def _shown(languages: pa.Array) -> list[str]:
    """Return lists of languages as "de 0.61, en 0.39"."""
    return [", ".join(f"{one['language']} {one['share']:.2f}" for one in row) for row in languages.to_pylist()]


def check_codes(config: CorpusConfig, labels: Collection[str] | None) -> None:
    """Raise UserError if a language of the config is no label of the model; the message names the nearest label.

    A source may declare a language that the model does not know, but not one that it knows by another code. `labels` is None
    if languages are not identified; then a vocabulary's weights and rules by language are errors: no text has a language.
    """
    if labels is None:
        for place, _ in _of_rules(config):
            raise UserError(f"{place}: language.enabled is false, so no text has a language; enable it, or take the table out")
        for vocabulary in config.vocabularies:
            for code in vocabulary.language_weights.keys() - {UNKNOWN_LANGUAGE}:
                raise UserError(
                    f"vocabularies.{vocabulary.name}.language_weights.{code}: language.enabled is false, so no text has a"
                    " language; enable it, or take the weight out"
                )
        return
    wrong = [
        *_wrong_kept(config, labels),
        *_wrong_groups(config, labels),
        *_wrong_weights(config, labels),
        *_wrong_declared(config, labels),
    ]
    wrong += [f"{place}: {_not_a_label(code, labels)}" for place, code in _of_rules(config) if code not in labels]
    if wrong:
        raise UserError("\n".join(wrong))


def names_codes(config: CorpusConfig) -> bool:
    """Return whether the config names a language that the model must know."""
    weights = any(vocabulary.language_weights for vocabulary in config.vocabularies)
    rules = any(True for _ in _of_rules(config))
    limits = bool(config.language.keep or config.language.score_limits or _own_groups(config))
    return limits or weights or rules or any(source.language for source in config.sources)


def _of_rules(config: CorpusConfig) -> Iterator[tuple[str, str]]:
    """Yield the places in the tables of rules that name a language, and its code."""
    quality = config.quality
    for name, table in (
        ("rules_by_language", quality.rules_by_language),
        ("stop_words", quality.stop_words.keys() - {"en"}),  # English has some by default
        ("bad_words", quality.bad_words),
        ("perplexity.models", quality.perplexity.models if quality.perplexity is not None else {}),
    ):
        yield from ((f"quality.{name}.{code}", code) for code in sorted(table))


def _wrong_kept(config: CorpusConfig, labels: Collection[str]) -> Iterator[str]:
    section = config.language
    for place, groups in (("keep", section.keep), ("score_limits", tuple(section.score_limits))):
        for group in groups:
            unknown = [code for code in members(group) if code not in labels and code not in _NAMED]
            # One of the groups that models share may have members that this model does not know.
            if unknown and (group not in section.groups or len(unknown) == len(members(group))):
                yield f"language.{place}: {_not_a_label(unknown[0], labels)}"


def _own_groups(config: CorpusConfig) -> list[str]:
    """Return the groups of the config that are not among the default ones, of which a model may lack members."""
    return [group for group in config.language.groups if group not in GROUPS]


def _wrong_groups(config: CorpusConfig, labels: Collection[str]) -> Iterator[str]:
    for group in _own_groups(config):
        yield from (f"language.groups: {_not_a_label(code, labels)}" for code in members(group) if code not in labels)


def _wrong_weights(config: CorpusConfig, labels: Collection[str]) -> Iterator[str]:
    kept = expanded(config.language.keep)
    for vocabulary in config.vocabularies:
        for code in vocabulary.language_weights:
            place = f"vocabularies.{vocabulary.name}.language_weights.{code}"
            if code not in labels and code not in _NAMED:
                yield f"{place}: {_not_a_label(code, labels)}"
            elif kept and code not in kept:
                yield f"{place}: language.keep drops this language; keep it, or take the weight out"


def _wrong_declared(config: CorpusConfig, labels: Collection[str]) -> Iterator[str]:
    for source in config.sources:
        code = source.language
        if code is not None and code not in labels and (nearest(code, labels) or not _CODE.fullmatch(code)):
            yield f"sources.{source.name}.language: {_not_a_label(code, labels)}"


def _not_a_label(code: str, labels: Collection[str]) -> str:
    near = nearest(code, labels)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"its labels are {', '.join(sorted(labels))}"
    return f"{code!r} is no label of the language model; {hint}"
