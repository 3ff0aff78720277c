"""Passages of a corpus and their index: texts cut at the ends of sentences, found by BM25 (bm25s, arXiv 2407.03618).

    <folder>/<corpus>-<fingerprint>/
        passages.arrow      title, url and text of each passage
        bm25/               the scores of each word in each passage
        vectors-<run>.npy   float32 (N, D): the passages' vectors by a sentence encoder, when one has asked for them

The name has the fingerprints of the corpus, by which `corpusmill gc` knows whether it is still there, and of how it is cut.
The index is mapped into memory, not read.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract import manifest
from pipelines.contract.errors import UserError
from pipelines.contract.new_folder import new_folder
from training.search.sentences import SENTENCE

WORDS = 100  # of a passage, as in DPR (arXiv 2004.04906, 4.1)
VERSION = 1  # of how passages are cut
_SCHEMA = pa.schema([("title", pa.string()), ("url", pa.string()), ("text", pa.large_string())])


class SearchError(UserError):
    """A corpus cannot be searched."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index of passages."""

    folder: Path
    passages: pa.Table
    scorer: Any  # bm25s.BM25

    def __len__(self) -> int:
        return self.passages.num_rows

    def scores(self, question: str) -> NDArray[np.float32]:
        """Return the BM25 score of each passage: (N,), 0 for one without a word of the question."""
        words = _words([question])[0]
        return np.asarray(self.scorer.get_scores(words), np.float32) if words else np.zeros(len(self), np.float32)

    def vectors(self, name: str, encode: Callable[[list[str]], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the vectors of all passages, made once by `encode` and kept under a name: (N, D)."""
        path = self.folder / f"vectors-{name}.npy"
        if not path.exists():
            made = encode(self.passages["text"].to_pylist())
            partial = path.with_suffix(".partial.npy")
            np.save(partial, made)
            partial.replace(path)
        return np.load(path, mmap_mode="r")


def index(folder: Path, corpus: str, batches: Callable[[], Iterable[pa.RecordBatch]]) -> Index:
    """Return the index of a corpus, made if `folder` has none.

    `corpus` is the corpus' fingerprint; `batches` yields its documents, with title, url and text. Raises SearchError for a
    corpus without words.
    """
    parts = {"corpus": corpus, "version": VERSION, "words": WORDS, "bm25s": metadata.version("bm25s")}
    own = folder / "-".join(one[: manifest.FINGERPRINT_CHARACTERS] for one in (corpus, manifest.fingerprint(parts)))
    if not own.exists():
        with new_folder(str(own)) as made:
            _make(made, batches())
    with pa.memory_map(str(own / "passages.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    return Index(own, table, bm25s.BM25.load(str(own / "bm25"), mmap=True))


def cut(text: str, words: int = WORDS) -> Iterator[str]:
    """Yield the passages of a text: whole sentences, of at most `words` words unless one sentence has more.

    >>> list(cut("One two. Three four! Five six seven.", words=4))
    ['One two. Three four!', 'Five six seven.']
    """
    begin = end = count = 0
    for sentence in SENTENCE.finditer(text):
        size = len(sentence.group().split())
        if count and count + size > words:
            yield text[begin:end]
            count = 0
        if not count:
            begin = sentence.start()
        end, count = sentence.end(), count + size
    if count:
        yield text[begin:end]


def _make(folder: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write passages and index."""
    texts: list[str] = []
    with pa.OSFile(str(folder / "passages.arrow"), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for batch in batches:
            rows = [
                {"title": title, "url": url, "text": passage}
                for title, url, text in zip(*(batch[name].to_pylist() for name in ("title", "url", "text")), strict=True)
                for passage in cut(text)
            ]
            writer.write_table(pa.Table.from_pylist(rows, _SCHEMA))
            texts += [row["text"] for row in rows]
    words = _words(texts)
    if not any(words):
        raise SearchError("the corpus has no words to search; build one with documents")
    scorer = bm25s.BM25()
    scorer.index(words, show_progress=False)
    scorer.save(str(folder / "bm25"), show_progress=False)


def _words(texts: list[str]) -> list[list[str]]:
    found: Any = bm25s.tokenize(texts, stopwords=[], return_ids=False, show_progress=False)
    return found
