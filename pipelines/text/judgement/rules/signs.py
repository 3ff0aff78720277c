"""Signs of a page that is no running text: each is found on good pages, too, but several on few of them.

Chosen on 249 labelled web pages, and by reading extracted pages of five languages (docs/rules.md). A sign that means nothing for
a text is not counted: capitals in a script without case, stop words in a language without a list; letters, digits and pairs of
words where most words are letters of a script without spaces.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.measures import Measures
from pipelines.text.judgement.rules.rule import Rule, Values, measure, share, where_marked

LIMIT, ENOUGH = "max_signs", "enough_prose_sentences"
_REASON = DropReason.POOR_SIGNS


def _letters(m: Measures) -> Values:
    """Return the share of letters, with their marks, in the visible characters."""
    return (m["letters"] + m["marks"]) / np.maximum(m["token_characters"], 1)


def _where_spaced(value: Callable[[Measures], Values]) -> Callable[[Measures], Values]:
    return lambda m: np.where(2 * m["measured_words"] >= m["words"], value(m), np.nan)


RULES = (
    Rule("min_words", _REASON, measure("words"), "below"),
    Rule("min_words_per_line", _REASON, share("words", "lines"), "below"),
    Rule("min_stop_words", _REASON, share("stop_words", "words"), "below"),
    Rule("min_prose_sentences", _REASON, where_marked(measure("prose_sentences")), "below"),
    Rule("min_letters", _REASON, _where_spaced(_letters), "below"),
    Rule("max_capitals", _REASON, share("upper_letters", "letters"), "above"),
    Rule("max_capital_words", _REASON, share("capital_words", "words"), "above"),
    Rule("max_digits", _REASON, _where_spaced(share("digits", "characters")), "above"),
    Rule("max_top_2gram_characters", _REASON, _where_spaced(share("top_2gram_characters", "token_characters")), "above"),
)


def of_text(measured: pa.StructArray, thresholds: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Return the signs of the first text of a column: the threshold's name, the text's value, and the threshold."""
    measures = Measures(measured.slice(0, 1))
    found = [(rule, float(rule.value(measures)[0])) for rule in RULES if rule.threshold in thresholds]
    return [
        (rule.threshold, value, thresholds[rule.threshold])
        for rule, value in found
        if rule.breaks(np.array([value]), thresholds[rule.threshold])[0]
    ]


def judge(measures: Measures, thresholds: Mapping[str, float]) -> Iterator[tuple[DropReason, NDArray[np.bool_], Values]]:
    """Yield which texts have more signs than the limit, and how many each has; those with enough prose are left alone."""
    found = np.zeros(measures.rows)
    enough = measures["prose_sentences"] >= thresholds.get(ENOUGH, np.inf)
    for rule in RULES:
        if rule.threshold in thresholds:
            found += rule.breaks(rule.value(measures), thresholds[rule.threshold])
    if LIMIT in thresholds:
        yield _REASON, (found > thresholds[LIMIT]) & ~enough, found
