"""Keep benchmarks out of the corpus: drop the documents that contain a benchmark's text, or cut out the shared words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import DecontaminateSection
from pipelines.contract.batch import Batch, rewrite, sift
from pipelines.contract.reasons import Change, DropReason
from pipelines.stages.base import BatchFunction, ForUnit, Stage, for_every_unit
from pipelines.text.copies import containment, cuts
from pipelines.text.copies.containment import Index, Matches
from pipelines.text.copies.substrings import covered

VERSION = f"1/containment-{containment.VERSION}/cuts-{cuts.VERSION}"
NAME = "decontaminate"

WORDS_SHOWN, CHARACTERS_SHOWN = 25, 250  # limits of the excerpt in a drop's detail


@dataclass(frozen=True, slots=True)
class Benchmarks:
    """The texts that must not be in the corpus, as the windows of all items and the items' names."""

    index: Index
    names: pa.Array  # [items] strings


def stage(load: Callable[[], Benchmarks] | None, fingerprint: str | None, section: DecontaminateSection) -> Stage:
    """Return the stage; `load` opens the reference dataset of this fingerprint (None if no benchmarks are configured)."""
    return Stage(
        {NAME: VERSION},
        partial(_open, load, section),
        {NAME: {"reference": fingerprint, "action": section.action} if load else None},
        runs=load is not None,
    )


def _open(load: Callable[[], Benchmarks] | None, section: DecontaminateSection) -> ForUnit:
    assert load is not None, "the stage does not run without benchmarks"
    return for_every_unit(removing(load(), section))


def removing(benchmarks: Benchmarks, section: DecontaminateSection) -> BatchFunction:
    """Sift CONTAMINATED (detail: the item with the longest shared run, its words, and the number of other items).

    With `section.action = "cut"`, cut all shared runs out of the texts and sift texts that become empty as EMPTY.
    """

    def run(batch: Batch) -> Batch:
        texts = batch.documents["text"]
        found = containment.matches(texts, benchmarks.index)
        rows = np.unique(found.rows)
        details = _at_rows(len(texts), rows, list(_details(texts, found, benchmarks.names)))
        reason = DropReason.CONTAMINATED
        if section.action == "cut":
            flags = covered(found.words.offsets, found.rows, found.first, found.last + 1)
            batch = rewrite(batch, NAME, Change.CONTAMINATION, cuts.remove_words(texts, found.words, flags))
            details = pc.if_else(pc.equal(batch.documents["text"], ""), details, _NONE)
            reason = DropReason.EMPTY
        return sift(batch, NAME, pc.if_else(pc.is_valid(details), reason.value, _NONE), details)

    return run


_NONE = pa.scalar(None, pa.string())


def _at_rows(length: int, rows: NDArray[np.int64], values: list[str]) -> pa.Array:
    """Return a column with these values at these rows and null elsewhere."""
    places = np.full(length, -1)
    places[rows] = np.arange(len(rows))
    return pa.array(values, pa.string()).take(pa.array(places, mask=places < 0))


def _details(texts: pa.Array, found: Matches, names: pa.Array) -> Iterator[str]:
    """Yield the detail of each text with matches."""
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
    """Yield each text with matches, and the slice of its matches."""
    rows = np.unique(found.rows)
    begins, ends = np.searchsorted(found.rows, rows), np.searchsorted(found.rows, rows, "right")
    for row, begin, end in zip(rows.tolist(), begins.tolist(), ends.tolist(), strict=True):
        yield texts[row].as_py().encode(), slice(begin, end)
