"""The whole build on one page: which datasets there are, what each needs, and what is published at the end.

    documents/<source> ─┬─ clusters ─┬─ repeats ─────────────┬─ corpus ─┬─ index
                        │            ├─ classifier ─ scores ─┤          └─ vocabulary/<name> ─ tokens/<name>
                        │            ├─ rarity ──────────────┤
                        └────────────┼───────────────────────┤
    reference (if benchmarks are named) ─────────────────────┘

There are scores if the config names models of others or asks for a share of scores.

Callers run the steps of `plan` in order (the command line in a loop, the Prefect flow in tasks), let a gate judge every
dataset that is handed over, and publish last.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pipelines.clustering.earlier import earlier
from pipelines.config import SourceSection, VocabularySection
from pipelines.datasets import (
    classifier,
    clusters,
    corpus,
    documents,
    index,
    rarity,
    reference,
    repeats,
    scores,
    tokens,
    vocabulary,
)
from pipelines.stages import private
from pipelines.stages.exclusion import blocklists, takedown
from pipelines.stages.judgement import judge, own_rules, scorers
from pipelines.text import kernels
from pipelines.text.judgement import words
from pipelines.units.context import Context, Dataset

Built = Mapping[str, Dataset]  # by step name


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One dataset of the build."""

    name: str  # of the dataset
    needs: tuple[str, ...] = ()  # names of steps
    gated: bool = False  # handed over: the gate must pass before anything is built on it
    run: Callable[[Built], Dataset]  # gets the datasets that the step needs


def plan(context: Context) -> list[Step]:
    """Return the steps in an order in which they can run.

    Raise UserError if the config names a language that the model does not know or an extractor that is not installed, a model
    cannot be used, a list of [exclude] cannot be read, or an earlier corpus cannot be joined: now, not after hours of reading.
    """
    config = context.config
    documents.check_languages(config)
    documents.check_extractors(config)
    scorers.check(config.quality)
    private.model_of_names(config.private)
    own_rules.check(config.quality.own)
    judge.check(config.quality)
    takedown.collect(config.exclude)
    blocklists.collect(config.exclude)
    build = _Builders(context, earlier(context))
    sources = tuple(f"documents/{source.name}" for source in config.sources)
    benchmarks = ("reference", "rarity") if config.decontaminate.paths else ()
    scored = ("scores",) if config.quality.is_scored else ()
    encoded = [section for section in config.vocabularies if section.name in (config.tokens.vocabularies or (section.name,))]
    return [
        *(Step(name=name, run=build.reference) for name in benchmarks[:1]),
        *(Step(name=f"documents/{s.name}", gated=True, run=partial(build.documents, s)) for s in config.sources),
        Step(name="clusters", needs=sources, gated=config.deduplicate.enabled, run=build.clusters),
        Step(name="repeats", needs=(*sources, "clusters"), gated=config.repeats.enabled, run=build.repeats),
        *(Step(name=name, needs=(*sources, "clusters", "reference"), run=build.rarity) for name in benchmarks[1:]),
        Step(name="classifier", needs=(*sources, "clusters"), run=build.classifier),
        *(Step(name=name, needs=(*sources, "clusters", "classifier"), run=build.scores) for name in scored),
        Step(
            name="corpus",
            needs=(*sources, "clusters", "repeats", "classifier", *scored, *benchmarks),
            gated=True,
            run=build.corpus,
        ),
        Step(name="index", needs=(*sources, "corpus"), gated=config.deduplicate.enabled, run=build.index),
        *(Step(name=_vocabulary(s), needs=("corpus",), run=partial(build.vocabulary, s)) for s in config.vocabularies),
        *(
            Step(name=f"tokens/{s.name}", needs=("corpus", _vocabulary(s)), gated=True, run=partial(build.tokens, s))
            for s in encoded
        ),
    ]


def load_for_workers() -> None:
    """Load what workers would load one by one: compiled kernels and tables of characters (0.9 s)."""
    kernels.load()
    words.table()


def _vocabulary(section: VocabularySection) -> str:
    return f"vocabulary/{section.name}"


@dataclass(frozen=True, slots=True)
class _Builders:
    """How each dataset is built from those before it."""

    context: Context
    indexes: Sequence[Dataset]  # of earlier corpora

    def _documents(self, built: Built) -> list[Dataset]:
        return [built[f"documents/{source.name}"] for source in self.context.config.sources]

    def reference(self, _built: Built) -> Dataset:
        return reference.build(self.context)

    def rarity(self, built: Built) -> Dataset:
        return rarity.build(self.context, self._documents(built), built["clusters"], built["reference"])

    def documents(self, source: SourceSection, _built: Built) -> Dataset:
        return documents.build(self.context, source)

    def clusters(self, built: Built) -> Dataset:
        return clusters.build(self.context, self._documents(built), self.indexes)

    def repeats(self, built: Built) -> Dataset:
        return repeats.build(self.context, self._documents(built), built["clusters"])

    def classifier(self, built: Built) -> Dataset:
        return classifier.build(self.context, self._documents(built), built["clusters"])

    def scores(self, built: Built) -> Dataset:
        return scores.build(self.context, self._documents(built), built["clusters"], built["classifier"])

    def corpus(self, built: Built) -> Dataset:
        return corpus.build(
            self.context,
            self._documents(built),
            clusters=built["clusters"],
            repeats=built["repeats"],
            items=built.get("reference"),
            frequencies=built.get("rarity"),
            classifier=built["classifier"],
            scored=built.get("scores"),
        )

    def index(self, built: Built) -> Dataset:
        return index.build(self.context, self._documents(built), built["corpus"])

    def vocabulary(self, section: VocabularySection, built: Built) -> Dataset:
        return vocabulary.build(self.context, built["corpus"], section)

    def tokens(self, section: VocabularySection, built: Built) -> Dataset:
        return tokens.build(self.context, built["corpus"], built[_vocabulary(section)])
