"""Counts of all documents by language, licence, year, host and length, kept and dropped: from columns, batch by batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.schema import UNKNOWN_LANGUAGE
from pipelines.review.rows import Rows

COLUMNS = ("source", "language", "license", "date", "url", "stage", "reason")
HOSTS_HELD = 200_000  # while counting; beyond, those with the fewest documents are let go, and the counts say so
LENGTHS = tuple(round(10 ** (n / 4)) for n in range(4, 26))  # edges of the histogram: 10, 18, 32, …, 1.8 million characters
_HOST = r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^:/?#\s]+)"
_YEAR = r"^(?P<year>[0-9]{4})(?:$|[^0-9])"
_SUMS = ("documents", "characters", "kept", "kept_characters")


@dataclass(slots=True)
class Sums:
    """Documents and characters, of all and of those that were kept, by keys."""

    keys: tuple[str, ...]
    most: int | None = None  # rows that are held; None: all
    is_partial: bool = False  # rows were let go
    _held: list[pa.Table] = field(default_factory=list[pa.Table])
    _rows: int = 0  # that are held
    _due: int = 100_000  # rows at which they are summed up

    def add(self, columns: Mapping[str, Any], kept: Any) -> None:
        """Add a batch; `kept` says which documents were kept."""
        characters = columns["characters"]
        sums = (pa.array(np.ones(len(characters), np.int64)), characters, kept.cast(pa.int64()))
        given = dict(zip(_SUMS, (*sums, pc.multiply(characters, sums[2])), strict=True))
        self._held.append(self._grouped(pa.table({**{name: columns[name] for name in self.keys}, **given})))
        self._rows += self._held[-1].num_rows
        if self._rows > self._due:
            self._consolidate()

    def table(self) -> pa.Table:
        """Return the sums, those of the most documents first, then by the keys."""
        if not self._held:
            return pa.table({**{name: pa.array([], pa.string()) for name in self.keys},
                             **{name: pa.array([], pa.int64()) for name in _SUMS}})  # fmt: skip
        self._consolidate()
        return self._held[0]

    def _consolidate(self) -> None:
        table = self._grouped(pa.concat_tables(self._held))
        table = table.sort_by([("documents", "descending"), *((name, "ascending") for name in self.keys)])
        if self.most is not None and table.num_rows > self.most:
            table, self.is_partial = table.slice(0, self.most), True
        self._held, self._rows, self._due = [table], table.num_rows, max(100_000, 3 * table.num_rows)

    def _grouped(self, table: pa.Table) -> pa.Table:
        grouped = table.group_by(list(self.keys), use_threads=False).aggregate([(name, "sum") for name in _SUMS])
        return grouped.rename_columns([name.removesuffix("_sum") for name in grouped.column_names]).select([*self.keys, *_SUMS])


@dataclass(slots=True)
class Counter:
    """All counts of a corpus."""

    languages: Sums = field(default_factory=lambda: Sums(("source", "language")))
    reasons: Sums = field(default_factory=lambda: Sums(("source", "stage", "reason", "language")))
    licenses: Sums = field(default_factory=lambda: Sums(("source", "license")))
    years: Sums = field(default_factory=lambda: Sums(("source", "year")))
    hosts: Sums = field(default_factory=lambda: Sums(("host",), HOSTS_HELD))
    lengths: Sums = field(default_factory=lambda: Sums(("source", "length")))

    def add(self, rows: Rows) -> None:
        """Count a batch."""
        columns = dict(rows.columns)
        kept = pc.is_null(columns["stage"])
        columns["language"] = pc.fill_null(columns["language"], UNKNOWN_LANGUAGE)
        columns["year"], columns["host"] = _part(columns["date"], _YEAR), pc.utf8_lower(_part(columns["url"], _HOST))
        bins = np.searchsorted(np.array(LENGTHS), columns["characters"].to_numpy(), side="right")
        columns["length"] = pa.array(bins)
        for sums in (self.languages, self.reasons, self.licenses, self.years, self.hosts, self.lengths):
            sums.add(columns, kept)


def _part(values: pa.Array, pattern: str) -> pa.Array:
    """Return the group of the pattern in each value; null where it does not match."""
    found: Any = pc.extract_regex(values, pattern)
    return pc.struct_field(found, 0)
