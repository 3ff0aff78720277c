"""Scores of quality by our fine-tuned models: a regression's value, or the sum of each label's probability times its value."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.text.judgement.annotators.process import Annotator, AnnotatorError
from pipelines.text.judgement.models import Scorer, no_label


def scorer(annotator: Annotator, values: Mapping[str, float], characters: int | None = None) -> Scorer:
    """Return the scorer of a classification, or of a regression (no values): texts to float32 scores of four decimals.

    `values` are those of labels, `characters` the beginning of a text that is judged (None: all of it).
    """

    def score(texts: pa.Array) -> pa.Array:
        texts = texts if characters is None else pc.utf8_slice_codeunits(texts, 0, characters)
        answers = annotator.answers(texts).flatten().to_numpy()
        if not len(texts) or not values:
            return pa.array(answers, pa.float32())
        given = answers.reshape(len(texts), -1)
        labels = annotator.facts.labels
        score = sum(given[:, labels.index(label)] * value for label, value in values.items())
        return pa.array(np.round(score, 4), pa.float32())

    return score


def check_labels(annotator: Annotator, values: Mapping[str, float]) -> None:
    """Raise AnnotatorError unless a run has these labels, and is a regression without any."""
    labels, place = annotator.facts.labels, f"{annotator.setting}: {annotator.run}"
    if values and not labels:
        raise AnnotatorError(f"{place}: is a regression, whose value is the score; remove labels")
    if not values and labels:
        raise AnnotatorError(f"{place}: classifies; give the values of its labels, such as labels = {{ {labels[-1]!r} = 1 }}")
    for label in values:
        if label not in labels:
            raise AnnotatorError(f"{place}: {no_label(label, labels)}")
