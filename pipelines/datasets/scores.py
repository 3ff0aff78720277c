"""scores: what models say of the documents, and where the best share of them begins.

    scores/3f9a1c20b77e/
        manifest.json              facts: documents
        scores/<unit>.parquet      id, language, and a column (float32) for each score

It is made if the config names a model of others, or asks for a share of scores. It has a row for each document of a source that
is not curated, is no copy and passes language and rules. So another expression or share in `quality.keep` needs no model again.

Scores are those of the text as it was read: what `repeats` and `decontaminate` cut out later does not change them.

Limits: `limits` holds 12 bytes a document in the process that plans the corpus.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.beam.process_units import ReadUnit, process_units
from pipelines.config import QualitySection
from pipelines.contract import files, manifest
from pipelines.contract.batch import Batch
from pipelines.contract.ledger import Ledger
from pipelines.contract.manifest import Manifest
from pipelines.contract.schema import DOCUMENTS
from pipelines.contract.tables import read_batches
from pipelines.datasets.classifier import load_classifier
from pipelines.datasets.clusters import removals_for
from pipelines.stages.judgement import scorers
from pipelines.stages.judgement.quality import Limits
from pipelines.stages.judgement.rules import Judgement
from pipelines.text.judgement.rules.shares import Share, limits
from pipelines.units.context import Context, Dataset, ensure
from pipelines.units.descriptor import Unit, grouped, unit_name
from pipelines.units.parts import part_path, read_sidecar, unit_names

NAME = "scores"
VERSION = 1


def build(context: Context, documents: Sequence[Dataset], clusters: Dataset, classifier: Dataset) -> Dataset:
    """Score these documents, or find them scored."""
    config = context.config
    judgement, found = Judgement.of(config), scorers.ModelFiles.of(config.quality)
    web = [dataset for dataset in documents if _source(dataset) not in judgement.curated]
    own = any(share.score == "quality_score" for share in config.quality.shares)
    made_from = {
        "documents": {dataset.manifest.dataset: dataset.manifest.fingerprint for dataset in web},
        "clusters": clusters.manifest.fingerprint,
        "judgement": judgement.made_from(),
        "scorers": scorers.made_from(config.quality, found),
        "classifier": classifier.manifest.fingerprint if own else None,
        "versions": {"scores": VERSION, **scorers.versions()},
    }

    def make(uri: str) -> Manifest:
        uris = {dataset.manifest.dataset: dataset.uri for dataset in web}
        job = ScoresJob(uris, clusters.uri, classifier.uri if own else None, judgement, config.quality, found)
        units = [unit for dataset in web for unit in _units_of(dataset)]
        sidecars = process_units(context, uri, job, units, documents=False)
        rows = sum(part.rows for sidecar in sidecars for part in sidecar.parts)
        return manifest.assemble(NAME, made_from, sidecars, config=config.recorded(), facts={"documents": rows})

    return ensure(context, NAME, made_from, make)


def scores_in(uri: str) -> Callable[[str, str], pa.RecordBatch]:
    """Open a scores dataset and return a function from a source and a unit of its documents to the unit's rows."""
    made = manifest.read(uri)
    paths = {part.unit: files.join(uri, part.path) for part in made.of(NAME)}

    def rows_of(source: str, unit: str) -> pa.RecordBatch:
        path = paths.get(unit_name_of(source, unit))
        if path is None:
            return _nothing(made.made_from["scorers"]["names"])
        with files.reading(path) as stream:
            return pq.read_table(stream, use_threads=False).combine_chunks().to_batches()[0]

    return rows_of


def limits_of(dataset: Dataset, shares: Sequence[Share]) -> Limits:
    """Return where each of these shares begins, in each language."""
    return {share: limits(*_columns(dataset, share.score), share) for share in shares}


def _columns(dataset: Dataset, score: str) -> tuple[pa.Array, pa.Array]:
    """Return a score and the language of all documents."""
    names, parts = [score, "language"], dataset.manifest.of(NAME)
    rows = [rows for part in parts for rows in read_batches(files.join(dataset.uri, part.path), names)]
    joined = pa.Table.from_batches(rows, pa.schema([(score, pa.float32()), ("language", pa.string())]))
    return joined[score].combine_chunks(), joined["language"].combine_chunks()


@dataclass(frozen=True)
class ScoresJob:
    """The work on a unit of documents."""

    documents: dict[str, str]  # URI by dataset
    clusters: str
    classifier: str | None  # URI, if its score is wanted, too
    judgement: Judgement
    section: QualitySection
    found: scorers.ModelFiles

    def open(self) -> ReadUnit:
        """Load the models and return the function that scores a unit."""
        scorer_of = dict(scorers.opened(self.section, self.found))
        if self.classifier is not None:
            scorer_of["quality_score"] = scorers.by_classifier(load_classifier(self.classifier))
        clusters = Dataset(self.clusters, manifest.read(self.clusters))
        return partial(self._read, clusters, scorer_of)

    def _read(self, clusters: Dataset, scorer_of: dict[str, scorers.Scorer], unit: Unit) -> Iterator[Batch]:
        dataset = f"documents/{unit.source}"
        (name,) = unit.paths
        removals = removals_for(clusters, dataset, name)
        removed = removals["id"].combine_chunks() if removals is not None else pa.array([], pa.binary(16))
        for rows in self._documents(dataset, name):
            kept = pc.and_(self.judgement.passes(rows, unit.source), pc.invert(pc.is_in(rows["id"], value_set=removed)))
            rows = rows.filter(kept)
            columns = [rows["id"], rows["language"], *(score(rows) for score in scorer_of.values())]
            yield Batch(_NO_DOCUMENTS, Ledger(), tables={NAME: pa.RecordBatch.from_arrays(columns, schema=_schema(scorer_of))})

    def _documents(self, dataset: str, unit: str) -> Iterator[pa.RecordBatch]:
        uri = self.documents[dataset]
        sidecar = read_sidecar(uri, unit)
        assert sidecar is not None, f"{dataset}: unit {unit} has no sidecar"
        columns = list(dict.fromkeys(["id", "text", *self.judgement.columns]))
        for part in sidecar.parts:
            if part.table == "documents":
                yield from read_batches(files.join(uri, part_path("documents", unit)), columns)


_NO_DOCUMENTS = pa.RecordBatch.from_pylist([], schema=DOCUMENTS)


def _schema(names: Iterable[str]) -> pa.Schema:
    scores = [pa.field(name, pa.float32()) for name in names]
    return pa.schema([pa.field("id", pa.binary(16), nullable=False), pa.field("language", pa.string()), *scores])


def _nothing(names: Sequence[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=_schema(names))


def _units_of(documents: Dataset) -> list[Unit]:
    """Return a unit for each unit of a documents dataset."""
    stored = {part.unit: part.bytes for part in documents.manifest.of("documents")}
    items = [(name, stored.get(name, 0)) for name in unit_names(documents.uri, documents.manifest.parts)]
    return grouped(_source(documents), documents.uri, documents.manifest.fingerprint, items, bytes_per_unit=1)


def unit_name_of(source: str, unit: str) -> str:
    """Return the name of the unit with the scores of a unit of documents."""
    return unit_name(f"{source}/{unit}", unit)


def _source(documents: Dataset) -> str:
    return documents.manifest.dataset.removeprefix("documents/")
