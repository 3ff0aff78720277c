"""The first rule that each text breaks, from its measures and the thresholds of the config.

The rules are adapted to all scripts: pipelines.text.characters.counts defines words, lines and sentences. A rule made for one
kind of writing applies only to that kind: stop words to languages with a list, word lengths to alphabets written with spaces,
sentence marks to scripts that have them.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.measures import Measures
from pipelines.text.judgement.rules import c4, fineweb, gopher, refinedweb, signs
from pipelines.text.judgement.rules.rule import Rule, Values

VERSION = 2
# The rule sets by their names in `[quality.rules]`, in the order in which they judge. A new publisher needs a file here, a line
# in this table, a section of thresholds in pipelines.rule_thresholds, and its reasons in pipelines.contract.reasons.
SETS: dict[str, tuple[Rule, ...]] = {  # `signs` is judged as a whole
    "c4": c4.RULES,
    "gopher": gopher.QUALITY,
    "gopher_repetition": gopher.REPETITION,
    "fineweb": fineweb.RULES,
    "refinedweb": refinedweb.RULES,
    "signs": signs.RULES,
}

Thresholds = Mapping[str, Mapping[str, float]]  # by set and name; what is not there is off


def judge(measured: pa.StructArray, thresholds: Thresholds) -> tuple[pa.Array, pa.Array]:
    """Return the first rule that each text breaks (a DropReason; null if it passes all) and the value of the text (float32).

    `measured` is a column of schema.MEASURES. The sets judge in the order of SETS. A text without measures passes.
    """
    measures = Measures(measured)
    first, values = np.full(measures.rows, -1), np.zeros(measures.rows)
    names: list[str] = []
    for name, rules in SETS.items():
        chosen = thresholds.get(name, {})
        judged = signs.judge(measures, chosen) if rules is signs.RULES else _one_by_one(rules, measures, chosen)
        for reason, broken, value in judged:
            is_first = broken & (first < 0)
            first[is_first] = len(names)
            values[is_first] = value[is_first]
            names.append(reason.value)
    indices = pa.array(first, pa.int32(), mask=first < 0)
    return pa.array(names, pa.string()).take(indices), pa.array(values, pa.float32(), mask=first < 0)


def _one_by_one(
    rules: Sequence[Rule], measures: Measures, thresholds: Mapping[str, float]
) -> Iterator[tuple[DropReason, NDArray[np.bool_], Values]]:
    for rule in rules:
        if rule.threshold in thresholds:
            value = rule.value(measures)
            yield rule.reason, rule.breaks(value, thresholds[rule.threshold]), value


def judge_by_language(
    measured: pa.StructArray, languages: pa.Array, thresholds: Thresholds, by_language: Mapping[str, Thresholds]
) -> tuple[pa.Array, pa.Array]:
    """Return what `judge` returns, with the thresholds of each text's language if it has some."""
    names = np.array(languages.fill_null("").to_pylist(), np.str_) if by_language else np.empty(0, np.str_)
    groups = {language: np.flatnonzero(names == language) for language in by_language}
    places, judged = np.arange(len(measured)), [judge(measured, thresholds)]
    for language, rows in groups.items():
        places[rows] = sum(len(reasons) for reasons, _ in judged) + np.arange(len(rows))
        judged.append(judge(measured.take(pa.array(rows)), by_language[language]))
    if len(judged) == 1:
        return judged[0]
    reasons, values = (pa.concat_arrays(list(columns)).take(pa.array(places)) for columns in zip(*judged, strict=True))
    return reasons, values
