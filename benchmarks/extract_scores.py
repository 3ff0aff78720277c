r"""Scores of extracted main text against labelled text, a page and a set of pages.

- Words (as in the benchmark WCXB): of a page, precision, recall and F1 of two bags of words; the figure of a set is the mean of
  the pages' F1. A word is a run of letters, digits and underscores, in lower case. A page is lost if less than a third of its
  words is there.
- 4-token runs (as in scrapinghub's article-extraction-benchmark): precision and recall of two bags of runs, their means over the
  pages, and the F1 of the two means. A token is a word as it is written, or one character of a script without spaces.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LOST_RECALL = 1 / 3
RUN = 4
_WORD = re.compile(r"\w+")
_SPACELESS = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+")


@dataclass(frozen=True, slots=True)
class PageScore:
    """How much of a page's labelled text was extracted, and how much else."""

    word_precision: float
    word_recall: float
    run_precision: float
    run_recall: float

    @property
    def word_f1(self) -> float:
        """F1 of the two bags of words."""
        return harmonic_mean(self.word_precision, self.word_recall)

    @property
    def is_lost(self) -> bool:
        """Whether less than LOST_RECALL of the words is there."""
        return self.word_recall < LOST_RECALL


@dataclass(frozen=True, slots=True)
class SetScore:
    """The figures of a set of pages."""

    pages: int
    word_f1: float
    run_f1: float
    lost: float  # share of the pages


def page_score(wanted: str, found: str) -> PageScore:
    """Score one page.

    >>> page_score("one two three four", "One two")
    PageScore(word_precision=1.0, word_recall=0.5, run_precision=0.0, run_recall=0.0)
    """
    words = _overlap(Counter(_WORD.findall(wanted.lower())), Counter(_WORD.findall(found.lower())))
    return PageScore(*words, *_overlap(_runs(wanted), _runs(found)))


def set_score(pages: Sequence[PageScore]) -> SetScore:
    """Score a set of one page or more."""
    precision, recall = _mean(page.run_precision for page in pages), _mean(page.run_recall for page in pages)
    return SetScore(
        len(pages),
        _mean(page.word_f1 for page in pages),
        harmonic_mean(precision, recall),
        _mean(page.is_lost for page in pages),
    )


def harmonic_mean(precision: float, recall: float) -> float:
    """Return F1; 0 if both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _runs(text: str) -> Counter[tuple[str, ...]]:
    """Return the runs of RUN tokens; a shorter text is one run."""
    tokens = _TOKEN.findall(text)
    if not tokens:
        return Counter()
    return Counter(tuple(tokens[start : start + RUN]) for start in range(max(1, len(tokens) - RUN + 1)))


def _overlap(wanted: Counter, found: Counter) -> tuple[float, float]:
    """Return precision (of nothing 0) and recall (of nothing 1)."""
    both = (wanted & found).total()
    return both / found.total() if found else 0.0, both / wanted.total() if wanted else 1.0


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
