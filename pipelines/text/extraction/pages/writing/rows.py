"""Rows and cells of tables of data."""

from typing import Any

from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS
from pipelines.text.extraction.pages.writing.marks import (
    CELL,
    COLUMN,
    COLUMNS,
    FENCES,
    FLAGS,
    LEFT,
    NEXT_COLUMN,
    ROWS,
    SIZE,
    SOFT,
    SPACE,
    WRITTEN,
    end_line,
    integer,
    line_prefix,
)
from pipelines.text.kernels import jit_borrowing

_COLSPAN, _ROWSPAN = ATTRIBUTE_IDS["colspan"], ATTRIBUTE_IDS["rowspan"]


@jit_borrowing
def open_row(w: Any) -> None:
    """Begin a row of a table of data."""
    s = w.state
    s[CELL] = 0
    end_line(s, 1)
    s[NEXT_COLUMN] = s[WRITTEN] = s[SOFT] = 0


@jit_borrowing
def open_cell(tree: Any, node: int, w: Any) -> None:
    """Begin a cell: in the next column that no cell from above reaches down to."""
    s = w.state
    columns = s[COLUMNS]
    column = s[NEXT_COLUMN]
    while column < columns and w.spans[column] > 0:
        column += 1
    colspan = max(1, min(integer(tree, node, _COLSPAN, 1), columns - column))
    rowspan = integer(tree, node, _ROWSPAN, 1)
    if rowspan != 1 and column < columns:
        for i in range(column, column + colspan):
            w.spans[i] = rowspan if rowspan > 0 else 1 << 30
    s[COLUMN], s[NEXT_COLUMN], s[CELL], s[SPACE] = column, column + colspan, 1, 0


@jit_borrowing
def close_row(w: Any) -> None:
    """End a row; the first one is followed by a rule."""
    out, s = w.out, w.state
    s[CELL] = 0
    for column in range(s[COLUMNS]):
        w.spans[column] -= w.spans[column] > 0
    if s[WRITTEN] and s[FLAGS] & FENCES and s[LEFT] > 8 * s[COLUMNS] + 128:
        size = s[SIZE]
        before = size
        for _ in range(max(0, s[COLUMNS] - s[WRITTEN]) + 1):
            out[size], out[size + 1] = 32, 124
            size += 2
        if s[ROWS] == 0:
            out[size] = 10
            size += 1
            size = line_prefix(out, s, size)
            out[size] = 124
            size += 1
            for _ in range(max(s[COLUMNS], s[WRITTEN])):
                for byte in (32, 45, 45, 45, 32, 124):
                    out[size] = byte
                    size += 1
        s[LEFT] -= size - before
        s[SIZE] = size
    s[ROWS] += s[WRITTEN] > 0
    s[WRITTEN] = s[NEXT_COLUMN] = 0
