"""The scores of documents that are not the build's own: models of others, by the config.

A scorer is a function of documents (a RecordBatch with text, language and measures) to float32 scores, null where it has none.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from pipelines.config import MACHINE, QualitySection
from pipelines.contract import files
from pipelines.stages.base import Model
from pipelines.stages.judgement import quality
from pipelines.stages.judgement.quality import Classifier
from pipelines.text.judgement import models
from pipelines.text.judgement.models import QualityModelError

Scorer = Callable[[pa.RecordBatch], pa.Array]


def versions() -> dict[str, int | str]:
    """Return the versions of what scores."""
    return {"models": models.VERSION}


def made_from(section: QualitySection, found: Sequence[Model]) -> dict[str, Any]:
    """Return what determines the scores; `found` are the files of `section.models`."""
    settings = section.model_dump(mode="json", include={"models"}, exclude=MACHINE["quality"])
    return {"names": list(section.score_names), **settings, "sha256": [model.sha256 for model in found]}


def model_files(section: QualitySection) -> list[Model]:
    """Return the files of `section.models`. Raise QualityModelError if one is missing or is not the one that the config pins."""
    found: list[Model] = []
    for model in section.models:
        sha256 = models.sha256_of(model.path) if files.is_local(model.path) else files.sha256(model.path)
        if model.sha256 not in (None, sha256):
            raise QualityModelError(
                f"{model.path}: is not the model that quality.models.sha256 pins (sha256 {sha256[:12]}…, wanted"
                f" {str(model.sha256)[:12]}…); fetch it again, or correct the hash"
            )
        found.append(Model(model.path, sha256))
    return found


def check(section: QualitySection) -> None:
    """Raise QualityModelError if a model of the config cannot be used."""
    opened(section, model_files(section))


def opened(section: QualitySection, found: Sequence[Model]) -> dict[str, Scorer]:
    """Load the models of the config; return their scorers by name. Raise QualityModelError if one cannot be used."""
    return {
        model.name: _of_texts(models.load(file.local(), model.labels, model.characters))
        for model, file in zip(section.models, found, strict=True)
    }


def by_classifier(classifier: Classifier | None) -> Scorer:
    """Return the scorer of the build's classifier, which may be off; it scores no language that it was not trained on."""
    if classifier is None:
        return lambda documents: pa.nulls(documents.num_rows, pa.float32())
    return partial(quality.score_known, classifier)


def _of_texts(score: models.Scorer) -> Scorer:
    return lambda documents: score(documents["text"])
