"""BLiMP: whether a model prefers the grammatical one of two sentences (Warstadt et al. 2020, arXiv 1912.00582).

    score(trained.load("build/demo-gpt"), "blimp").mean          # of 34 sets of pairs; chance is 0.5

The score of a sentence, by family; only pieces of the sentence count, not special pieces around it:

    GPT    the log-probability of the sentence after <|endoftext|>, as in training (BLiMP, 4.1, by the chain rule)
    BERT   pseudo-log-likelihood (Salazar et al. 2020, arXiv 1910.14659, 2): the sum over its pieces of the log-probability of
           each, with only that piece masked, between [CLS] and [SEP]. Pieces of the same word stay visible, as there; Kauf and
           Ivanova 2023 (arXiv 2305.10588) also mask those after it, which is not done here
    BART   the sum over its words of the log-probability of the word's pieces, in the decoder after the sentence up to them,
           with the word replaced by one <mask> in the encoder's input
    T5     the same, with the decoder restoring <extra_id_0>: after <pad> <extra_id_0> and the pieces
           of the word that come before

    the geese sleep   ->   BART  <s> the <mask> sleep </s>          </s> <s> the          ->  geese
                           T5    the <extra_id_0> sleep </s>        <pad> <extra_id_0>    ->  geese

The last two are pseudo-log-likelihoods over the words that infilling counts (contract/tokenizers/pieces.py), which is what
these models learnt to restore. What follows the word is not scored (neither T5's </s> nor BART's next piece).

A tie counts one half. A set's accuracy is over its pairs; the mean is over sets, as in BLiMP's overall score.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.contract.errors import UserError
from pipelines.contract.storage.compressed import BrokenStreamError, Content, uncompressed
from pipelines.contract.tokenizers.families import Specials
from pipelines.contract.tokenizers.pieces import piece_table, word_starts
from training.arguments import PAIRS
from training.checkpoints.trained import Trained
from training.evaluation.likelihood import Question, likelihoods
from training.generation.texts import Speller, speller

GOOD, BAD = "sentence_good", "sentence_bad"


class BlimpError(UserError):
    """Pairs cannot be read; the message names the file and the line."""


class Pair(NamedTuple):
    """A grammatical and an ungrammatical sentence."""

    good: str
    bad: str


@dataclass(frozen=True, slots=True)
class SetScore:
    """A model's result on a set."""

    name: str
    pairs: int
    accuracy: float  # share of pairs whose good sentence is likelier; ties count one half


