"""Label the blocks of a page by the text that people took from it.

The words of the page and of the truth are aligned (longest common subsequence), and a match counts if it belongs to a run of
RUN words, or is the whole block: by chance, single words match anywhere. A long block that the alignment passed over counts
by its 3-grams that the truth still has, because people may write things in another order.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RUN = 3
_LONG = 8  # words; a shorter block's 3-grams may stand in the truth by chance
_MOST_WORDS = 60_000  # of a page that is aligned; the alignment takes memory of words × words / 8
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case; in scripts without spaces, each letter is one."""
    return _WORD.findall(text.lower())


def labels(texts: Sequence[str], truth: str) -> NDArray[np.float32]:
    """Return the share of each block's words that belongs to the truth, 0 to 1."""
    wanted = words(truth)
    page: list[str] = []
    owner: list[int] = []
    for number, text in enumerate(texts):
        inside = words(text)
        page += inside
        owner += [number] * len(inside)
    sizes = np.bincount(owner, minlength=len(texts)) if owner else np.zeros(len(texts), np.int64)
    if not wanted or not page:
        return np.zeros(len(texts), np.float32)
    matched, used = np.zeros(len(page), np.bool_), np.zeros(len(wanted), np.bool_)
    if len(page) <= _MOST_WORDS:  # otherwise, the 3-grams of long blocks decide
        matched, used = _aligned(page, wanted, np.array(owner), sizes)
    shares = np.bincount(np.array(owner)[matched], minlength=len(texts)) / np.maximum(1, sizes)
    left = Counter(_grams([word for word, is_used in zip(wanted, used.tolist(), strict=True) if not is_used]))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for number in np.flatnonzero((shares < 0.5) & (sizes >= _LONG)).tolist():
        grams = Counter(_grams(page[starts[number] : starts[number + 1]]))
        share = (grams & left).total() / grams.total()
        if share > max(0.5, shares[number]):
            shares[number] = share
            left -= grams & left
    return shares.astype(np.float32)


def _grams(words: list[str]) -> list[tuple[str, ...]]:
    return list(zip(words, words[1:], words[2:], strict=False))


def _aligned(
    page: list[str], wanted: list[str], owner: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which words of the page and which of the truth are matched."""
    from rapidfuzz.distance import LCSseq  # from the extra `bench`; nothing else needs it

    numbers: dict[str, int] = {}
    coded = [[numbers.setdefault(word, len(numbers)) for word in side] for side in (page, wanted)]
    matched, used = np.zeros(len(page), np.bool_), np.zeros(len(wanted), np.bool_)
    for step in LCSseq.opcodes(*coded):
        if step.tag != "equal":
            continue
        size = step.src_end - step.src_start
        inside = owner[step.src_start : step.src_end]
        whole = np.bincount(inside, minlength=len(sizes))[inside] == sizes[inside]
        keep = whole if size < RUN else np.ones(size, np.bool_)
        matched[step.src_start : step.src_end] = keep
        used[step.dest_start : step.dest_end] = keep
    return matched, used
