"""Cuts the text that many documents share: repeated runs of words, lines, paragraphs.

All of them were found in the texts as they stand in the documents dataset, so all are looked up before anything is cut; then
the words that go are cut kind by kind, so that the ledger says what was removed as what. A document that loses every word
is dropped whole: its drop shows what it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.batch import Batch, Stage, rewrite, sift
from pipelines.contract.reasons import Change, DropReason
from pipelines.text.characters import word_spans
from pipelines.text.copies import cuts, repeats, substrings
from pipelines.text.copies.cuts import without_words
from pipelines.text.copies.repeats import Hashes

VERSION = f"1/repeats-{repeats.VERSION}/cuts-{cuts.VERSION}/words-{word_spans.VERSION}"
NAME = "repeats"

# Runs of words to cut, sorted by document and place; words are counted as `pipelines.text.characters.word_spans` finds them.
RUNS = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("first", pa.int32(), nullable=False),  # word
        pa.field("behind", pa.int32(), nullable=False),  # the word behind the last one
    ]
)


@dataclass(frozen=True, slots=True)
class RepeatedText:
    """What is to be cut; None: it is not asked for."""

    min_words: int  # shorter lines and paragraphs stay
    lines: Sequence[Hashes] | None = None  # as `repeats.among` takes them
    paragraphs: Sequence[Hashes] | None = None
    runs: pa.Table | None = None  # RUNS, of the documents of one unit


def stage(found: RepeatedText) -> Stage:
    """Rewrite the texts without what is found in them; sift as EMPTY the documents of which nothing would be left."""

    def run(batch: Batch) -> Batch:
        rows = _rows_to_look_at(batch.documents, found)
        texts = batch.documents["text"].take(pa.array(rows))
        words = word_spans.words(texts)
        losses = _losses(batch.documents["id"].take(pa.array(rows)), texts, words, found)
        empty = _left_empty(words.offsets, losses)
        batch = _without_empty(batch, rows[empty])
        goes = np.zeros(len(words.hashes), np.bool_)
        # Rows count without those that were dropped from here on.
        rows = rows[~empty] - np.cumsum(empty)[~empty]
        for change, flags in losses:
            goes |= flags
            changed = without_words(texts, words, goes).filter(pa.array(~empty))
            batch = rewrite(batch, NAME, change, _replaced(batch.documents["text"], rows, changed))
        return batch

    return run


def _rows_to_look_at(documents: pa.RecordBatch, found: RepeatedText) -> NDArray[np.int64]:
    """All rows when lines or paragraphs are looked up, else those that have runs."""
    if found.lines is not None or found.paragraphs is not None or found.runs is None:
        return np.arange(documents.num_rows)
    has_run = pc.is_in(documents["id"], value_set=found.runs["id"].combine_chunks())
    return np.flatnonzero(has_run.to_numpy(zero_copy_only=False))


def _losses(
    ids: pa.Array, texts: pa.Array, words: word_spans.Words, found: RepeatedText
) -> list[tuple[Change, NDArray[np.bool_]]]:
    """For each kind of change a flag a word."""
    losses: list[tuple[Change, NDArray[np.bool_]]] = []
    if found.lines is not None:
        losses.append((Change.REPEATED_LINES, _in_blocks(repeats.lines(texts, words), found.lines, found.min_words)))
    if found.paragraphs is not None:
        paragraphs = repeats.paragraphs(texts, words)
        losses.append((Change.REPEATED_PARAGRAPHS, _in_blocks(paragraphs, found.paragraphs, found.min_words)))
    if found.runs is not None:
        rows = pc.index_in(found.runs["id"].combine_chunks(), value_set=ids)
        here = rows.is_valid()
        first, behind = (found.runs[name].combine_chunks().filter(here).to_numpy() for name in ("first", "behind"))
        flags = substrings.covered(words.offsets, rows.filter(here).to_numpy(), first, behind)
        losses.append((Change.REPEATED_SUBSTRINGS, flags))
    return losses


def _in_blocks(blocks: repeats.TextBlocks, known: Sequence[Hashes], min_words: int) -> NDArray[np.bool_]:
    long_enough = blocks.at_least(min_words)
    chosen = np.zeros(len(long_enough), np.bool_)
    chosen[long_enough] = repeats.among(blocks.hashes[long_enough], known)
    return repeats.words_of_blocks(blocks, chosen)


def _left_empty(offsets: NDArray[np.int64], losses: Sequence[tuple[Change, NDArray[np.bool_]]]) -> NDArray[np.bool_]:
    """Which texts have words and lose them all."""
    stays = np.ones(int(offsets[-1]), np.bool_)
    for _, goes in losses:
        stays &= ~goes
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(stays)])[offsets]
    return (np.diff(offsets) > 0) & (np.diff(before) == 0)


def _without_empty(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    is_empty = np.zeros(batch.documents.num_rows, np.bool_)
    is_empty[rows] = True
    reasons = pc.if_else(pa.array(is_empty), DropReason.EMPTY.value, pa.scalar(None, pa.string()))
    details = pc.if_else(pa.array(is_empty), "all of it stands in other documents, too", pa.scalar(None, pa.string()))
    return sift(batch, NAME, reasons, details)


def _replaced(texts: pa.Array, rows: NDArray[np.int64], changed: pa.Array) -> pa.Array:
    """The texts with others in these rows."""
    if len(rows) == len(texts):
        return changed
    places = np.arange(len(texts))
    places[rows] = len(texts) + np.arange(len(rows))
    return pa.concat_arrays([texts, changed]).take(pa.array(places))
