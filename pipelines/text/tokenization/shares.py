"""Divide a sample among languages."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.contract.errors import UserError


@dataclass(frozen=True, slots=True)
class Share:
    """A language's part of a sample."""

    available_bytes: int  # of its text
    wanted_share: float  # of the sample, by the rule
    drawn_bytes: int  # at most; all languages together fill the sample


def shares(
    available: Mapping[str, int], sample_bytes: int, exponent: float = 1.0, weights: Mapping[str, float] | None = None
) -> dict[str, Share]:  # fmt: skip
    """Divide `sample_bytes` among the languages.

    A language's share is proportional to bytes ** exponent * weight (1 by default). All text of a language with less than its
    share is drawn, and the others divide the rest in the same proportions.

    >>> [s.drawn_bytes for s in shares({"de": 100, "en": 10_000, "lt": 20}, 300, 0).values()]
    [100, 180, 20]

    Limits: no text is drawn twice. To give a small language more, its source must contain its text several times.

    Raise UserError if a language with a weight has no text, or if all weights are 0.
    """
    weights = weights or {}
    for language in weights:
        if not available.get(language):
            raise UserError(
                f"language_weights.{language}: there is no text in it; the languages are {', '.join(sorted(available))}"
            )
    pull = {language: available[language] ** exponent * weights.get(language, 1.0) for language in sorted(available)}
    total = math.fsum(pull.values())
    if total == 0:
        raise UserError("language_weights: every language has the weight 0, so there is no text to sample")
    drawn = _drawn(available, sample_bytes, {language: pulled for language, pulled in pull.items() if pulled > 0})
    return {language: Share(available[language], pull[language] / total, drawn.get(language, 0)) for language in pull}


def _drawn(available: Mapping[str, int], sample_bytes: int, pull: Mapping[str, float]) -> dict[str, int]:
    """Return whole bytes by language, rounded down; their sum is at most `sample_bytes`."""
    if sum(available[language] for language in pull) <= sample_bytes:
        return {language: available[language] for language in pull}
    drawn: dict[str, int] = {}
    remaining, unserved = sample_bytes, dict(pull)
    while unserved:
        scale = remaining / math.fsum(unserved.values())
        short = [language for language in unserved if available[language] <= unserved[language] * scale]
        for language in short or list(unserved):
            drawn[language] = min(available[language], int(unserved.pop(language) * scale))
            remaining -= drawn[language]
    return drawn
