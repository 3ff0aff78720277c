"""A page's tree to its main text: blocks, features, scores, verdict, text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages import structure
from pipelines.text.extraction.pages.blocks import WIDE, WIDTH, Blocks, blocks
from pipelines.text.extraction.pages.doubles import doubles
from pipelines.text.extraction.pages.features import features
from pipelines.text.extraction.pages.forest import PageModel
from pipelines.text.extraction.pages.masks import scores
from pipelines.text.extraction.pages.tags import HIDDEN, TEXT, names
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.extraction.pages.verdict import Verdict, judge
from pipelines.text.kernels import jit

MAX_BLOCKS = 250_000  # of a page: the features of each take 700 bytes; the largest of 1,435 labelled pages has 2,641


class ExtractionError(ValueError):
    """The page is refused; the message says which limit it exceeds."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A page that was read and judged, before its text is written."""

    tree: Tree
    blocks: Blocks
    verdict: Verdict
    doubled: NDArray[np.bool_]  # by block: left out because an earlier kept block says the same

    @property
    def visible_characters(self) -> int:
        """The characters that a browser shows, without white space."""
        return int(self._characters().sum())

    @property
    def kept_characters(self) -> int:
        """The characters of the kept blocks, without white space."""
        return int(self._characters()[self.verdict.kept].sum())

    def _characters(self) -> NDArray[np.int32]:
        counts = self.blocks.counts
        return counts[:, WIDTH] - counts[:, WIDE]

    def text(self, *, markdown: bool = False) -> str:
        """Return the text of the kept blocks."""
        return structure.write(
            self.tree, kept_nodes(self.tree, self.blocks, self.verdict.kept), markdown=markdown, whole_units=True
        )


def judged(tree: Tree, model: PageModel) -> Judged:
    """Judge the blocks of a page. Raise ExtractionError if it has more than MAX_BLOCKS."""
    found = blocks(tree)
    if len(found.first) > MAX_BLOCKS:
        raise ExtractionError(f"{len(found.first):,} blocks of text, more than {MAX_BLOCKS:,}")
    matrix, places = features(tree, found, model.lexicon)
    verdict = judge(found.counts, scores(model.masks, matrix), places)
    doubled = doubles(tree, found, places, verdict.kept)
    return Judged(tree, found, verdict._replace(kept=verdict.kept & ~doubled), doubled)


def kept_nodes(tree: Tree, blocks: Blocks, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which nodes are text of kept blocks: a flag a node."""
    nodes: Any = _kept_nodes(tree, blocks, kept, names().kinds)
    return nodes


@jit
def _kept_nodes(tree: Any, blocks: Any, kept: Any, kinds: Any) -> Any:
    out = np.zeros(tree.tag.size, np.bool_)
    for row in range(kept.size):
        if not kept[row]:
            continue
        node = blocks.first[row]
        while node < blocks.after[row]:
            if tree.tag[node] == TEXT:
                out[node] = True
            elif kinds[tree.tag[node]] & HIDDEN:
                node = tree.end[node]
                continue
            node += 1
    return out
