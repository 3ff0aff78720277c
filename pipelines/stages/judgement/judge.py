"""Add the languages and the measures of the text as columns, while it is in memory for the first time. Nothing is dropped.

With `language.mixed = "cut"`, the lines of a document that are in other languages than most of it are removed before it is
measured.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.config import LanguageSection, QualitySection
from pipelines.contract.batch import Batch, with_columns
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import Change
from pipelines.rule_thresholds import ENGLISH_STOP_WORDS
from pipelines.stages.base import ForUnit, Model, Stage, for_every_unit
from pipelines.stages.removed import cut
from pipelines.text.copies import removed
from pipelines.text.judgement import datatrove_words, measures
from pipelines.text.judgement.languages import identify
from pipelines.text.judgement.languages import opened as languages
from pipelines.text.judgement.languages.identify import Identifier
from pipelines.text.judgement.languages.other_lines import without_other_languages
from pipelines.text.judgement.words import WordLists, hashes

VERSION = f"5/languages-{identify.VERSION}/measures-{measures.VERSION}/removed-{removed.VERSION}"
NAME = "judge"

_UNMEASURED = QualitySection.model_validate({"rules": [], "measure": False})
Lists = Mapping[str, tuple[str, ...]]  # words by language


def stage(language: LanguageSection, quality: QualitySection, models: Sequence[Model]) -> Stage:
    """Fill `language`, `language_score` and `languages` (with models) and `measures` (with quality.measure).

    Without a model, the language of no text is known, so lists of words are not used.
    """
    bad_words = read_lists(quality)
    return Stage(
        {NAME: VERSION},
        partial(_open, language, quality.model_copy(update={"bad_words": {}}), tuple(models), bad_words),
        {"language": language.judged(), "measures": made_from(quality, bad_words)},
        {"language": identity(models)},
    )


def identity(models: Sequence[Model]) -> str | None:
    """Return what identifies the models' content; None if there are none."""
    return "+".join(model.sha256 for model in models) or None


def read_lists(quality: QualitySection) -> Lists:
    """Read the files of bad words. Raise UserError if one cannot be read or is empty."""
    return {language: _read(language, path) for language, path in sorted(quality.bad_words.items())}


def made_from(quality: QualitySection, bad_words: Lists) -> dict[str, Any] | None:
    """Return what determines the measures; None if texts are not measured.

    Raise UserError if what divides words is not installed.
    """
    if not quality.measure:
        return None
    digests = {code: hashlib.sha256("\n".join(entries).encode()).hexdigest() for code, entries in bad_words.items()}
    stop_words = {code: list(words) for code, words in quality.stop_words.items()}
    tokens = {"tokens": datatrove_words.versions()} if quality.tokens == "datatrove" else {}
    return {"stop_words": stop_words, "bad_words": digests, **tokens}


def check(quality: QualitySection) -> None:
    """Raise UserError if a list of words cannot be used, or what divides words is not installed."""
    made_from(quality, read_lists(quality))
    for language, entries in quality.stop_words.items():
        ends = hashes(pa.array(entries, pa.string()))[1].tolist()
        for entry, start, end in zip(entries, [0, *ends], ends, strict=False):
            if end - start != 1:
                raise UserError(
                    f"quality.stop_words.{language}: {entry!r} is {end - start} words, so no word of a text is equal to it; give"
                    " single words (single characters in scripts without spaces), or take it out"
                )


def _read(language: str, path: str) -> tuple[str, ...]:
    place = f"quality.bad_words.{language}: {path}"
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{place}: cannot be read as a list of words in UTF-8, one a line: {error}") from None
    entries = tuple(line.strip() for line in lines if line.strip())
    if not entries:
        raise UserError(f"{place}: has no words; write one a line, or take the file out")
    return entries


def _open(language: LanguageSection, quality: QualitySection, models: tuple[Model, ...], bad_words: Lists) -> ForUnit:
    identifier = opened(language, models)
    by_language, measured = judging(identifier, _UNMEASURED, {}), judging(None, quality, bad_words)

    def run(batch: Batch) -> Batch:
        batch = replace(batch, documents=by_language(batch.documents))
        if identifier is not None and language.mixed == "cut":
            batch = cut(batch, NAME, Change.OTHER_LANGUAGES, without_other_languages(batch.documents, identifier))
        return replace(batch, documents=measured(batch.documents))

    return for_every_unit(run)


def opened(language: LanguageSection, models: Sequence[Model]) -> Identifier | None:
    """Load the language models; return None if languages are not judged."""
    if not language.enabled or not models:
        return None
    return languages.opened(tuple(model.local() for model in models), language.groups)


def judging(
    identifier: Identifier | None, quality: QualitySection, bad_words: Lists
) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Return the function that fills the columns of documents: languages with an identifier, the measures if they are wanted."""
    stop_lists, bad_lists = WordLists.of(quality.stop_words), WordLists.of(bad_words)

    def run(documents: pa.RecordBatch) -> pa.RecordBatch:
        if identifier is not None:
            said = identifier.identify(documents["text"])
            columns = {"language": said.language, "language_score": said.score, "languages": said.languages}
            documents = with_columns(documents, **columns)
        if quality.measure:
            found = measures.measure(documents["text"], documents["language"], stop_lists, bad_lists)
            if quality.tokens == "datatrove":
                found = datatrove_words.replaced(found, documents["text"], ENGLISH_STOP_WORDS)
            documents = with_columns(documents, measures=found)
        return documents

    return run
