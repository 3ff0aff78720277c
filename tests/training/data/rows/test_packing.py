"""Rows of documents: best fit, one document a row, whole sentences."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.data.maps import Maps
from training.data.rows import best_fit, windows
from training.data.rows.best_fit import best_fit_rows, fit
from training.data.rows.layout import Layout
from training.data.rows.packing import Chunk, document_rows
from training.data.rows.windows import sentence_rows

MakeMaps = Callable[[Mapping[tuple[str, str], Any], bool], Maps]
Row = list[tuple[int, int, int]]  # spans: document, first, tokens

runs_of_documents = st.lists(st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=6), min_size=1, max_size=4)


def rows_of(chunks: Sequence[Chunk]) -> list[Row]:
    made: list[Row] = []
    for chunk in chunks:
        spans = chunk.spans.tolist()
        bounds = np.concatenate([[0], np.cumsum(chunk.counts)]).tolist()
        made.extend(spans[first:last] for first, last in pairwise(bounds))
        assert bounds[-1] == len(spans)
    return made


def sizes_of(runs: Any, separated: bool) -> list[int]:
    return [sum(document) + separated for run in runs for document in run]


def coverage(rows: list[Row], sizes: list[int]) -> list[NDArray[np.int64]]:
    """How many rows each token of each document stands in."""
    seen = [np.zeros(size, np.int64) for size in sizes]
    for row in rows:
        for document, first, tokens in row:
            assert tokens > 0 and first + tokens <= sizes[document]
            seen[document][first : first + tokens] += 1
    return seen


def test_the_example_of_best_fit() -> None:
    assert fit(np.array([5, 2, 3, 4, 2]), 6).tolist() == [0, 1, 2, 1, 2]


def slow_fit(sizes: list[int], width: int) -> list[int]:
    """The definition, in O(n^2): the room that is least, of equal ones the row that got it last."""
    rooms: list[list[int]] = []  # (room, when) by row
    rows = [0] * len(sizes)
    for when, piece in enumerate(sorted(range(len(sizes)), key=lambda n: -sizes[n])):
        fitting = [(room, -at, row) for row, (room, at) in enumerate(rooms) if room >= sizes[piece]]
        row = min(fitting)[2] if fitting else len(rooms)
        if not fitting:
            rooms.append([width, when])
        rooms[row] = [rooms[row][0] - sizes[piece], when]
        rows[piece] = row
    return rows


@given(st.integers(1, 40).flatmap(lambda width: st.tuples(st.lists(st.integers(1, width), max_size=60), st.just(width))))
def test_best_fit_is_its_definition(case: tuple[list[int], int]) -> None:
    sizes, width = case
    tree = np.zeros(2 << width.bit_length(), np.int64)
    assert fit(np.array(sizes, np.int64), width, tree).tolist() == slow_fit(sizes, width)
    assert not tree.any()


@given(runs_of_documents, st.integers(2, 20), st.integers(0, 1), st.booleans(), st.booleans())
def test_best_fit_and_document_conserve(
    make_maps: MakeMaps, runs: Any, width: int, overlap: int, separated: bool, crop: bool
) -> None:
    maps = make_maps({("books", "en"): runs}, separated)
    layout = Layout("best_fit", width, overlap, 0 if separated else None, "crop" if crop else "split")
    sizes = sizes_of(runs, separated)
    for packer in (best_fit_rows, document_rows):
        chunks = list(packer(maps, maps.sources["books"], layout))
        rows = rows_of(chunks)
        assert all(overlap < sum(tokens for _, _, tokens in row) <= width for row in rows)
        seen = coverage(rows, sizes)
        assert sum(int((of == 0).sum()) for of in seen) == sum(chunk.cropped for chunk in chunks)
        for document, of in enumerate(seen):
            pieces = [span for row in rows for span in row if span[0] == document]
            assert len(pieces) <= (1 if crop else -(-max(len(of) - overlap, 1) // (width - overlap)))
            if len(of) <= width:
                assert len(pieces) <= 1 and (len(pieces) == bool(len(of)) or len(of) <= overlap)  # what fits is never split
                assert of.max(initial=0) <= 1
            elif not crop:
                shared = np.zeros(len(of), np.int64)  # neighbours share exactly the overlap
                for _, first, tokens in pieces:
                    shared[first : first + overlap] += first > 0
                    assert tokens > overlap
                assert np.array_equal(of, 1 + shared)
        if packer is document_rows:
            assert all(len(row) == 1 for row in rows)


def test_rows_do_not_depend_on_runs(make_maps: MakeMaps) -> None:
    documents = [[int(size)] for size in np.random.default_rng(3).integers(0, 50, 300)]
    whole = make_maps({("a", "en"): [documents]}, True)
    cut = make_maps({("a", "en"): [documents[:7], documents[7:200], documents[200:201], documents[201:]]}, True)
    for packer, layout in [
        (best_fit_rows, Layout("best_fit", 64, 1, 0)),
        (document_rows, Layout("document", 20, 1, 0)),
        (sentence_rows, Layout("sentences", 20)),
    ]:
        assert rows_of(list(packer(whole, range(1), layout))) == rows_of(list(packer(cut, range(4), layout)))


def test_windows_hold_8192_documents(make_maps: MakeMaps, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [[int(size)] for size in np.random.default_rng(4).integers(1, 30, 100)]
    monkeypatch.setattr(best_fit, "WINDOW_DOCUMENTS", 16)
    maps = make_maps({("a", "en"): [documents[:23], documents[23:90], documents[90:]]}, False)
    for row in rows_of(list(best_fit_rows(maps, range(3), Layout("best_fit", 32)))):
        assert len({document // 16 for document, _, _ in row}) == 1
        assert row == sorted(row)  # pieces in the order of the stream


def slow_windows(document: list[int], width: int) -> list[tuple[int, int]]:
    """The definition: whole sentences while they fit; a longer one begins a row, and is cut."""
    rows, begin, at = [], 0, 0
    for length in document:
        if at + length - begin > width and at > begin:
            rows.append((begin, at - begin))
            begin = at
        at += length
        while at - begin > width:
            rows.append((begin, width))
            begin += width
    return [*rows, (begin, at - begin)] if at > begin else rows


def test_the_example_of_windows() -> None:
    assert slow_windows([3, 2, 9, 1], 6) == [(0, 5), (5, 6), (11, 4)]
    columns = windows.fill(
        np.array([0, 15], np.int32), np.array([0, 4], np.int32), np.array([0, 3, 5, 14], np.uint32), 6, crop=False
    )
    assert [column.tolist() for column in columns] == [[0, 0, 0], [0, 5, 11], [5, 6, 4]]


@given(runs_of_documents, st.integers(1, 20), st.booleans())
def test_windows_are_their_definition_and_lose_nothing(make_maps: MakeMaps, runs: Any, width: int, crop: bool) -> None:
    maps = make_maps({("a", "en"): runs}, False)
    chunks = list(sentence_rows(maps, range(len(runs)), Layout("sentences", width, long_documents="crop" if crop else "split")))
    expected = []
    for number, document in enumerate([document for run in runs for document in run]):
        rows = slow_windows(document, width)[: 1 if crop else None]
        expected += [[(number, first, tokens)] for first, tokens in rows]
    rows = rows_of(chunks)
    assert rows == expected
    seen = coverage(rows, sizes_of(runs, False))
    assert sum(int((of == 0).sum()) for of in seen) == sum(chunk.cropped for chunk in chunks)
    assert crop or all((of == 1).all() for of in seen)
