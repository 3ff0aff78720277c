"""The units of the corpus: groups of neighbouring units of documents, and what determines each.

A unit is made from the documents of its own units, from the removals, runs and scores that concern them, and from what is the
same for all units (models, limits, settings). So a file more or less in the input, or a document that is taken down, leaves most
units of the corpus as they are, and they are kept (units/kept.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.clustering import removals
from pipelines.contract.manifest import fingerprint
from pipelines.datasets import repeat_rows
from pipelines.datasets.scores import NAME as SCORES
from pipelines.datasets.scores import unit_name_of
from pipelines.units.context import Dataset
from pipelines.units.descriptor import Unit, grouped
from pipelines.units.kept import BASE, OF_GROUP, base
from pipelines.units.parts import read_sidecar, unit_names

LARGEST_BYTES, SMALLEST_BYTES = 2**30, 2**22  # of documents, as stored
UNITS = 2**8  # about so many, between these sizes: a changed file changes a small part of the corpus
# What `made_from` has as the fingerprint of a whole dataset: here it is replaced by what units read of that dataset.
_DATASETS = ("documents", "clusters", "repeats", "classifier", "scores")


def units_of(documents: Sequence[Dataset]) -> list[Unit]:
    """Return groups of the units of each documents dataset."""
    bytes_per_unit = _bytes_per_unit(sum(part.bytes for dataset in documents for part in dataset.manifest.of("documents")))
    return [unit for dataset in documents for unit in _units_of(dataset, bytes_per_unit)]


def _bytes_per_unit(stored: int) -> int:
    """Return a power of two, so that a corpus that grows a little keeps its units."""
    return min(max(2 ** (stored // UNITS).bit_length(), SMALLEST_BYTES), LARGEST_BYTES)


def _units_of(documents: Dataset, bytes_per_unit: int) -> list[Unit]:
    source = documents.manifest.dataset.removeprefix("documents/")
    stored = {part.unit: part.bytes for part in documents.manifest.of("documents")}
    items = [(name, stored.get(name, 0)) for name in unit_names(documents.uri, documents.manifest.parts)]
    return grouped(source, documents.uri, documents.manifest.fingerprint, items, bytes_per_unit)


def with_digests(
    units: Sequence[Unit],
    made_from: Mapping[str, Any],
    limits: Mapping[str, Any],
    clusters: Dataset,
    repeats: Dataset,
    classifier: Dataset,
    scored: Dataset | None,
) -> list[Unit]:
    """Return the units with the digests of what determines them; `made_from` is that of the corpus."""
    common = {name: value for name, value in made_from.items() if name not in _DATASETS}
    common |= {"limits": dict(limits), "clusters": clusters.manifest.facts["enabled"]}
    common |= {"repeats": _repeats(repeats), "classifier": _classifier(classifier)}
    of_parts = {dataset.manifest.dataset: _sha256_by_path(dataset) for dataset in (clusters, repeats, scored) if dataset}

    def digest(unit: Unit) -> str:
        inputs = [[_sidecar(unit.root, name), *_of_unit(of_parts, unit.source, name)] for name in unit.paths]
        return base(unit, common, inputs, fields=OF_GROUP)

    return [unit.model_copy(update={"made_from": {BASE: digest(unit)}}) for unit in units]


def _repeats(repeats: Dataset) -> list[Any]:
    """Return what all units read of the dataset repeats."""
    shared = [part.sha256 for part in repeats.manifest.parts if part.table != repeat_rows.RUNS_TABLE]
    return [repeats.manifest.facts["enabled"], repeats.manifest.made_from.get("repeats"), shared]


def _classifier(classifier: Dataset) -> list[Any]:
    facts = classifier.manifest.facts
    used = [facts.get(name) for name in ("on", "threshold", "languages", "scales")] if facts["on"] else []
    return [*used, *(part.sha256 for part in classifier.manifest.parts)]


def _sha256_by_path(dataset: Dataset) -> dict[str, str]:
    return {part.path: part.sha256 for part in dataset.manifest.parts}


def _of_unit(of_parts: Mapping[str, Mapping[str, str]], source: str, unit: str) -> list[str | None]:
    """Return the sha256 of what concerns a unit of documents: its removals, its runs and its scores."""
    dataset = f"documents/{source}"
    paths = {
        "clusters": removals.part_path(dataset, unit),
        "repeats": repeat_rows.runs_path(dataset, unit),
        SCORES: f"{SCORES}/{unit_name_of(source, unit)}.parquet",
    }
    return [of_parts.get(name, {}).get(path) for name, path in paths.items()]


def _sidecar(uri: str, unit: str) -> str:
    sidecar = read_sidecar(uri, unit)
    assert sidecar is not None, f"{uri}: unit {unit} has no sidecar"
    return fingerprint(sidecar.model_dump(mode="json", exclude={"made_from"}))
