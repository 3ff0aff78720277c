"""The differences between two texts, word by word, in bounded time whatever their length.

Word n-grams that occur once in each text are anchors, as in patience diff: the longest sequence of them in the same order in
both texts is used. The gaps between anchors are searched again with shorter n-grams. Gaps that are then short enough are
compared by difflib, which takes quadratic time.

Limits: a gap without anchors but with too many equal words is reported as different as a whole; words are compared as
written, with case and punctuation.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NGRAMS = (12, 5, 2, 1)  # words in an anchor, tried in this order
PAIRS_PER_GAP = 50_000  # equal pairs of words that difflib may compare: about 50 ms
PAIRS = 1_000_000  # the same, in all gaps together: a few seconds
_MOST_STEPS = 100  # words by which a border between two stretches may move

# A character of a script written without spaces is a word, as in pipelines/text/characters/comparison.py.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao; Burmese; Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Han
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")

Kind = Literal["equal", "removed", "added"]
Words = NDArray[np.int64]  # one number per word, equal for equal words
Block = tuple[int, int, int]  # first word in one text, first word in the other, number of equal words


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive words of one kind; `text` is from the first text, or from the second if the words were added."""

    kind: Kind
    text: str  # up to the next word, so "equal" and "removed" stretches joined are the first text
    words: int


def differences(first: str, second: str) -> list[Stretch]:
    """Return the equal, removed and added stretches that turn the first text into the second.

    >>> [(stretch.kind, stretch.text) for stretch in differences("the old mill stands", "the tide mill stands")]
    [('equal', 'the '), ('removed', 'old '), ('added', 'tide '), ('equal', 'mill stands')]
    """
    a, b = _Tokens(first), _Tokens(second)
    known: dict[str, int] = {}
    numbers, others = a.numbers(known), b.numbers(known)
    blocks = _to_line_starts(a, b, numbers, others, _blocks(numbers, others))
    stretches: list[Stretch] = []
    i = j = 0
    for start, other, words in [*blocks, (len(a), len(b), 0)]:
        if start > i:
            stretches.append(Stretch("removed", a.text(i, start), start - i))
        if other > j:
            stretches.append(Stretch("added", b.text(j, other), other - j))
        if words:
            stretches.append(Stretch("equal", a.text(start, start + words), words))
        i, j = start + words, other + words
    return stretches


@dataclass(frozen=True, slots=True)
class Fold:
    """Words of one kind that are not displayed."""

    kind: Kind
    words: int


