"""corpus: the published text, and every document that is not in it with the reason and all scores known.

A unit is a group of finished units of one source's documents. Their drops are carried over, and their ledger goes on
here: the ledger of the corpus is the whole funnel, from the reader to the last filter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.beam.process_units import ReadUnit, process_units
from pipelines.config import CorpusConfig
from pipelines.contract import files, manifest
from pipelines.contract.batch import Batch, Stage
from pipelines.contract.ledger import Ledger
from pipelines.contract.manifest import Manifest
from pipelines.contract.schema import DOCUMENTS
from pipelines.contract.tables import read_batches
from pipelines.datasets.classifier import Classifier
from pipelines.datasets.clusters import removals_for
from pipelines.datasets.reference import load as load_benchmarks
from pipelines.datasets.repeats import Repeats
from pipelines.stages import decontaminate, deduplicate, language, quality
from pipelines.stages import repeats as repeats_stage
from pipelines.stages.decontaminate import Benchmarks
from pipelines.units.context import Context, Dataset, ensure
from pipelines.units.descriptor import Unit, grouped
from pipelines.units.parts import part_path, read_sidecar

TEXT_BYTES_PER_UNIT = 2**30  # of documents, as stored


def build(
    context: Context,
    documents: Sequence[Dataset],
    clusters: Dataset,
    repeats: Dataset,
    reference: Dataset | None,
    classifier: Dataset,
) -> Dataset:
    """Filter the documents of all sources."""
    config = context.config
    units = [unit for dataset in documents for unit in units_of(dataset)]
    uris = {dataset.manifest.dataset: dataset.uri for dataset in documents}
    job = CorpusJob(config, uris, clusters.uri, repeats.uri, reference.uri if reference else None, classifier.uri)
    made_from = {
        "documents": sorted(dataset.manifest.fingerprint for dataset in documents),
        "clusters": clusters.manifest.fingerprint,
        "repeats": repeats.manifest.fingerprint,
        "decontaminate": {"reference": reference.manifest.fingerprint, "action": config.decontaminate.action}
        if reference
        else None,
        "classifier": classifier.manifest.fingerprint,
        "language": config.language.model_dump(mode="json", exclude={"model"}),
        "quality": config.quality.model_dump(mode="json"),
        "curated": sorted(source.name for source in config.sources if source.curated),
        "versions": {stage.NAME: stage.VERSION for stage in (deduplicate, repeats_stage, decontaminate, language, quality)},
    }

    def make(uri: str) -> Manifest:
        sidecars = process_units(context, uri, job, units, columnar=True)
        return manifest.assemble("corpus", made_from, sidecars, config=config.recorded())

    return ensure(context, "corpus", made_from, make)


def units_of(documents: Dataset) -> list[Unit]:
    """Groups of the units of one documents dataset, about 1 GiB each."""
    source = documents.manifest.dataset.removeprefix("documents/")
    names = sorted({part.unit for part in documents.manifest.parts})
    stored = {part.unit: part for part in documents.manifest.of("documents")}
    items = [(name, stored[name].bytes if name in stored else 0) for name in names]
    return grouped(source, documents.uri, documents.manifest.fingerprint, items, TEXT_BYTES_PER_UNIT)


@dataclass(frozen=True)
class CorpusJob:
    """What a worker does with a group of documents units: the URIs of what it joins, and the config."""

    config: CorpusConfig
    documents: dict[str, str]  # URI by dataset
    clusters: str
    repeats: str
    reference: str | None
    classifier: str

    def open(self) -> ReadUnit:
        """Load what is looked up in the texts, and the clusters' manifest."""
        clusters = Dataset(self.clusters, manifest.read(self.clusters))
        repeated = Repeats.load(Dataset(self.repeats, manifest.read(self.repeats)))
        benchmarks = load_benchmarks(self.reference) if self.reference is not None else None
        classifier = Classifier.load(Dataset(self.classifier, manifest.read(self.classifier)))

        def read(unit: Unit) -> Iterator[Batch]:
            source = self.config.source(unit.source)
            judged = None if source.curated else classifier
            for name in unit.paths:
                dataset = f"documents/{unit.source}"
                yield self._upstream(dataset, name)
                stages = self._stages(clusters, repeated, benchmarks, dataset, name)
                for batch in self._documents(dataset, name):
                    for stage in stages:
                        batch = stage(batch)
                    yield quality.stage(judged)(batch)

        return read

    def _stages(
        self, clusters: Dataset, repeated: Repeats | None, benchmarks: Benchmarks | None, dataset: str, unit: str
    ) -> list[Stage]:
        """What is done to the documents of a unit before their quality is asked for."""
        stages: list[Stage] = []
        removals = removals_for(clusters, dataset, unit)
        if removals is not None:
            stages.append(deduplicate.stage(removals))
        if repeated is not None:
            stages.append(repeated.stage_for(dataset, unit))
        if benchmarks is not None:
            stages.append(decontaminate.stage(benchmarks, self.config.decontaminate))
        if self.config.language.enabled:
            stages.append(language.stage(self.config.language))
        return stages

    def _upstream(self, dataset: str, unit: str) -> Batch:
        """The unit's ledger so far and its drops, without documents."""
        uri = self.documents[dataset]
        sidecar = read_sidecar(uri, unit)
        assert sidecar is not None, f"{dataset}: unit {unit} has no sidecar"
        drops = tuple(_batches(uri, "drops", unit, sidecar.parts))
        return Batch(pa.RecordBatch.from_pylist([], schema=DOCUMENTS), sidecar.ledger, drops)

    def _documents(self, dataset: str, unit: str) -> Iterator[Batch]:
        sidecar = read_sidecar(self.documents[dataset], unit)
        assert sidecar is not None, f"{dataset}: unit {unit} has no sidecar"
        for rows in _batches(self.documents[dataset], "documents", unit, sidecar.parts):
            yield Batch(rows, Ledger())


def _batches(uri: str, table: str, unit: str, parts: Sequence[Any]) -> Iterator[Any]:
    if any(part.table == table for part in parts):
        yield from read_batches(files.join(uri, part_path(table, unit)))
