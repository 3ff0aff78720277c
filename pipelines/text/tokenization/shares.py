"""Shares of the languages in a sample."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.contract.errors import UserError


@dataclass(frozen=True, slots=True)
class Share:
    """A language in a sample."""

    available_bytes: int  # of text
    wanted_share: float  # of the sample, by the rule
    drawn_bytes: int  # at most; all languages together fill the sample


def shares(
    available: Mapping[str, int], sample_bytes: int, exponent: float = 1.0, weights: Mapping[str, float] | None = None
) -> dict[str, Share]:  # fmt: skip
    """Divide `sample_bytes` among the languages.

    A language's share is proportional to bytes ** exponent * weight (by default, 1). A language with less text than its share
    gives all of it, and the others divide the rest in the same proportions.

    >>> [s.drawn_bytes for s in shares({"de": 100, "en": 10_000, "lt": 20}, 300, 0).values()]
    [100, 180, 20]

    Limits: no text is drawn twice. To give a small language more, its source must contain its text several times.

    Raise UserError for the weight of a language without text, and if all weights are 0.
    """
    weights = weights or {}
    for language in weights:
        if not available.get(language):
            raise UserError(
                f"language_weights.{language}: there is no text in it; the languages are {', '.join(sorted(available))}"
            )
    pull = {language: available[language] ** exponent * weights.get(language, 1.0) for language in sorted(available)}
    whole = math.fsum(pull.values())
    if whole == 0:
        raise UserError("language_weights: every language has the weight 0, so there is no text to sample")
    drawn = _drawn(available, sample_bytes, {language: pulled for language, pulled in pull.items() if pulled > 0})
    return {language: Share(available[language], pull[language] / whole, drawn.get(language, 0)) for language in pull}


def _drawn(available: Mapping[str, int], sample_bytes: int, pull: Mapping[str, float]) -> dict[str, int]:
    """Return whole bytes by language, rounded down; their sum is at most `sample_bytes`."""
    if sum(available[language] for language in pull) <= sample_bytes:
        return {language: available[language] for language in pull}
    drawn: dict[str, int] = {}
    remaining, waiting = sample_bytes, dict(pull)
    while waiting:
        scale = remaining / math.fsum(waiting.values())
        short = [language for language in waiting if available[language] <= waiting[language] * scale]
        for language in short or list(waiting):
            drawn[language] = min(available[language], int(waiting.pop(language) * scale))
            remaining -= drawn[language]
    return drawn
