"""The signatures of many parts as one memory-mapped array: document i is row i of the concatenated parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.clustering import earlier
from pipelines.config import DeduplicateSection
from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.stages import signatures
from pipelines.text.copies import minhash, similarity
from pipelines.text.copies.clusters import Likeness
from pipelines.text.copies.minhash import Signatures
from pipelines.text.copies.similarity import Sequences
from pipelines.units.context import Dataset
from pipelines.units.spill import batches_of, id_pairs

PAIRS_AT_ONCE = 2**16  # compared in memory: 2 × 28 MiB of signatures at 112 permutations
WORDS_AT_ONCE = 2**24  # held at a time (64 MiB), unless one pair has more


@dataclass(frozen=True, slots=True)
class SignaturePart:
    """A part of signatures and its place in the numbering of all documents."""

    dataset: str
    source: str
    unit: str
    uri: str
    first: int  # number of its first document
    rows: int
    corpus: str | None = None  # the earlier corpus that published these documents; None: this build
    documents: str | None = None  # the part of the documents themselves; None: of an earlier corpus


def signature_parts(documents: Sequence[Dataset], indexes: Sequence[Dataset] = ()) -> list[SignaturePart]:
    """Return the parts of signatures in the order that numbers the documents: by dataset, then by path.

    The indexes of earlier corpora follow this build's documents.

    Raise UserError if a unit has no signatures for its documents.
    """
    parts: list[SignaturePart] = []
    first = 0
    for dataset in documents:
        found = dataset.manifest
        if found.rows(signatures.TABLE) != found.rows("documents"):
            raise UserError(
                f"{dataset.uri}: {found.rows('documents'):,} documents, but {found.rows(signatures.TABLE):,} signatures;"
                " it was built with deduplicate.enabled = false, or is damaged: remove the folder and build it again"
            )
        texts = {part.unit: files.join(dataset.uri, part.path) for part in found.of("documents")}
        for part in found.of(signatures.TABLE):
            source, uri = found.dataset.removeprefix("documents/"), files.join(dataset.uri, part.path)
            parts.append(SignaturePart(found.dataset, source, part.unit, uri, first, part.rows, documents=texts.get(part.unit)))
            first += part.rows
    for index, corpus in zip(indexes, earlier.labels(indexes), strict=True):
        for part in index.manifest.of(earlier.INDEX):
            parts.append(SignaturePart(earlier.INDEX, "", part.unit, files.join(index.uri, part.path), first, part.rows, corpus))
            first += part.rows
    if first >= 2**32:
        raise UserError(f"{first:,} documents; one build deduplicates fewer than 2^32: split the corpus by source")
    return parts


class SignatureStore:
    """Random access to signatures by document number; only the requested rows are read from the files."""

    def __init__(self, uris: Sequence[str], section: DeduplicateSection) -> None:
        self._section = section
        self._batches = [batch for uri in uris for batch in batches_of(uri)]
        rows = [batch.num_rows for batch in self._batches]
        self._starts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])
        self._minhash = [evidence_of(batch, section.scheme).minhash for batch in self._batches]
        self._exact = [id_pairs(batch["exact"]) for batch in self._batches]
        self._url = [batch["url"].to_numpy() for batch in self._batches]
        self._words = [Sequences.of(batch["words"]) for batch in self._batches] if signatures.has_words(section) else None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def ids(self) -> NDArray[np.uint64]:
        """Return all ids [documents, 2], each as two big-endian numbers."""
        return _joined([id_pairs(batch["id"]) for batch in self._batches], np.empty((0, 2), np.uint64))

    def characters(self) -> NDArray[np.int64]:
        """Return the length of each text."""
        return _joined([batch["characters"].to_numpy() for batch in self._batches], np.empty(0, np.int64))

    def minhash(self, numbers: NDArray[np.int64]) -> Signatures:
        """Return signatures [len(numbers), permutations]."""
        return self._gathered(self._minhash, numbers)

    def exact(self, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return hashes of the whole texts, as deduplicate.exact compares them [len(numbers), 2]."""
        return self._gathered(self._exact, numbers)

    def url(self, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return hashes of the canonical URLs [len(numbers)]; 0 without a URL."""
        return self._gathered(self._url, numbers)

    def words(self, numbers: NDArray[np.int64]) -> Sequences | None:
        """Return the words of these documents, reading each document once; None if only signatures are compared."""
        if self._words is None:
            return None
        unique, rows = np.unique(numbers, return_inverse=True)
        first = np.searchsorted(unique, self._starts)
        parts = [
            words.take(unique[first[index] : first[index + 1]] - self._starts[index]) for index, words in enumerate(self._words)
        ]
        return Sequences.joined(parts).take(rows)

    def evidence(self, numbers: NDArray[np.int64]) -> "Evidence":
        """Return what is compared of these documents."""
        return Evidence(self.minhash(numbers), self.exact(numbers), self.url(numbers), self.words(numbers))

    def likeness(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Likeness:
        """Compare the documents of these pairs as the config demands."""
        found = [Likeness(np.empty(0, np.float32), np.empty(0, np.bool_))]
        for chunk in self._chunks(first, second):
            found.append(likeness(self.evidence(first[chunk]), self.evidence(second[chunk]), self._section))
        return Likeness(np.concatenate([part.similarity for part in found]), np.concatenate([part.alike for part in found]))

    def _chunks(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Iterator[slice]:
        """Yield slices of the pairs, in order, each within the limits of memory."""
        if self._words is None:
            taken = np.arange(1, len(first) + 1) * (WORDS_AT_ONCE // PAIRS_AT_ONCE)
        else:
            lengths = [words.lengths for words in self._words]
            both = self._gathered(lengths, first) + self._gathered(lengths, second)
            taken = np.cumsum(np.maximum(both, WORDS_AT_ONCE // PAIRS_AT_ONCE))
        start = 0
        while start < len(first):
            limit = WORDS_AT_ONCE + (taken[start - 1] if start else 0)
            end = max(int(np.searchsorted(taken, limit, side="right")), start + 1)
            yield slice(start, end)
            start = end

    def _gathered(self, columns: list[Any], numbers: NDArray[np.int64]) -> Any:
        if not columns:
            return np.empty((0, 0), np.uint64)
        if len(columns) == 1:
            return columns[0][numbers]
        out = np.empty((len(numbers), *columns[0].shape[1:]), columns[0].dtype)
        batch = np.searchsorted(self._starts, numbers, side="right") - 1
        order = np.argsort(batch, kind="stable")
        present, first = np.unique(batch[order], return_index=True)
        for index, chosen in zip(present.tolist(), np.split(order, first)[1:], strict=True):
            out[chosen] = columns[index][numbers[chosen] - self._starts[index]]
        return out


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is compared of documents, one row each."""

    minhash: Signatures
    exact: NDArray[np.uint64]  # [documents, 2]
    url: NDArray[np.uint64]
    words: Sequences | None = None  # None: only signatures are compared


def likeness(first: Evidence, second: Evidence, section: DeduplicateSection) -> Likeness:
    """Compare pairs of documents row by row as the config demands."""
    equal = (first.exact == second.exact).all(axis=1)
    exactly = signatures.has_words(section)
    found = _jaccard(first, second, equal, section) if exactly else minhash.similarity(first.minhash, second.minhash)
    found[equal] = 1  # equal letters are enough for exact = "letters", but their signs are shingles
    alike = np.zeros(len(found), np.bool_)
    if section.near:
        alike |= found >= section.threshold
        if section.verify == "edit":
            alike &= _is_edited(first, second, alike, section.edit_threshold)
    if section.exact:
        alike |= equal
    if section.url:
        alike |= (first.url == second.url) & (first.url != 0)
    return Likeness(found, alike)


def _jaccard(first: Evidence, second: Evidence, equal: NDArray[np.bool_], section: DeduplicateSection) -> NDArray[np.float32]:
    """Return the Jaccard similarity of the shingles.

    Equal texts have equal words, so their words are not read. Signatures cannot save more: they
    are estimates, and the true similarity may be on the other side of the threshold.
    """
    assert first.words is not None and second.words is not None
    found, rows = np.ones(len(equal), np.float32), np.flatnonzero(~equal)
    found[rows] = similarity.jaccard(first.words.take(rows), second.words.take(rows), section.ngram)
    return found


def _is_edited(first: Evidence, second: Evidence, candidates: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    """Mark the candidate pairs with at least this edit similarity in words."""
    assert first.words is not None and second.words is not None
    found, rows = np.zeros(len(candidates), np.bool_), np.flatnonzero(candidates)
    found[rows] = similarity.edit_similarity(first.words.take(rows), second.words.take(rows), threshold) >= threshold
    return found


def evidence_of(batch: pa.RecordBatch, scheme: str) -> Evidence:
    """Return the evidence in a batch of signatures; the signatures are not copied."""
    dtype = np.uint32 if scheme == "affine32" else np.uint64
    values: Any = _values(batch["minhash"])
    words = Sequences.of(batch["words"]) if "words" in batch.schema.names else None
    return Evidence(values.view(dtype), id_pairs(batch["exact"]), batch["url"].to_numpy(), words)


def _values(lists: pa.Array) -> NDArray[np.uint32]:
    return lists.flatten().to_numpy().reshape(len(lists), -1) if len(lists) else np.empty((0, lists.type.list_size), np.uint32)


def _joined(arrays: list[Any], empty: Any) -> Any:
    return np.concatenate([empty, *arrays])
