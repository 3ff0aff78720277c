"""A web page as a person looks at it: its blocks in their order, what was kept of them and why.

A block is a run of text between elements that break lines. The extractor decides by blocks; this is the form in which its
decisions are shown.
"""

from collections import Counter
from dataclasses import dataclass

from pipelines.text.extraction import html, visible
from pipelines.text.extraction.pages.blocks import texts
from pipelines.text.extraction.pages.extract import Judged
from pipelines.text.extraction.pages.tags import NAMES


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page and its verdict."""

    text: str
    tag: str  # the element that holds it, in lower case; empty if it is unknown
    probability: float | None  # that it belongs to the main text; None if nothing was computed
    kept: bool
    why: str  # in a few words; empty if the probability says it all


@dataclass(frozen=True, slots=True)
class Explained:
    """A page and its blocks, in the order of its markup."""

    blocks: tuple[Block, ...]
    is_fallback: bool = False

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
    rows = zip(texts(tree, found), found.container.tolist(), verdict.probability.tolist(), verdict.kept.tolist(), strict=True)
    blocks = (
        Block(" ".join(text.split()), NAMES[tree.tag[element]] if element >= 0 else "", probability, kept, "")
        for text, element, probability, kept in rows
    )
    return Explained(tuple(blocks), verdict.is_fallback)


def _by_lines(markup: str, text: str) -> Explained:
    kept = Counter(line.strip("\u2022 ") for line in text.split("\n"))
    blocks = []
    for line in filter(None, html.all_text(markup).text.split("\n")):
        is_kept = kept[line.strip("\u2022 ")] > 0
        kept[line.strip("\u2022 ")] -= is_kept
        blocks.append(Block(line, "", None, is_kept, ""))
    return Explained(tuple(blocks))
