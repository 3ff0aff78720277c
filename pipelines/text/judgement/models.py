"""Scores of texts by fastText models of others: a model's file, and the value of each of its labels.

    score = load("openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train.bin", {"__label__hq": 1.0})     # DCLM, arXiv 2406.11794
    score = load("edu.ftz", {"__label__High": 2.0, "__label__Mid": 1.0}, characters=2000)
    score(texts)                 # the sum of each label's probability times its value; other labels have the value 0

A text is read as these models were trained: one line, its line breaks spaces.
"""

import difflib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.text.judgement.languages.fasttext_file import is_whole

VERSION = 1

_TEXTS_PER_CALL = 1024  # fastText takes lists of Python strings
_BYTES_PER_READ = 2**20
_SHOWN_LABELS = 20

Scorer = Callable[[pa.Array], pa.Array]


class QualityModelError(UserError):
    """A model's file that cannot be used; the message names it and the fix."""


def sha256_of(path: str | Path, setting: str = "quality.models.path") -> str:
    """Return the SHA-256 of a local file. Raise QualityModelError, which names the setting, if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as stream:
            while data := stream.read(_BYTES_PER_READ):
                digest.update(data)
    except OSError as error:
        raise QualityModelError(
            f"{path}: the model cannot be read ({os.strerror(error.errno or 0)}); correct {setting}"
        ) from None
    return digest.hexdigest()


def load(path: str | Path, values: Mapping[str, float], characters: int | None = None) -> Scorer:
    """Return the scorer of a model: texts (a StringArray without nulls) to float32 scores.

    `values` are those of labels, `characters` the beginning of a text that is judged (None: all of it). Raise QualityModelError
    if the file is no fastText classifier, or does not have a label.
    """
    from fasttext.FastText import _FastText  # pyright: ignore[reportPrivateUsage] # load_model prints a warning, this does not

    try:
        if not is_whole(path):
            raise ValueError("it has less than it announces")
        model: Any = _FastText(model_path=str(path))
        labels: list[str] = model.get_labels()
    except (ValueError, RuntimeError, MemoryError) as error:
        raise QualityModelError(f"{path}: is no fastText model, or is cut off ({error}); fetch it again") from None
    if model.f.getArgs().model.name != "supervised":
        raise QualityModelError(f"{path}: is a fastText model of word vectors, which has no labels; name a classifier")
    for label in values:
        if label not in labels:
            raise QualityModelError(f"{path}: {no_label(label, labels)}")

    def score(texts: pa.Array) -> pa.Array:
        texts = texts if characters is None else pc.utf8_slice_codeunits(texts, 0, characters)
        lines = pc.replace_substring(texts, "\n", " ")
        chunks = [lines.slice(start, _TEXTS_PER_CALL) for start in range(0, len(lines), _TEXTS_PER_CALL)]
        return pa.array(np.concatenate([np.empty(0, np.float32), *(_scores(model, chunk, values) for chunk in chunks)]))

    return score


def _scores(model: Any, lines: pa.Array, values: Mapping[str, float]) -> NDArray[np.float32]:
    """Return the scores of lines. A loop over texts: predicting one takes a hundred times as long."""
    found, likelihoods = model.predict(lines.to_pylist(), k=-1)
    sums = [
        sum(values.get(label, 0.0) * min(float(share), 1.0) for label, share in zip(*pair, strict=True))
        for pair in zip(found, likelihoods, strict=True)
    ]
    return np.array(sums, np.float32)


def no_label(label: str, labels: Sequence[str]) -> str:
    """Return the end of a message: a model does not have this label, but others."""
    near = difflib.get_close_matches(label, labels, n=1)
    shown = ", ".join(sorted(labels)[:_SHOWN_LABELS]) + (" …" if len(labels) > _SHOWN_LABELS else "")
    return f"has no label {label!r}; " + (f"did you mean {near[0]!r}?" if near else f"its labels are {shown}")
