"""fastText's classifier on Arrow columns: sums of vectors for passages of texts, and the probabilities of all labels.

A text's vector is the mean of the vectors of its words and of their n-grams of characters (Joulin et al. 2016, arXiv 1607.01759;
Bojanowski et al. 2017, arXiv 1607.04606), so the vectors of passages add up to that of any text made of them: a document is read
once for the verdicts on all its parts. The results are those of fastText's own `predict` on the same words, up to the rounding of
float32 (a test compares them).

Limit: a model with n-grams of words reads each passage as a line of its own, so those across two passages are missing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.text.judgement.languages.fasttext_file import FastTextFile
from pipelines.text.kernels import jit, jit_internal

_FNV_OFFSET, _FNV_PRIME = np.uint32(2_166_136_261), np.uint32(16_777_619)
_WORD_NGRAM_PRIME = np.uint64(116_049_371)
_OPENS, _CLOSES = np.uint8(ord("<")), np.uint8(ord(">"))
_END_OF_LINE = b"</s>"
_END_OF_LINE_HASH = np.int32(-677604519)  # of these bytes, as `_hash` has it
_LOG_FLOOR = 1e-5  # fastText's std_log


class FastTextModel:
    """A model that is ready to judge; W, R, D, L as in FastTextFile."""

    def __init__(self, file: FastTextFile) -> None:
        """Index the dictionary and the rows of the n-grams."""
        self.labels = file.labels
        self._file = file
        self._slots, self._word_starts, self._word_bytes = _word_index(file.words)
        self._bits, self._before, self._rows = _ngram_rows(file)
        self._has_tree = file.tree is not None
        self._outputs = file.outputs[: len(file.tree)] if file.tree is not None else file.outputs
        self._tree = file.tree if file.tree is not None else np.empty((0, 2), np.int32)
        end = file.words.index(_END_OF_LINE) if _END_OF_LINE in file.words else None
        self.end_of_line = np.zeros(file.dimensions, np.float32) if end is None else np.array(file.rows[end])
        self.end_of_line_count = int(end is not None)

    def sums(
        self, data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return float32[passages, D] sums of vectors, and how many vectors each is the sum of.

        A passage is the bytes from its start to its end; both lie between words.
        """
        file = self._file
        sizes = np.array([file.min_ngram, file.max_ngram, file.word_ngrams, file.buckets, len(file.words)], np.int64)
        index = (self._slots, self._word_starts, self._word_bytes, self._bits, self._before)
        return _sums(data, starts, ends, self._rows, *index, sizes)

    def probabilities(self, sums: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return float32[texts, L]: the probability of each label for texts with these sums, each read as one line.

        A text without any vector gets zeros.
        """
        number = np.maximum(counts + self.end_of_line_count, 1).astype(np.float32)[:, None]
        hidden: NDArray[np.float32] = (sums + self.end_of_line) / number
        scores: NDArray[np.float32] = hidden @ self._outputs.T
        values = _leaves(scores, self._tree) if self._has_tree else _softmax(scores)
        values[counts == 0] = 0
        return np.minimum(values, 1, out=values)


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def _leaves(scores: NDArray[np.float32], tree: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the leaves' probabilities of a hierarchical softmax: the products on their ways from the root."""
    with np.errstate(over="ignore"):  # a sigmoid of nearly 0
        return _descend(1 / (1 + np.exp(-scores)), tree)


@jit
def _descend(right: Any, tree: Any) -> Any:
    """Return the leaves' probabilities for those of each inner node's right child."""
    inner = tree.shape[0]
    out = np.empty((right.shape[0], inner + 1), np.float32)
    share = np.empty(2 * inner + 1, np.float32)
    for row in range(right.shape[0]):
        share[2 * inner] = 1.0
        for node in range(inner - 1, -1, -1):
            here, to_right = share[inner + 1 + node], right[row, node]
            share[tree[node, 0]] = here * (np.float32(1.0 + _LOG_FLOOR) - to_right)
            share[tree[node, 1]] = here * (to_right + np.float32(_LOG_FLOOR))
        out[row] = share[: inner + 1]
    return out


# Indexes


def _word_index(words: list[bytes]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint8]]:
    """Return a hash table of word numbers (-1: free), and the words' bytes with their starts."""
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    joined = np.frombuffer(b"".join(words) or b"\0", np.uint8)
    slots = np.full(1 << max(4, (2 * len(words)).bit_length()), -1, np.int32)
    _fill(slots, starts, joined)
    return slots, starts, joined


