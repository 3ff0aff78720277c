"""What each element does to the text in it and around it, and what is known of a page's nodes when it is written."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.tags import IDS, NAMES
from pipelines.text.extraction.pages.tree import Tree

# What an element does to the text in it and around it.
INLINE, LINE, PARAGRAPH, BREAK, LIST, ITEM, HEADING, QUOTE, SPACED, SKIPPED, QUOTED, PRE, TICKED, TABLE = range(14)
TABLE_ROW, TABLE_CELL, STRONG, EMPHASIS, DETAIL, CODE_LINE, CODE_BLOCK = range(14, 21)
_ACTIONS = {
    LINE: "address dt center dir div form frame frameset legend option optgroup search select summary tbody thead tfoot title"
    " textarea body html head noscript nav header footer main hgroup iframe",
    PARAGRAPH: "p article aside section details dialog dl fieldset figcaption figure caption hr video audio",
    BREAK: "br",
    LIST: "ul ol menu",
    ITEM: "li",
    HEADING: "h1 h2 h3 h4 h5 h6",
    QUOTE: "blockquote",
    SPACED: "button input img embed object canvas meter progress",
    SKIPPED: "rp rt rtc script style template",
    QUOTED: "q",
    PRE: "pre listing xmp plaintext",
    TICKED: "code samp kbd tt",
    TABLE: "table",
    TABLE_ROW: "tr",
    TABLE_CELL: "td th",
    STRONG: "b strong",
    EMPHASIS: "i em",
    DETAIL: "dd",
}
_RICH = "h1 h2 h3 h4 h5 h6 article section header footer form"  # an item of a list with one of these is no line of a list
# How the white space of code counts: all of it; only <br> ends lines; elements are lines, all other white space counts.
NO_BLOCK, WHOLE, BREAKS, LINES = range(4)


class Facts(NamedTuple):
    """A page and what is known of its nodes."""

    tree: Tree
    kept: NDArray[np.bool_]
    roles: NDArray[np.uint8]
    formulas: NDArray[np.int32]
    ends: NDArray[np.int64]  # of the formulas in `data`
    data: NDArray[np.uint8]
    texts: NDArray[np.int32]  # how many kept texts are before a node
    rich: NDArray[np.int32]  # likewise, elements that no item of a list has
    columns: NDArray[np.int32]  # of a table of data
    pres: NDArray[np.int32]  # how many <pre> are before a node


def _table(actions: dict[int, str]) -> NDArray[np.uint8]:
    table = np.zeros(len(NAMES), np.uint8)
    for action, elements in actions.items():
        table[[IDS[name] for name in elements.split()]] = action
    return table


ACTION = _table(_ACTIONS)
IS_RICH = _table({1: _RICH})
