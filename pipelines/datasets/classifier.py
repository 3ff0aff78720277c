"""classifier: the quality model of this build, with its evaluation on held-out documents and its fixed threshold.

    classifier/3f9a1c20b77e/
        manifest.json         facts: on, why, counts, languages, threshold, held_out, strongest_words
        model/quality.bin     only if it is on

A score joins two judgements: how much the text is prose, by its measures (text/judgement/prose.py: what people think of web
pages), and how much its words are those of the curated sources (a fastText model trained here, text/judgement/classifier.py).
Each is standardised by the crawl's documents of the language, so that no language is preferred.

For the fastText model, documents of curated sources are positive examples, those of the others negative ones. Examples come
from the train split, are not duplicates, and pass language and rules; there are as many of one class as of the other in each
language, drawn evenly from the sources of a class. A tenth of the works is held out. If a class has too few documents, the
classifier is off and the facts give the reason.

Limits: one process. It holds `examples_per_class_limit` excerpts of 2,000 characters per class, and twice as many while drawing.
"""

import importlib.metadata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract import files, manifest
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.schema import NO_LINGUISTIC_CONTENT, UNKNOWN_LANGUAGE, is_validation, sampling_key
from pipelines.contract.tables import read_batches
from pipelines.datasets.clusters import removals_for
from pipelines.stages.judgement.rules import Judgement
from pipelines.text.judgement import classifier as quality
from pipelines.text.judgement import prose
from pipelines.text.judgement.measures import Measures
from pipelines.units.context import Context, Dataset, ensure

NAME = "classifier"
VERSION = 2
_SETTINGS = {"examples_per_class", "examples_per_class_limit", "keep_share", "seed"}  # of [quality]; those of the rules are apart
TABLE, UNIT, MODEL_PATH = "model", "quality", "model/quality.bin"
HELD_OUT_SHARE = 0.1  # of works
# A long document yields an excerpt per CHARACTERS_PER_EXCERPT, up to a limit: a novel is more than its first page.
CHARACTERS_PER_EXCERPT = 20_000
EXCERPTS_PER_DOCUMENT = 16
CLASSES = ("curated", "crawl")
WORDS_WEIGHT = (
    0.4  # of the words beside the prose, which agrees more with people: chosen on 249 labelled pages, .3 to .5 are alike
)
_DOCUMENTS_PER_SCALE = 20
_LEAST = 1e-3  # probability: more certainty of the words' model counts for nothing


@dataclass(frozen=True)
class Classifier:
    """A classifier that is on."""

    words: quality.Scorer  # texts -> float32 scores in 0..1
    scales: Mapping[str, "Scale"]  # by language
    threshold: float  # the lowest score of a document that is kept
    languages: frozenset[str]  # those it was trained on; in others its scores mean nothing

    @classmethod
    def load(cls, dataset: Dataset) -> Self | None:
        """Load the classifier of this dataset; None if it is off."""
        facts = dataset.manifest.facts
        if not facts["on"]:
            return None
        scales = {language: Scale(**scale) for language, scale in facts["scales"].items()}
        uri = files.join(dataset.uri, MODEL_PATH)
        if files.is_local(uri):
            words = quality.load(files.local_path(uri))
        else:
            with TemporaryDirectory(prefix="corpusmill-") as folder, files.reading(uri) as stream:
                path = Path(folder) / "quality.bin"
                path.write_bytes(stream.read())
                words = quality.load(path)
        return cls(words, scales, facts["threshold"], frozenset(facts["languages"]))

    def score(self, documents: pa.RecordBatch) -> pa.Array:
        """Return the scores of documents in languages that it was trained on: float32 in 0..1."""
        words = self.words(documents["text"])
        return pa.array(_joined(prose_of(documents), _log_odds(words), documents["language"], self.scales))


