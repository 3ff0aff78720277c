"""BLiMP: does a model find the grammatical one of two sentences likelier (Warstadt et al. 2020, arXiv 1912.00582)?

    score(trained.load("build/demo-gpt"), "blimp").mean          # of 34 sets of pairs; chance is 0.5

What the score of a sentence is, by family; only pieces of the sentence count, none that stands about it:

    GPT    the log-probability of the sentence behind <|endoftext|>, where it stands in training (BLiMP, 4.1, by the chain rule)
    BERT   pseudo-log-likelihood (Salazar et al. 2020, arXiv 1910.14659, 2): the sum over its pieces of the log-probability of
           each, with that piece alone masked, between [CLS] and [SEP]. Pieces of the same word stay in sight, as there; Kauf and
           Ivanova 2023 (arXiv 2305.10588) mask those behind it, too, which is not done here
    BART   the sum over its words of the log-probability of the word's pieces, in the decoder behind the sentence up to them,
           with the word replaced by one <mask> in what the encoder reads
    T5     the same, where the decoder says what stands in the place of <extra_id_0>: behind <pad> <extra_id_0> and the pieces
           of the word that come before

    the geese sleep   ->   BART  <s> the <mask> sleep </s>          </s> <s> the          ->  geese
                           T5    the <extra_id_0> sleep </s>        <pad> <extra_id_0>    ->  geese

The last two are pseudo-log-likelihoods over the words that infilling counts (contract/tokenizers/pieces.py), which is what
these models learnt to restore. What follows the word is not asked for (neither T5's </s> nor BART's next piece).

A tie counts one half. A set's accuracy is over its pairs, the mean is over sets, as BLiMP's overall score.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from pipelines.contract.tokenizers.pieces import piece_table, word_starts
from training.arguments import PAIRS
from training.checkpoints.trained import Trained
from training.evaluation.likelihood import Question, likelihoods
from training.generation.texts import Speller, speller

GOOD, BAD = "sentence_good", "sentence_bad"
_SUFFIXES = (".jsonl", ".jsonl.gz")


class BlimpError(UserError):
    """Pairs cannot be read; the message names the file and the line."""


class Pair(NamedTuple):
    """Two sentences that differ in whether they are grammatical."""

    good: str
    bad: str


@dataclass(frozen=True, slots=True)
class SetScore:
    """What a model made of a set."""

    name: str
    pairs: int
    accuracy: float  # share of pairs whose good sentence is likelier; ties count one half


@dataclass(frozen=True, slots=True)
class BlimpReport:
    """What a model made of all sets, by name."""

    sets: tuple[SetScore, ...]

    @property
    def pairs(self) -> int:
        """Of all sets."""
        return sum(of.pairs for of in self.sets)

    @property
    def mean(self) -> float:
        """Accuracy, each set counted the same."""
        return sum(of.accuracy for of in self.sets) / len(self.sets)

    @property
    def standard_error(self) -> float:
        """Of the mean, from the choice of pairs in each set (binomial): what more pairs would make smaller."""
        return sum(of.accuracy * (1 - of.accuracy) / of.pairs for of in self.sets) ** 0.5 / len(self.sets)


def score(trained: Trained, folder: str | Path, pairs: int | None = PAIRS) -> BlimpReport:
    """The accuracies of a model on all sets of a folder (see `read_sets`), over the first `pairs` pairs of each (None: all).

    The model runs where it is. Raises BlimpError for a folder or a file that holds no pairs, ValueError for a sentence that is
    longer than the model's positions.
    """
    sets = read_sets(folder, pairs)
    texts = [sentence for of in sets.values() for pair in of for sentence in pair]
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
    """The score of each sentence as the module defines it, in nats; sentences of the same ids have exactly the same."""
    words = speller(trained.model, trained.tokenizer)
    ids = [tuple(of) for of in trained.tokenizer.encode_batch(texts)]
    distinct = {of: number for number, of in enumerate(dict.fromkeys(ids))}
    asked = [_questions(words, of, starts) for of, starts in zip(distinct, _word_bounds(words, list(distinct)), strict=True)]
    questions = list(chain.from_iterable(asked))
    owners = np.repeat(np.arange(len(distinct)), [len(of) for of in asked])
    sums = np.zeros(len(distinct))
    np.add.at(sums, owners, [found.log_probability for found in likelihoods(trained.model, questions, trained.tokenizer.size)])
    return [float(sums[distinct[of]]) for of in ids]


def read_sets(folder: str | Path, pairs: int | None = PAIRS) -> dict[str, list[Pair]]:
    """The first `pairs` pairs of each set, by the name of its file NAME.jsonl or NAME.jsonl.gz, sorted.

    A line is an object with the texts `sentence_good` and `sentence_bad`; its other fields are not looked at. Raises BlimpError
    with the file and the line.
    """
    found: dict[str, list[Pair]] = {}
    for path in sorted(Path(folder).glob("*")):
        if not path.name.endswith(_SUFFIXES):
            continue
        name = path.name.removesuffix(".gz").removesuffix(".jsonl")
        if name in found:
            raise BlimpError(f"{path}: this set is there twice; remove one of its files")
        found[name] = list(islice(_pairs(path), pairs))
        if not found[name]:
            raise BlimpError(f"{path}: holds no pairs; put the set back, or remove the file")
    if not found:
        raise BlimpError(f"{folder}: holds no sets; name a folder of BLiMP's files, one NAME.jsonl or NAME.jsonl.gz a set")
    return found


def _pairs(path: Path) -> Iterator[Pair]:
    opened = gzip.open if path.name.endswith(".gz") else open
    number = 0
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                number += 1
                if line.strip():
                    yield _pair(json.loads(line))
    except (json.JSONDecodeError, _LineError) as error:
        raise BlimpError(f"{path}: line {number}: is no pair of sentences ({error})") from None
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BlimpError(f"{path}: line {number + 1}: cannot be read ({error}); put the file back") from None


class _LineError(ValueError):
    """What a line lacks."""


def _pair(line: Any) -> Pair:
    if not isinstance(line, dict):
        raise _LineError("it is no object")
    for name in (GOOD, BAD):
        if not isinstance(line.get(name), str) or not line[name].strip():
            raise _LineError(f"{name} must be a text")
    return Pair(line[GOOD], line[BAD])


def _word_bounds(words: Speller, sentences: Sequence[Sequence[int]]) -> list[list[int]]:
    """Where the words of each sentence begin, and the end of the last."""
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
    """What is asked of a model about a sentence, whose words begin at `bounds`: the module's text says it by family."""
    of = words.specials
    before, behind = [] if of.begin is None else [of.begin], [of.end]
    if words.family == "gpt":
        return [Question([*before, *ids[:-1]], 0, ids)]
    if words.family == "bert":
        return [
            Question([*before, *ids[:at], _mask(of), *ids[at + 1 :], *behind], at + 1, ids[at : at + 1]) for at in range(len(ids))
        ]
    start = [] if of.decoder_start is None else [of.decoder_start]
    asked: list[Question] = []
    for first, end in pairwise(bounds):
        inputs = [*before, *ids[:first], _mask(of), *ids[end:], *behind]
        shown = [*start, _mask(of)] if words.family == "t5" else [*start, *before, *ids[:first]]
        asked.append(Question(inputs, len(shown) - 1, ids[first:end], [*shown, *ids[first : end - 1]]))
    return asked


def _mask(of: Specials) -> int:
    """What stands for what is asked for."""
    return of.sentinels[0] if of.mask is None else of.mask
