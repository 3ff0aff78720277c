"""Log odds of names (class, id, role, itemprop) and of words: how often main text is found with them, site by site.

A site counts once for each token, so that a large site does not decide. Tokens of few sites (`MIN_SITES`) are unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages.blocks import WIDTH, WORDS, Blocks
from pipelines.text.extraction.pages.elements import element_tokens
from pipelines.text.extraction.pages.features import Lexicon
from pipelines.text.extraction.pages.tags import HIDDEN, TEXT, hash_table, names
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.kernels import jit

MIN_SITES = 6, 8, 5  # of names, words and whole texts
SHORT_WORDS = 12  # whole texts of more words are not counted
_PRIOR_SITES = 4.0  # as many sites with the average share are added to each token
_LEAST_ODDS = 0.15


@dataclass(frozen=True, slots=True)
class Counted:
    """The tokens of a page, and which share of the text that is found with each is main text (0 to 1)."""

    tokens: NDArray[np.uint64]
    shares: NDArray[np.float64]


def counted_names(tree: Tree, blocks: Blocks, labels: NDArray[np.float32]) -> Counted:
    """Count the names of a page's elements by the width of the text in them."""
    columns: Any = _named_rows(tree, blocks, names().kinds)
    tokens, starts, stops = columns
    width = np.concatenate([[0.0], np.cumsum(blocks.counts[:, WIDTH], dtype=np.float64)])
    kept = np.concatenate([[0.0], np.cumsum(blocks.counts[:, WIDTH] * labels.astype(np.float64))])
    return _grouped(tokens, kept[stops] - kept[starts], width[stops] - width[starts])


def counted_words(blocks: Blocks, labels: NDArray[np.float32]) -> Counted:
    """Count the first words of a page's blocks."""
    owner = np.repeat(np.arange(len(labels)), np.diff(blocks.first_token))
    share = labels[owner].astype(np.float64)
    return _grouped(blocks.tokens, share, np.ones(len(share)))


def counted_texts(blocks: Blocks, labels: NDArray[np.float32]) -> Counted:
    """Count the whole texts of a page's short blocks."""
    short = blocks.counts[:, WORDS] <= SHORT_WORDS
    return _grouped(blocks.text_hash[short], labels[short].astype(np.float64), np.ones(int(short.sum())))


def _grouped(tokens: NDArray[np.uint64], kept: NDArray[np.float64], whole: NDArray[np.float64]) -> Counted:
    unique, place = np.unique(tokens, return_inverse=True)
    totals = np.bincount(place, whole, len(unique))
    return Counted(unique, np.bincount(place, kept, len(unique)) / np.maximum(totals, 1e-9))


class Counts:
    """The counts of all pages of one kind of token, ready to be summed over any of them."""

    def __init__(self, pages: Sequence[Counted], sites: NDArray[np.int64]) -> None:
        """`sites` numbers the site of each page."""
        tokens = np.concatenate([page.tokens for page in pages])
        owner = np.repeat(np.arange(len(pages)), [len(page.tokens) for page in pages])
        shares = np.concatenate([page.shares for page in pages])
        self.keys, place = np.unique(tokens, return_inverse=True)
        # One row a site and token: the mean over the site's pages.
        pair, row = np.unique(sites[owner] * len(self.keys) + place, return_inverse=True)
        self.site, self.token = pair // len(self.keys), pair % len(self.keys)
        times = np.bincount(row, minlength=len(pair))
        self.share = np.bincount(row, shares, len(pair)) / times

    def odds(self, is_used: NDArray[np.bool_], min_sites: int) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Return the hash table of log odds over the sites that are used."""
        used = is_used[self.site]
        token, share = self.token[used], self.share[used]
        sites = np.bincount(token, minlength=len(self.keys))
        kept = np.bincount(token, share, len(self.keys))
        average = min(0.99, max(0.01, float(share.mean()))) if len(share) else 0.5
        odds = np.log((kept + _PRIOR_SITES * average) / (sites - kept + _PRIOR_SITES * (1 - average))) - np.log(
            average / (1 - average)
        )
        known = (sites >= min_sites) & (np.abs(odds) >= _LEAST_ODDS)
        return _table(self.keys[known], odds[known].astype(np.float32))


def _table(keys: NDArray[np.uint64], odds: NDArray[np.float32]) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    slots = 16
    while slots < 2 * len(keys):
        slots *= 2
    table, places = hash_table(keys.tolist(), slots)
    values = np.zeros(slots, np.float32)
    values[places] = odds
    return table, values


def lexicon(counts: tuple[Counts, Counts, Counts], is_used: NDArray[np.bool_]) -> Lexicon:
    """Return the log odds of names, words and whole texts over the sites that are used."""
    (name_keys, name_odds), (word_keys, word_odds), (text_keys, text_odds) = (
        count.odds(is_used, least) for count, least in zip(counts, MIN_SITES, strict=True)
    )
    return Lexicon(name_keys, name_odds, word_keys, word_odds, text_keys, text_odds)


@jit
def _named_rows(tree: Any, blocks: Any, kinds: Any) -> Any:
    """Return the tokens of every element that holds blocks, with the first of these and the one after the last."""
    nodes, rows = tree.tag.size, blocks.first.size
    row_at = np.zeros(nodes + 1, np.int32)
    row = 0
    for node in range(nodes):
        row_at[node] = row
        if row < rows and blocks.first[row] == node:
            row += 1
    row_at[nodes] = row
    seen = np.empty(64, np.uint64)
    tokens, starts, stops = np.empty(1024, np.uint64), np.empty(1024, np.int32), np.empty(1024, np.int32)
    size = 0
    for node in range(nodes):
        if tree.tag[node] == TEXT or kinds[tree.tag[node]] & HIDDEN or row_at[node] == row_at[tree.end[node]]:
            continue
        count = element_tokens(tree, node, seen)
        if size + count > tokens.size:
            tokens = np.concatenate((tokens, np.empty(tokens.size + 64, np.uint64)))
            starts = np.concatenate((starts, np.empty(starts.size + 64, np.int32)))
            stops = np.concatenate((stops, np.empty(stops.size + 64, np.int32)))
        for i in range(count):
            is_new = True
            for j in range(i):
                is_new = is_new and seen[i] != seen[j]
            if is_new:
                tokens[size], starts[size], stops[size] = seen[i], row_at[node], row_at[tree.end[node]]
                size += 1
    return tokens[:size].copy(), starts[:size].copy(), stops[:size].copy()
