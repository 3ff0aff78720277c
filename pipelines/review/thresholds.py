"""The thresholds of a build, on and off, and the value of a text that each is compared with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from pipelines.judgement_config import QualitySection
from pipelines.rule_thresholds import RuleSets
from pipelines.text.judgement.measures import Measures
from pipelines.text.judgement.rules import signs
from pipelines.text.judgement.rules.rule import Rule, Values, measure
from pipelines.text.judgement.rules.verdict import SETS

_EXTRA_SIGNS = (Rule(signs.ENOUGH, signs.RULES[0].reason, measure("prose_sentences"), "at_least"),)  # which keeps a page


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold of `[quality.rules]`."""

    set: str
    name: str
    reason: str  # for which a text that breaks the rule is dropped
    broken: str  # "below", "above", "at_most" or "at_least": values that break the rule, as seen from the threshold
    limit: float | None  # None: off
    published: float | None  # the default of the set; None: off there, too
    by_language: Mapping[str, float | None]  # where a language has another

    @property
    def key(self) -> str:
        """Return its short name, such as gopher.min_words."""
        return f"{self.set}.{self.name}"


def thresholds(quality: QualitySection) -> list[Threshold]:
    """Return all thresholds of the published rules, in the order in which they judge; that of the signs is the last."""
    limits = quality.rules.thresholds()
    languages = {code: quality.rules.thresholds(changed) for code, changed in sorted(quality.rules_by_language.items())}
    published = RuleSets.model_validate(list(SETS)).thresholds()

    def described(set_: str, rule: Rule) -> Threshold:
        limit = limits.get(set_, {}).get(rule.threshold)
        others = {code: found.get(set_, {}).get(rule.threshold) for code, found in languages.items()}
        differing = {code: value for code, value in others.items() if value != limit}
        default = published[set_].get(rule.threshold)
        return Threshold(set_, rule.threshold, rule.reason.value, rule.broken, limit, default, differing)

    return [described(set_, rule) for set_, rule in _rules()]


def values(measured: pa.StructArray) -> Iterator[tuple[str, Values]]:
    """Yield the key of each threshold and the values [texts] that it is compared with; NaN where the rule does not apply."""
    measures = Measures(measured)
    for set_, rule in _rules():
        if rule.threshold != signs.LIMIT:
            yield f"{set_}.{rule.threshold}", rule.value(measures)


def _rules() -> Iterator[tuple[str, Rule]]:
    for set_, rules in SETS.items():
        yield from ((set_, rule) for rule in rules)
    yield from (("signs", rule) for rule in _EXTRA_SIGNS)
    yield "signs", Rule(signs.LIMIT, signs.RULES[0].reason, measure("prose_sentences"), "above")  # judges the count of signs
