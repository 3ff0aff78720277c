r"""How much a text is running prose, by its measures: a logistic regression that people's judgement of web pages has taught.

Its features are shares and ratios, not lengths, so that a long text has little advantage. For English there are three more
(stop words and capitals, which mean other things in other languages). The weights were fitted on 249 web pages that people
labelled as better or worse (scikit-learn, L2 with C = 0.03, on standardised features): `make bench-quality-score` fits them
again and prints the area under the curve by cross-validation. The features were chosen on the same pages.

    >>> import pyarrow as pa
    >>> from pipelines.text.judgement.measures import measure
    >>> from pipelines.text.judgement.words import WordLists
    >>> none = WordLists.of({})
    >>> texts = ["The mill stands by the river, and the miller is an old man who likes to talk.", "HOME | NEWS\nLOGIN\nCART (0)"]
    >>> column = measure(pa.array(texts), pa.array(["en", "en"]), none, none)
    >>> log_odds(Measures(column), np.array([True, True])).round(1).tolist()
    [0.9, -5.6]

Limits: all labelled pages are English; in other languages only the order of texts means something, so scores are compared within
a language.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.judgement.measures import Measures

VERSION = 1

Values = NDArray[np.float64]


class Weight(NamedTuple):
    """A feature's mean and standard deviation on the labelled pages, and its weight."""

    mean: float
    deviation: float
    weight: float


def _share(part: str, whole: str) -> Callable[[Measures], Values]:
    return lambda m: m[part] / np.maximum(m[whole], 1)


def _log_ratio(part: str, whole: str) -> Callable[[Measures], Values]:
    return lambda m: np.log1p(m[part]) - np.log1p(m[whole])


FEATURES: Mapping[str, Callable[[Measures], Values]] = {
    "stop_words": _share("stop_words", "words"),
    "capitals": _share("upper_letters", "letters"),
    "capital_words": _share("capital_words", "words"),
    "punctuated_lines": _share("punctuated_lines", "lines"),
    "short_lines": _share("short_lines", "lines"),
    "one_word_lines": _share("one_word_lines", "lines"),
    "ellipsis_lines": _share("ellipsis_lines", "lines"),
    "newlines": _log_ratio("newlines", "words"),
    "digits": _share("digits", "characters"),
    "letter_words": _share("letter_words", "words"),
    "words_a_sentence": _log_ratio("words", "sentences"),
    "prose_words": _share("prose_words", "words"),
    "prose_lines": _share("prose_lines", "lines"),
}
ENGLISH: Mapping[str, Weight] = {
    "stop_words": Weight(0.1437, 0.04269, 0.358),
    "capitals": Weight(0.06156, 0.03744, -0.312),
    "capital_words": Weight(0.02795, 0.03095, -0.144),
    "punctuated_lines": Weight(0.5414, 0.3152, 0.146),
    "short_lines": Weight(0.1898, 0.2137, -0.0998),
    "one_word_lines": Weight(0.007865, 0.04362, -0.136),
    "ellipsis_lines": Weight(0.009076, 0.039, -0.191),
    "newlines": Weight(-3.217, 0.8738, -0.271),
    "digits": Weight(0.01567, 0.02046, -0.0815),
    "letter_words": Weight(0.9734, 0.03253, 0.167),
    "words_a_sentence": Weight(2.877, 0.4218, 0.232),
    "prose_words": Weight(0.701, 0.3266, 0.12),
    "prose_lines": Weight(0.5247, 0.3136, 0.128),
}
ANY: Mapping[str, Weight] = {
    "punctuated_lines": Weight(0.5414, 0.3152, 0.171),
    "short_lines": Weight(0.1898, 0.2137, -0.129),
    "one_word_lines": Weight(0.007865, 0.04362, -0.143),
    "ellipsis_lines": Weight(0.009076, 0.039, -0.217),
    "newlines": Weight(-3.217, 0.8738, -0.302),
    "digits": Weight(0.01567, 0.02046, -0.169),
    "letter_words": Weight(0.9734, 0.03253, 0.224),
    "words_a_sentence": Weight(2.877, 0.4218, 0.277),
    "prose_words": Weight(0.701, 0.3266, 0.18),
    "prose_lines": Weight(0.5247, 0.3136, 0.157),
}
_FARTHEST = 4.0  # standard deviations that one feature counts: a page of one long line is no better prose for that


def features(measures: Measures, names: Mapping[str, Weight]) -> NDArray[np.float64]:
    """Return the features of these names: [rows, names]. One that means nothing for a text is NaN."""
    return np.stack([FEATURES[name](measures) for name in names], axis=1)


def log_odds(measures: Measures, english: NDArray[np.bool_]) -> Values:
    """Return the log-odds that people would call each text better: [rows]. `english` says which texts are."""
    return np.where(english, _sum(measures, ENGLISH), _sum(measures, ANY))


def _sum(measures: Measures, weights: Mapping[str, Weight]) -> Values:
    total = np.zeros(measures.rows)
    for (mean, deviation, weight), values in zip(weights.values(), features(measures, weights).T, strict=True):
        standard = np.clip((values - mean) / deviation, -_FARTHEST, _FARTHEST)
        total += weight * np.nan_to_num(standard)  # what means nothing counts as the mean
    return total
