"""Kept nodes to text: headings, paragraphs, lists, quotes, verse, code, tables of data and formulas.

In both formats code stands between ``` fences with every space, and a table of data is rows of cells with a rule under the
first: that is how readers of either, people, parsers and models, know them. `fences=False` leaves these marks out.
A list's mark is "- " (as in Markdown; the quality rules count it as a bullet).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.tags import names
from pipelines.text.extraction.pages.tree import Tree, parse
from pipelines.text.extraction.pages.writing.formulas import formulas
from pipelines.text.extraction.pages.writing.marks import FENCES, INLINE_MARKS
from pipelines.text.extraction.pages.writing.roles import assign_roles, class_table
from pipelines.text.extraction.pages.writing.units import completed, shown_nodes
from pipelines.text.extraction.pages.writing.walk import write_text

_NO_FORMULAS = np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.uint8)


def write(tree: Tree, kept: NDArray[np.bool_], *, markdown: bool = False, fences: bool = True, whole_units: bool = False) -> str:
    r"""Return the text of the kept text nodes (`kept` has an entry a node): lines end in "\n", a blank line parts paragraphs.

    With `whole_units`, code and tables that are kept in part, or left out of what is kept around them, are kept whole.
    The white space of code and of indents is written as stand-ins (`characters.code_spaces`).

    >>> from pipelines.text.extraction.pages.tree import parse
    >>> tree = parse(b"<h1>Mills</h1><p>Some <b>o</b>ld <i>mills</i>:<ul><li>of wood<li>of stone</ul>")
    >>> write(tree, tree.tag == 0)
    'Mills\n\nSome old mills:\n\n- of wood\n- of stone'
    """
    roles, has_formula = assign_roles(tree, *class_table())
    flags = (FENCES if fences or markdown else 0) | (INLINE_MARKS if markdown else 0)
    kept = completed(tree, kept, roles) if whole_units else kept
    found = formulas(tree, kept, roles) if has_formula else _NO_FORMULAS
    return write_text(tree, kept, roles, *found, flags).tobytes().decode("utf-8", "replace")


def whole_text(markup: str) -> str:
    r"""Return all text of a page that a browser shows, for books, which have no boilerplate: without fences.

    >>> whole_text("<title>T</title><h1>Mills</h1><p>Of wood.<br>Of stone.<script>x</script>")
    'Mills\n\nOf wood.\nOf stone.'
    """
    tree = parse(markup.encode("utf-8", "replace"))
    shown: Any = shown_nodes(tree, names().kinds)
    return write(tree, shown, fences=False)
