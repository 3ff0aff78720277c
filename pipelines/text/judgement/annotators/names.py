"""Names of persons in texts, or what else a model of named entities labels."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.text.judgement.annotators.process import Annotator, AnnotatorError
from pipelines.text.judgement.models import no_label
from pipelines.text.judgement.private.findings import TYPES, Findings, PrivateType


def find_labels(annotator: Annotator, texts: pa.Array, labels: Collection[str], type_: PrivateType) -> Findings:
    """Return the spans of texts that a model of named entities gives one of these labels; their kind is the label."""
    answers = annotator.answers(texts)
    spans = answers.flatten()
    rows = pc.list_parent_indices(answers)
    chosen = pc.is_in(spans.field("label"), pa.array(sorted(labels), pa.string()))
    spans, rows = spans.filter(chosen), rows.filter(chosen).to_numpy().astype(np.int64)
    starts, ends = (spans.field(name).to_numpy() for name in ("start", "end"))
    return Findings(rows, starts, ends, np.full(len(rows), TYPES.index(type_), np.uint8), spans.field("label"))


def check_names(annotator: Annotator, labels: Collection[str]) -> None:
    """Raise AnnotatorError unless a model of named entities has these labels."""
    known = sorted({label.removeprefix("B-") for label in annotator.facts.labels if label.startswith("B-")})
    for label in labels:
        if label not in known:
            raise AnnotatorError(f"{annotator.setting}: {annotator.run}: {no_label(label, known)}; set private.name_labels")
