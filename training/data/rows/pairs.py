"""BERT's pairs of segments: the instances of google-research/bert create_pretraining_data.py, as spans.

The algorithm is create_instances_from_document, run for every document and every copy with draws of its own, so that the
pairs of a document do not depend on those before it. A document's sentences are collected until they are as long as the
target. The collected sentences are split in two at a random sentence. With probability 1/2, or when there is one sentence
only, sentences of a random document, from a random sentence on, replace the second half, and the unused sentences are put
back. Then tokens are dropped from the front or the back of the longer half until both fit a row.

The draws of (seed, copy, document id as two little-endian 64-bit words) are taken one after the other, a randint by
`draws.below`, a random() by `draws.unit`:

    random() < short_share                          once a document; then, if so, randint(2, tokens): the target length
    randint(1, sentences - 1)                       with two or more collected sentences: how many are the first half
    random() < 0.5                                  with two or more: a random second half?
    randint(0, documents - 1), up to 10 times       if so: the document, until it is another one
    randint(0, its sentences - 1)                   and its first sentence
    random() < 0.5                                  for every token that is dropped: from the front?

Random documents are those of the same source, language and split; documents without tokens do not count. After ten draws
that hit the document itself it is taken, as Google does: always, in a source of one document.

Limits: fewer than 2^32 documents in a source and language. Google shuffles documents before and instances after; here the
sampler permutes the rows.

In the kernels a cursor is an array of two words, a key and the number of its next draw. The columns of all runs are a
tuple (documents, addresses of offsets, of sentence offsets, of sentences), as in `Maps`.
"""

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from training.data.draws import below, key, unit, word
from training.data.gather import array_at, pointer, run_offsets
from training.data.maps import Maps
from training.data.rows.layout import Layout
from training.data.rows.packing import Chunk, Numbers, spans_of
from training.kernels import jit

TRIES = 10  # draws to find another document, as in Google's code


def pair_rows(maps: Maps, runs: range, layout: Layout, seed: int) -> Iterator[Chunk]:
    """Yield the pairs of a stream, run by run: document by document, copy by copy."""
    for group in maps.groups(runs):
        maps.need(np.arange(group.start, group.stop))
        filled = _filled_documents(maps, group)
        for run in group:
            yield _pairs_of_run(maps, run, group, filled, layout, seed)


def document_keys(ids: NDArray[np.uint8], copies: int, seed: int) -> NDArray[np.uint64]:
    """Return one key per document and copy: ids (D, 16) -> (D, copies)."""
    words = np.ascontiguousarray(ids).view("<u8")
    return key(seed, np.arange(copies), words[:, :1], words[:, 1:])


def _filled_documents(maps: Maps, group: range) -> Numbers:
    """Return the numbers, over all streams, of the documents of a group that have tokens; an empty array if all have."""
    numbers = [np.flatnonzero(np.diff(maps.run(run).offsets)) + maps.documents[run] for run in group]
    if sum(map(len, numbers)) == int(maps.documents[group.stop] - maps.documents[group.start]):
        return np.empty(0, np.int64)
    return np.concatenate(numbers)


def _pairs_of_run(maps: Maps, run: int, group: range, filled: Numbers, layout: Layout, seed: int) -> Chunk:
    columns = maps.run(run)
    most_pairs = layout.copies * (len(columns.sentences) + columns.documents)  # a pair uses up a sentence at least
    spans, random_next = np.empty((3, 2 * most_pairs), np.int64), np.empty(most_pairs, np.bool_)
    first, documents = int(maps.documents[group.start]), int(maps.documents[group.stop] - maps.documents[group.start])
    addresses = maps.addresses
    pairs, cropped = _pairs(
        run,
        (maps.documents, addresses.offsets, addresses.sentence_offsets, addresses.sentences),
        (first, len(filled) or documents, filled),
        document_keys(columns.ids, layout.copies, seed),
        layout.tokens,
        layout.short_share,
        spans,
        random_next,
    )
    documents, firsts, tokens = spans[:, : 2 * pairs]
    return Chunk(spans_of(documents, firsts, tokens), np.full(pairs, 2, np.int64), int(cropped), random_next[:pairs].copy())


@jit
def _pairs(
    run: Any, columns: Any, pool: Any, keys: Any, most_tokens: Any, short_share: Any, spans: Any, random_next: Any
) -> Any:  # pragma: no cover (compiled)
    """Write all pairs of a run, two spans each; return their number and how many tokens are in no pair of their document.

    `pool` are the documents that a random second half may come from: the first one's number and how many there are, or, if
    some are empty, the numbers of the others.
    """
    first_document, documents = columns[0][run], columns[0][run + 1] - columns[0][run]
    seen = np.zeros(_longest(run_offsets(columns[1], columns[0], run)), np.bool_)
    cursor = np.empty(2, np.uint64)
    pairs = cropped = np.int64(0)
    for number in range(documents):
        starts, size = _sentences_of(columns, run, number)
        begun = pairs
        for copy in range(keys.shape[1]):
            cursor[0], cursor[1] = keys[number, copy], 0
            pairs = _cut_document(
                first_document + number, starts, size, columns, pool, cursor, most_tokens, short_share, spans, random_next, pairs
            )
        cropped += size - _covered(seen, size, spans, begun, pairs, random_next)
    return pairs, cropped


