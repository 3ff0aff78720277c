"""Word similarity and analogies: whether distances between words' vectors are those that people see.

    read_pairs("wordsim353.tsv")        # [("tiger", "cat", 7.35), …]
    similarity(vectors, pairs)          # Spearman's rank correlation of cosines with the ratings
    analogies(vectors, questions)       # share of "a is to b as c is to ?" whose nearest word is the right one

Sets: WordSim-353 (Finkelstein et al. 2002), SimLex-999 (Hill et al. 2015), and Google's analogies (Mikolov et al. 2013, arXiv
1301.3781), the files as gensim's package has them. Words are compared in lower case; a pair or question with a word that has no
vector is left out, and how many are left is part of the score.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.ancestors.vectors import WordVectors
from training.ancestors.words import AncestorError

PAIRS = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}  # files of a folder of sets
QUESTIONS = "questions-words.txt"
_AT_ONCE = 512  # questions

Pair = tuple[str, str, float]
Question = tuple[str, str, str, str]


class Score(NamedTuple):
    """A score and on how much of the set it is."""

    value: float
    used: int
    size: int


def read_pairs(path: Path) -> list[Pair]:
    """Read lines "word, word, rating", between tabs or spaces. Raises AncestorError with the line that is none."""
    pairs: list[Pair] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            left, right, rating = line.split()
            pairs.append((left.lower(), right.lower(), float(rating)))
        except ValueError:
            raise AncestorError(f"{path}: line {number} is not two words and a number; name a set of word pairs") from None
    return pairs


def read_questions(path: Path) -> list[Question]:
    """Read lines of four words; lines that begin with ":" name sections. Raises AncestorError with the line that is none."""
    questions: list[Question] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith(":") or not line.strip():
            continue
        words = line.lower().split()
        if len(words) != 4:
            raise AncestorError(f"{path}: line {number} has {len(words)} words, not four; name a set of analogies")
        questions.append((words[0], words[1], words[2], words[3]))
    return questions


def similarity(vectors: WordVectors, pairs: Sequence[Pair]) -> Score:
    """Return Spearman's correlation of the cosines with the ratings; nan with fewer than two pairs."""
    number_of = {word: number for number, word in enumerate(vectors.vocabulary)}
    known = [(a, b, rating) for a, b, rating in pairs if a in number_of and b in number_of]
    if len(known) < 2:
        return Score(float("nan"), len(known), len(pairs))
    unit = _unit(vectors.matrix)
    left, right = [number_of[a] for a, _, _ in known], [number_of[b] for _, b, _ in known]
    cosines = (unit[left] * unit[right]).sum(1)
    return Score(spearman(cosines, np.array([rating for *_, rating in known])), len(known), len(pairs))


def analogies(vectors: WordVectors, questions: Sequence[Question]) -> Score:
    """Return the accuracy of 3CosAdd: the word nearest to b - a + c other than these three (Mikolov et al. 2013)."""
    number_of = {word: number for number, word in enumerate(vectors.vocabulary)}
    known = np.array([[number_of[word] for word in four] for four in questions if all(word in number_of for word in four)])
    unit = _unit(vectors.matrix)
    right = 0
    for a, b, c, d in (part.T for part in np.array_split(known, -(-len(known) // _AT_ONCE) or 1) if len(part)):
        scores = (unit[b] - unit[a] + unit[c]) @ unit.T
        for given in (a, b, c):
            scores[np.arange(len(a)), given] = -np.inf
        right += int((scores.argmax(1) == d).sum())
    return Score(right / len(known) if len(known) else float("nan"), len(known), len(questions))


def spearman(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Return the correlation of ranks; equal values share the mean of their ranks."""
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[number]


def _unit(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