def folded(stretches: Sequence[Stretch], context: int = 10, longest: int = 60) -> list[Stretch | Fold]:
    """Shorten differences for display: `context` equal words beside each difference, `longest` words of a difference.

    >>> folded(differences("a b c d e f x", "a b c d e f y"), context=1)[:2]
    [Fold(kind='equal', words=5), Stretch(kind='equal', text='f ', words=1)]
    """
    shown: list[Stretch | Fold] = []
    for number, stretch in enumerate(stretches):
        is_equal = stretch.kind == "equal"
        head = 0 if is_equal and number == 0 and len(stretches) > 1 else context if is_equal else longest
        tail = context if is_equal and number < len(stretches) - 1 else 0
        if stretch.words <= head + tail + (3 if is_equal else longest // 2):  # a fold takes space, too
            shown.append(stretch)
            continue
        starts = [match.start() for match in _WORD.finditer(stretch.text)]
        if head:
            shown.append(Stretch(stretch.kind, stretch.text[: starts[head]], head))
        shown.append(Fold(stretch.kind, stretch.words - head - tail))
        if tail:
            shown.append(Stretch(stretch.kind, stretch.text[starts[-tail] :], tail))
    return shown


class _Tokens:
    """The words of a text and their places."""

    def __init__(self, text: str) -> None:
        self._text = text
        matches = list(_WORD.finditer(text))
        self._words = [match[0] for match in matches]
        self._starts = [0, *(match.start() for match in matches[1:]), len(text)]

    def __len__(self) -> int:
        return len(self._words)

    def numbers(self, known: dict[str, int]) -> Words:
        return np.fromiter((known.setdefault(word, len(known)) for word in self._words), np.int64, len(self._words))

    def starts_line(self, word: int) -> bool:
        return word == 0 or "\n" in self._text[self._starts[word - 1] + len(self._words[word - 1]) : self._starts[word]]

    def text(self, start: int, end: int) -> str:
        return self._text[self._starts[start] : self._starts[end]]


def _to_line_starts(a: _Tokens, b: _Tokens, numbers: Words, others: Words, blocks: Sequence[Block]) -> list[Block]:
    """Move the border between two blocks if a cut or an insertion then begins at the start of a line.

    "x / y z / y w" turns into "x / y w" by cutting "y z" or "z / y"; it is the whole line that was cut.
    """
    moved = list(blocks)
    for index in range(1, len(moved)):
        (i, j, size), (k, m, length) = moved[index - 1], moved[index]
        is_cut = m == j + size
        if is_cut == (k == i + size):  # both sides changed: a replacement cannot move
            continue
        text, words, start, end = (a, numbers, i + size, k) if is_cut else (b, others, j + size, m)
        for steps in range(min(size - 1, _MOST_STEPS)):
            if text.starts_line(start - steps):
                moved[index - 1], moved[index] = (i, j, size - steps), (k - steps, m - steps, length + steps)
                break
            if words[start - steps - 1] != words[end - steps - 1]:
                break
    return moved


def _blocks(a: Words, b: Words) -> list[Block]:
    """Return equal blocks in the same order in both texts; no two of them touch in both texts."""
    gaps: list[tuple[int, int, int, int]] = [(0, len(a), 0, len(b))]
    blocks: list[Block] = []
    for ngram in NGRAMS:
        smaller: list[tuple[int, int, int, int]] = []
        for gap in gaps:
            anchored = _anchored_blocks(a, b, gap, ngram)
            blocks += anchored
            smaller += _gaps_between(anchored, gap)
        gaps = smaller
    budget = PAIRS
    for i, i_end, j, j_end in gaps:
        pairs = _equal_pairs(a[i:i_end], b[j:j_end])
        if 0 < pairs <= min(PAIRS_PER_GAP, budget):
            budget -= pairs
            matcher = SequenceMatcher(None, a[i:i_end].tolist(), b[j:j_end].tolist(), autojunk=False)
            blocks += [(i + match.a, j + match.b, match.size) for match in matcher.get_matching_blocks() if match.size]
    return list(_merge_touching(sorted(blocks)))


def _anchored_blocks(a: Words, b: Words, gap: tuple[int, int, int, int], ngram: int) -> list[Block]:
    """Return the equal blocks of a gap: its common start and end, and the anchors between, extended as far as possible."""
    i, i_end, j, j_end = gap
    blocks: list[Block] = []
    if same := _common_prefix(a[i:i_end], b[j:j_end]):
        blocks.append((i, j, same))
        i, j = i + same, j + same
    if tail := _common_prefix(a[i:i_end][::-1], b[j:j_end][::-1]):
        i_end, j_end = i_end - tail, j_end - tail
        blocks.append((i_end, j_end, tail))
    first, second = i, j
    for start, other in _anchors(a[i:i_end], b[j:j_end], ngram):
        start, other = start + first, other + second
        if start < i or other < j:
            continue  # covered by the extended block before it
        forward = _common_prefix(a[start:i_end], b[other:j_end])
        back = _common_prefix(a[i:start][::-1], b[j:other][::-1])
        blocks.append((start - back, other - back, forward + back))
        i, j = start + forward, other + forward
    return sorted(blocks)


def _anchors(a: Words, b: Words, ngram: int) -> list[tuple[int, int]]:
    """Return the places of n-grams that occur once in each text: the longest sequence in the same order in both."""
    once_a, place_a = _unique_hashes(_ngram_hashes(a, ngram))
    once_b, place_b = _unique_hashes(_ngram_hashes(b, ngram))
    _, in_a, in_b = np.intersect1d(once_a, once_b, assume_unique=True, return_indices=True)
    first, second = place_a[in_a], place_b[in_b]
    order = np.argsort(first)
    first, second = first[order], second[order]
    chosen = _longest_increasing(second.tolist())
    pairs = zip(first[chosen].tolist(), second[chosen].tolist(), strict=True)
    return [(i, j) for i, j in pairs if (a[i : i + ngram] == b[j : j + ngram]).all()]  # hashes may collide


def _ngram_hashes(words: Words, ngram: int) -> NDArray[np.uint64]:
    count = len(words) - ngram + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    hashes = np.zeros(count, np.uint64)
    for offset in range(ngram):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + words[offset : offset + count].astype(np.uint64) + np.uint64(1)
    return hashes


def _unique_hashes(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes that occur exactly once, and their places."""
    values, places, counts = np.unique(hashes, return_index=True, return_counts=True)
    return values[counts == 1], places[counts == 1]


def _longest_increasing(values: Sequence[int]) -> list[int]:
    """Return the indices of a longest increasing subsequence."""
    tails: list[int] = []  # by length, the least last value of a subsequence; `last` holds its index
    last: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        length = bisect_left(tails, value)
        before.append(last[length - 1] if length else -1)
        if length == len(tails):
            tails.append(value)
            last.append(index)
        else:
            tails[length], last[length] = value, index
    chosen: list[int] = []
    index = last[-1] if last else -1
    while index >= 0:
        chosen.append(index)
        index = before[index]
    return chosen[::-1]


def _common_prefix(a: Words, b: Words) -> int:
    """Return the number of equal words at the start; steps double, so the cost is proportional to the result."""
    length, step, limit = 0, 16, min(len(a), len(b))
    while length < limit:
        end = min(limit, length + step)
        unequal = np.flatnonzero(a[length:end] != b[length:end])
        if len(unequal):
            return length + int(unequal[0])
        length, step = end, step * 2
    return length


def _gaps_between(blocks: Sequence[Block], gap: tuple[int, int, int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the gaps between blocks, as far as they have words in both texts."""
    i, i_end, j, j_end = gap
    for start, other, words in [*blocks, (i_end, j_end, 0)]:
        if start > i and other > j:
            yield i, start, j, other
        i, j = start + words, other + words


def _equal_pairs(a: Words, b: Words) -> int:
    values_a, counts_a = np.unique(a, return_counts=True)
    values_b, counts_b = np.unique(b, return_counts=True)
    _, in_a, in_b = np.intersect1d(values_a, values_b, assume_unique=True, return_indices=True)
    return int((counts_a[in_a] * counts_b[in_b]).sum())


def _merge_touching(blocks: Sequence[Block]) -> Iterator[Block]:
    """Merge blocks that touch in both texts."""
    current: Block | None = None
    for block in blocks:
        if current is not None and (block[0], block[1]) == (current[0] + current[2], current[1] + current[2]):
            current = (current[0], current[1], current[2] + block[2])
            continue
        if current is not None:
            yield current
        current = block
    if current is not None:
        yield current
