"""BERT's pairs of segments: the instances of google-research/bert create_pretraining_data.py, as spans.

The algorithm is create_instances_from_document, run for every document and every copy with draws of its own, so that the
pairs of a document do not depend on those before it. A document's sentences are collected until they are as long as the
target; the collected ones are split in two at a random sentence; with probability 1/2, or when there is one sentence only,
the second half is replaced by sentences of a random document from a random sentence on, and the unused ones are put back;
then tokens are dropped from the front or the back of the longer half until both fit a row.

The draws of (seed, copy, document id as two little-endian 64-bit words) are taken one after the other, a randint by
`draws.below`, a random() by `draws.unit`:

    random() < short_share                          once a document; then, if so, randint(2, tokens): the target length
    randint(1, sentences - 1)                       of two collected sentences or more: how many are the first half
    random() < 0.5                                  of two or more: a random second half?
    randint(0, documents - 1), up to 10 times       if so: the document, until it is another one
    randint(0, its sentences - 1)                   and its first sentence
    random() < 0.5                                  for every token that is dropped: from the front?

Random documents are those of the same source, language and split, documents without tokens not counted. After ten draws
that hit the document itself it is taken, as Google does: in a source of one document always.

Limits: fewer than 2^32 documents in a source and language. Google shuffles documents before and instances after; here the
sampler permutes the rows.
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

TRIES = 10  # to find another document, as Google's


def pair_rows(maps: Maps, runs: range, layout: Layout, seed: int) -> Iterator[Chunk]:
    """The pairs of a stream, run by run: document by document, copy by copy."""
    for group in maps.groups(runs):
        numbers = np.arange(group.start, group.stop)
        maps.need(numbers)
        filled = _filled(maps, group)
        for run in group:
            yield _pairs_of_run(maps, run, group, filled, layout, seed)


def document_keys(ids: NDArray[np.uint8], copies: int, seed: int) -> NDArray[np.uint64]:
    """One key a document and copy: ids (D, 16) -> (D, copies)."""
    words = np.ascontiguousarray(ids).view("<u8")
    return key(seed, np.arange(copies), words[:, :1], words[:, 1:])


def _filled(maps: Maps, group: range) -> Numbers:
    """The documents of a group that have tokens, numbered over all streams; empty when all have."""
    found = [np.flatnonzero(np.diff(maps.run(run).offsets)) + maps.documents[run] for run in group]
    if sum(map(len, found)) == int(maps.documents[group.stop] - maps.documents[group.start]):
        return np.empty(0, np.int64)
    return np.concatenate(found)


def _pairs_of_run(maps: Maps, run: int, group: range, filled: Numbers, layout: Layout, seed: int) -> Chunk:
    of = maps.run(run)
    most = layout.copies * (len(of.sentences) + of.documents)  # a pair uses up a sentence at least
    out, random_next = np.empty((3, 2 * most), np.int64), np.empty(most, np.bool_)
    first, documents = int(maps.documents[group.start]), int(maps.documents[group.stop] - maps.documents[group.start])
    places = maps.addresses
    made, cropped = _pairs(
        run,
        first,
        len(filled) or documents,
        filled,
        document_keys(of.ids, layout.copies, seed),
        layout.tokens,
        layout.short_share,
        maps.documents,
        places.offsets,
        places.sentence_offsets,
        places.sentences,
        out,
        random_next,
    )
    spans = spans_of(out[0, : 2 * made], out[1, : 2 * made], out[2, : 2 * made])
    return Chunk(spans, np.full(made, 2, np.int64), int(cropped), random_next[:made].copy())


@numba.njit(inline="always")
def _run_of(documents: Any, document: Any) -> Any:  # pragma: no cover (compiled)
    """The run of a document that is numbered over all streams."""
    low, high = 0, len(documents) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if documents[middle] <= document:
            low = middle
        else:
            high = middle
    return low


@numba.njit(inline="always")
def _edge(starts: Any, first: Any, count: Any, sentence: Any, size: Any) -> Any:  # pragma: no cover (compiled)
    """Where a sentence of a document begins, or its last one ends: the sentences' starts are starts[first : first + count]."""
    if sentence <= 0:
        return np.int64(0)
    return size if sentence >= count else np.int64(starts[first + sentence])


@numba.njit(cache=True, nogil=True)
def _borrow(
    document: Any, drawn: Any, wanted: Any, documents: Any, offsets_at: Any, sentence_offsets_at: Any, sentences_at: Any
) -> Any:  # pragma: no cover (compiled)
    """Sentences of a document, from a drawn one on until they have `wanted` tokens: begin and end."""
    run = _run_of(documents, document)
    number = document - documents[run]
    offsets = run_offsets(offsets_at, documents, run)
    bounds = run_offsets(sentence_offsets_at, documents, run)
    size = np.int64(offsets[number + 1]) - np.int64(offsets[number])
    first, count = np.int64(bounds[number]), np.int64(bounds[number + 1]) - np.int64(bounds[number])
    starts = array_at(pointer(sentences_at[run]), (first + count,), np.uint32)
    sentence = below(drawn, max(count, 1))
    begin = _edge(starts, first, count, sentence, size)
    end = begin
    while end < size and (end == begin or end - begin < wanted):
        sentence += 1
        end = _edge(starts, first, count, sentence, size)
    return begin, end


