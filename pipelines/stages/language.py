"""Drop documents whose language is unwanted or uncertain, according to the columns that `judge` filled."""

import re
from collections.abc import Collection, Iterator
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import CorpusConfig, LanguageSection
from pipelines.contract.batch import sift
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import UNKNOWN_LANGUAGE
from pipelines.stages.base import ForUnit, Stage, for_every_unit
from pipelines.text.judgement.language_codes import nearest

VERSION = 1
NAME = "language"

_CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*")


def stage(section: LanguageSection) -> Stage:
    """Sift LANGUAGE_UNWANTED and LANGUAGE_UNCERTAIN (detail: the language and its score).

    The stage raises UserError on a batch that was not judged.
    """
    settings = {NAME: section.model_dump(mode="json", exclude={"model"})}
    return Stage({NAME: VERSION}, partial(_open, section), settings, runs=section.enabled)


def _open(section: LanguageSection) -> ForUnit:
    return for_every_unit(lambda batch: sift(batch, NAME, *verdicts(batch.documents, section)))


def verdicts(documents: pa.RecordBatch, section: LanguageSection) -> tuple[pa.Array, pa.Array]:
    """Return the reason against each document (null: none), and its language with the score ("de 0.93").

    Raise UserError if a document was not judged.
    """
    language, score = documents["language"], documents["language_score"]
    if score.null_count:
        raise UserError(f"stage {NAME}: {score.null_count} documents were not judged; build them with language.enabled")
    none = pa.scalar(None, pa.string())
    uncertain = pc.if_else(pc.less(score, section.score_limit), DropReason.LANGUAGE_UNCERTAIN.value, none)
    unwanted = pc.and_(bool(section.keep), pc.invert(pc.is_in(language, pa.array(section.keep, pa.string()))))
    reasons = pc.if_else(unwanted, DropReason.LANGUAGE_UNWANTED.value, uncertain)
    shown = pc.round(score.cast(pa.float64()), 3).cast(pa.string())
    return reasons, pc.binary_join_element_wise(pc.fill_null(language, "?"), shown, " ")


def check_codes(config: CorpusConfig, labels: Collection[str] | None) -> None:
    """Raise UserError if a language of the config is no label of the model; the message names the nearest label.

    A source may declare a language that the model does not know, but not one that it knows by another code. `labels` is None
    if languages are not identified; then only a vocabulary's weights are checked: no text has a language.
    """
    if labels is None:
        for vocabulary in config.vocabularies:
            for code in vocabulary.language_weights.keys() - {UNKNOWN_LANGUAGE}:
                raise UserError(
                    f"vocabularies.{vocabulary.name}.language_weights.{code}: language.enabled is false, so no text has a"
                    " language; enable it, or take the weight out"
                )
        return
    wrong = [*_wrong_kept(config, labels), *_wrong_weights(config, labels), *_wrong_declared(config, labels)]
    if wrong:
        raise UserError("\n".join(wrong))


def names_codes(config: CorpusConfig) -> bool:
    """Return whether the config names a language that the model must know."""
    weights = any(vocabulary.language_weights for vocabulary in config.vocabularies)
    return bool(config.language.keep) or weights or any(source.language for source in config.sources)


def _wrong_kept(config: CorpusConfig, labels: Collection[str]) -> Iterator[str]:
    for code in config.language.keep:
        if code not in labels:
            yield f"language.keep: {_not_a_label(code, labels)}"


def _wrong_weights(config: CorpusConfig, labels: Collection[str]) -> Iterator[str]:
    kept = config.language.keep
    for vocabulary in config.vocabularies:
        for code in vocabulary.language_weights:
            place = f"vocabularies.{vocabulary.name}.language_weights.{code}"
            if code not in labels and code != UNKNOWN_LANGUAGE:
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
