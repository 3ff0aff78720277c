"""What the page is as a whole, by its blocks, its address and what it says of itself."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.extraction.pages import elements as e
from pipelines.text.extraction.pages.page_head import SET_SIZE, add_words, read_canonical, read_meta, types_of_data
from pipelines.text.extraction.pages.tags import IDS
from pipelines.text.kernels import jit_borrowing, jit_internal

_SUMS = ("page_width", "page_blocks", "page_links", "page_prose", "page_articles", "page_widest", "page_terminals")
_MEANS = ("page_odds", "page_prose_share", "page_headings")
_ADDRESS = ("address_depth", "address_hyphens", "address_digits", "address_length", "address_query")
_SAYS = ("says_article", "says_product", "says_forum", "says_list", "says_site")
NAMES = (*_SUMS, *_MEANS, *_ADDRESS, *_SAYS)
TITLE, SCRIPT, META, LINK = (IDS[name] for name in ("title", "script", "meta", "link"))
_MOST_ARTICLES = 20  # more count as so many


class Head(NamedTuple):
    """What a page says of itself."""

    title: NDArray[np.uint64]  # a set of words
    title_words: int
    description: NDArray[np.uint64]
    address: NDArray[np.int64]  # of the canonical address: depth, hyphens, digits, length, queries
    says: NDArray[np.bool_]  # that it is an article, a product, a forum, a list, a site
    articles: int  # <article>


@jit_internal
def head(tree: Any, shown: Any, characters: Any, lower: Any) -> Any:
    """Return what a page says of itself."""
    title, description = np.zeros(SET_SIZE, np.uint64), np.zeros(SET_SIZE, np.uint64)
    address, says = np.zeros(5, np.int64), np.zeros(5, np.bool_)
    title_words, articles = 0, 0
    for node in shown:
        tag = tree.tag[node]
        articles += (e.BITS[tag] & e.ARTICLE) != 0
        if tag == META:
            read_meta(tree, node, characters, lower, description, says)
        elif tag == LINK and address[3] == 0:
            read_canonical(tree, node, address)
        elif tag == TITLE and title_words == 0 and tree.end[node] > node + 1:
            title_words = add_words(tree.text, tree.start[node + 1], tree.stop[node + 1], characters, lower, title)
        elif tag == SCRIPT:
            types_of_data(tree, node, says)
    return Head(title, title_words, description, address, says, articles)


@jit_borrowing
def write(out: Any, at: int, counts: Any, head: Any, totals: Any, odds: Any) -> int:
    """Write the columns of the page, the same in each row; `odds` (of names) is by block."""
    total_odds, rows, width = 0.0, odds.size, totals.width
    for row in range(rows):
        total_odds += odds[row] * counts[row, b.WIDTH]
    for row in range(rows):
        f = out[row, at:]
        f[0], f[1], f[2], f[3] = width, rows, totals.link / width, totals.prose
        f[4], f[5], f[6] = min(head.articles, _MOST_ARTICLES), totals.widest, totals.terminals * 50 / width
        f[7], f[8], f[9] = total_odds / width, totals.prose / width, totals.headings
        for i in range(5):
            f[10 + i], f[15 + i] = head.address[i], head.says[i]
    return at + 20