@numba.njit(cache=True, nogil=True)
def _truncate(of: Any, draw: Any, first: Any, end: Any, second: Any, stop: Any, most: Any) -> Any:  # pragma: no cover (compiled)
    """Drop tokens from the front or the back of the longer half until both have `most`; returns the halves and the next draw."""
    while (end - first) + (stop - second) > most:
        front = unit(word(of, draw)) < 0.5
        draw += 1
        if end - first > stop - second:
            first, end = (first + 1, end) if front else (first, end - 1)
        else:
            second, stop = (second + 1, stop) if front else (second, stop - 1)
    return first, end, second, stop, draw


@numba.njit(cache=True, nogil=True)
def _pairs(
    run: Any, group_first: Any, group_documents: Any, filled: Any, keys: Any, most: Any, short_share: Any, documents: Any,
    offsets_at: Any, sentence_offsets_at: Any, sentences_at: Any, out: Any, random_next: Any,
) -> Any:  # fmt: skip  # pragma: no cover (compiled)
    """All pairs of a run: two spans each in `out`; returns their number and the tokens that are in none of their document's."""
    offsets = run_offsets(offsets_at, documents, run)
    bounds = run_offsets(sentence_offsets_at, documents, run)
    starts = array_at(pointer(sentences_at[run]), (np.int64(bounds[len(bounds) - 1]),), np.uint32)
    seen = np.zeros(_longest(offsets), np.bool_)
    made = cropped = 0
    for number in range(len(offsets) - 1):
        document = documents[run] + number
        size = np.int64(offsets[number + 1]) - np.int64(offsets[number])
        at, count = np.int64(bounds[number]), np.int64(bounds[number + 1]) - np.int64(bounds[number])
        sentences = max(count, 1) if size > 0 else 0
        begun = made
        for copy in range(keys.shape[1]):
            of, draw, target = keys[number, copy], np.int64(1), np.int64(most)
            if unit(word(of, 0)) < short_share:
                target, draw = 2 + below(word(of, 1), most - 1), np.int64(2)
            chunk = sentence = np.int64(0)  # the first collected sentence, and the one that is looked at
            while sentence < sentences:
                first, stop = _edge(starts, at, count, chunk, size), _edge(starts, at, count, sentence + 1, size)
                if sentence == sentences - 1 or stop - first >= target:
                    split = sentence + 1
                    if sentence > chunk:
                        split = chunk + 1 + below(word(of, draw), sentence - chunk)
                        draw += 1
                    end = second = _edge(starts, at, count, split, size)
                    other, is_random = document, sentence == chunk
                    if not is_random:
                        is_random = unit(word(of, draw)) < 0.5
                        draw += 1
                    if is_random:
                        for _ in range(10):
                            place = below(word(of, draw), group_documents)
                            draw += 1
                            other = filled[place] if len(filled) > 0 else group_first + place
                            if other != document:
                                break
                        second, stop = _borrow(
                            other,
                            word(of, draw),
                            target - (end - first),
                            documents,
                            offsets_at,
                            sentence_offsets_at,
                            sentences_at,
                        )
                        draw += 1
                        sentence = split - 1  # the sentences behind the first half are put back
                    first, end, second, stop, draw = _truncate(of, draw, first, end, second, stop, most)
                    out[0, 2 * made], out[1, 2 * made], out[2, 2 * made] = document, first, end - first
                    out[0, 2 * made + 1], out[1, 2 * made + 1], out[2, 2 * made + 1] = other, second, stop - second
                    random_next[made] = is_random
                    made += 1
                    chunk = sentence + 1
                sentence += 1
        cropped += size - _mark(seen, size, out, 2 * begun, 2 * made, random_next)
    return made, cropped


@numba.njit(cache=True, nogil=True)
def _longest(offsets: Any) -> Any:  # pragma: no cover (compiled)
    longest = 0
    for number in range(len(offsets) - 1):
        longest = max(longest, offsets[number + 1] - offsets[number])
    return longest


@numba.njit(cache=True, nogil=True)
def _mark(seen: Any, size: Any, out: Any, begin: Any, end: Any, random_next: Any) -> Any:  # pragma: no cover (compiled)
    """How many of a document's tokens stand in its own spans `begin .. end - 1` of `out`."""
    for token in range(size):
        seen[token] = False
    for span in range(begin, end):
        if span % 2 == 0 or not random_next[span // 2]:
            for token in range(out[1, span], out[1, span] + out[2, span]):
                seen[token] = True
    found = 0
    for token in range(size):
        found += seen[token]
    return found
