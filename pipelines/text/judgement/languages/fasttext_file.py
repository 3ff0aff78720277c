"""Read a fastText model for classification (.bin or .ftz) into arrays, without copying the large ones.

The layout is that of fastText 0.2 and later (its files' version 12): arguments, dictionary, input matrix, output matrix. A dense
matrix stays a view of the mapped file, so that processes share the memory of a model of gigabytes. Quantised matrices (product
quantisation of the n-grams that matter, Joulin et al. 2016, arXiv 1612.03651) are written out in float32.

Limits: little-endian machines; softmax and hierarchical softmax, whose probabilities add up to 1.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError

_MAGIC, _VERSION = 793_712_314, 12
_SUPERVISED = 3
_HIERARCHICAL, _SOFTMAX = 1, 3
_LOSSES = {_HIERARCHICAL: "hs", 2: "ns", _SOFTMAX: "softmax", 4: "ova"}
_CENTROIDS = 256
_COUNT_AND_KIND = struct.Struct("<qb")
_LABEL = 1  # the type of a dictionary's entry; 0: a word


class LanguageModelError(UserError):
    """The model file is missing, or not the expected one, or no model of languages."""


@dataclass(frozen=True, slots=True)
class FastTextFile:
    """A model with W words, L labels, D dimensions, R rows of the input matrix and N of the output matrix (L, or L - 1 used)."""

    dimensions: int
    min_ngram: int
    max_ngram: int
    word_ngrams: int
    buckets: int  # hashes of n-grams are taken modulo this
    words: list[bytes]  # W
    labels: list[str]  # L, with fastText's prefix
    pruned: NDArray[np.int32] | None  # [P, 2] bucket and row after the words; None: every bucket has its row
    rows: NDArray[np.float32]  # [R, D]
    outputs: NDArray[np.float32]  # [N, D]
    tree: NDArray[np.int32] | None  # [L - 1, 2] children of the inner nodes, which are numbered from L; None: softmax


def read(path: str | Path) -> FastTextFile:
    """Return the model in a file. Raise LanguageModelError with the path and the reason if it is none."""
    try:
        with open(path, "rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise LanguageModelError(
            f"{path}: the language model cannot be read ({error.strerror}); correct language.model"
        ) from None
    except ValueError:  # mmap's word for an empty file
        raise LanguageModelError(f"{path}: the language model is an empty file; correct language.model") from None
    return _Reader(mapped, str(path)).model()


def is_whole(path: str | Path) -> bool:
    """Return whether a fastText file of any kind has all that it announces; of others, True.

    fastText's own reader goes on without end in a dictionary that is cut off, and takes a matrix that is cut off for one.
    """
    with open(path, "rb") as stream:
        if not stream.read(1):
            return True  # fastText refuses an empty file, which cannot be mapped
        reader = _Reader(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), str(path))
    try:
        if reader.numbers(np.int32, 14)[0] == _MAGIC:
            reader.walk()
    except LanguageModelError:
        return False
    return True


class _Reader:
    """A place in the mapped file."""

    def __init__(self, data: mmap.mmap, path: str) -> None:
        self.data, self.path, self.at = data, path, 0

    def model(self) -> FastTextFile:
        arguments = self.arguments()
        names, kinds, counts = self.entries()
        words = [name for name, kind in zip(names, kinds, strict=True) if kind != _LABEL]
        labels = [name.decode("utf-8", "replace") for name, kind in zip(names, kinds, strict=True) if kind == _LABEL]
        pruned = self.pruned()
        rows, outputs = self.matrices()
        tree = _tree(counts[kinds == _LABEL]) if arguments["loss"] == _HIERARCHICAL else None
        model = FastTextFile(
            arguments["dimensions"],
            arguments["min_ngram"],
            arguments["max_ngram"],
            arguments["word_ngrams"],
            arguments["buckets"],
            words,
            labels,
            pruned,
            rows,
            outputs,
            tree,
        )
        self.check(model)
        return model

    def walk(self) -> None:
        """Pass over all that follows the arguments. Raise LanguageModelError if the file ends before."""
        self.numbers(np.float64, 1)
        size = int(self.numbers(np.int32, 3)[0])
        self.numbers(np.int64, 1)
        self.pruned_rows = int(self.numbers(np.int64, 1)[0])
        self.named(size)
        self.pruned()
        self.matrices()

    def matrices(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read the input matrix and the output matrix."""
        is_quantized = bool(self.numbers(np.uint8, 1)[0])
        rows = self.quantized() if is_quantized else self.matrix()
        is_output_quantized = bool(self.numbers(np.uint8, 1)[0])
        return rows, self.quantized() if is_quantized and is_output_quantized else self.matrix()

    def arguments(self) -> dict[str, int]:
        """Read the head. Raise LanguageModelError if the file is of another kind."""
        head = self.numbers(np.int32, 14).tolist()
        if head[0] != _MAGIC:
            raise self.wrong("is no fastText model (a .bin or .ftz that fastText's `supervised` has written)")
        if head[1] != _VERSION:
            raise self.wrong(
                f"has format version {head[1]} of fastText, not {_VERSION}: train or convert it with fastText 0.2 or later"
            )
        dimensions, _, _, _, _, word_ngrams, loss, kind, buckets, min_ngram, max_ngram, _ = head[2:]
        if kind != _SUPERVISED:
            raise self.wrong("is a fastText model of word vectors, not a classifier")
        if loss not in (_HIERARCHICAL, _SOFTMAX):
            raise self.wrong(
                f"was trained with the loss {_LOSSES.get(loss, loss)}; only those with softmax or hs have shares that add up"
            )
        self.numbers(np.float64, 1)  # the sampling threshold
        named = {"dimensions": dimensions, "word_ngrams": word_ngrams, "loss": loss, "buckets": buckets}
        return {**named, "min_ngram": min_ngram, "max_ngram": max_ngram}

    def entries(self) -> tuple[list[bytes], NDArray[np.int8], NDArray[np.int64]]:
        """Read the words and labels of the dictionary, with their kinds and counts."""
        size, words, labels = self.numbers(np.int32, 3).tolist()
        if size < 0 or size != words + labels or labels < 1:
            raise self.wrong("is damaged: its dictionary does not add up")
        self.numbers(np.int64, 1)  # tokens of the training text
        self.pruned_rows = int(self.numbers(np.int64, 1)[0])
        return self.named(size)

    def named(self, size: int) -> tuple[list[bytes], NDArray[np.int8], NDArray[np.int64]]:
        """Read this many words and labels."""
        if not 0 <= size <= len(self.data):
            raise self.wrong("is truncated within its dictionary")
        names, counts, kinds = [], np.empty(size, np.int64), np.empty(size, np.int8)
        for i in range(size):
            end = self.data.find(b"\0", self.at)
            if end < 0:
                raise self.wrong("is truncated within its dictionary")
            names.append(self.data[self.at : end])
            self.at = end + 1
            counts[i], kinds[i] = self.count_and_kind()
        return names, kinds, counts

    def count_and_kind(self) -> tuple[int, int]:
        if self.at + _COUNT_AND_KIND.size > len(self.data):
            raise self.wrong("is truncated within its dictionary")
        values = _COUNT_AND_KIND.unpack_from(self.data, self.at)  # of a million words: NumPy's views take ten times as long
        self.at += _COUNT_AND_KIND.size
        return values[0], values[1]

    def pruned(self) -> NDArray[np.int32] | None:
        return self.numbers(np.int32, 2 * self.pruned_rows).reshape(-1, 2) if self.pruned_rows >= 0 else None

    def matrix(self) -> NDArray[np.float32]:
        rows, columns = self.numbers(np.int64, 2).tolist()
        return self.numbers(np.float32, self.sane(rows * columns)).reshape(rows, columns)

    def quantized(self) -> NDArray[np.float32]:
        """Return a matrix whose rows are written as numbers of centroids, and perhaps of a norm."""
        has_norms = bool(self.numbers(np.uint8, 1)[0])
        rows, columns = self.numbers(np.int64, 2).tolist()
        codes = self.numbers(np.uint8, self.sane(int(self.numbers(np.int32, 1)[0])))
        values = self.centroids(codes, rows, columns)
        if not has_norms:
            return values
        norm_codes = self.numbers(np.uint8, rows)
        return values * self.centroids(norm_codes, rows, 1)

    def centroids(self, codes: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.float32]:
        dimensions, parts, width, last_width = self.numbers(np.int32, 4).tolist()
        table = self.numbers(np.float32, self.sane(dimensions * _CENTROIDS))
        if dimensions != columns or len(codes) != rows * parts:
            raise self.wrong("is damaged: the codes of a quantised matrix do not fit it")
        chosen = codes.reshape(rows, parts)
        columns_of_part = []
        for part in range(parts):
            wide = last_width if part == parts - 1 else width
            start = part * _CENTROIDS * width
            columns_of_part.append(table[start : start + _CENTROIDS * wide].reshape(_CENTROIDS, wide)[chosen[:, part]])
        return np.ascontiguousarray(np.concatenate(columns_of_part, axis=1))

    def check(self, model: FastTextFile) -> None:
        """Raise LanguageModelError if the parts do not fit each other."""
        ngrams = model.buckets if model.max_ngram > 0 or model.word_ngrams > 1 else 0
        wanted = len(model.words) + (ngrams if model.pruned is None else len(model.pruned))
        has = (model.rows.shape[1], model.outputs.shape[1], model.outputs.shape[0] + (model.tree is not None))
        # With hierarchical softmax, fastText keeps a row that it never uses.
        outputs_fit = model.outputs.shape[0] in (len(model.labels), len(model.labels) - 1)
        if has[0] != model.dimensions or has[1] != model.dimensions or not outputs_fit or model.rows.shape[0] < wanted:
            raise self.wrong("is damaged: its matrices do not fit its dictionary")

    def numbers(self, kind: Any, count: int) -> NDArray[Any]:
        """Return the next numbers; they are a view of the file if their place in it allows."""
        size = np.dtype(kind).itemsize * count
        if self.at + size > len(self.data):
            raise self.wrong(f"is truncated: {len(self.data):,} bytes, at least {self.at + size:,} were written")
        values = np.frombuffer(self.data, kind, count, self.at)
        self.at += size
        return values

    def sane(self, count: int) -> int:
        if count < 0:
            raise self.wrong("is damaged: a matrix has a negative size")
        return count

    def wrong(self, what: str) -> LanguageModelError:
        return LanguageModelError(f"{self.path}: {what}; correct language.model in the config")


def _tree(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the children of the inner nodes of fastText's Huffman tree over labels that are sorted by count, descending."""
    labels = len(counts)
    weights = np.full(2 * labels - 1, 10**15, np.int64)
    weights[:labels] = counts
    children = np.empty((labels - 1, 2), np.int32)
    leaf, node = labels - 1, labels
    for inner in range(labels, 2 * labels - 1):
        for side in (0, 1):
            if leaf >= 0 and weights[leaf] < weights[node]:
                children[inner - labels, side], leaf = leaf, leaf - 1
            else:
                children[inner - labels, side], node = node, node + 1
        weights[inner] = weights[children[inner - labels]].sum()
    return children