@dataclass(frozen=True, slots=True)
class Scale:
    """Means and standard deviations of both judgements (log-odds) over the crawl's held-out documents of a language."""

    prose: float
    prose_deviation: float
    words: float
    words_deviation: float

    @classmethod
    def of(cls, prose: NDArray[np.float64], words: NDArray[np.float64]) -> Self:
        """Return the scale of documents; a judgement that is the same for all has deviation 1."""
        known = prose[~np.isnan(prose)] if not np.isnan(prose).all() else np.zeros(1)
        return cls(*(float(value) for values in (known, words) for value in (values.mean(), values.std() or 1.0)))


def prose_of(documents: pa.RecordBatch) -> NDArray[np.float64]:
    """Return the log-odds that documents are prose; NaN where nothing was measured."""
    column = documents["measures"]
    measured = pc.is_valid(column).to_numpy(zero_copy_only=False)
    english = pc.fill_null(pc.equal(documents["language"], "en"), False).to_numpy(zero_copy_only=False)
    return np.where(measured, prose.log_odds(Measures(column), english), np.nan)


def _log_odds(scores: pa.Array) -> NDArray[np.float64]:
    values = np.clip(scores.to_numpy(zero_copy_only=False).astype(np.float64), _LEAST, 1 - _LEAST)
    return np.log(values / (1 - values))


def _joined(
    prose: NDArray[np.float64], words: NDArray[np.float64], languages: pa.Array, scales: Mapping[str, Scale]
) -> NDArray[np.float32]:
    """Return the scores of documents: 0.5 for an average document of its language's crawl."""
    total = np.zeros(len(prose))
    for language, scale in scales.items():
        here = pc.fill_null(pc.equal(languages, language), False).to_numpy(zero_copy_only=False)
        by_prose = np.nan_to_num((prose[here] - scale.prose) / scale.prose_deviation)
        total[here] = by_prose + WORDS_WEIGHT * (words[here] - scale.words) / scale.words_deviation
    return (1 / (1 + np.exp(-total))).astype(np.float32)


def load_classifier(uri: str) -> Classifier | None:
    """Load the classifier of the dataset at `uri`; None if it is off."""
    return Classifier.load(Dataset(uri, manifest.read(uri)))


def build(context: Context, documents: Sequence[Dataset], clusters: Dataset) -> Dataset:
    """Train the classifier on these documents without their duplicates, or find it trained."""
    made_from = _made_from(context, documents, clusters)

    def make(uri: str) -> Manifest:
        facts, model = _learn(context, documents, clusters, uri)
        config = context.config.recorded()
        return manifest.assemble(NAME, made_from, (), config=config, facts=facts, parts=model)

    return ensure(context, NAME, made_from, make)


def _made_from(context: Context, documents: Sequence[Dataset], clusters: Dataset) -> dict[str, Any]:
    config = context.config
    if not config.quality.classifier:
        return {"classifier": False}
    return {
        "quality": config.quality.model_dump(mode="json", include=_SETTINGS),
        "judgement": Judgement.of(config).made_from(),
        "curated": sorted(source.name for source in config.sources if source.curated),
        "validation_share": config.corpus.validation_share,
        "documents": {dataset.manifest.dataset: dataset.manifest.fingerprint for dataset in documents},
        "clusters": clusters.manifest.fingerprint,
        "versions": {
            "classifier": VERSION,
            "quality": quality.VERSION,
            "prose": prose.VERSION,
            "fasttext": importlib.metadata.version("fasttext-community"),
        },
    }


