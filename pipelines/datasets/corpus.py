"""corpus: the published text, and every dropped document with its reason and all known scores.

A unit is a group of finished units of one source's documents. Their drops are copied and their ledgers continued, so the
ledger of the corpus is the whole funnel, from the reader to the last filter.

`facts["exclude"][kind]`, for ids, urls and hosts, has the number of `names` that `[exclude]` lists, how many `matched` a
document, and the first of those that matched none (`unmatched`). `facts["benchmarks"][file]` has how many of a benchmark's
`items` were `met`, in how many dropped `documents`, out of how many others they were `cut`, and examples. `facts["private"]` has
the number of masks by language and type; the table `masks` has their places. `facts["limits"][share][language]` has the last
score (`value`) of a share that `quality.keep` names, of how many `scored` documents, and how many are `within`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.beam.process_units import ReadUnit, process_units
from pipelines.config import CorpusConfig, DecontaminateSection
from pipelines.contract import files, manifest
from pipelines.contract.batch import Batch
from pipelines.contract.ledger import Ledger
from pipelines.contract.manifest import Manifest, Sidecar
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import DOCUMENTS, UNKNOWN_LANGUAGE
from pipelines.contract.tables import read_batches
from pipelines.datasets import rarity, reference, scores
from pipelines.datasets.classifier import load_classifier
from pipelines.datasets.clusters import removals_in
from pipelines.datasets.corpus_units import units_of, with_digests
from pipelines.datasets.documents import language_models, takedown_lists
from pipelines.datasets.repeats import repeated_in
from pipelines.stages import decontaminate, deduplicate, private
from pipelines.stages import repeats as repeats_stage
from pipelines.stages.base import Model, Stages
from pipelines.stages.decontaminate import Named
from pipelines.stages.exclusion import exclude, takedown
from pipelines.stages.judgement import language, quality, rejudge, rules
from pipelines.stages.judgement.quality import Limits
from pipelines.text.copies import contamination, item_grams
from pipelines.text.copies.contamination import Benchmarks
from pipelines.units.context import Context, Dataset, ensure
from pipelines.units.descriptor import Unit
from pipelines.units.parts import part_path, read_sidecar

VERSION = 2  # of the units, and of what is carried over from the documents' drops and ledgers

# The settings that come first in `made_from`, because manifests keep the order of their keys.
_LEADING = ("clusters", "repeats", "decontaminate", "classifier")


def build(
    context: Context,
    documents: Sequence[Dataset],
    clusters: Dataset,
    repeats: Dataset,
    items: Dataset | None,
    frequencies: Dataset | None,
    classifier: Dataset,
    scored: Dataset | None = None,
) -> Dataset:
    """Build the corpus from these documents, or find it built."""
    config = context.config
    uris = {dataset.manifest.dataset: dataset.uri for dataset in documents}
    licenses = {source.name: source.license for source in config.sources if source.license is not None}
    limits = scores.limits_of(scored, config.quality.shares) if scored is not None else {}
    models = language_models(context)
    job = CorpusJob(uris, licenses, stages(config, clusters, repeats, items, frequencies, classifier, models, scored, limits))
    settings = job.stages.settings() | {"licenses": licenses}
    made_from = {
        "documents": sorted(dataset.manifest.fingerprint for dataset in documents),
        **{name: settings.pop(name) for name in _LEADING},
        **settings,
        "versions": {"corpus": VERSION, **job.stages.versions()},
    }

    def make(uri: str) -> Manifest:
        units = with_digests(units_of(documents), made_from, _limits(limits), clusters, repeats, classifier, scored)
        sidecars = process_units(context, uri, job, units, columnar=True)
        facts = _takedown(context, documents) | _benchmarks_met(uri, sidecars, items) | {"private": _masked(uri, sidecars)}
        facts |= {"limits": _limits(limits)} if limits else {}
        return manifest.assemble("corpus", made_from, sidecars, config=config.recorded(), facts=facts)

    return ensure(context, "corpus", made_from, make)


def stages(
    config: CorpusConfig,
    clusters: Dataset,
    repeats: Dataset,
    items: Dataset | None,
    frequencies: Dataset | None,
    classifier: Dataset,
    models: Sequence[Model],
    scored: Dataset | None = None,
    limits: Limits = MappingProxyType({}),
) -> Stages:
    """Return the stages between documents and corpus; `models` are those of the languages, `limits` those of shares of scores."""
    judgement = rules.Judgement.of(config)
    cuts = repeats.manifest.facts["enabled"] or (items is not None and config.decontaminate.action == "cut")
    return Stages(
        (
            rules.stage(judgement),
            deduplicate.stage(
                partial(removals_in, clusters.uri), clusters.manifest.fingerprint, runs=clusters.manifest.facts["enabled"]
            ),
            repeats_stage.stage(
                partial(repeated_in, repeats.uri), repeats.manifest.fingerprint, runs=repeats.manifest.facts["enabled"]
            ),
            decontaminate.stage(
                partial(_benchmarks, items.uri, frequencies.uri, config.decontaminate) if items and frequencies else None,
                _fingerprints(reference=items, rarity=frequencies) if items and frequencies else None,
                config.decontaminate,
            ),
            rejudge.stage(judgement, config.quality, models, runs=cuts),
            language.stage(config.language),
            quality.stage(
                partial(load_classifier, classifier.uri),
                classifier.manifest.fingerprint,
                config.quality,
                judgement.curated,
                partial(scores.scores_in, scored.uri) if scored is not None else None,
                scored.manifest.fingerprint if scored is not None else None,
                limits,
            ),
            private.stage(config.private, private.model_of_names(config.private)),
        )
    )


def _benchmarks(items: str, frequencies: str, section: DecontaminateSection) -> Named:
    """Open the items of the benchmarks and the documents' frequencies."""
    loaded = reference.load(items)
    worth = contamination.weights(loaded.items, rarity.load(frequencies), decontaminate.rules(section))
    return Named(Benchmarks(item_grams.index(loaded.items, ngram=loaded.ngram), loaded.signs, worth), loaded.names)


