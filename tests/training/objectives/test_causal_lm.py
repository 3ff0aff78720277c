import doctest
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.rows.batch import IGNORE, RowBatch
from training.objectives import causal_lm
from training.objectives.causal_lm import CausalLM

Rows = list[list[list[int]]]  # rows of spans of ids


def batch_of(rows: Rows) -> RowBatch:
    spans = [span for row in rows for span in row]
    return RowBatch(
        ids=np.array([token for span in spans for token in span], np.int32),
        rows=np.cumsum([0, *(sum(map(len, row)) for row in rows)]),
        spans=np.cumsum([0, *map(len, spans)]),
        row_spans=np.cumsum([0, *map(len, rows)]),
        sentences=np.empty(0, np.int64),
    )


def run(objective: CausalLM, rows: Rows) -> dict[str, Any]:
    examples = objective(batch_of(rows), np.zeros(len(rows), np.uint64))
    assert {name: array.dtype for name, array in examples.items() if name != "documents"} == {
        name: np.dtype(np.int64) for name in examples if name != "documents"
    }
    return {name: array.tolist() for name, array in examples.items()}


def test_the_examples_of_the_docstrings() -> None:
    assert doctest.testmod(causal_lm).failed == 0
    found = CausalLM(length=6, pad=99, document_boundaries=True)(batch_of([[[5, 6, 0], [8, 9, 0]]]), np.zeros(1, np.uint64))
    assert {name: array[0].tolist() for name, array in found.items()} == {
        "inputs": [5, 6, 0, 8, 9, 99],
        "targets": [6, 0, IGNORE, 9, 0, IGNORE],
        "documents": [0, 0, 0, 1, 1, -1],
        "positions": [0, 1, 2, 0, 1, 0],
    }
    assert found["documents"].dtype == np.int32


def test_a_row_that_begins_with_the_end_of_a_document() -> None:
    """Its end-of-text, alone in its span, was predicted in the row before; here it predicts nothing."""
    found = run(CausalLM(length=4, pad=99, document_boundaries=True), [[[0], [7, 8, 0], [9]]])
    assert found == {
        "inputs": [[0, 7, 8, 0]],
        "targets": [[IGNORE, 8, 0, IGNORE]],
        "documents": [[0, 1, 1, 1]],
        "positions": [[0, 0, 1, 2]],
    }


def test_rows_of_no_and_of_one_token() -> None:
    rows: Rows = [[], [[5]], [[5, 6]]]
    expected = {"inputs": [[9, 9], [9, 9], [5, 9]], "targets": [[IGNORE] * 2, [IGNORE] * 2, [6, IGNORE]]}
    assert run(CausalLM(length=2, pad=9), rows) == expected
    assert run(CausalLM(length=2, pad=9), []) == {"inputs": [], "targets": []}
    separated = run(CausalLM(length=2, pad=9, document_boundaries=True), rows)
    assert separated == {**expected, "documents": [[-1, -1], [-1, -1], [0, -1]], "positions": [[0, 0]] * 3}


def test_counts_are_the_targets_that_are_not_ignored() -> None:
    rows: Rows = [[[5, 6, 0], [7, 0]], [[8, 9]]]
    batch, keys = batch_of(rows), np.zeros(2, np.uint64)
    for objective, tokens in ((CausalLM(6, 0), 4 + 1), (CausalLM(6, 0, document_boundaries=True), 2 + 1 + 1)):
        assert objective.counts(objective(batch, keys)) == {"tokens": tokens}
        assert (objective.row_tokens, objective.overlap) == (7, 1)


def test_rows_that_are_too_long_are_refused() -> None:
    with pytest.raises(AssertionError, match="longer than row_tokens"):
        CausalLM(length=3, pad=0)(batch_of([[[1, 2, 3, 4, 5]]]), np.zeros(1, np.uint64))


spans = st.lists(st.integers(1, 40_000), min_size=1, max_size=6)


@given(st.lists(st.lists(spans, max_size=4), max_size=6), st.booleans())
def test_by_the_definition(rows: Rows, boundaries: bool) -> None:
    length = max((sum(map(len, row)) for row in rows), default=1) + 1
    found = run(CausalLM(length, pad=7, document_boundaries=boundaries), rows)
    for number, row in enumerate(rows):
        places = [(d, p, token) for d, span in enumerate(row) for p, token in enumerate(span)]
        pairs = list(pairwise(places))
        fill = length - len(pairs)
        crossing = [boundaries and here[0] != there[0] for here, there in pairs]
        assert found["inputs"][number] == [here[2] for here, _ in pairs] + [7] * fill
        assert (
            found["targets"][number]
            == [IGNORE if crosses else there[2] for (_, there), crosses in zip(pairs, crossing, strict=True)] + [IGNORE] * fill
        )
        if boundaries:
            assert found["documents"][number] == [here[0] for here, _ in pairs] + [-1] * fill
            assert found["positions"][number] == [here[1] for here, _ in pairs] + [0] * fill


@given(st.lists(spans, min_size=1, max_size=12), st.integers(1, 9))
def test_a_stream_cut_with_the_overlap_predicts_every_token_once(documents: list[list[int]], length: int) -> None:
    """All but the first: and with boundaries, all but the first of each document."""
    stream = [(number, token) for number, document in enumerate(documents) for token in [*document, 0]]
    rows: Rows = []
    for first in range(0, len(stream) - 1, length):
        row: list[list[int]] = []
        for place in range(first, min(first + length + 1, len(stream))):
            if place == first or stream[place][0] != stream[place - 1][0]:
                row.append([])
            row[-1].append(stream[place][1])
        rows.append(row)
    joined, separated = (run(CausalLM(length, 0, boundaries), rows)["targets"] for boundaries in (False, True))
    assert [t for row in joined for t in row if t != IGNORE] == [token for _, token in stream[1:]]
    assert [t for row in separated for t in row if t != IGNORE] == [t for document in documents for t in [*document[1:], 0]]
