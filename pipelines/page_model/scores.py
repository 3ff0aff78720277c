"""How well a text matches the one that people took from a page: the measures of two public benchmarks.

- Words (WCXB): precision, recall and F1 of the two bags of words of a page; figures are means over pages. A page is lost if
  less than a third of its words is found.
- Runs of four tokens (Zyte's article-extraction-benchmark): precision and recall over the multisets of a page's runs, means
  over pages, and the F1 of the two means. A letter of a script without spaces is a token.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_WORD = re.compile(r"\w+")
_SPACELESS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f"
_TOKEN = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+")
_RUN = 4
_LOST = 1 / 3


@dataclass(frozen=True, slots=True)
class Match:
    """A page's scores, each from 0 to 1."""

    precision: float
    recall: float
    run_precision: float
    run_recall: float

    @property
    def f1(self) -> float:
        """The F1 of words."""
        return f1(self.precision, self.recall)


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over pages."""

    pages: int
    word_f1: float
    lost: float  # share of pages of which less than a third of the words is found
    run_f1: float


def f1(precision: float, recall: float) -> float:
    """Return the harmonic mean."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def match(truth: str, text: str) -> Match:
    """Compare a text with the truth.

    >>> match("a b c d", "a b c e").f1
    0.75
    """
    return Match(*_shares(_words(truth), _words(text)), *_shares(_runs(truth), _runs(text)))


def summarise(matches: Iterable[tuple[str, Match]]) -> dict[str, Summary]:
    """Return the means of each group of pages, and of all under "all"; `matches` are pairs of group and match."""
    groups: dict[str, list[Match]] = defaultdict(list)
    for group, one in matches:
        groups[group].append(one)
        groups["all"].append(one)
    return {name: _summary(found) for name, found in sorted(groups.items(), key=lambda item: (item[0] == "all", item[0]))}


def _summary(matches: list[Match]) -> Summary:
    pages = len(matches)
    return Summary(
        pages,
        sum(one.f1 for one in matches) / pages,
        sum(one.recall < _LOST for one in matches) / pages,
        f1(sum(one.run_precision for one in matches) / pages, sum(one.run_recall for one in matches) / pages),
    )


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.lower()))


def _runs(text: str) -> Counter[tuple[str, ...]]:
    tokens = _TOKEN.findall(text)
    return Counter(tuple(tokens[i : i + _RUN]) for i in range(max(1, len(tokens) - _RUN + 1))) if tokens else Counter()


def _shares(wanted: Counter[Any], found: Counter[Any]) -> tuple[float, float]:
    both = (wanted & found).total()
    return both / found.total() if found else 0.0, both / wanted.total() if wanted else 1.0
