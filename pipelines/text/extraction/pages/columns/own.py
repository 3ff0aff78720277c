"""What a block is by itself: its characters and words, and how they recur on the page."""

from typing import Any

import numpy as np

from pipelines.text.extraction.pages import blocks as b
from pipelines.text.extraction.pages.columns.hashed import slot_of, slots_for
from pipelines.text.extraction.pages.page_head import shared
from pipelines.text.kernels import jit_borrowing, jit_internal

_COUNTS = (
    *("width", "words", "word_length", "link_share", "links"),
    *("terminals", "commas", "digits"),
    *("capitals", "ends", "first"),
    *("bold", "breaks", "copyright", "separators"),
    *("prices", "at", "question", "quotes"),
    *("nodes", "non_ascii", "spaceless", "widest_word"),
)
NAMES = (*_COUNTS, "same_text", "title_share", "title_cover", "described")


@jit_borrowing
def write(out: Any, at: int, blocks: Any, head: Any, repeats: Any) -> int:
    """Write the columns of the blocks themselves."""
    for row in range(repeats.size):
        f = out[row, at:]
        _write_counts(f, blocks.counts[row])
        begin, end = blocks.first_token[row], blocks.first_token[row + 1]
        common = shared(blocks.tokens, begin, end, head.title)
        f[23] = repeats[row]
        f[24], f[25] = common / max(1, end - begin), common / max(1, head.title_words)
        f[26] = shared(blocks.tokens, begin, end, head.description) / max(1, end - begin)
    return at + 27


@jit_borrowing
def _write_counts(f: Any, count: Any) -> None:
    width, words, letters = max(1.0, float(count[b.WIDTH])), max(1.0, float(count[b.WORDS])), max(1.0, float(count[b.LETTERS]))
    f[0], f[1], f[2], f[3], f[4] = width, words, width / words, count[b.LINK_WIDTH] / width, count[b.LINKS]
    f[5], f[6], f[7] = count[b.TERMINALS] * 50 / width, count[b.COMMAS] * 50 / width, count[b.DIGITS] / width
    f[8], f[9], f[10] = count[b.UPPER] / letters, count[b.ENDS], count[b.FIRST]
    f[11], f[12], f[13], f[14] = count[b.BOLD_WIDTH] / width, count[b.BREAKS], count[b.COPYRIGHT], count[b.SEPARATOR]
    f[15], f[16], f[17], f[18] = count[b.PRICE], count[b.AT], count[b.QUESTION], count[b.QUOTE]
    f[19], f[20], f[21] = count[b.NODES], count[b.NON_ASCII] / width, count[b.SPACELESS_WIDTH] / width
    f[22] = count[b.WIDEST_WORD]


@jit_internal
def repeats_of(hashes: Any) -> Any:
    """Return how often the text of each block stands on the page, int32."""
    slots = slots_for(hashes.size)
    keys, times, slot_by_row = np.zeros(slots, np.uint64), np.zeros(slots, np.int32), np.empty(hashes.size, np.int64)
    for row in range(hashes.size):
        key = hashes[row] | np.uint64(1)
        slot = slot_of(keys, key)
        keys[slot] = key
        times[slot] += 1
        slot_by_row[row] = slot
    return times[slot_by_row]
