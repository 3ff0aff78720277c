"""Where on the page a block stands, and under which heading."""

from typing import Any

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.extraction.pages.columns.odds import odds_of_words
from pipelines.text.extraction.pages.elements import odds_of
from pipelines.text.extraction.pages.tags import IDS
from pipelines.text.kernels import jit_borrowing

_ORDER = ("index", "share_before", "blocks_before", "blocks_after", "prose_before", "prose_after")
_HEADINGS = ("to_heading", "heading_level", "heading_links", "heading_odds", "heading_width", "next_heading")
NAMES = (*_ORDER, *_HEADINGS, "headings_before", "after_h1")
H1 = IDS["h1"]
FAR = 99  # blocks, if there is no heading


@jit_borrowing
def write(out: Any, at: int, tree: Any, blocks: Any, is_prose: Any, is_heading: Any, totals: Any, lexicon: Any) -> int:
    """Write the columns of the place."""
    _write_order(out, at, blocks.counts, is_prose, totals)
    _write_headings(out, at + 6, tree, blocks, is_heading, lexicon)
    _write_next_heading(out, at + 11, is_heading)
    return at + 14


@jit_borrowing
def _write_order(out: Any, at: int, counts: Any, is_prose: Any, totals: Any) -> None:
    """Write how much of the page is before and after each block."""
    before, prose_before, rows = 0.0, 0.0, is_prose.size
    whole = max(1.0, totals.prose)
    for row in range(rows):
        f, width = out[row, at:], counts[row, b.WIDTH]
        f[0], f[1], f[2], f[3] = row / rows, before / totals.width, row, rows - 1 - row
        prose = width if is_prose[row] else 0
        f[4], f[5] = prose_before / whole, (totals.prose - prose_before - prose) / whole
        before += width
        prose_before += prose


@jit_borrowing
def _write_headings(out: Any, at: int, tree: Any, blocks: Any, is_heading: Any, lexicon: Any) -> None:
    """Write the last heading before each block: how far, its level, links, odds and width; how many; how far the last <h1>."""
    heading, level, links, odds, width = -1, 0, 0.0, 0.0, 0
    headings, h1_row = 0, -1
    for row in range(is_heading.size):
        f = out[row, at:]
        f[0] = row - heading if heading >= 0 else FAR
        f[1], f[2], f[3], f[4] = level, links, odds, width
        f[6], f[7] = headings, row - h1_row if h1_row >= 0 else -1
        if is_heading[row]:
            heading, level, width = row, tree.tag[blocks.container[row]] - H1 + 1, blocks.counts[row, b.WIDTH]
            links = blocks.counts[row, b.LINK_WIDTH] / max(1, width)
            odds = _odds_of_heading(blocks, row, lexicon)
            headings += 1
            h1_row = row if level == 1 else h1_row


@jit_borrowing
def _odds_of_heading(blocks: Any, row: int, lexicon: Any) -> float:
    begin, end = blocks.first_token[row], blocks.first_token[row + 1]
    mean = odds_of_words(blocks.tokens, begin, end, lexicon.word_keys, lexicon.word_odds)[0]
    return mean + odds_of(lexicon.text_keys, lexicon.text_odds, blocks.text_hash[row])


@jit_borrowing
def _write_next_heading(out: Any, at: int, is_heading: Any) -> None:
    """Write how far the next heading after each block is."""
    heading = -1
    for row in range(is_heading.size - 1, -1, -1):
        out[row, at] = heading - row if heading >= 0 else FAR
        if is_heading[row]:
            heading = row
