"""Cut documents into passages, because a sample of whole novels would be a few novels; passages mix them like the corpus."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.text.tokenization.encode import text_bytes

PASSAGE_BYTES = 2**14  # about four pages of a book; most web pages are one passage
_SEARCHED_BYTES = 256  # bytes searched for white space at which a passage can begin


@dataclass(frozen=True, slots=True)
class Passages:
    """The passages of N texts in order, not yet cut out."""

    texts: NDArray[np.int64]  # by passage, the number of its text
    numbers: NDArray[np.int64]  # by passage, its number within the text: 0, 1, …
    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]  # N + 1, of the texts
    passage_bytes: int

    def cut_out(self, chosen: NDArray[np.int64]) -> list[str]:
        """Return the passages at these positions in the lists; all passages of a text, joined, are the text.

        A passage begins after the first white space at or after byte `number * passage_bytes`, or with the next character
        if there is no white space nearby. So a passage may be empty.
        """
        begins = self.offsets[self.texts[chosen]] + self.numbers[chosen] * self.passage_bytes
        lasts = self.offsets[self.texts[chosen] + 1]
        cut: list[str] = []
        for begin, last, number in zip(begins.tolist(), lasts.tolist(), self.numbers[chosen].tolist(), strict=True):
            first = self._boundary(begin, last) if number else begin
            end = self._boundary(begin + self.passage_bytes, last)
            cut.append(self.data[first:end].tobytes().decode())
        return cut

    def _boundary(self, byte: int, last: int) -> int:
        """Return the first place at or after a byte where a passage can begin."""
        if byte >= last:
            return last
        near = self.data[byte : min(byte + _SEARCHED_BYTES, last)].tobytes()
        white = [place for place in (near.find(b" "), near.find(b"\n")) if place >= 0]
        if white:
            return byte + min(white) + 1
        rest = next((n for n, value in enumerate(near) if value & 0xC0 != 0x80), len(near))  # of a character cut by `byte`
        return byte + rest


def passages(texts: pa.Array, passage_bytes: int = PASSAGE_BYTES) -> Passages:
    """Return the passages of a string column without nulls; a text of n bytes has n / passage_bytes of them, rounded up.

    >>> cut = passages(pa.array(["to be or not to be", "你好"]))
    >>> cut.texts.tolist(), cut.numbers.tolist(), cut.cut_out(np.array([1]))
    ([0, 1], [0, 0], ['你好'])
    """
    data, offsets = text_bytes(texts)
    counts = -(-np.diff(offsets) // passage_bytes)
    before = np.cumsum(counts) - counts
    owners = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return Passages(owners, np.arange(len(owners), dtype=np.int64) - before[owners], data, offsets, passage_bytes)


def passage_keys(keys: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sampling keys of passages, in [0, 1), from their documents' keys and their numbers.

    A document's first passage has the document's key; the keys of others are hashes of key and number (SplitMix64's finaliser).
    """
    words: Any = (keys * 2.0**53).astype(np.uint64) + numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return np.where(numbers == 0, keys, (words >> np.uint64(11)) * 2.0**-53)
