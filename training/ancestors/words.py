r"""The text of a tokens dataset, as pieces and as words: what all ancestors are trained on.

    text = read(open_dataset("build/demo"), "train")     # pieces, a document after the other
    words = words_of(text.texts(), least=5)              # the same text as words

Pieces are those of the dataset, so a language model of pieces is comparable with GPT. Words are runs of letters in lower case,
with apostrophes inside: "Noah's 3 sons" is "noah's sons". As in word2vec and GloVe, rarer words than `least` are removed before
any window is taken, and no window crosses the end of a line.

    words_of(["The cat.\nThe dog", "A cat"], least=1)
    # vocabulary  ["cat", "the", "a", "dog"]    by count, then by name
    # ids         [1 0 1 3 2 0]
    # lines       [0 0 1 1 2 2]

Limits: the text is held in memory; a training here is a baseline of minutes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.loading import Tokenizer
from training.data.shards import TokenDataset, open_runs

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class AncestorError(UserError):
    """An ancestor cannot be trained or measured; the message names the data and the fix."""


@dataclass(frozen=True, slots=True)
class Text:
    """The documents of a split as pieces."""

    documents: list[NDArray[np.int64]]
    utf8_bytes: int
    tokenizer: Tokenizer
    end: int  # the piece between documents

    def texts(self) -> Iterator[str]:
        """Yield the text of each document."""
        return (self.tokenizer.decode(document) for document in self.documents)

    def stream(self) -> NDArray[np.int64]:
        """Return all documents in one array, each followed by the end of text."""
        return np.concatenate([np.append(document, self.end) for document in self.documents])


@dataclass(frozen=True, slots=True)
class Words:
    """Running text as word numbers; rare words are left out."""

    vocabulary: list[str]
    counts: NDArray[np.int64]  # by word
    ids: NDArray[np.int32]  # (words of the text,)
    lines: NDArray[np.int32]  # (words of the text,) number of the line of each


def read(dataset: TokenDataset, split: str, limit: int | None = None) -> Text:
    """Return the documents of a split, sources by name.

    With `limit`, only the beginning of every document, in the same proportion, so that all have about this many UTF-8 bytes
    together and the mixture of sources stays as it is. Raises AncestorError for a split without documents.
    """
    whole = [
        (run.tokens[run.offsets[number] : run.offsets[number + 1]], int(run.utf8_bytes[number]))
        for source in dataset.sources(split)
        for run in open_runs(dataset, split, source)
        for number in range(run.documents)
    ]
    size = sum(utf8_bytes for _, utf8_bytes in whole)
    if not size:
        raise AncestorError(f"{dataset.uri}: the split {split!r} is empty; build the corpus with more documents")
    share = min(1.0, (limit or size) / size)
    documents = [tokens[: round(len(tokens) * share)].astype(np.int64) for tokens, _ in whole]
    if share < 1:
        size = sum(len(dataset.tokenizer.decode(document).encode()) for document in documents)
    return Text(documents, size, dataset.tokenizer, dataset.end_of_text())


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return WORD.findall(text.lower())


def words_of(texts: Iterable[str], least: int = 5) -> Words:
    """Return the words of texts that occur at least `least` times, with their vocabulary. Raises AncestorError if none does."""
    lines = [split_words(line) for text in texts for line in text.split("\n")]
    counted = Counter(word for line in lines for word in line)
    vocabulary = sorted((word for word, count in counted.items() if count >= least), key=lambda word: (-counted[word], word))
    if not vocabulary:
        raise AncestorError(f"no word occurs {least} times; train on more text")
    number_of = {word: number for number, word in enumerate(vocabulary)}
    kept = [[number_of[word] for word in line if word in number_of] for line in lines]
    ids = np.fromiter((number for line in kept for number in line), np.int32)
    of_line = np.repeat(np.arange(len(kept), dtype=np.int32), [len(line) for line in kept])
    return Words(vocabulary, np.array([counted[word] for word in vocabulary]), ids, of_line)
