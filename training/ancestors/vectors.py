"""Word vectors: skip-gram and CBOW, trained by fastText's own unsupervised mode, and their file.

Skip-gram predicts the words around a word, CBOW a word from the mean of those around it, both with negative sampling
(Mikolov et al. 2013, arXiv 1301.3781 and 1310.4546). With `subwords`, a word's vector is the sum of those of its character
n-grams (Bojanowski et al. 2017, arXiv 1607.04606); without, this is word2vec.

The file has word2vec's text format: "words dimensions" in the first line, then "word x x x …", as gensim and fastText read it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import fasttext
import numpy as np
from numpy.typing import NDArray

from pipelines.contract import files
from training.ancestors.words import AncestorError, Words

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WordVectors:
    """A vector for each word: (words, dimensions)."""

    vocabulary: list[str]
    matrix: Vectors

    def save(self, path: Path) -> None:
        """Write word2vec's text format."""
        lines = [f"{len(self.vocabulary)} {self.matrix.shape[1]}"]
        lines += [f"{word} {' '.join(f'{x:.6g}' for x in row)}" for word, row in zip(self.vocabulary, self.matrix, strict=True)]
        files.write_text(str(path), "\n".join(lines) + "\n")


def read_vectors(path: Path) -> WordVectors:
    """Read word2vec's text format. Raises AncestorError, with the file and the line, for another."""
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    try:
        count, dimensions = map(int, lines[0].split())
    except ValueError:
        raise AncestorError(f"{path}: line 1 is not a number of words and of dimensions; name a file of word vectors") from None
    if len(lines) - 1 != count:
        raise AncestorError(f"{path}: has {len(lines) - 1:,} vectors, line 1 says {count:,}; write it again")
    words: list[str] = []
    matrix = np.empty((count, dimensions), np.float32)
    for number, line in enumerate(lines[1:]):
        word, *values = line.split(" ")
        if len(values) != dimensions:
            raise AncestorError(f"{path}: line {number + 2} has {len(values)} numbers, not {dimensions}; write it again")
        words.append(word)
        matrix[number] = [float(value) for value in values]
    return WordVectors(words, matrix)


def word2vec(
    words: Words,
    method: Literal["skipgram", "cbow"],
    *,
    dimensions: int = 128,
    window: int = 5,
    epochs: int = 15,
    subwords: bool = False,
) -> WordVectors:
    """Train word vectors; the same arguments give the same vectors (one thread; fastText lets nobody choose a seed here).

    The rest are fastText's defaults: 5 negative samples, learning rate 0.05 (linear decrease), frequent words sampled down
    with t = 1e-4, and with `subwords` n-grams of 3 to 6 characters.
    """
    with TemporaryDirectory(prefix="corpusmill-") as folder:
        text = Path(folder) / "words.txt"
        with text.open("w", encoding="utf-8", newline="\n") as out:
            out.writelines(_lines(words))
        model: Any = fasttext.train_unsupervised(
            input=str(text),
            model=method,
            dim=dimensions,
            ws=window,
            epoch=epochs,
            minCount=1,  # rare words are already left out
            minn=3 if subwords else 0,
            maxn=6 if subwords else 0,
            bucket=200_000 if subwords else 0,
            thread=1,
            verbose=0,
        )
    return WordVectors(words.vocabulary, np.stack([model.get_word_vector(word) for word in words.vocabulary]))


def _lines(words: Words) -> Iterable[str]:
    """Yield the lines of the text that have words."""
    ends = np.flatnonzero(np.diff(words.lines)) + 1
    for line in np.split(words.ids, ends):
        yield " ".join(words.vocabulary[number] for number in line) + "\n"
