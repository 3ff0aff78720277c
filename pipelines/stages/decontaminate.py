"""Texts of benchmarks must not be learned: documents that hold one are dropped, or the shared words are cut out of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import DecontaminateSection
from pipelines.contract.batch import Batch, Stage, rewrite, sift
from pipelines.contract.reasons import Change, DropReason
from pipelines.text.copies import containment, cuts
from pipelines.text.copies.containment import Index, Matches
from pipelines.text.copies.substrings import covered

VERSION = f"1/containment-{containment.VERSION}/cuts-{cuts.VERSION}"
NAME = "decontaminate"

WORDS_SHOWN, CHARACTERS_SHOWN = 25, 250  # of the shared words, in a drop's detail


@dataclass(frozen=True, slots=True)
class Benchmarks:
    """What must not be in the corpus: the windows of all items, and what the items are called."""

    index: Index
    names: pa.Array  # [items] strings


def stage(benchmarks: Benchmarks, section: DecontaminateSection) -> Stage:
    """Sift CONTAMINATED (detail: the item with the longest shared run, these words, how many more items).

    With `section.action = "cut"`, rewrite the texts without all shared runs; what is then empty is sifted as EMPTY.
    """

    def run(batch: Batch) -> Batch:
        texts = batch.documents["text"]
        found = containment.matches(texts, benchmarks.index)
        rows = np.unique(found.rows)
        details = _scattered(len(texts), rows, list(_details(texts, found, benchmarks.names)))
        reason = DropReason.CONTAMINATED
        if section.action == "cut":
            goes = covered(found.words.offsets, found.rows, found.first, found.last + 1)
            batch = rewrite(batch, NAME, Change.CONTAMINATION, cuts.without_words(texts, found.words, goes))
            details = pc.if_else(pc.equal(batch.documents["text"], ""), details, _NONE)
            reason = DropReason.EMPTY
        return sift(batch, NAME, pc.if_else(pc.is_valid(details), reason.value, _NONE), details)

    return run


_NONE = pa.scalar(None, pa.string())


def _scattered(length: int, rows: NDArray[np.int64], values: list[str]) -> pa.Array:
    """The values at their rows, null elsewhere."""
    places = np.full(length, -1)
    places[rows] = np.arange(len(rows))
    return pa.array(values, pa.string()).take(pa.array(places, mask=places < 0))


def _details(texts: pa.Array, found: Matches, names: pa.Array) -> Iterator[str]:
    """For each text with matches what a person should know."""
    lengths = found.last - found.first
    for text, runs in _by_text(texts, found):
        longest = runs.start + int(np.argmax(lengths[runs]))
        items = len(np.unique(found.items[runs]))
        shown = _shown(text[found.starts[longest] : found.ends[longest]].decode())
        more = f" (and {items - 1} more)" if items > 1 else ""
        yield f"{names[int(found.items[longest])].as_py()}: “{shown}”{more}"


def _shown(text: str) -> str:
    words = text.split(None, WORDS_SHOWN)
    short = " ".join(words[:WORDS_SHOWN])
    is_all = len(words) <= WORDS_SHOWN and len(short) <= CHARACTERS_SHOWN
    return short if is_all else short[:CHARACTERS_SHOWN] + "…"


def _by_text(texts: pa.Array, found: Matches) -> Iterator[tuple[bytes, slice]]:
    """Each text with matches, and where these are."""
    rows = np.unique(found.rows)
    begins, ends = np.searchsorted(found.rows, rows), np.searchsorted(found.rows, rows, "right")
    for row, begin, end in zip(rows.tolist(), begins.tolist(), ends.tolist(), strict=True):
        yield texts[row].as_py().encode(), slice(begin, end)
