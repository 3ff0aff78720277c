"""What the end of an element does."""

from typing import Any

from pipelines.text.extraction.pages.tags import IDS
from pipelines.text.extraction.pages.writing import roles as known
from pipelines.text.extraction.pages.writing.actions import (
    CODE_BLOCK,
    CODE_LINE,
    DETAIL,
    EMPHASIS,
    HEADING,
    ITEM,
    LINE,
    LIST,
    PARAGRAPH,
    QUOTE,
    SPACED,
    STRONG,
    TABLE,
    TABLE_CELL,
    TABLE_ROW,
    TICKED,
)
from pipelines.text.extraction.pages.writing.code import close_code, end_code_line
from pipelines.text.extraction.pages.writing.lists import close_item, close_list
from pipelines.text.extraction.pages.writing.marks import (
    CELL,
    CODE_END,
    COLUMNS,
    EQUATIONS_END,
    HEADING_LEVEL,
    IN_BOLD,
    IN_EM,
    IN_HEADING,
    MARKER,
    PENDING,
    QUOTES,
    SIZE,
    SPACE,
    end_block,
    end_line,
    put,
)
from pipelines.text.extraction.pages.writing.rows import close_row
from pipelines.text.kernels import jit_borrowing

_LI, _TR = IDS["li"], IDS["tr"]


@jit_borrowing
def _close_code_line(f: Any, node: int, size: int, w: Any) -> None:
    is_line = f.tree.tag[node] in (_LI, _TR) or (f.roles.size > 0 and f.roles[node] == known.CODE_LINE)
    end_code_line(w, is_line and w.state[SIZE] == size)


@jit_borrowing
def _close_paragraph(f: Any, node: int, w: Any) -> None:
    end_line(w.state, 2)
    if f.tree.end[node] == w.state[EQUATIONS_END]:
        w.state[EQUATIONS_END] = 0


@jit_borrowing
def _close_table(w: Any) -> None:
    close_row(w)
    w.state[COLUMNS] = 0
    end_line(w.state, 2)


@jit_borrowing
def _close_mark(action: int, w: Any) -> None:
    """End bold, emphasis or code within a line."""
    if action == STRONG:
        w.state[IN_BOLD] = 0
        put(w, 42, 42, 0)
    elif action == EMPHASIS:
        w.state[IN_EM] = 0
        put(w, 42, 0, 0)
    elif action == TICKED:
        put(w, 96, 0, 0)
    elif w.state[PENDING] == 0:  # a quotation
        put(w, 0xE2, 0x80, 0x9D)
        w.state[SPACE] = 0


@jit_borrowing
def close(f: Any, node: int, action: int, size: int, w: Any) -> None:
    """Do what the end of an element does; `size` is that of the text at its start."""
    s = w.state
    if action == LINE:
        end_block(s, 1)
    elif action == PARAGRAPH:
        _close_paragraph(f, node, w)
    elif action == ITEM:
        close_item(f.rich[f.tree.end[node]] > f.rich[node], w)
    elif action == LIST:
        close_list(w)
    elif action == HEADING:
        s[IN_HEADING] = s[HEADING_LEVEL] = 0
        end_line(s, 2)
    elif action == QUOTE:
        end_line(s, 2)
        s[QUOTES] -= 1
    elif action == DETAIL:
        end_line(s, 1)
        s[MARKER] = 0
    elif action == SPACED:
        s[SPACE] = s[PENDING] == 0
    elif action == CODE_LINE:
        _close_code_line(f, node, size, w)
    elif action == CODE_BLOCK:
        close_code(w)
        s[CODE_END] = 0
        end_line(s, 2)
    elif action == TABLE:
        _close_table(w)
    elif action == TABLE_ROW:
        close_row(w)
    elif action == TABLE_CELL:
        s[CELL] = 0
    else:
        _close_mark(action, w)
