"""The beginnings of some texts of a sample: around every threshold, along every value, and of every fate.

Texts are read from at most GROUPS row groups, so that a corpus of any size costs a few seconds. Private data in them is masked
as in published texts; documents that were taken down, or dropped for private data, are not shown.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.config import PrivateSection
from pipelines.contract import files
from pipelines.review.rows import UNSHOWN
from pipelines.review.sample import Sample
from pipelines.text.judgement.private.findings import tokens_with
from pipelines.text.judgement.private.masking import masked_texts
from pipelines.text.judgement.rules.rule import Values

MOST = 1000
GROUPS = 96
CHARACTERS = 320  # of an excerpt
_PER_SIDE, _PER_FATE, _ALONG = 6, 6, 10
_READ = 2 * CHARACTERS  # masked before it is cut, so that no half of an address is left at the end


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of a document of a sample."""

    row: int  # of the sample, or its number in the list of places
    title: str
    url: str
    text: str
    is_cut: bool


def choose(sample: Sample, limits: Sequence[tuple[Values, float | None]]) -> NDArray[np.int64]:
    """Return the rows of the sample that are shown, at most MOST; `limits` has each value with its threshold."""
    may = _readable(sample)
    fates = sample.rows["fate"].to_numpy()
    wanted: dict[int, None] = {}
    for values, limit in limits:
        wanted |= dict.fromkeys(_around(values, limit, may))
    for fate in np.unique(fates[may]):
        wanted |= dict.fromkeys(np.flatnonzero(may & (fates == fate))[:_PER_FATE].tolist())
    for values, _ in limits:
        wanted |= dict.fromkeys(_along(values, may))
    return np.array(sorted(list(wanted)[:MOST]), np.int64)


def _readable(sample: Sample) -> NDArray[np.bool_]:
    """Return which rows may be shown: those with a text that may be seen, in the chosen row groups."""
    rows = sample.rows
    groups = np.stack([rows[name].to_numpy() for name in ("part", "group")], axis=1)
    distinct = sorted({(int(part), int(group)) for part, group in groups}, key=_hash)[:GROUPS]
    chosen = {pair: True for pair in distinct}
    in_groups = np.array([(int(part), int(group)) in chosen for part, group in groups], np.bool_)
    hidden = pc.fill_null(pc.is_in(rows["reason"], pa.array(sorted(UNSHOWN), pa.string())), False)
    return in_groups & ~hidden.to_numpy(zero_copy_only=False)


def _hash(pair: tuple[int, int]) -> bytes:
    return hashlib.blake2b(f"{pair[0]} {pair[1]}".encode(), digest_size=8).digest()


def _around(values: Values, limit: float | None, may: NDArray[np.bool_]) -> list[int]:
    """Return the rows with the nearest values on both sides of a limit."""
    if limit is None:
        return []
    rows = np.flatnonzero(may & ~np.isnan(values))
    rows = rows[np.argsort(values[rows], kind="stable")]
    below, above = rows[values[rows] < limit][-_PER_SIDE:], rows[values[rows] >= limit][:_PER_SIDE]
    return [*below.tolist(), *above.tolist()]


def _along(values: Values, may: NDArray[np.bool_]) -> list[int]:
    """Return rows evenly spread over the values."""
    rows = np.flatnonzero(may & ~np.isnan(values))
    rows = rows[np.argsort(values[rows], kind="stable")]
    return rows[np.linspace(0, len(rows) - 1, _ALONG).astype(np.int64)].tolist() if len(rows) else []


def read(parts: Sequence[str], sample: Sample, rows: NDArray[np.int64], private: PrivateSection) -> list[Excerpt]:
    """Return the beginnings of these documents of a sample, in the order of `rows`."""
    columns = [sample.rows[name].to_numpy()[rows].tolist() for name in ("part", "group", "row")]
    shown = at(parts, list(zip(*columns, strict=True)), private)
    return [replace(excerpt, row=row) for excerpt, row in zip(shown, rows.tolist(), strict=True)]


def at(parts: Sequence[str], places: Sequence[tuple[int, int, int]], private: PrivateSection) -> list[Excerpt]:
    """Return the beginnings of the documents at these places: part, row group, and row of it."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, (part, group, _) in enumerate(places):
        groups.setdefault((part, group), []).append(number)
    found: dict[int, Excerpt] = {}
    for (part, group), numbers in sorted(groups.items()):
        rows = pa.array([places[number][2] for number in numbers], pa.int64())
        found |= dict(zip(numbers, _excerpts(parts[part], group, rows, numbers), strict=True))
    return _masked([found[number] for number in range(len(places))], private)


def _excerpts(uri: str, group: int, at: pa.Array, rows: Sequence[int]) -> Iterator[Excerpt]:
    with files.reading(uri) as stream:
        table = pq.ParquetFile(stream).read_row_group(group, columns=["title", "url", "text"], use_threads=False).take(at)
    text = table["text"]
    shown = pc.utf8_slice_codeunits(text, 0, _READ)
    cut = pc.greater(pc.utf8_length(text), CHARACTERS)
    columns: Mapping[str, list[str | None]] = {"title": table["title"].to_pylist(), "url": table["url"].to_pylist()}
    for number, row in enumerate(rows):
        title, url = ((columns[name][number] or "")[:CHARACTERS] for name in ("title", "url"))
        yield Excerpt(row, title, url, shown[number].as_py(), cut[number].as_py())


def _masked(excerpts: Sequence[Excerpt], private: PrivateSection) -> list[Excerpt]:
    """Return excerpts in which private data is masked, cut to their length."""
    strings = [value for excerpt in excerpts for value in (excerpt.title, excerpt.text)]
    tokens, public_only = tokens_with(private.tokens), private.ip_addresses == "public"
    masked = masked_texts(strings, private.searched, tokens, public_addresses_only=public_only)
    return [
        Excerpt(excerpt.row, masked[2 * n], excerpt.url, masked[2 * n + 1][:CHARACTERS], excerpt.is_cut)
        for n, excerpt in enumerate(excerpts)
    ]