@jit
def _cut_document(
    document: Any, starts: Any, size: Any, columns: Any, pool: Any, cursor: Any, most_tokens: Any, short_share: Any,
    spans: Any, random_next: Any, pairs: Any,
) -> Any:  # fmt: skip  # pragma: no cover (compiled)
    """Write the pairs of one copy of a document behind the first `pairs`; return how many there are then."""
    sentences = max(len(starts), 1) if size > 0 else 0
    target = most_tokens
    if unit(_draw(cursor)) < short_share:
        target = 2 + below(_draw(cursor), most_tokens - 1)
    sentence = np.int64(0)
    while sentence < sentences:
        after = _collect(starts, size, sentence, sentences, target)
        split = after
        if after - sentence > 1:
            split = sentence + 1 + below(_draw(cursor), after - sentence - 1)
        first, middle = _edge(starts, sentence, size), _edge(starts, split, size)
        is_random = after - sentence == 1 or unit(_draw(cursor)) < 0.5
        if is_random:
            other = _other_document(document, pool, cursor)
            second, end = _borrow(other, target - (middle - first), columns, cursor)
            sentence = split  # the sentences after the first half are put back
        else:
            other, second, end = document, middle, _edge(starts, after, size)
            sentence = after
        first, middle, second, end = _truncate(first, middle, second, end, most_tokens, cursor)
        _write_span(spans, 2 * pairs, document, first, middle)
        _write_span(spans, 2 * pairs + 1, other, second, end)
        random_next[pairs] = is_random
        pairs += 1
    return pairs


@numba.njit(inline="always")
def _draw(cursor: Any) -> Any:  # pragma: no cover (compiled)
    """Return a cursor's next draw and advance it."""
    drawn = word(cursor[0], cursor[1])
    cursor[1] += np.uint64(1)
    return drawn


@jit
def _collect(starts: Any, size: Any, sentence: Any, sentences: Any, target: Any) -> Any:  # pragma: no cover (compiled)
    """Return the first sentence after those that together, from `sentence` on, have `target` tokens; or `sentences`."""
    begin, after = _edge(starts, sentence, size), sentence + 1
    while after < sentences and _edge(starts, after, size) - begin < target:
        after += 1
    return after


@jit
def _other_document(document: Any, pool: Any, cursor: Any) -> Any:  # pragma: no cover (compiled)
    """Draw a document of the pool until it is not `document`, at most TRIES times."""
    first, count, filled = pool
    other = document
    for _ in range(TRIES):
        place = below(_draw(cursor), count)
        other = filled[place] if len(filled) > 0 else first + place
        if other != document:
            break
    return other


@jit
def _borrow(document: Any, target: Any, columns: Any, cursor: Any) -> Any:  # pragma: no cover (compiled)
    """Return begin and end of a document's sentences from a drawn one on, until they have `target` tokens."""
    run = _run_of(columns[0], document)
    starts, size = _sentences_of(columns, run, document - columns[0][run])
    sentence = below(_draw(cursor), max(len(starts), 1))
    begin = end = _edge(starts, sentence, size)
    while end < size and (end == begin or end - begin < target):
        sentence += 1
        end = _edge(starts, sentence, size)
    return begin, end


@jit
def _truncate(
    first: Any, middle: Any, second: Any, end: Any, most_tokens: Any, cursor: Any
) -> Any:  # pragma: no cover (compiled)
    """Drop tokens from the front or the back of the longer half until both have `most_tokens`; return the halves."""
    while (middle - first) + (end - second) > most_tokens:
        from_front = unit(_draw(cursor)) < 0.5
        if middle - first > end - second:
            first, middle = (first + 1, middle) if from_front else (first, middle - 1)
        else:
            second, end = (second + 1, end) if from_front else (second, end - 1)
    return first, middle, second, end


@numba.njit(inline="always")
def _write_span(spans: Any, place: Any, document: Any, begin: Any, end: Any) -> None:  # pragma: no cover (compiled)
    spans[0, place], spans[1, place], spans[2, place] = document, begin, end - begin


@numba.njit(inline="always")
def _run_of(documents: Any, document: Any) -> Any:  # pragma: no cover (compiled)
    """Return the run of a document that is numbered over all streams."""
    low, high = 0, len(documents) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if documents[middle] <= document:
            low = middle
        else:
            high = middle
    return low


@jit
def _sentences_of(columns: Any, run: Any, number: Any) -> Any:  # pragma: no cover (compiled)
    """Return the sentence starts of document `number` of a run, and its tokens."""
    documents, offsets_at, sentence_offsets_at, sentences_at = columns
    offsets, bounds = run_offsets(offsets_at, documents, run), run_offsets(sentence_offsets_at, documents, run)
    starts = array_at(pointer(sentences_at[run]), (np.int64(bounds[number + 1]),), np.uint32)
    return starts[np.int64(bounds[number]) :], np.int64(offsets[number + 1]) - np.int64(offsets[number])


@numba.njit(inline="always")
def _edge(starts: Any, sentence: Any, size: Any) -> Any:  # pragma: no cover (compiled)
    """Return where a sentence of a document begins; for the sentence after the last, the document's end."""
    if sentence <= 0:
        return np.int64(0)
    return size if sentence >= len(starts) else np.int64(starts[sentence])


@jit
def _longest(offsets: Any) -> Any:  # pragma: no cover (compiled)
    longest = 0
    for number in range(len(offsets) - 1):
        longest = max(longest, offsets[number + 1] - offsets[number])
    return longest


@jit
def _covered(seen: Any, size: Any, spans: Any, begin: Any, end: Any, random_next: Any) -> Any:  # pragma: no cover (compiled)
    """Return how many of a document's tokens are in its own spans of the pairs `begin .. end - 1`; `seen` is scratch."""
    seen[:size] = False
    for span in range(2 * begin, 2 * end):
        if span % 2 == 0 or not random_next[span // 2]:
            seen[spans[1, span] : spans[1, span] + spans[2, span]] = True
    return np.count_nonzero(seen[:size])
