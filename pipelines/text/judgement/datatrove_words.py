"""The words of datatrove's filters, for comparing with what they keep: `quality.tokens = "datatrove"`.

Its filters split every text by spaCy's English tokenizer unless another language is set: punctuation marks are words, and a
clause of Chinese is one. They count words with any sign beside punctuation, and look for Gopher's English stop words everywhere.

Limits: spaCy takes about 1 MB/s; sentences, lines and repeated n-grams stay ours.
"""

from importlib import import_module, metadata
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.contract.schema import MEASURES

VERSION = 1
# What replaces the measures of the program's own words.
FIELDS = ("tokens", "words", "letter_words", "measured_words", "measured_characters", "stop_words", "distinct_stop_words")


def versions() -> dict[str, int | str]:
    """Return the versions that decide how words are divided. Raise UserError if datatrove or spaCy is not installed."""
    try:
        return {"datatrove_words": VERSION, **{name: metadata.version(name) for name in ("datatrove", "spacy")}}
    except metadata.PackageNotFoundError as error:
        raise UserError(
            f"quality.tokens = \"datatrove\" needs the package {error.name}: pip install 'corpusmill[datatrove]', or take the"
            " setting out of the config"
        ) from None


def replaced(measures: pa.StructArray, texts: pa.Array, stop_words: tuple[str, ...]) -> pa.StructArray:
    """Return schema.MEASURES of texts with the counts of FIELDS by datatrove's words."""
    counts = _counts(texts.to_pylist(), stop_words)
    columns = dict(zip(MEASURES.names, measures.flatten(), strict=True))
    columns |= {name: pa.array(values) for name, values in zip(FIELDS, counts.T, strict=True)}
    return pa.StructArray.from_arrays(list(columns.values()), fields=list(MEASURES))


def _counts(texts: list[str], stop_words: tuple[str, ...]) -> NDArray[np.int32]:
    """Return FIELDS of each text: (texts, fields)."""
    library: Any = import_module("datatrove.utils.text")
    counts = np.zeros((len(texts), len(FIELDS)), np.int32)
    for row, text in enumerate(texts):
        counts[row] = _count(library.split_into_words(text, "en"), library.PUNCTUATION_SET, stop_words)
    return counts


def _count(tokens: list[str], punctuation: set[str], stop_words: tuple[str, ...]) -> tuple[int, ...]:
    words = [token for token in tokens if not punctuation.issuperset(token)]
    letter_words = sum(any(map(str.isalpha, token)) for token in tokens)
    stops = [token for token in tokens if token in stop_words]
    characters = sum(map(len, words))
    return len(tokens), len(words), letter_words, len(words), characters, len(stops), len(set(stops))