@dataclass(frozen=True, slots=True)
class BlimpReport:
    """A model's results on all sets, by name."""

    sets: tuple[SetScore, ...]

    @property
    def pairs(self) -> int:
        """Pairs of all sets."""
        return sum(result.pairs for result in self.sets)

    @property
    def mean(self) -> float:
        """Mean accuracy of the sets, each with the same weight."""
        return sum(result.accuracy for result in self.sets) / len(self.sets)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean from the choice of pairs (binomial), which more pairs would reduce."""
        return sum(result.accuracy * (1 - result.accuracy) / result.pairs for result in self.sets) ** 0.5 / len(self.sets)


def score(trained: Trained, folder: str | Path, pairs: int | None = PAIRS) -> BlimpReport:
    """Return the accuracies of a model on all sets of a folder (see `read_sets`), over the first `pairs` of each (None: all).

    The model runs on its device. Raises BlimpError for a folder or file without pairs, UserError for a sentence longer than
    the model's positions.
    """
    sets = read_sets(folder, pairs)
    texts = [sentence for pairs_of_set in sets.values() for pair in pairs_of_set for sentence in pair]
    scores = np.array(sentence_scores(trained, texts)).reshape(-1, 2)  # good, bad
    credit = (1 + np.sign(scores[:, 0] - scores[:, 1])) / 2
    ends = np.cumsum([0, *map(len, sets.values())]).tolist()
    return BlimpReport(
        tuple(
            SetScore(name, end - first, float(credit[first:end].mean()))
            for name, (first, end) in zip(sets, pairwise(ends), strict=True)
        )
    )


def sentence_scores(trained: Trained, texts: Sequence[str]) -> list[float]:
    """Return the score of each sentence in nats, as the module defines it; equal ids have exactly equal scores."""
    words = speller(trained.model, trained.tokenizer)
    sentences = [tuple(ids) for ids in trained.tokenizer.encode_batch(texts)]
    distinct = {ids: number for number, ids in enumerate(dict.fromkeys(sentences))}
    bounds = _word_bounds(words, list(distinct))
    by_sentence = [_questions(words, ids, starts) for ids, starts in zip(distinct, bounds, strict=True)]
    questions = list(chain.from_iterable(by_sentence))
    owners = np.repeat(np.arange(len(distinct)), [len(own) for own in by_sentence])
    sums = np.zeros(len(distinct))
    np.add.at(sums, owners, [answer.log_probability for answer in likelihoods(trained.model, questions, trained.tokenizer.size)])
    return [float(sums[distinct[ids]]) for ids in sentences]


def read_sets(folder: str | Path, pairs: int | None = PAIRS) -> dict[str, list[Pair]]:
    """Read the first `pairs` pairs of each set, by the name of its file NAME.jsonl, plain or compressed, sorted.

    A line is an object with the texts `sentence_good` and `sentence_bad`; other fields are ignored. Raises BlimpError with the
    file and the line.
    """
    sets: dict[str, list[Pair]] = {}
    for path in sorted(Path(folder).glob("*")):
        if not uncompressed(path.name).endswith(".jsonl"):
            continue
        name = path.name[: len(uncompressed(path.name)) - len(".jsonl")]
        if name in sets:
            raise BlimpError(f"{path}: this set exists twice; remove one of its files")
        sets[name] = list(islice(_pairs(path), pairs))
        if not sets[name]:
            raise BlimpError(f"{path}: holds no pairs; put the set back, or remove the file")
    if not sets:
        raise BlimpError(f"{folder}: holds no sets; name a folder of BLiMP's files, one NAME.jsonl, plain or compressed, a set")
    return sets


def _pairs(path: Path) -> Iterator[Pair]:
    number = 0
    try:
        with path.open("rb") as stored, TextIOWrapper(BufferedReader(Content(stored)), encoding="utf-8") as lines:
            for line in lines:
                number += 1
                if line.strip():
                    yield _pair(json.loads(line))
    except (json.JSONDecodeError, _LineError) as error:
        raise BlimpError(f"{path}: line {number}: is not a pair of sentences ({error})") from None
    except (UnicodeDecodeError, BrokenStreamError) as error:
        raise BlimpError(f"{path}: line {number + 1}: cannot be read ({error}); put the file back") from None


class _LineError(ValueError):
    """The fault of a line."""


def _pair(line: Any) -> Pair:
    if not isinstance(line, dict):
        raise _LineError("it is not an object")
    for name in (GOOD, BAD):
        if not isinstance(line.get(name), str) or not line[name].strip():
            raise _LineError(f"{name} must be a text")
    return Pair(line[GOOD], line[BAD])


def _word_bounds(words: Speller, sentences: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return where the words of each sentence begin, and where the last ends."""
    table = piece_table(words.tokenizer)
    flat = np.fromiter(chain.from_iterable(sentences), np.int64)
    ends = np.cumsum([0, *map(len, sentences)])
    places = np.flatnonzero(word_starts(flat, table["word_start"].to_numpy(), table["opens_word"].to_numpy(), ends))
    first = np.searchsorted(places, ends).tolist()
    return [
        [*(places[low:high] - begin).tolist(), end - begin]
        for (low, high), (begin, end) in zip(pairwise(first), pairwise(ends.tolist()), strict=True)
    ]


def _questions(words: Speller, ids: Sequence[int], bounds: Sequence[int]) -> list[Question]:
    """Return the questions about a sentence whose words begin at `bounds`; the module defines them by family."""
    special = words.specials
    before, after = [] if special.begin is None else [special.begin], [special.end]
    if words.family == "gpt":
        return [Question([*before, *ids[:-1]], 0, ids)]
    if words.family == "bert":
        return [
            Question([*before, *ids[:at], _mask(special), *ids[at + 1 :], *after], at + 1, ids[at : at + 1])
            for at in range(len(ids))
        ]
    start = [] if special.decoder_start is None else [special.decoder_start]
    questions: list[Question] = []
    for first, end in pairwise(bounds):
        inputs = [*before, *ids[:first], _mask(special), *ids[end:], *after]
        shown = [*start, _mask(special)] if words.family == "t5" else [*start, *before, *ids[:first]]
        questions.append(Question(inputs, len(shown) - 1, ids[first:end], [*shown, *ids[first : end - 1]]))
    return questions


def _mask(special: Specials) -> int:
    """Return the piece that replaces a masked word."""
    return special.sentinels[0] if special.mask is None else special.mask
