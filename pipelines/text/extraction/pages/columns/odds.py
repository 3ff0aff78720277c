"""How likely a block is main text by its names (class, id, role) and by its words: log odds of the lexicon."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.extraction.pages.elements import element_tokens, odds_of
from pipelines.text.kernels import jit_borrowing, jit_internal

_OF_NAMES = ("own_names", "names_sum", "names_least", "names_most", "parent_names")
NAMES = (*_OF_NAMES, "words_mean", "words_least", "words_most", "text_odds")
_MOST_TOKENS = 64  # of an element's class and id
_FADING = np.float32(0.8)  # of an element's odds are its children's, too
_SHORT_TEXT = 12  # words, of texts that are looked up as a whole


class NameOdds(NamedTuple):
    """By node: the odds of an element's names."""

    own: NDArray[np.float32]
    total: NDArray[np.float32]  # with its ancestors, the farther the less
    least: NDArray[np.float32]  # of it and its ancestors
    most: NDArray[np.float32]


@jit_internal
def name_odds(tree: Any, shown: Any, lexicon: Any) -> Any:
    """Return the odds of each element's names."""
    nodes = tree.tag.size
    own, total = np.zeros(nodes, np.float32), np.zeros(nodes, np.float32)
    least, most = np.zeros(nodes, np.float32), np.zeros(nodes, np.float32)
    odds = NameOdds(own, total, least, most)
    _add_names(odds, tree, shown, lexicon, np.empty(_MOST_TOKENS, np.uint64))
    return odds


@jit_borrowing
def _add_names(to: Any, tree: Any, shown: Any, lexicon: Any, tokens: Any) -> None:
    for node in shown:
        low, high = np.float32(0), np.float32(0)
        has_attributes = tree.first_attribute[node] < tree.first_attribute[node + 1]
        for i in range(element_tokens(tree, node, tokens) if has_attributes else 0):  # a call with a tree takes long
            odds = odds_of(lexicon.name_keys, lexicon.name_odds, tokens[i])
            low, high = min(low, odds), max(high, odds)
        to.own[node] = to.total[node] = low + high
        parent = tree.parent[node]
        if parent >= 0:
            to.total[node] += _FADING * to.total[parent]
            low, high = min(to.least[parent], low), max(to.most[parent], high)
        to.least[node], to.most[node] = low, high


@jit_internal
def names_by_row(tree: Any, blocks: Any, odds: Any) -> Any:
    """Return the odds of the names of each block's elements, float32."""
    out = np.zeros(blocks.first.size, np.float32)
    for row in range(out.size):
        parent = tree.parent[blocks.first[row]]
        out[row] = odds.total[parent] if parent >= 0 else np.float32(0)
    return out


@jit_borrowing
def odds_of_words(words: Any, begin: int, end: int, word_keys: Any, word_odds: Any) -> Any:
    """Return the mean, least and greatest odds of those of words[begin:end] that the lexicon has."""
    total, least, most, known = np.float32(0), np.float32(0), np.float32(0), 0
    for i in range(begin, end):
        odds = odds_of(word_keys, word_odds, words[i])
        if odds != 0:
            known += 1
            total += odds
            least, most = min(least, odds), max(most, odds)
    return total / max(1, known), least, most


@jit_borrowing
def write(out: Any, at: int, tree: Any, blocks: Any, odds: Any, lexicon: Any) -> int:
    """Write the columns of the odds."""
    for row in range(blocks.first.size):
        f, parent = out[row, at:], tree.parent[blocks.first[row]]
        if parent >= 0:
            f[0], f[1], f[2], f[3] = odds.own[parent], odds.total[parent], odds.least[parent], odds.most[parent]
            f[4] = odds.own[tree.parent[parent]] if tree.parent[parent] >= 0 else 0
        begin, end = blocks.first_token[row], blocks.first_token[row + 1]
        f[5], f[6], f[7] = odds_of_words(blocks.tokens, begin, end, lexicon.word_keys, lexicon.word_odds)
        is_short = blocks.counts[row, b.WORDS] <= _SHORT_TEXT
        f[8] = odds_of(lexicon.text_keys, lexicon.text_odds, blocks.text_hash[row]) if is_short else 0
    return at + 9
