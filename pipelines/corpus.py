"""The whole build on one page: which datasets there are, what each needs, and what is published at the end.

    documents/<source> ─┬─ clusters ─┬─ repeats ────┬─ corpus ─┬─ index
                        │            └─ classifier ─┤          └─ vocabulary/<name> ─ tokens/<name>
                        └───────────────────────────┤
    reference (if benchmarks are named) ────────────┘

Callers walk `plan` in order (the command line in a loop, the Prefect flow in tasks), let a gate look at every dataset
that is handed over, and `publish` last.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.clustering.earlier import earlier
from pipelines.config import SourceSection, VocabularySection
from pipelines.datasets import classifier, clusters, corpus, documents, index, reference, repeats, tokens, vocabulary
from pipelines.units.context import Context, Dataset

Built = Mapping[str, Dataset]  # by step name


@dataclass(frozen=True, slots=True)
class Step:
    """One dataset of the build."""

    name: str  # of the dataset
    needs: tuple[str, ...]  # names of steps
    gated: bool  # handed over: the gate must pass before anything is built on it
    run: Callable[[Built], Dataset]


def plan(context: Context) -> list[Step]:
    """The steps, in an order in which they can run.

    Raises ValueError when an earlier corpus that the config names cannot be joined: now, not after hours of reading.
    """
    config = context.config
    indexes = earlier(context)
    sources = tuple(f"documents/{source.name}" for source in config.sources)

    def texts(built: Built) -> list[Dataset]:
        return [built[name] for name in sources]

    steps: list[Step] = []
    if config.decontaminate.paths:
        steps.append(Step("reference", (), False, lambda _built: reference.build(context)))
    steps += [_documents_step(context, source) for source in config.sources]
    steps += [
        Step("clusters", sources, config.deduplicate.enabled, lambda built: clusters.build(context, texts(built), indexes)),
        Step(
            "repeats",
            (*sources, "clusters"),
            config.repeats.enabled,
            lambda built: repeats.build(context, texts(built), built["clusters"]),
        ),
        Step(
            "classifier", (*sources, "clusters"), False, lambda built: classifier.build(context, texts(built), built["clusters"])
        ),
        Step(
            "corpus",
            (*sources, "clusters", "repeats", "classifier", *(step.name for step in steps if step.name == "reference")),
            True,
            lambda built: corpus.build(
                context, texts(built), built["clusters"], built["repeats"], built.get("reference"), built["classifier"]
            ),
        ),
        Step(
            "index",
            (*sources, "corpus"),
            config.deduplicate.enabled,
            lambda built: index.build(context, texts(built), built["corpus"]),
        ),
    ]
    for section in config.vocabularies:
        steps.append(_vocabulary_step(context, section))
    for section in config.vocabularies:
        if section.name in (config.tokens.vocabularies or (section.name,)):
            steps.append(_tokens_step(context, section))
    return steps


def _documents_step(context: Context, source: SourceSection) -> Step:
    return Step(f"documents/{source.name}", (), True, lambda _built: documents.build(context, source))


def _vocabulary_step(context: Context, section: VocabularySection) -> Step:
    return Step(
        f"vocabulary/{section.name}", ("corpus",), False, lambda built: vocabulary.build(context, built["corpus"], section)
    )


def _tokens_step(context: Context, section: VocabularySection) -> Step:
    vocabulary_name = f"vocabulary/{section.name}"
    return Step(
        f"tokens/{section.name}",
        ("corpus", vocabulary_name),
        True,
        lambda built: tokens.build(context, built["corpus"], built[vocabulary_name]),
    )
