"""Which tables hold data, and which only lay out a page.

A table of data has two rows and two columns with text or more, short cells (longer ones are allowed if it has header cells, a
caption or a head), and no table, heading or code block in it. `role="presentation"` is what an author says of layout.
"""

from typing import Any

import numpy as np

from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, CELL, HEADING, IDS, ROW, ROW_GROUP, TEXT, names
from pipelines.text.extraction.pages.tree import MAX_DEPTH
from pipelines.text.extraction.pages.writing.marks import find_attribute, integer
from pipelines.text.extraction.pages.writing.roles import EQUATIONS
from pipelines.text.kernels import jit_borrowing, jit_internal

MEAN_BYTES, LONGEST_BYTES = 160, 1200  # of a cell's text
MEAN_BYTES_WITH_HEADER, LONGEST_BYTES_WITH_HEADER = 500, 6000
WIDEST_SPAN = 20  # columns; a larger colspan means "all"
MOST_COLUMNS = 256

_KINDS = names().kinds
_TABLE, _TH, _CAPTION, _THEAD, _PRE = (IDS[name] for name in ("table", "th", "caption", "thead", "pre"))
_ROLE, _COLSPAN = ATTRIBUTE_IDS["role"], ATTRIBUTE_IDS["colspan"]
# What is counted of an open table: places in its row of counts.
_NODE, _ROWS, _FULL_ROWS, _WIDEST, _FILLED, _BYTES, _LONGEST, _HEADERS, _BAD, _COLUMNS, _ROW_FILLED, _CELL_BYTES = range(12)
_HEADS = 12
_PLACES = 13


@jit_borrowing
def _end_cell(t: Any) -> None:
    if t[_CELL_BYTES]:
        t[_FILLED] += 1
        t[_ROW_FILLED] += 1
        t[_BYTES] += t[_CELL_BYTES]
        t[_LONGEST] = max(t[_LONGEST], t[_CELL_BYTES])
    t[_CELL_BYTES] = 0


@jit_borrowing
def _end_row(t: Any) -> None:
    _end_cell(t)
    if t[_ROW_FILLED]:
        t[_ROWS] += 1
        t[_FULL_ROWS] += t[_ROW_FILLED] > 1
        t[_WIDEST] = max(t[_WIDEST], t[_COLUMNS])
    t[_COLUMNS] = t[_ROW_FILLED] = 0


@jit_borrowing
def _columns(t: Any) -> int:
    """Return the number of columns of a table of data, or 0."""
    is_column = t[_WIDEST] == 1 and t[_HEADS] and t[_HEADERS] > t[_HEADS] and t[_ROWS] > 2  # one column below a head
    if t[_BAD] or (not is_column and (t[_ROWS] < 2 or t[_WIDEST] < 2 or t[_FULL_ROWS] < (1 if t[_HEADERS] else 2))):
        return 0
    mean, longest = MEAN_BYTES, LONGEST_BYTES
    if t[_HEADERS]:
        mean, longest = MEAN_BYTES_WITH_HEADER, LONGEST_BYTES_WITH_HEADER
    return 0 if t[_BYTES] > mean * t[_FILLED] or t[_LONGEST] > longest else min(t[_WIDEST], MOST_COLUMNS)


@jit_borrowing
def _is_presentation(tree: Any, node: int) -> bool:
    i = find_attribute(tree, node, _ROLE)
    if i < 0 or tree.value_stop[i] <= tree.value_start[i]:
        return False
    first = tree.markup[tree.value_start[i]] | 32
    return first == 112 or first == 110  # "presentation", "none"


@jit_internal
def data_tables(tree: Any, texts: Any, roles: Any) -> Any:
    """Return the number of columns of each <table> that holds data, else 0: int32[nodes]; `texts` is that of `texts_before`."""
    nodes = tree.tag.size
    columns = np.zeros(nodes, np.int32)
    tables, depth = np.zeros((MAX_DEPTH + 1, _PLACES), np.int64), 0
    after_caption = 0
    for node in range(nodes + 1):
        while depth and (node == nodes or tree.end[tables[depth - 1, _NODE]] <= node):
            depth -= 1
            _end_row(tables[depth])
            columns[tables[depth, _NODE]] = _columns(tables[depth])
        if node == nodes:
            break
        tag = tree.tag[node]
        if tag == _TABLE:
            if depth and texts[tree.end[node]] > texts[node]:
                tables[depth - 1, _BAD] = 1
            tables[depth, :] = 0
            tables[depth, _NODE] = node
            tables[depth, _BAD] = _is_presentation(tree, node) or (roles.size > 0 and roles[node] == EQUATIONS)
            depth += 1
        elif depth:
            t, kind = tables[depth - 1], _KINDS[tag]
            if tag == TEXT:
                if node >= after_caption and texts[node + 1] > texts[node]:
                    t[_CELL_BYTES] += tree.stop[node] - tree.start[node]
            elif kind & CELL:
                _end_cell(t)
                span = integer(tree, node, _COLSPAN, 1)
                t[_COLUMNS] += span if 0 < span <= WIDEST_SPAN else 1
                t[_HEADERS] += tag == _TH
            elif kind & (ROW | ROW_GROUP):
                _end_row(t)
                t[_HEADERS] += tag == _THEAD
                t[_HEADS] += tag == _THEAD
            elif tag == _CAPTION:
                t[_HEADERS] += 1
                after_caption = tree.end[node]
            elif (kind & HEADING or tag == _PRE) and texts[tree.end[node]] > texts[node]:
                t[_BAD] = 1
    return columns