@jit
def _fill(slots: Any, starts: Any, joined: Any) -> None:
    for word in range(starts.size - 1):
        slot = _hash(joined, starts[word], starts[word + 1]) & np.uint32(slots.size - 1)
        while slots[slot] >= 0:
            slot = (slot + np.uint32(1)) & np.uint32(slots.size - 1)
        slots[slot] = word


def _ngram_rows(file: FastTextFile) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.float32]]:
    """Return which buckets have a row (a bit each), how many do before each 64 of them, and the rows in that order.

    Without pruning every bucket has one, and there are no bits.
    """
    if file.pruned is None:
        return np.empty(0, np.uint64), np.empty(0, np.int32), file.rows
    order = np.argsort(file.pruned[:, 0], kind="stable")
    buckets, words = file.pruned[order, 0], len(file.words)
    flags = np.zeros(-(-max(1, file.buckets) // 64) * 64, np.uint8)
    flags[buckets] = 1
    bits = np.packbits(flags, bitorder="little").view(np.uint64)
    before = np.concatenate([[0], np.cumsum(flags.reshape(-1, 64).sum(axis=1, dtype=np.int64))[:-1]]).astype(np.int32)
    return bits, before, np.concatenate([file.rows[:words], file.rows[words + file.pruned[order, 1]]])


# Kernels


@jit_internal
def _hash(data: Any, start: int, end: int) -> Any:
    """FNV-1a, with bytes as signed numbers, as fastText has it."""
    value = _FNV_OFFSET
    for i in range(start, end):
        value = (value ^ np.uint32(np.int8(data[i]))) * _FNV_PRIME
    return value


@jit_internal
def _word(hashed: Any, data: Any, start: int, end: int, slots: Any, word_starts: Any, word_bytes: Any) -> int:
    """Return the number of a word in the dictionary, -1 if it is not there."""
    mask = np.uint32(slots.size - 1)
    slot = hashed & mask
    while slots[slot] >= 0:
        word = slots[slot]
        at = word_starts[word]
        if word_starts[word + 1] - at == end - start:
            same = True
            for i in range(end - start):
                if word_bytes[at + i] != data[start + i]:
                    same = False
                    break
            if same:
                return word
        slot = (slot + np.uint32(1)) & mask
    return -1


@jit_internal
def _row(bucket: int, bits: Any, before: Any, words: int) -> Any:
    """Return the row of a bucket, and 1 if it has one or 0 if it was pruned. There is no branch: half of them are pruned."""
    if bits.size == 0:
        return words + bucket, 1
    block, place = bucket >> 6, np.uint64(bucket & 63)
    rest = bits[block] & ((np.uint64(1) << place) - np.uint64(1))
    rest = rest - ((rest >> np.uint64(1)) & np.uint64(0x5555555555555555))
    rest = (rest & np.uint64(0x3333333333333333)) + ((rest >> np.uint64(2)) & np.uint64(0x3333333333333333))
    rest = (rest + (rest >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    row = words + before[block] + np.int64((rest * np.uint64(0x0101010101010101)) >> np.uint64(56))
    return row, np.int64((bits[block] >> place) & np.uint64(1))


@jit_internal
def _modulo(value: int, divisor: int, per_divisor: float) -> Any:
    """Return value % divisor for numbers of 32 bits, in a third of the time of a division."""
    rest = value - np.int64(value * per_divisor) * divisor
    return rest + divisor if rest < 0 else rest - divisor if rest >= divisor else rest


@jit_internal
def _is_space(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13 or byte == 0


@jit
def _sums(
    data: Any,
    starts: Any,
    ends: Any,
    rows: Any,
    slots: Any,
    word_starts: Any,
    word_bytes: Any,
    bits: Any,
    before: Any,
    sizes: Any,
) -> Any:
    min_ngram, max_ngram, word_ngrams, buckets, words = sizes
    out = np.zeros((starts.size, rows.shape[1]), np.float32)
    counts = np.zeros(starts.size, np.int64)
    longest = 0
    for passage in range(starts.size):
        longest = max(longest, ends[passage] - starts[passage])
    spelled = np.empty(longest + 2, np.uint8)
    hashes = np.empty(longest // 2 + 2 if word_ngrams > 1 else 0, np.int32)
    chosen = np.empty((max_ngram + word_ngrams + 1) * (2 * longest + 2), np.int64)  # rows of a passage
    for passage in range(starts.size):
        at, end, seen, count = starts[passage], ends[passage], 0, 0
        while at < end:
            while at < end and _is_space(data[at]):
                at += 1
            start = at
            hashed = _FNV_OFFSET
            spelled[0] = _OPENS
            while at < end and not _is_space(data[at]):
                spelled[at - start + 1] = data[at]
                hashed = (hashed ^ np.uint32(np.int8(data[at]))) * _FNV_PRIME
                at += 1
            if at == start:
                break
            spelled[at - start + 1] = _CLOSES
            word = _word(hashed, data, start, at, slots, word_starts, word_bytes)
            if word >= 0:
                chosen[count] = word
                count += 1
            if max_ngram > 0:
                count = _ngrams(spelled, at - start + 2, min_ngram, max_ngram, buckets, words, bits, before, chosen, count)
            if word_ngrams > 1:
                hashes[seen] = np.int32(np.uint32(hashed))
                seen += 1
        if word_ngrams > 1:
            hashes[seen] = _END_OF_LINE_HASH
            count = _word_ngrams(hashes, seen + 1, word_ngrams, buckets, words, bits, before, chosen, count)
        _add(rows, chosen, count, out[passage])
        counts[passage] = count
    return out, counts


@jit_internal
def _add(rows: Any, chosen: Any, count: int, total: Any) -> None:
    """Add the chosen rows, eight columns at a time: their sums stay in a register."""
    for i in range(0, total.size - 7, 8):
        a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        e, f, g, h = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for k in range(count):
            row = chosen[k]
            a += rows[row, i]
            b += rows[row, i + 1]
            c += rows[row, i + 2]
            d += rows[row, i + 3]
            e += rows[row, i + 4]
            f += rows[row, i + 5]
            g += rows[row, i + 6]
            h += rows[row, i + 7]
        total[i], total[i + 1], total[i + 2], total[i + 3] = a, b, c, d
        total[i + 4], total[i + 5], total[i + 6], total[i + 7] = e, f, g, h
    for i in range(total.size - total.size % 8, total.size):
        for k in range(count):
            total[i] += rows[chosen[k], i]


@jit_internal
def _ngrams(
    spelled: Any, size: int, least: int, most: int, buckets: int, words: int, bits: Any, before: Any, chosen: Any, count: int
) -> int:
    """Write the rows of the n-grams of "<word>"; return the new count. The marks alone are no n-gram of one character."""
    per_bucket = 1.0 / buckets
    for i in range(size):
        if spelled[i] & 0xC0 == 0x80:
            continue
        hashed, j = _FNV_OFFSET, i
        for n in range(1, most + 1):
            if j >= size:
                break
            hashed = (hashed ^ np.uint32(np.int8(spelled[j]))) * _FNV_PRIME
            j += 1
            while j < size and spelled[j] & 0xC0 == 0x80:
                hashed = (hashed ^ np.uint32(np.int8(spelled[j]))) * _FNV_PRIME
                j += 1
            if n >= least and not (n == 1 and (i == 0 or j == size)):
                chosen[count], has_row = _row(_modulo(np.int64(np.uint32(hashed)), buckets, per_bucket), bits, before, words)
                count += has_row
    return count


@jit_internal
def _word_ngrams(
    hashes: Any, size: int, most: int, buckets: int, words: int, bits: Any, before: Any, chosen: Any, count: int
) -> int:
    """Write the rows of the n-grams of words; return the new count."""
    for i in range(size):
        hashed = np.uint64(np.int64(hashes[i]))
        for j in range(i + 1, min(i + most, size)):
            hashed = hashed * _WORD_NGRAM_PRIME + np.uint64(np.int64(hashes[j]))
            chosen[count], has_row = _row(np.int64(hashed % np.uint64(buckets)), bits, before, words)
            count += has_row
    return count
