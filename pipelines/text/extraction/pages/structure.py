"""Kept nodes to text: headings, paragraphs, lists, quotes, verse, each on lines of their own."""

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.extraction.pages.writing import write_text


def write(tree: Tree, kept: NDArray[np.bool_], *, markdown: bool = False) -> str:
    r"""Return the text of the kept text nodes (`kept` has an entry a node): lines end in "\n", a blank line parts paragraphs.

    >>> from pipelines.text.extraction.pages.tree import parse
    >>> tree = parse(b"<h1>Mills</h1><p>Some <b>o</b>ld <i>mills</i>:<ul><li>of wood<li>of stone</ul>")
    >>> write(tree, tree.tag == 0)
    'Mills\n\nSome old mills:\n\n- of wood\n- of stone'
    """
    data = write_text(tree, kept)
    return data.tobytes().decode("utf-8", "replace")
