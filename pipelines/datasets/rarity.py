"""rarity: how many documents have each n-gram of the benchmarks' items, so that frequent ones count little.

    rarity/3f9a1c20b77e/
        manifest.json       facts: documents, met (how many n-grams are in any of them)
        documents.arrow     one row with a list: the number of documents that have each n-gram, in the order of `reference`

Only documents that survive the clusters count, so copies of a page do not make its words frequent.

A keyed exchange: a step counts the n-grams of a group of units, a second one adds up the counts of a range of n-grams.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.beam.exchange import Keyed, exchange
from pipelines.contract import files, manifest
from pipelines.contract.manifest import Manifest
from pipelines.contract.tables import read_batches
from pipelines.datasets import reference
from pipelines.datasets.clusters import removals_for
from pipelines.datasets.repeat_rows import groups_of, read_group, write_group
from pipelines.text.copies import contamination, item_grams
from pipelines.text.copies.contamination import Frequencies
from pipelines.text.copies.item_grams import Index
from pipelines.units.context import Context, Dataset, ensure
from pipelines.units.lists import read_lists, write_lists
from pipelines.units.spill import keyed, read_all, read_columns, read_notes, total, write_by_key, write_columns, write_note

NAME = "rarity"
VERSION = 1
NGRAMS_PER_RANGE = 2**22


def build(context: Context, documents: Sequence[Dataset], clusters: Dataset, items: Dataset) -> Dataset:
    """Count the n-grams of `items` (a reference dataset) in the documents, or find them counted."""
    made_from = {
        "documents": sorted(dataset.manifest.fingerprint for dataset in documents),
        "clusters": clusters.manifest.fingerprint,
        "reference": items.manifest.fingerprint,
        "versions": {"rarity": VERSION, "contamination": contamination.VERSION},
    }

    def make(uri: str) -> Manifest:
        spill = files.join(uri, "spill")
        files.remove(spill)
        try:
            counted = _counted(context, documents, clusters, items, spill)
        finally:
            files.remove(spill)
        facts = {"documents": counted.all_documents, "met": int(np.count_nonzero(counted.documents))}
        part = write_lists(uri, "frequencies", NAME, "documents.arrow", {"documents": counted.documents})
        return manifest.assemble(NAME, made_from, (), config=context.config.recorded(), facts=facts, parts=[part])

    return ensure(context, NAME, made_from, make)


def load(uri: str) -> Frequencies:
    """Return the counts of the dataset at `uri`."""
    made = manifest.read(uri)
    (part,) = made.parts
    counts = read_lists(uri, part)["documents"].to_numpy()
    return Frequencies(counts, made.facts["documents"])


# The exchange


def _counted(context: Context, documents: Sequence[Dataset], clusters: Dataset, items: Dataset, spill: str) -> Frequencies:
    groups = groups_of(documents)
    for number, pieces in enumerate(groups):
        write_group(spill, number, pieces)
    exchange(
        context.runner,
        [(f"text-{number:05}", str(number), sum(files.size(p.uri) for p in pieces)) for number, pieces in enumerate(groups)],
        _CountGrams(clusters.uri, items.uri, spill),
        _AddCounts(spill),
        on_progress=lambda claims: context.on_event("progress", {"claims": claims}),
        columnar=True,
    )
    counts = np.zeros(items.manifest.facts["ngrams"], np.int64)
    for key in range(1 + len(counts) // NGRAMS_PER_RANGE):
        uri = _sum_uri(spill, key)
        if files.exists(uri):
            sums = read_columns(uri)
            counts[sums["ngram"]] = sums["documents"]
    return Frequencies(counts, total(read_notes(files.join(spill, "notes")), "documents"))


@dataclass(frozen=True)
class _CountGrams:
    """The first step: the n-grams in a group of units, and how many of its documents have each."""

    clusters: str
    items: str
    spill: str

    def __call__(self, group: str) -> Keyed:
        """Write the counts by range of n-grams, and a note with the number of documents."""
        index = _index(self.items)
        counts: NDArray[np.int64] = np.zeros(len(index.items.hashes), np.int64)
        documents = 0
        clusters = Dataset(self.clusters, manifest.read(self.clusters))
        for piece in read_group(self.spill, int(group)):
            removals = removals_for(clusters, piece.dataset, piece.unit)
            removed = removals["id"].combine_chunks() if removals is not None else pa.array([], pa.binary(16))
            for rows in read_batches(piece.uri, ["id", "text"]):
                texts = rows["text"].filter(pc.invert(pc.is_in(rows["id"], value_set=removed)))
                documents += len(texts)
                counts += _documents_with(texts, index)
        write_note(files.join(self.spill, "notes", f"{int(group):05}.json"), documents=documents)
        present = np.flatnonzero(counts)
        keys = present // NGRAMS_PER_RANGE
        return write_by_key(files.join(self.spill, "counts"), group, keys, ngram=present, documents=counts[present])


@dataclass(frozen=True)
class _AddCounts:
    """The second step: the sums of a range of n-grams."""

    spill: str

    def __call__(self, key: int, uris: Sequence[str]) -> None:
        """Write the n-grams of the range that are in documents, with their number."""
        rows = read_all(uris, ngram=np.int64, documents=np.int64)
        sums = np.bincount(rows["ngram"], rows["documents"]).astype(np.int64)
        present = np.flatnonzero(sums)
        write_columns(_sum_uri(self.spill, key), ngram=present, documents=sums[present])


def _sum_uri(spill: str, key: int) -> str:
    return keyed(files.join(spill, "sums"), key, "sum")


@lru_cache(maxsize=1)
def _index(uri: str) -> Index:
    loaded = reference.load(uri)
    return item_grams.index(loaded.items, ngram=loaded.ngram)


def _documents_with(texts: pa.Array, index: Index) -> NDArray[np.int64]:
    """Return how many of the texts have each n-gram."""
    found, size = item_grams.hits(texts, index), len(index.items.hashes)
    return np.bincount(np.unique(found.rows * size + found.grams) % size, minlength=size)
