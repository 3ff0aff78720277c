"""A web page as a person looks at it: its blocks in their order, what was kept of them and why.

A block is a run of text between elements that break lines. The extractor decides by blocks; this is the form in which its
decisions are shown.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.text.characters.code_spaces import restored
from pipelines.text.extraction import html, visible
from pipelines.text.extraction.pages.blocks import LINK_WIDTH, LINKS, WIDTH, WORDS, texts
from pipelines.text.extraction.pages.extract import Judged
from pipelines.text.extraction.pages.tags import ATTRIBUTE_IDS, IDS, NAMES
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.extraction.pages.verdict import Verdict
from pipelines.text.extraction.resiliparse.text import all_text

_STEPS = 4  # of a path that are shown
_NAMES_OF_A_STEP = 2  # classes, as many
_NAME = 28  # characters of an id or a class
_NAME_BYTES = 200  # of an id or of classes
_MARKS = {ATTRIBUTE_IDS["id"]: "#", ATTRIBUTE_IDS["class"]: "."}


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page and its verdict."""

    text: str
    tag: str  # the element that holds it, in lower case; empty if it is unknown
    path: str  # the elements around it, with their ids and classes; empty if they are unknown
    probability: float | None  # that it belongs to the main text; None if nothing was computed
    kept: bool
    why: str  # in a few words


@dataclass(frozen=True, slots=True)
class Explained:
    """A page and its blocks, in the order of its markup."""

    blocks: tuple[Block, ...]
    is_fallback: bool = False
    least_probability: float | None = None  # the least of a kept block

    @property
    def visible_characters(self) -> int:
        """The characters of all blocks, without white space."""
        return sum(visible.characters(block.text) for block in self.blocks)

    @property
    def kept_characters(self) -> int:
        """The characters of the kept blocks, without white space."""
        return sum(visible.characters(block.text) for block in self.blocks if block.kept)


def explained(markup: str, page: html.Page) -> Explained:
    """Return the blocks of a page that was extracted, or its lines if the extractor does not judge blocks.

    Limits: a line that occurs more often on the page than in the main text is shown as kept where it occurs first.
    """
    return _by_lines(markup, page.text) if page.judged is None else _by_blocks(page.judged)


def _by_blocks(judged: Judged) -> Explained:
    tree, found, verdict = judged.tree, judged.blocks, judged.verdict
    words, least, markup = texts(tree, found), _least(verdict), tree.markup.tobytes()
    blocks = [
        Block(
            text=_tidy(words[row], element, tree),
            tag=NAMES[tree.tag[element]] if element >= 0 else "",
            path=_path(tree, element, markup),
            probability=float(verdict.probability[row]),
            kept=bool(verdict.kept[row]),
            why="an earlier block says the same"
            if judged.doubled[row]
            else _why(found.counts[row], bool(verdict.kept[row]), float(verdict.probability[row]), least),
        )
        for row, element in enumerate(found.container.tolist())
    ]
    return Explained(tuple(blocks), verdict.is_fallback, least)


def _least(verdict: Verdict) -> float | None:
    """Return the probability from which on the page's blocks are kept; None if none is, or if a rule decided."""
    kept = verdict.probability[verdict.kept]
    return float(kept.min()) if len(kept) and not verdict.is_fallback else None


def _why(counts: NDArray[np.int32], kept: bool, probability: float, least: float | None) -> str:
    """Return what distinguishes the block, and what decided if it was not the page's limit."""
    said = [f"{counts[WORDS]:,} word{'' if counts[WORDS] == 1 else 's'}"]
    if counts[LINKS]:
        said.append(f"{counts[LINK_WIDTH] / max(1, counts[WIDTH]):.0%} of it links")
    if kept and least is None:
        said.append("kept by rule: the model keeps next to nothing of a page with prose")
    elif not kept and least is not None and probability >= least:
        said.append("left by rule")
    return ", ".join(said)


def _tidy(text: str, element: int, tree: Tree) -> str:
    """Return the text on one line; that of <pre> as it is."""
    return text.strip("\n") if element >= 0 and tree.tag[element] == IDS["pre"] else " ".join(text.split())


def _path(tree: Tree, element: int, markup: bytes) -> str:
    """Return the innermost elements that hold a block, the outermost first: "main > ul.menu > li"."""
    steps: list[str] = []
    while element >= 0 and len(steps) < _STEPS:
        steps.append(NAMES[tree.tag[element]] + _names(tree, element, markup))
        element = int(tree.parent[element])
    return " > ".join([*(["…"] if element >= 0 else []), *reversed(steps)])


def _names(tree: Tree, element: int, markup: bytes) -> str:
    """Return an element's id and classes as a selector has them."""
    out = ""
    for place in range(tree.first_attribute[element], tree.first_attribute[element + 1]):
        mark = _MARKS.get(int(tree.attribute[place]))
        if mark is not None:
            value = markup[tree.value_start[place] : tree.value_stop[place]][:_NAME_BYTES].decode("utf-8", "replace")
            shown = value.split()[:_NAMES_OF_A_STEP]
            out += "".join(mark + (name if len(name) <= _NAME else f"{name[:_NAME]}…") for name in shown)
    return out


def _by_lines(markup: str, text: str) -> Explained:
    kept = Counter(line.strip("\u2022 ") for line in text.split("\n"))
    blocks = []
    for line in filter(None, all_text(markup).text.split("\n")):
        is_kept = kept[line.strip("\u2022 ")] > 0
        kept[line.strip("\u2022 ")] -= is_kept
        blocks.append(Block(restored(line), "", "", None, is_kept, ""))
    return Explained(tuple(blocks))
