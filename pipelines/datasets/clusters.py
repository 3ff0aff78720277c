"""clusters: the documents that are copies of others, across all sources and the configured earlier corpora.

The keyed exchange turns band hashes into candidate pairs; every pair is verified; within each connected component the
best-ranked documents survive (pipelines/clustering). Every removal is a row of the table "clusters", which has one part per
unit of documents.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.clustering import removals, report
from pipelines.clustering.in_memory import deduplicate_in_memory
from pipelines.clustering.removals import Deduplicated, Figures
from pipelines.clustering.signatures import SignaturePart, signature_parts
from pipelines.clustering.through_files import deduplicate_through_files
from pipelines.clustering.workspace import fits
from pipelines.config import MACHINE, DeduplicateSection
from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.schema import CLUSTERS, Grain
from pipelines.stages import signatures
from pipelines.stages.judgement.rules import Judgement
from pipelines.text.copies import clusters as science
from pipelines.units.context import Context, Dataset, ensure

NAME = "clusters"
VERSION = 4
DOCUMENTS_TO_JUDGE = 100  # the limit on the removed share does not apply to smaller sources


def build(context: Context, documents: Sequence[Dataset], indexes: Sequence[Dataset] = ()) -> Dataset:
    """Build the clusters of all documents datasets and the indexes of earlier corpora together, or find them built."""
    section = context.config.deduplicate
    made_from = _made_from(context, documents, indexes)

    def make(uri: str) -> Manifest:
        facts: dict[str, Any] = {"enabled": section.enabled}
        parts: tuple[Part, ...] = ()
        if section.enabled:
            deduplication_facts, parts = _deduplicate(context, documents, indexes, uri)
            facts |= deduplication_facts
        config = context.config.recorded()
        return manifest.assemble(NAME, made_from, (), config=config, facts=facts, parts=parts)

    return ensure(context, NAME, made_from, make)


def removals_in(uri: str) -> Callable[[str, str], pa.Table]:
    """Open a clusters dataset and return a function from a source and a unit of its documents to the unit's removals."""
    clusters = Dataset(uri, manifest.read(uri))

    def removals_of(source: str, unit: str) -> pa.Table:
        table = removals_for(clusters, f"documents/{source}", unit)
        assert table is not None, "the stage does not run while deduplication is off"
        return table

    return removals_of


def removals_for(clusters: Dataset, documents_dataset: str, unit: str) -> pa.Table | None:
    """Return the removals (schema.CLUSTERS, sorted by id) among the documents of a unit; the table may be empty.

    Return None if deduplication is off, because the stage does not run then.
    """
    if not clusters.manifest.facts["enabled"]:
        return None
    path = removals.part_path(documents_dataset, unit)
    if not any(part.path == path for part in clusters.manifest.parts):
        return CLUSTERS.empty_table()
    with files.reading(files.join(clusters.uri, path)) as stream:
        return pq.read_table(stream, use_threads=False)


def _made_from(context: Context, documents: Sequence[Dataset], indexes: Sequence[Dataset]) -> dict[str, Any]:
    section = context.config.deduplicate
    if not section.enabled:
        return {"deduplicate": {"enabled": False}}
    return {
        "deduplicate": section.model_dump(mode="json", exclude=MACHINE["deduplicate"]),
        "documents": {dataset.manifest.dataset: dataset.manifest.fingerprint for dataset in documents},
        "indexes": [index.manifest.fingerprint for index in indexes],
        "judgement": Judgement.of(context.config).made_from(),  # the better survivor passes
        "priorities": {source.name: source.priority for source in context.config.sources},
        "versions": {"clusters": [VERSION, science.VERSION], "signatures": signatures.VERSION},
    }


def _deduplicate(
    context: Context, documents: Sequence[Dataset], indexes: Sequence[Dataset], uri: str
) -> tuple[dict[str, Any], tuple[Part, ...]]:
    """Deduplicate in memory if the documents fit there, else through files; both give the same result."""
    section = context.config.deduplicate
    parts = signature_parts(documents, indexes)
    deduplicate = deduplicate_in_memory if fits(sum(part.rows for part in parts), section) else deduplicate_through_files
    result = deduplicate(context, parts, files.join(uri, "spill"), uri)
    facts = _facts(parts, documents, result)
    _check_alarms(section, facts)
    return facts, result.parts


def _facts(parts: Sequence[SignaturePart], documents: Sequence[Dataset], result: Deduplicated) -> dict[str, Any]:
    counts, figures = result.counts, result.figures
    return {
        "documents": sum(dataset.manifest.rows(signatures.TABLE) for dataset in documents),
        "sources": {name: _source_facts(name, dataset, figures) for name, dataset in _by_source(documents)},
        "earlier": _earlier_facts(parts, figures),
        "clusters": figures.clusters,
        "largest_cluster": figures.largest[0]["members"] if figures.largest else 0,
        "edges_verified": counts.compared - counts.failed,
        "edges_failed": counts.failed,
        "restar_rounds": counts.rounds,
        "restar_unresolved": counts.unresolved,
        "capped_buckets": counts.capped_buckets,
        "capped_members": counts.capped,
        "sizes": figures.sizes,
        "similarities": figures.similarities,
        "largest_clusters": report.with_excerpts(figures.largest, documents),
    }


def _by_source(documents: Sequence[Dataset]) -> list[tuple[str, Dataset]]:
    return [(dataset.manifest.dataset.removeprefix("documents/"), dataset) for dataset in documents]


def _source_facts(source: str, dataset: Dataset, figures: Figures) -> dict[str, int]:
    by_grain = {grain.value: figures.removed.get((source, grain.value), 0) for grain in Grain}
    return {"documents": dataset.manifest.rows(signatures.TABLE), **by_grain}


def _earlier_facts(parts: Sequence[SignaturePart], figures: Figures) -> dict[str, dict[str, int]]:
    """Return the number of each earlier corpus's documents, and of this build's documents removed because of them."""
    facts: dict[str, dict[str, int]] = {}
    for part in parts:
        if part.corpus is not None:
            counts = facts.setdefault(part.corpus, {"documents": 0, "removed": figures.by_corpus.get(part.corpus, 0)})
            counts["documents"] += part.rows
    return facts


def _check_alarms(section: DeduplicateSection, facts: Mapping[str, Any]) -> None:
    for source, counts in facts["sources"].items():
        share = sum(counts[grain.value] for grain in Grain) / max(1, counts["documents"])
        if counts["documents"] >= DOCUMENTS_TO_JUDGE and share > section.removed_share_limit:
            raise UserError(
                f"source {source}: {share:.1%} of {counts['documents']:,} documents would be removed as duplicates, more than"
                f" deduplicate.removed_share_limit = {section.removed_share_limit:.1%}; is the source read twice, or its text"
                " mostly boilerplate? Correct that, or raise the limit"
            )