def _learn(
    context: Context, documents: Sequence[Dataset], clusters: Dataset, uri: str
) -> tuple[dict[str, Any], tuple[Part, ...]]:
    """Return the facts and, if the classifier is on, the model."""
    section = context.config.quality
    if not section.classifier:
        return {"on": False, "why": "quality.classifier is false in the config", "counts": {}}, ()
    draw = _Draw(limit=section.examples_per_class_limit)
    for dataset in documents:
        source = context.config.source(dataset.manifest.dataset.removeprefix("documents/"))
        for rows in _candidates(context, dataset, clusters):
            draw.add(rows, source.name, "curated" if source.curated else "crawl")
    languages = _languages(draw.documents, section.examples_per_class)
    facts: dict[str, Any] = {"on": False, "counts": _counts(draw.documents), "languages": sorted(languages)}
    balanced = sum(min(draw.documents[kind, language] for kind in CLASSES) for language in languages)
    if balanced < section.examples_per_class:
        return facts | {"why": _reason_off(draw.documents, balanced, section.examples_per_class)}, ()
    chosen = _balanced(draw.pools, languages, section.examples_per_class_limit)
    # The evaluation judges crawled documents by their beginnings, as the build does.
    chosen = chosen.filter(pc.or_(pc.or_(chosen["first"], chosen["curated"]), pc.invert(chosen["held_out"])))
    held_out = chosen["held_out"].to_numpy()
    if any(_select(chosen, kind, held).num_rows == 0 for kind in CLASSES for held in (True, False)):
        return facts | {"why": "a class has too few works to hold some out"}, ()
    with TemporaryDirectory(prefix="corpusmill-") as folder:
        path = Path(folder) / "quality.bin"
        train = _matched_in_length(chosen.filter(pa.array(~held_out)))
        quality.train(quality.features(train["text"]), train["curated"].to_numpy(), path, seed=section.seed)
        facts |= _evaluate(quality.load(path), chosen.filter(pa.array(held_out)), section.keep_share)
        facts |= {"on": True, "strongest_words": quality.strongest_words(path)}
        facts["examples"] = dict.fromkeys(CLASSES, len(train["curated"]) // 2)
        return facts, (_write(uri, path),)


_NO_LANGUAGE = pa.array([UNKNOWN_LANGUAGE, NO_LINGUISTIC_CONTENT, None], pa.string())


def _candidates(context: Context, dataset: Dataset, clusters: Dataset) -> Iterator[pa.RecordBatch]:
    """Yield the documents of a dataset that may be examples."""
    config, judgement = context.config, Judgement.of(context.config)
    source = dataset.manifest.dataset.removeprefix("documents/")
    for part in dataset.manifest.of("documents"):
        removals = removals_for(clusters, dataset.manifest.dataset, part.unit)
        for rows in read_batches(files.join(dataset.uri, part.path)):
            keep = pc.and_(judgement.passes(rows, source), pc.invert(pc.is_in(rows["language"], value_set=_NO_LANGUAGE)))
            keep = pc.and_(keep, pa.array(~is_validation(rows["work"], config.corpus.validation_share)))
            if removals is not None:
                keep = pc.and_(keep, pc.invert(pc.is_in(rows["id"], value_set=removals["id"])))
            yield rows.filter(keep)


@dataclass
class _Draw:
    """The candidates' excerpts with the smallest keys, at most `limit` per source, and counts of all documents."""

    limit: int
    documents: Counter[tuple[str, str]] = field(default_factory=Counter)  # by class and language
    pools: dict[tuple[str, str], pa.Table] = field(default_factory=dict)  # by class and source

    def add(self, rows: pa.RecordBatch, source: str, kind: str) -> None:
        """Add candidates of a source."""
        for count in pc.value_counts(rows["language"]).to_pylist():
            self.documents[kind, count["values"]] += count["counts"]
        excerpts = _excerpts(rows, curated=kind == "curated")
        known = self.pools.get((kind, source))
        pool = pa.concat_tables([known, excerpts]) if known is not None else excerpts
        self.pools[kind, source] = _smallest(pool, self.limit) if pool.num_rows > 2 * self.limit else pool


def _excerpts(rows: pa.RecordBatch, *, curated: bool) -> pa.Table:
    """Return the beginnings of documents and later excerpts of long ones.

    Columns: key (0..1, their order), language, text, first (whether it is the document's beginning), held_out, curated, prose (of
    the whole document).
    """
    tables: list[pa.Table] = []
    lengths = pc.utf8_length(rows["text"])
    rows = pa.RecordBatch.from_arrays(
        [*(rows[name] for name in ("id", "work", "language", "text")), pa.array(prose_of(rows))],
        names=["id", "work", "language", "text", "prose"],
    )
    for number in range(EXCERPTS_PER_DOCUMENT):
        start = number * CHARACTERS_PER_EXCERPT
        long_enough = rows if number == 0 else rows.filter(pc.greater_equal(lengths, start + quality.PREFIX_CHARACTERS))
        if long_enough.num_rows == 0:
            break
        excerpt = pc.utf8_slice_codeunits(long_enough["text"], start, start + quality.PREFIX_CHARACTERS)
        columns = {
            "key": (sampling_key(long_enough["id"]) + number * 0.6180339887498949) % 1.0,  # golden ratio: spread evenly
            "language": long_enough["language"],
            "text": excerpt,
            "first": np.full(long_enough.num_rows, number == 0),
            "held_out": (sampling_key(long_enough["work"]) * 2**20) % 1.0 < HELD_OUT_SHARE,  # other digits than the draw's
            "curated": np.full(long_enough.num_rows, curated),
            "prose": long_enough["prose"],
        }
        tables.append(pa.table({name: pa.array(values) for name, values in columns.items()}))
    return pa.concat_tables(tables) if tables else _NO_EXCERPTS


_NO_EXCERPTS = pa.schema(
    [
        ("key", pa.float64()),
        ("language", pa.string()),
        ("text", pa.string()),
        ("first", pa.bool_()),
        ("held_out", pa.bool_()),
        ("curated", pa.bool_()),
        ("prose", pa.float64()),
    ]
).empty_table()


def _smallest(pool: pa.Table, count: int) -> pa.Table:
    order = np.argsort(pool["key"].to_numpy(), kind="stable")[:count]
    return pool.take(pa.array(order)).combine_chunks()


def _languages(documents: Mapping[tuple[str, str], int], needed: int) -> set[str]:
    """Return the languages with at least a tenth of the `needed` documents in both classes: enough to learn from."""
    known = {language for _, language in documents}
    return {lang for lang in known if min(documents.get((kind, lang), 0) for kind in CLASSES) >= needed / 10}


def _balanced(pools: Mapping[tuple[str, str], pa.Table], languages: set[str], limit: int) -> pa.Table:
    """Return as many excerpts of one class as of the other in each language, drawn as evenly as possible from the sources."""
    chosen: list[pa.Table] = []
    share = limit // len(languages)
    for language in sorted(languages):
        excerpts = {
            name: _smallest(pool.filter(pc.equal(pool["language"], language)), share) for name, pool in sorted(pools.items())
        }
        rows = {kind: sum(p.num_rows for (k, _), p in excerpts.items() if k == kind) for kind in CLASSES}
        per_class = min(share, *rows.values())
        for kind in CLASSES:
            of_sources = [pool for (k, _), pool in excerpts.items() if k == kind]
            quotas = even_quotas([pool.num_rows for pool in of_sources], per_class)
            chosen += [pool.slice(0, quota) for pool, quota in zip(of_sources, quotas, strict=True)]
    return pa.concat_tables(chosen)


def even_quotas(available: Sequence[int], total: int) -> list[int]:
    """Return how many of each to take, as evenly as possible: at most what is available, `total` in all.

    >>> even_quotas([10, 1_000, 500], 600)
    [10, 295, 295]
    """
    quotas = [0] * len(available)
    remaining = min(total, sum(available))
    for rank, index in enumerate(sorted(range(len(available)), key=lambda i: available[i])):
        quotas[index] = min(available[index], remaining // (len(available) - rank))
        remaining -= quotas[index]
    return quotas


def _matched_in_length(rows: pa.Table) -> pa.Table:
    """Return rows ordered by key, which mixes the classes, each as long as its counterpart in the other class.

    The longer of the two n-th longest excerpts of the classes is cut to the length of the other, so length is no clue.
    """
    by_class = [_rows_by_length(rows.filter(pc.equal(rows["curated"], value))) for value in (True, False)]
    pairs = min(table.num_rows for table in by_class)
    by_class = [table.slice(table.num_rows - pairs) for table in by_class]
    lengths = [pc.utf8_length(table["text"]).to_numpy() for table in by_class]
    shorter = np.minimum(*lengths)
    cut = [table.set_column(table.schema.get_field_index("text"), "text", _cut(table["text"], shorter)) for table in by_class]
    return _smallest(pa.concat_tables(cut), 2 * pairs)


def _rows_by_length(rows: pa.Table) -> pa.Table:
    lengths = pc.utf8_length(rows["text"]).to_numpy()
    return rows.take(pa.array(np.lexsort([rows["key"].to_numpy(), lengths])))


def _cut(texts: pa.ChunkedArray, lengths: NDArray[np.int32]) -> pa.Array:
    return pa.array([text[:length] for text, length in zip(texts.to_pylist(), lengths.tolist(), strict=True)], pa.string())


def _select(rows: pa.Table, kind: str, held_out: bool) -> pa.Table:
    return rows.filter(pc.and_(pc.equal(rows["curated"], kind == "curated"), pc.equal(rows["held_out"], held_out)))


def _evaluate(score: quality.Scorer, held_out: pa.Table, keep_share: float) -> dict[str, Any]:
    """Return the threshold, which depends only on the held-out crawl, and precision and recall at that threshold.

    Recall is the share of curated excerpts that are kept. Precision is the curated share of the kept ones, computed as if both
    classes had equal size (the number of curated works says nothing about the crawl).
    """
    curated, languages = held_out["curated"].to_numpy(), held_out["language"].combine_chunks()
    by_prose = held_out["prose"].to_numpy()
    by_words = _log_odds(score(held_out["text"].combine_chunks()))
    scales = _scales(by_prose, by_words, languages, curated)
    scores = _joined(by_prose, by_words, languages, scales)
    crawl = np.sort(scores[~curated])
    threshold = float(crawl[int((1 - keep_share) * len(crawl))])
    kept = scores >= np.float32(threshold)
    recall, crawl_kept = kept[curated].mean(), kept[~curated].mean()
    return {
        "threshold": threshold,
        "scales": {language: asdict(scale) for language, scale in scales.items()},
        "held_out": {
            "excerpts": {"curated": int(curated.sum()), "crawl": len(crawl)},
            "precision": _rounded(recall / (recall + crawl_kept)),
            "recall": _rounded(recall),
            "crawl_kept": _rounded(crawl_kept),
            "area_under_curve": _rounded(quality.area_under_curve(scores, curated)),
            "area_under_curve_of_words": _rounded(quality.area_under_curve(by_words, curated)),
        },
    }


def _scales(
    by_prose: NDArray[np.float64], by_words: NDArray[np.float64], languages: pa.Array, curated: NDArray[np.bool_]
) -> dict[str, Scale]:
    """Return the scale of each language: that of its crawl if it has enough documents, else that of the whole crawl."""
    scales: dict[str, Scale] = {}
    for language in sorted(pc.unique(languages).to_pylist()):
        here = ~curated & pc.equal(languages, language).to_numpy(zero_copy_only=False)
        chosen = here if here.sum() >= _DOCUMENTS_PER_SCALE else ~curated
        scales[language] = Scale.of(by_prose[chosen], by_words[chosen])
    return scales


def _rounded(value: Any) -> float:
    return round(float(value), 6)


def _counts(documents: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    return {kind: {lang: n for (k, lang), n in sorted(documents.items()) if k == kind} for kind in CLASSES}


def _reason_off(documents: Mapping[tuple[str, str], int], balanced: int, needed: int) -> str:
    totals = {kind: sum(n for (k, _), n in documents.items() if k == kind) for kind in CLASSES}
    return (
        f"{needed:,} documents of each class are needed (quality.examples_per_class); there are {totals['curated']:,} curated"
        f" and {totals['crawl']:,} crawled ones, {balanced:,} of each in languages with at least {-(-needed // 10):,} of both"
    )


def _write(uri: str, path: Path) -> Part:
    with files.writing(files.join(uri, MODEL_PATH)) as out:
        out.write(path.read_bytes())
    return Part(table=TABLE, unit=UNIT, path=MODEL_PATH, rows=0, bytes=out.bytes_written, sha256=out.sha256)
