"""MinHash signatures, their bands and their similarity, for columns of texts.

Signatures are bit-identical to `datasketch.MinHash(num_perm=…, seed=…, scheme="affine32" | "affine64")` for the same shingle
hashes: murmur finaliser, then a * h + b with wrap-around (a odd), then the minimum per permutation. datasketch is the
reference and can read what is stored here.

    >>> hashes, offsets = np.array([1, 2, 3], np.uint32), np.array([0, 3])
    >>> signatures(hashes, offsets, permutations=3, seed=1, scheme="affine32").tolist()
    [[2922174949, 3249271488, 1273432351]]
"""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.text.kernels import jit

VERSION = 1

Scheme = Literal["affine32", "affine64"]
SCHEMES: tuple[str, ...] = get_args(Scheme)
Signatures = NDArray[np.uint32] | NDArray[np.uint64]  # [documents, permutations]; the scheme decides the type
_SHINGLES_AT_ONCE = 4  # hashed while a minimum stays in a register


def parameters(permutations: int, seed: int, scheme: str) -> tuple[Any, Any]:
    """Return the factors a (odd) and terms b of datasketch's permutations: arrays [permutations] of the scheme's type."""
    dtype, bits = (np.uint32, 32) if scheme == "affine32" else (np.uint64, 64)
    generator = np.random.RandomState(seed)
    a = generator.randint(0, 1 << (bits - 1), permutations, dtype=dtype) * dtype(2) + dtype(1)
    return a, generator.randint(0, 1 << bits, permutations, dtype=dtype)


def signatures(hashes: NDArray[Any], offsets: NDArray[np.int64], *, permutations: int, seed: int, scheme: str) -> Signatures:
    """Return the signatures [rows, permutations] of sets of shingle hashes.

    Row i is the set `hashes[offsets[i]:offsets[i + 1]]`, uint32 for affine32 and uint64 for affine64 (see `narrowed`). All
    values of an empty set are the largest possible, as in datasketch. Raise UserError for an unknown scheme.
    """
    if scheme not in SCHEMES:
        raise UserError(f"deduplicate.scheme is {scheme!r}; it must be one of {', '.join(SCHEMES)}")
    a, b = parameters(permutations, seed, scheme)
    if hashes.dtype != a.dtype:
        raise ValueError(f"{scheme} takes {a.dtype} hashes, not {hashes.dtype}")
    out = np.full((len(offsets) - 1, permutations), np.iinfo(a.dtype).max, a.dtype)
    kernel = _minima32 if scheme == "affine32" else _minima64
    kernel(hashes, np.ascontiguousarray(offsets, np.int64), a, b, out)
    return out


def narrowed(hashes: NDArray[np.uint64], scheme: str) -> NDArray[Any]:
    """Return 64-bit hashes in the width of the scheme: for affine32, their upper halves."""
    return (hashes >> np.uint64(32)).astype(np.uint32) if scheme == "affine32" else hashes


def band_hashes(signatures: Signatures, bands: int, rows: int) -> NDArray[np.uint64]:
    """Hash each band of `rows` values: [documents, bands]. Equal values in different bands have different hashes.

    Two documents of similarity s share at least one band with probability 1 - (1 - s^rows)^bands.
    """
    assert signatures.shape[1] >= bands * rows, (signatures.shape, bands, rows)
    out = np.empty((len(signatures), bands), np.uint64)
    _bands(signatures, rows, out)
    return out


def similarity(first: Signatures, second: Signatures) -> NDArray[np.float32]:
    """Return the share of equal values, row by row: an estimate of the shingle sets' Jaccard similarity."""
    out = np.empty(len(first), np.float32)
    _equal_share(first, second, out)
    return out


@jit
def _minima32(hashes: Any, offsets: Any, a: Any, b: Any, out: Any) -> None:
    mixed = np.empty(_SHINGLES_AT_ONCE, np.uint32)
    for row in range(len(offsets) - 1):
        minima = out[row]
        for start in range(offsets[row], offsets[row + 1], _SHINGLES_AT_ONCE):
            for j in range(_SHINGLES_AT_ONCE):  # the last shingle fills up the group: repeats change no minimum
                h = hashes[min(start + j, offsets[row + 1] - 1)]
                h = np.uint32(h ^ (h >> np.uint32(16)))
                h = np.uint32(h * np.uint32(0x85EBCA6B))
                h = np.uint32(h ^ (h >> np.uint32(13)))
                h = np.uint32(h * np.uint32(0xC2B2AE35))
                mixed[j] = np.uint32(h ^ (h >> np.uint32(16)))
            h0, h1, h2, h3 = mixed[0], mixed[1], mixed[2], mixed[3]
            for k in range(len(a)):
                v0, v1 = np.uint32(a[k] * h0 + b[k]), np.uint32(a[k] * h1 + b[k])
                v2, v3 = np.uint32(a[k] * h2 + b[k]), np.uint32(a[k] * h3 + b[k])
                minima[k] = min(minima[k], min(min(v0, v1), min(v2, v3)))


@jit
def _minima64(hashes: Any, offsets: Any, a: Any, b: Any, out: Any) -> None:
    for row in range(len(offsets) - 1):
        minima = out[row]
        for start in range(offsets[row], offsets[row + 1]):
            h = hashes[start]
            h ^= h >> np.uint64(33)
            h *= np.uint64(0xFF51AFD7ED558CCD)
            h ^= h >> np.uint64(33)
            h *= np.uint64(0xC4CEB9FE1A85EC53)
            h ^= h >> np.uint64(33)
            for k in range(len(a)):
                minima[k] = min(minima[k], a[k] * h + b[k])


@jit
def _bands(signatures: Any, rows: int, out: Any) -> None:
    for document in range(out.shape[0]):
        for band in range(out.shape[1]):
            h = np.uint64(band + 1) * np.uint64(0x9E3779B97F4A7C15)
            for k in range(band * rows, (band + 1) * rows):
                h = (h ^ np.uint64(signatures[document, k])) * np.uint64(0xFF51AFD7ED558CCD)
                h ^= h >> np.uint64(32)
            out[document, band] = h


@jit
def _equal_share(first: Any, second: Any, out: Any) -> None:
    for row in range(first.shape[0]):
        equal = 0
        for k in range(first.shape[1]):
            equal += first[row, k] == second[row, k]
        out[row] = np.float32(equal / first.shape[1])