def _fingerprints(**datasets: Dataset) -> dict[str, str]:
    return {name: dataset.manifest.fingerprint for name, dataset in datasets.items()}


def _takedown(context: Context, documents: Sequence[Dataset]) -> dict[str, Any]:
    """Return which entries of `[exclude]` matched a document and which none."""
    lists = exclude.lists(context.config.exclude, takedown_lists(context))
    counted = takedown.matched(lists, (rows for dataset in documents for rows in _excluded(dataset)))
    return {"exclude": counted} if counted else {}


def _limits(limits: Limits) -> dict[str, dict[str, dict[str, float]]]:
    """Return where each share of scores ends, by language."""
    return {
        share.name: {language: limit._asdict() for language, limit in by_language.items()}
        for share, by_language in limits.items()
    }


def _masked(uri: str, sidecars: Sequence[Sidecar]) -> dict[str, dict[str, int]]:
    """Return the number of masks by language and type."""
    counts: dict[str, Counter[str]] = {}
    for part in (part for sidecar in sidecars for part in sidecar.parts if part.table == private.TABLE):
        for rows in read_batches(files.join(uri, part.path), ["language", "type"]):
            grouped_rows = pa.table({"language": rows["language"], "type": rows["type"]}).group_by(["language", "type"])
            for row in grouped_rows.aggregate([([], "count_all")]).to_pylist():
                counts.setdefault(row["language"] or UNKNOWN_LANGUAGE, Counter())[row["type"]] += row["count_all"]
    return {language: dict(sorted(by_type.items())) for language, by_type in sorted(counts.items())}


def _excluded(documents: Dataset) -> Iterator[pa.RecordBatch]:
    for part in documents.manifest.of("drops"):
        for rows in read_batches(files.join(documents.uri, part.path), ["reason", "id", "work", "url"]):
            yield rows.filter(pc.equal(rows["reason"], DropReason.EXCLUDED.value))


def _benchmarks_met(uri: str, sidecars: Sequence[Sidecar], items: Dataset | None) -> dict[str, Any]:
    """Return how many items of each benchmark were met, in documents that were dropped and in those that they were cut out of."""
    if items is None:
        return {}
    drops = {row["id"]: row["detail"] for row in _of_decontaminate(uri, sidecars, "drops", ["id", "detail"])}
    cuts = [
        (row["id"], decontaminate.excerpt(row["detail"], row["text"]))
        for row in _of_decontaminate(uri, sidecars, "cuts", ["id", "detail", "text"])
        if row["id"] not in drops
    ]
    return {"benchmarks": decontaminate.met(drops.values(), cuts, items.manifest.facts["searched"])}


def _of_decontaminate(uri: str, sidecars: Sequence[Sidecar], table: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    for part in (part for sidecar in sidecars for part in sidecar.parts if part.table == table):
        for rows in read_batches(files.join(uri, part.path), ["stage", *columns]):
            yield from rows.filter(pc.equal(rows["stage"], decontaminate.NAME)).select(columns).to_pylist()


@dataclass(frozen=True)
class CorpusJob:
    """The work on a group of units of a documents dataset."""

    documents: dict[str, str]  # URI by dataset
    licenses: dict[str, str]  # of sources that have one
    stages: Stages

    def open(self) -> ReadUnit:
        """Load the stages' tables and models and return the function that reads a unit and runs the stages."""
        prepare = self.stages.open()

        def read(unit: Unit) -> Iterator[Batch]:
            dataset = f"documents/{unit.source}"
            for name in unit.paths:
                yield self._upstream(dataset, name)
                yield from map(prepare(unit.source, name), self._documents(dataset, name))

        return read

    def _upstream(self, dataset: str, unit: str) -> Batch:
        """Return the unit's ledger so far and its drops, without documents."""
        uri = self.documents[dataset]
        sidecar = read_sidecar(uri, unit)
        assert sidecar is not None, f"{dataset}: unit {unit} has no sidecar"
        drops = tuple(map(self._licensed, _batches(uri, "drops", unit, sidecar.parts)))
        return Batch(pa.RecordBatch.from_pylist([], schema=DOCUMENTS), sidecar.ledger, drops)

    def _documents(self, dataset: str, unit: str) -> Iterator[Batch]:
        sidecar = read_sidecar(self.documents[dataset], unit)
        assert sidecar is not None, f"{dataset}: unit {unit} has no sidecar"
        for rows in _batches(self.documents[dataset], "documents", unit, sidecar.parts):
            yield Batch(self._licensed(rows), Ledger())

    def _licensed(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return documents or drops of one source with its license, if it has one, instead of what they say."""
        license = self.licenses.get(rows["source"][0].as_py()) if rows.num_rows else None
        if license is None:
            return rows
        place = rows.schema.get_field_index("license")
        return rows.set_column(place, rows.schema.field(place), pa.repeat(pa.scalar(license, pa.string()), rows.num_rows))


def _batches(uri: str, table: str, unit: str, parts: Sequence[Any]) -> Iterator[Any]:
    if any(part.table == table for part in parts):
        yield from read_batches(files.join(uri, part_path(table, unit)))
