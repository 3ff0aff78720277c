"""The scores of documents that are not the build's own, by the config: models of others, our fine-tunings, and perplexity.

A scorer is a function of documents (a RecordBatch with text, language and measures) to float32 scores, null where it has none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import MACHINE, QualityModelSection, QualitySection
from pipelines.contract import files
from pipelines.stages.base import Model
from pipelines.stages.judgement import quality
from pipelines.stages.judgement.quality import Classifier
from pipelines.text.judgement import models, perplexity
from pipelines.text.judgement.annotators import process, scores
from pipelines.text.judgement.annotators.process import Annotator
from pipelines.text.judgement.models import QualityModelError

Scorer = Callable[[pa.RecordBatch], pa.Array]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files and runs of the config's models."""

    models: tuple[Model, ...] = ()  # as quality.models has them
    ngrams: Mapping[str, Model] = field(default_factory=dict[str, Model])  # of quality.perplexity, by language
    pieces: Mapping[str, Model] = field(default_factory=dict[str, Model])

    @classmethod
    def of(cls, section: QualitySection) -> Self:
        """Find them. Raise QualityModelError or AnnotatorError if one cannot be used or is not the one that the config pins."""
        found = tuple(_run(model) if model.run else _pinned(str(model.path), model.sha256) for model in section.models)
        if section.perplexity is None:
            return cls(found)
        ngrams, pieces = (
            {language: _read(path, f"quality.perplexity.{name}.{language}") for language, path in sorted(paths.items())}
            for name, paths in (("models", section.perplexity.models), ("sentencepiece", section.perplexity.sentencepiece))
        )
        return cls(found, ngrams, pieces)


def _pinned(path: str, wanted: str | None) -> Model:
    model = _read(path, "quality.models.path")
    if wanted not in (None, model.sha256):
        raise QualityModelError(
            f"{path}: is not the model that quality.models.sha256 pins (sha256 {model.sha256[:12]}…, wanted"
            f" {str(wanted)[:12]}…); fetch it again, or correct the hash"
        )
    return model


def _run(model: QualityModelSection) -> Model:
    annotator = _annotator(model, model.sha256)
    try:
        scores.check_labels(annotator, model.labels)
        return Model(annotator.run, annotator.facts.checkpoint)
    finally:
        annotator.close()


def _annotator(model: QualityModelSection, checkpoint: str | None) -> Annotator:
    setting = f"quality.models, {model.name}"
    return Annotator(setting, str(model.run), "classification", windows=model.windows, checkpoint=checkpoint)


def _read(path: str, setting: str) -> Model:
    return Model(path, models.sha256_of(path, setting) if files.is_local(path) else files.sha256(path))


def versions() -> dict[str, int | str]:
    """Return the versions of what scores."""
    return {"models": models.VERSION, "perplexity": perplexity.VERSION, "annotators": process.VERSION}


def made_from(section: QualitySection, found: ModelFiles) -> dict[str, Any]:
    """Return what determines the scores."""
    settings = section.model_dump(mode="json", include={"models", "perplexity"}, exclude=MACHINE["quality"])
    ngrams = {language: [model.sha256, _sha256(found.pieces.get(language))] for language, model in found.ngrams.items()}
    return {
        "names": list(section.score_names),
        **settings,
        "sha256": [model.sha256 for model in found.models],
        "ngrams": ngrams,
    }


def _sha256(model: Model | None) -> str | None:
    return model.sha256 if model is not None else None


def check(section: QualitySection) -> None:
    """Raise UserError if a model of the config cannot be used."""
    opened(section, ModelFiles.of(section))


def opened(section: QualitySection, found: ModelFiles) -> dict[str, Scorer]:
    """Load the files of the config; return the scorers by name. Raise UserError if one cannot be used."""
    scorers = {model.name: _of_texts(_scorer(model, file)) for model, file in zip(section.models, found.models, strict=True)}
    if section.perplexity is not None:
        scorers["perplexity"] = _by_language(_ngrams(section.perplexity.normalize, found))
    return scorers


def _scorer(model: QualityModelSection, file: Model) -> models.Scorer:
    if model.run:
        return scores.scorer(_annotator(model, file.sha256), model.labels, model.characters)
    return models.load(file.local(), model.labels, model.characters)


def _ngrams(normalization: perplexity.Normalization, found: ModelFiles) -> dict[str, perplexity.Scorer]:
    scorers: dict[str, perplexity.Scorer] = {}
    for language, model in found.ngrams.items():
        pieces = found.pieces.get(language)
        scorers[language] = perplexity.load(model.local(), pieces.local() if pieces else None, normalization)
    return scorers


def by_classifier(classifier: Classifier | None) -> Scorer:
    """Return the scorer of the build's classifier, which may be off; it scores no language that it was not trained on."""
    if classifier is None:
        return lambda documents: pa.nulls(documents.num_rows, pa.float32())
    return partial(quality.score_known, classifier)


def _of_texts(score: models.Scorer) -> Scorer:
    return lambda documents: score(documents["text"])


def _by_language(scorers: Mapping[str, perplexity.Scorer]) -> Scorer:
    """Return a scorer that scores each document by the scorer of its language."""

    def score(documents: pa.RecordBatch) -> pa.Array:
        scores = pa.nulls(documents.num_rows, pa.float32())
        for language, scorer in scorers.items():
            here = pc.fill_null(pc.equal(documents["language"], language), False)
            if np.any(here):
                scores = pc.replace_with_mask(scores, here, scorer(documents["text"].filter(here)))
        return scores

    return score
