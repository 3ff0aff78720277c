"""Cut text that many documents share: repeated lines, paragraphs and runs of words.

A line or paragraph stays in its owner, the best-ranked document that has it (as often as it is there), unless the config says
that no document keeps it.

All of them were found in the texts of the documents dataset, so all are looked up before anything is cut. The words are then
cut kind by kind, so that the ledger counts the removed characters by kind. A document that would lose every word is dropped
whole, so that its drop shows the text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.batch import Batch, sift, with_columns
from pipelines.contract.reasons import Change, DropReason
from pipelines.stages.base import BatchFunction, ForUnit, Stage
from pipelines.stages.removed import cut, noted
from pipelines.text.characters import word_spans
from pipelines.text.copies import cuts, removed, repeats, substrings
from pipelines.text.copies.cuts import remove_words
from pipelines.text.copies.repeats import Owners, Repeated
from pipelines.units.spill import id_pairs

VERSION = f"3/repeats-{repeats.VERSION}/cuts-{cuts.VERSION}/words-{word_spans.VERSION}/removed-{removed.VERSION}"
NAME = "repeats"


@dataclass(frozen=True, slots=True)
class RepeatedText:
    """The text to cut from the documents of a unit; a kind that is switched off is None."""

    min_words: int  # shorter lines and paragraphs stay
    lines: Sequence[Repeated] | None = None  # ascending
    paragraphs: Sequence[Repeated] | None = None
    runs: pa.Table | None = None  # schema.REPEATED_RUNS of the unit's documents


def stage(load: Callable[[], Callable[[str, str], RepeatedText]], fingerprint: str, *, runs: bool = True) -> Stage:
    """Return the stage; `load` opens the repeats dataset of this fingerprint as a function of a source and a unit."""
    return Stage({NAME: VERSION}, partial(_open, load), {NAME: fingerprint}, runs=runs)


def _open(load: Callable[[], Callable[[str, str], RepeatedText]]) -> ForUnit:
    repeated = load()
    return lambda source, unit: cutting(repeated(source, unit))


def cutting(repeated: RepeatedText) -> BatchFunction:
    """Cut the repeated text; sift the documents that would lose all their words as EMPTY."""

    def run(batch: Batch) -> Batch:
        rows = _rows_to_search(batch.documents, repeated)
        texts = batch.documents["text"].take(pa.array(rows))
        words = repeats.words_with_signs(texts)
        flags_by_change = _flags_by_change(batch.documents["id"].take(pa.array(rows)), texts, words, repeated)
        empty = _would_be_empty(words.offsets, flags_by_change)
        emptied = replace(batch, documents=batch.documents.take(pa.array(rows[empty])), removed=())
        batch = _drop_empty(batch, rows[empty])
        flagged = np.zeros(len(words.hashes), np.bool_)
        # From here on, row numbers do not count the dropped documents.
        rows = rows[~empty] - np.cumsum(empty)[~empty]
        for change, flags in flags_by_change:
            flagged |= flags
            changed = remove_words(texts, words, flagged)
            emptied = _without(emptied, change, changed.filter(pa.array(empty)))
            batch = cut(batch, NAME, change, _replace_rows(batch.documents["text"], rows, changed.filter(pa.array(~empty))))
        return replace(batch, removed=(*batch.removed, *emptied.removed))

    return run


def _without(emptied: Batch, change: Change, texts: pa.Array) -> Batch:
    """Note what documents that were dropped would have lost."""
    emptied = noted(emptied, NAME, change, texts)
    return replace(emptied, documents=with_columns(emptied.documents, text=texts))


def _rows_to_search(documents: pa.RecordBatch, repeated: RepeatedText) -> NDArray[np.int64]:
    """Return all rows if lines or paragraphs are looked up, else those with runs."""
    if repeated.lines is not None or repeated.paragraphs is not None or repeated.runs is None:
        return np.arange(documents.num_rows)
    has_run = pc.is_in(documents["id"], value_set=repeated.runs["id"].combine_chunks())
    return np.flatnonzero(has_run.to_numpy(zero_copy_only=False))


def _flags_by_change(
    ids: pa.Array, texts: pa.Array, words: word_spans.Words, repeated: RepeatedText
) -> list[tuple[Change, NDArray[np.bool_]]]:
    """Return each kind of change with a flag per word."""
    flags_by_change: list[tuple[Change, NDArray[np.bool_]]] = []
    documents = id_pairs(ids)[:, 0]
    if repeated.lines is not None:
        flags = _in_blocks(repeats.lines(texts, words), documents, repeated.lines, repeated.min_words)
        flags_by_change.append((Change.REPEATED_LINES, flags))
    if repeated.paragraphs is not None:
        flags = _in_blocks(repeats.paragraphs(texts, words), documents, repeated.paragraphs, repeated.min_words)
        flags_by_change.append((Change.REPEATED_PARAGRAPHS, flags))
    if repeated.runs is not None:
        rows = pc.index_in(repeated.runs["id"].combine_chunks(), value_set=ids)
        here = rows.is_valid()
        first, after = (repeated.runs[name].combine_chunks().filter(here).to_numpy() for name in ("first", "behind"))
        flags = substrings.covered(words.offsets, rows.filter(here).to_numpy(), first, after)
        flags_by_change.append((Change.REPEATED_SUBSTRINGS, flags))
    return flags_by_change


def _in_blocks(blocks: repeats.TextBlocks, documents: Owners, known: Sequence[Repeated], min_words: int) -> NDArray[np.bool_]:
    """Return for each word whether it is in a block that its document (one per text) loses."""
    long_enough = blocks.at_least(min_words)
    chosen = np.zeros(len(long_enough), np.bool_)
    own = documents[blocks.rows()[long_enough]]
    chosen[long_enough] = repeats.lost(blocks.hashes[long_enough], own, known)
    return repeats.mark_words(blocks, chosen)


def _would_be_empty(offsets: NDArray[np.int64], flags_by_change: Sequence[tuple[Change, NDArray[np.bool_]]]) -> NDArray[np.bool_]:
    """Return which texts have words and would lose them all."""
    stays = np.ones(int(offsets[-1]), np.bool_)
    for _, flagged in flags_by_change:
        stays &= ~flagged
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(stays)])[offsets]
    return (np.diff(offsets) > 0) & (np.diff(before) == 0)


def _drop_empty(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    is_empty = np.zeros(batch.documents.num_rows, np.bool_)
    is_empty[rows] = True
    reasons = pc.if_else(pa.array(is_empty), DropReason.EMPTY.value, pa.scalar(None, pa.string()))
    details = pc.if_else(pa.array(is_empty), "all of it stands in other documents, too", pa.scalar(None, pa.string()))
    return sift(batch, NAME, reasons, details)


def _replace_rows(texts: pa.Array, rows: NDArray[np.int64], changed: pa.Array) -> pa.Array:
    """Return the texts with those in `rows` replaced by `changed`."""
    if len(rows) == len(texts):
        return changed
    places = np.arange(len(texts))
    places[rows] = len(texts) + np.arange(len(rows))
    return pa.concat_arrays([texts, changed]).take(pa.array(places))
