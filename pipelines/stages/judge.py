"""Add the language and the measures of the text as columns, while it is in memory for the first time. Nothing is dropped."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.config import LanguageSection, QualitySection
from pipelines.contract.batch import with_columns
from pipelines.contract.errors import UserError
from pipelines.stages.base import ForUnit, Model, Stage, for_every_unit
from pipelines.text.judgement import measures
from pipelines.text.judgement.langid import LanguageModel
from pipelines.text.judgement.words import WordLists

VERSION = f"4/measures-{measures.VERSION}"
NAME = "judge"

Lists = Mapping[str, tuple[str, ...]]  # words by language


def stage(language: LanguageSection, quality: QualitySection, model: Model | None) -> Stage:
    """Fill `language` and `language_score` (with a model) and `measures` (with quality.measure).

    Without a model, the language of no text is known, so lists of words are not used.
    """
    bad_words = read_lists(quality)
    return Stage(
        {NAME: VERSION},
        partial(_open, language, quality.model_copy(update={"bad_words": {}}), model, bad_words),
        {
            "language": language.model_dump(mode="json", exclude={"model", "keep", "score_limit"}),
            "measures": made_from(quality, bad_words),
        },
        {"language": model.sha256 if model else None},
    )


def read_lists(quality: QualitySection) -> Lists:
    """Read the files of bad words. Raise UserError if one cannot be read or is empty."""
    return {language: _read(language, path) for language, path in sorted(quality.bad_words.items())}


def made_from(quality: QualitySection, bad_words: Lists) -> dict[str, Any] | None:
    """Return what determines the measures; None if texts are not measured."""
    if not quality.measure:
        return None
    digests = {code: hashlib.sha256("\n".join(entries).encode()).hexdigest() for code, entries in bad_words.items()}
    return {"stop_words": {code: list(words) for code, words in quality.stop_words.items()}, "bad_words": digests}


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


def _open(language: LanguageSection, quality: QualitySection, model_file: Model | None, bad_words: Lists) -> ForUnit:
    judge_documents = judging(language, opened(language, model_file), quality, bad_words)
    return for_every_unit(lambda batch: replace(batch, documents=judge_documents(batch.documents)))


def opened(language: LanguageSection, model: Model | None) -> LanguageModel | None:
    """Load the language model; return None if languages are not judged."""
    return LanguageModel(model.local()) if language.enabled and model is not None else None


def judging(
    language: LanguageSection, model: LanguageModel | None, quality: QualitySection, bad_words: Lists
) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """Return the function that fills the columns of documents: the language with a model, the measures if they are wanted."""
    stop_lists, bad_lists = WordLists.of(quality.stop_words), WordLists.of(bad_words)

    def run(documents: pa.RecordBatch) -> pa.RecordBatch:
        if model is not None:
            names, scores = model.identify(documents["text"], language.prefix_characters)
            documents = with_columns(documents, language=names, language_score=scores)
        if quality.measure:
            found = measures.measure(documents["text"], documents["language"], stop_lists, bad_lists)
            documents = with_columns(documents, measures=found)
        return documents

    return run
