"""Fill a record with what its page says of itself."""

import numpy as np

from pipelines.sources.collector import Record
from pipelines.text.extraction.html import Page
from pipelines.text.extraction.pages.about import about, images_of
from pipelines.text.extraction.pages.extract import Judged
from pipelines.text.extraction.pages.tree import Tree


def describe(record: Record, tree: Tree) -> None:
    """Set the record's columns from its page and its headers; what the page does not say stays as it is."""
    said = about(tree, record.url, record.headers, record.retrieved)
    record.title = said.title
    record.author = said.author
    record.date = said.date
    record.license = said.license
    record.canonical_url = said.canonical_url
    record.declared_language = said.language
    record.site_type = said.site_type
    record.opt_outs = said.opt_outs


def illustrate(record: Record, tree: Tree, page: Page) -> None:
    """Set the record's images: those of the page's main part, or all if no page model judged its blocks."""
    record.images = images_of(tree, record.url, None if page.judged is None else _main_part(page.judged))


def _main_part(judged: Judged) -> tuple[int, int]:
    """Return the nodes between the last block before the first kept one and the first block after the last kept one."""
    blocks, rows = judged.blocks, np.flatnonzero(judged.verdict.kept)
    if not len(rows):
        return 0, 0
    first, last = int(rows[0]), int(rows[-1])
    is_end = last + 1 == len(blocks.first)
    return int(blocks.after[first - 1]) if first else 0, len(judged.tree.tag) if is_end else int(blocks.first[last + 1])
