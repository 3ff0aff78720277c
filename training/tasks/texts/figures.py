"""The metrics of written texts: by their libraries where there is one, else by the published definition."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

_PUNCTUATION = re.compile(r"""[!"#$%&()*+,\-./:;<=>?@\[\]\\^`{|}~_']""")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SENTENCE = re.compile(r"""(?<=[.!?])\s+|(?<=[.!?]["'”’)])\s+""")
_ENDED = re.compile(r"[.!?][\"'”’)]*$")


def normalized(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation and articles (ParlAI, parlai/core/metrics.py).

    >>> normalized("The cat, a tom!")
    ['cat', 'tom']
    """
    return _ARTICLES.sub(" ", _PUNCTUATION.sub(" ", text.lower())).split()


def word_f1(written: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the mean over texts of the F1 of their words, each counted as often as it occurs (ParlAI's F1Metric)."""
    return _mean(f1_of_words(one, other) for one, other in zip(written, wanted, strict=True))


def f1_of_words(written: str, wanted: str) -> float:
    """Return the F1 of the words of one text."""
    one, other = normalized(written), normalized(wanted)
    common = sum((Counter(one) & Counter(other)).values())
    return 2 * common / (len(one) + len(other)) if common else 0.0


def exact_match(written: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the share of texts that are the wanted one, apart from white space at the ends."""
    return _mean(float(one.strip() == other.strip()) for one, other in zip(written, wanted, strict=True))


def distinct(written: Sequence[str]) -> dict[str, float]:
    """Return the different words and pairs of words among all of them: distinct-1 and -2 (Li et al. 2016, arXiv 1510.03055, 5).

    >>> distinct(["i am i", "i am"])
    {'distinct_1': 0.4, 'distinct_2': 0.6666666666666666}
    """
    words = [text.lower().split() for text in written]
    grams = {1: [one for text in words for one in text], 2: [pair for text in words for pair in pairwise(text)]}
    return {f"distinct_{n}": len(set(found)) / max(1, len(found)) for n, found in grams.items()}


def rouge(written: Sequence[str], wanted: Sequence[str]) -> dict[str, float]:
    """Return the mean F of ROUGE-1, ROUGE-2 and ROUGE-L over texts, by rouge-score with its stemmer."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    scores = [scorer.score(target, prediction) for target, prediction in zip(wanted, written, strict=True)]
    return {name: _mean(score[name].fmeasure for score in scores) for name in ("rouge1", "rouge2", "rougeL")}


def lead(text: str, sentences: int = 3) -> str:
    r"""Return the first sentences of a text; lines that end without a full stop, as headlines, are none.

    >>> lead("Ad sales boost profit\n\nProfits rose. Sales, too! Shares fell. The end.")
    'Profits rose. Sales, too! Shares fell.'
    """
    lines = [line.strip() for line in text.split("\n")]
    found = [one for line in lines if _ENDED.search(line) for one in _SENTENCE.split(line)]
    return " ".join(found[:sentences]) or text


def bleu_and_chrf(written: Sequence[str], wanted: Sequence[str], tokenizer: str) -> tuple[dict[str, float], dict[str, str]]:
    """Return BLEU and chrF, from 0 to 100, and sacrebleu's signatures of both (Post 2018, arXiv 1804.08771)."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    found: dict[str, float] = {}
    signatures: dict[str, str] = {}
    for name, metric in (("bleu", BLEU(tokenize=tokenizer)), ("chrf", CHRF())):
        found[name] = float(metric.corpus_score(list(written), [list(wanted)]).score)
        signatures[name] = str(metric.get_signature())
    return found, signatures


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / max(1, len(found))
