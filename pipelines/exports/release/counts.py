"""What a published corpus holds: documents by source, language and licence, counted from those three columns alone."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from pipelines.contract import files
from pipelines.contract.manifest import Manifest
from pipelines.contract.schema import UNKNOWN_LANGUAGE
from pipelines.contract.tables import read_batches

KEYS = ("source", "language", "license")


@dataclass(frozen=True, slots=True)
class Counts:
    """Documents of each (source, language, licence); a language or licence that no document has is not there."""

    documents: dict[tuple[str, str, str | None], int]

    def by(self, key: str, source: str | None = None) -> dict[str | None, int]:
        """Return the documents for each value of one of KEYS, the commonest value first; of one source if that is named."""
        place, totals = KEYS.index(key), dict[str | None, int]()
        for names, count in self.documents.items():
            if source is None or names[0] == source:
                totals[names[place]] = totals.get(names[place], 0) + count
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0] or "")))

    @property
    def total(self) -> int:
        """Return the number of documents."""
        return sum(self.documents.values())


def count(uri: str, corpus: Manifest) -> Counts:
    """Count the documents of a corpus; memory is that of one row group's columns."""
    return Counts(_added(_counted(files.join(uri, part.path)) for part in corpus.of("documents")))


def _counted(uri: str) -> pa.Table:
    batches = read_batches(uri, list(KEYS))
    return _grouped([pa.table({name: batch[name] for name in KEYS} | {"n": _ones(batch.num_rows)}) for batch in batches])


def _ones(rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(1, pa.int64()), rows)


def _grouped(tables: list[pa.Table]) -> pa.Table:
    grouped = [table.group_by(list(KEYS), use_threads=False).aggregate([("n", "sum")]) for table in tables]
    return pa.concat_tables(grouped) if grouped else pa.table({})


def _added(tables: Iterable[pa.Table]) -> dict[tuple[str, str, str | None], int]:
    totals: dict[tuple[str, str, str | None], int] = {}
    for table in tables:
        for row in table.to_pylist():
            names = (row["source"], row["language"] or UNKNOWN_LANGUAGE, row["license"])
            totals[names] = totals.get(names, 0) + row["n_sum"]
    return dict(sorted(totals.items(), key=lambda item: tuple(name or "" for name in item[0])))
