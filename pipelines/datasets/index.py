"""index: the signatures of the published documents, so that later builds do not publish copies of them (earlier.py).

    index/3f9a1c20b77e/
        manifest.json             facts: enabled, corpus (its name), documents, scheme (settings of comparable signatures)
        index/<unit>.arrow        schema.signatures; Arrow IPC, memory-mappable

It has the units of the corpus and a row for each document in the corpus, in the same order. The signatures are those of the
texts that were compared: cuts by later stages do not change them. Band hashes are not stored: they can be computed from the
signatures (0.15 µs per document), and a later build may choose other bands. The index does not need the documents it was made
from: `corpusmill gc` may remove them.

Limits: a worker holds the ids of one unit of the corpus (16 bytes per document).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.beam.process_units import ReadUnit, process_units
from pipelines.clustering.earlier import INDEX, scheme
from pipelines.contract import files, manifest
from pipelines.contract.batch import Batch
from pipelines.contract.ledger import Ledger
from pipelines.contract.manifest import DatasetError, Manifest
from pipelines.contract.schema import DOCUMENTS
from pipelines.contract.tables import read_batches
from pipelines.datasets.corpus_units import units_of
from pipelines.stages import signatures
from pipelines.units.context import Context, Dataset, ensure
from pipelines.units.descriptor import Unit
from pipelines.units.parts import part_path, read_sidecar
from pipelines.units.spill import batches_of

VERSION = 1
# The columns that identify a document in a unit: its id is enough, unless records of different files have the same key.
_KEYS = (("id",), ("id", "origin"))


def build(context: Context, documents: Sequence[Dataset], corpus: Dataset) -> Dataset:
    """Build the index of the corpus made from these documents, or find it built."""
    made_from = _made_from(context, documents, corpus)

    def make(uri: str) -> Manifest:
        section, config = context.config.deduplicate, context.config.recorded()
        if not section.enabled:
            return manifest.assemble(INDEX, made_from, (), config=config, facts={"enabled": False})
        job = IndexJob({dataset.manifest.dataset: dataset.uri for dataset in documents}, corpus.uri)
        units = units_of(documents)
        sidecars = process_units(context, uri, job, units, documents=False, columnar=True)
        rows = sum(part.rows for sidecar in sidecars for part in sidecar.parts)
        assert rows == corpus.manifest.rows("documents"), "every unit has checked its rows"
        facts = {"enabled": True, "corpus": context.config.corpus.name, "documents": rows, "scheme": scheme(section)}
        return manifest.assemble(INDEX, made_from, sidecars, config=config, facts=facts)

    return ensure(context, INDEX, made_from, make)


def _made_from(context: Context, documents: Sequence[Dataset], corpus: Dataset) -> dict[str, Any]:
    if not context.config.deduplicate.enabled:
        return {"deduplicate": {"enabled": False}}
    return {
        "name": context.config.corpus.name,
        "documents": {dataset.manifest.dataset: dataset.manifest.fingerprint for dataset in documents},
        "corpus": corpus.manifest.fingerprint,
        "scheme": scheme(context.config.deduplicate),
        "versions": {"index": VERSION},
    }


@dataclass(frozen=True)
class IndexJob:
    """The work on a unit of the corpus."""

    documents: dict[str, str]  # URI by dataset
    corpus: str

    def open(self) -> ReadUnit:
        """Return the function that reads a unit; it needs no models."""
        return self._read

    def _read(self, unit: Unit) -> Iterator[Batch]:
        uri = self.documents[f"documents/{unit.source}"]
        published = _published(uri, unit.paths, self.corpus, unit.name)
        nothing = pa.RecordBatch.from_pylist([], schema=DOCUMENTS)
        first = 0
        for name in unit.paths:
            for path in _paths(uri, signatures.TABLE, name):
                for rows in batches_of(path):
                    chosen = rows.filter(pa.array(published[first : first + rows.num_rows]))
                    first += rows.num_rows
                    yield Batch(nothing, Ledger(), tables={INDEX: chosen})
        if first != len(published):
            raise DatasetError(f"{uri}: {len(published):,} documents, but {first:,} signatures in {', '.join(unit.paths)}")


def _published(documents: str, units: Sequence[str], corpus: str, unit: str) -> NDArray[np.bool_]:
    """Return whether each document of these units is in the corpus's unit."""
    published, chosen = pa.array([], pa.binary()), np.empty(0, np.bool_)
    for columns in _KEYS:
        published = _keys(corpus, [unit], columns)
        chosen = pc.is_in(_keys(documents, units, columns), value_set=published).to_numpy(zero_copy_only=False)
        if np.count_nonzero(chosen) == len(published):
            return chosen
    raise DatasetError(
        f"{corpus}: unit {unit} holds {len(published):,} documents, but {np.count_nonzero(chosen):,} of {documents} are in it;"
        " one of the two is damaged: run `corpusmill verify` on both, and remove the folder that is not sound"
    )


def _keys(uri: str, units: Sequence[str], columns: Sequence[str]) -> pa.Array:
    """Return the documents' keys (binary), one per row."""
    keys = [
        pc.binary_join_element_wise(*(batch[name].cast(pa.binary()) for name in columns), b"\0")
        for unit in units
        for path in _paths(uri, "documents", unit)
        for batch in read_batches(path, columns)
    ]
    return pa.concat_arrays([pa.array([], pa.binary()), *keys])


def _paths(uri: str, table: str, unit: str) -> list[str]:
    """Return a list of the URI of a table's part in a unit; it is empty if the unit has no such rows."""
    sidecar = read_sidecar(uri, unit)
    if sidecar is None:
        raise DatasetError(f"{uri}: the sidecar of its unit {unit} is missing; remove the folder and build it again")
    return [files.join(uri, part_path(table, unit))] if any(part.table == table for part in sidecar.parts) else []
