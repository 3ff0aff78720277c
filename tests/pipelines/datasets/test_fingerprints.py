"""Every VERSION of the sources, and the datasets and identities that it moves.

Nothing is built: the real plan runs with an `ensure` that only notes what a dataset would be made from. Every dataset has a
constant fingerprint here, so a row of MOVES shows what a version moves itself, not what follows from it.
"""

import ast
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations import gate
from pipelines import corpus
from pipelines.config import CorpusConfig
from pipelines.contract import manifest
from pipelines.contract.gate_settings import GateLimits
from pipelines.contract.manifest import Manifest
from pipelines.datasets import corpus as corpus_dataset
from pipelines.datasets import documents, joined_tokens, vocabulary
from pipelines.exports import export
from pipelines.stages.base import Model
from pipelines.units.context import Context, Dataset
from training.ancestors import history
from training.data import tasks
from training.data.rows import index
from training.data.rows.layout import Layout
from training.run.feed import Feed
from training.search import passages
from training.tasks.course import Epochs

ROOT = Path(__file__).parents[3]
PACKAGES = ("pipelines", "training", "expectations", "flows")
SOURCES = ("wikipedia", "books", "common_crawl", "records")
DOCUMENTS = {f"documents/{kind}" for kind in SOURCES}
VOCABULARIES, TOKENS = {"vocabulary/trained", "vocabulary/existing"}, {"tokens/trained", "tokens/existing"}
SIGNATURES = {*DOCUMENTS, "clusters", "index"}
OBJECTIVES = {"causal_lm", "masked_lm", "text_infilling", "span_corruption", "ul2"}

MOVES: dict[str, set[str]] = {
    # the readers
    "pipelines.sources.wikipedia": {"documents/wikipedia"},
    "pipelines.sources.books": {"documents/books"},
    "pipelines.sources.web.common_crawl": {"documents/common_crawl"},
    "pipelines.sources.records.reader": {"documents/records"},
    # the stages
    "pipelines.stages.exclusion.exclude": DOCUMENTS,
    "pipelines.stages.exclusion.takedown": DOCUMENTS,
    "pipelines.stages.exclusion.name_lists": DOCUMENTS,
    "pipelines.stages.exclusion.blocklists": DOCUMENTS,
    "pipelines.stages.repeated_keys": DOCUMENTS,
    "pipelines.stages.normalize": DOCUMENTS,
    "pipelines.stages.lines": {"documents/common_crawl"},
    "pipelines.stages.cut_lines": DOCUMENTS,
    "pipelines.stages.split": DOCUMENTS,
    "pipelines.stages.judgement.judge": {*DOCUMENTS, "corpus"},
    "pipelines.stages.signatures": SIGNATURES,
    "pipelines.stages.deduplicate": {"corpus"},
    "pipelines.stages.repeats": {"corpus"},
    "pipelines.stages.decontaminate": {"corpus"},
    "pipelines.stages.judgement.rejudge": {"corpus"},
    "pipelines.stages.judgement.rules": {"clusters", "repeats", "classifier", "scores", "corpus"},
    "pipelines.stages.judgement.language": {"corpus"},
    "pipelines.stages.judgement.quality": {"corpus"},
    "pipelines.stages.private": {"corpus"},
    "pipelines.stages.tokens": TOKENS,
    # the science
    "pipelines.text.characters.comparison": {*SIGNATURES, "reference", "rarity", "repeats", "corpus"},
    "pipelines.text.characters.markup": {"reference", "rarity", "corpus"},
    "pipelines.text.characters.sentences": TOKENS,
    "pipelines.text.characters.signs": {*SIGNATURES, "repeats", "corpus"},
    "pipelines.text.characters.word_spans": {"reference", "rarity", "repeats", "corpus"},
    "pipelines.text.copies.clusters": {"clusters"},
    "pipelines.text.copies.contamination": {"reference", "rarity", "corpus"},
    "pipelines.text.copies.cuts": {"corpus"},
    "pipelines.text.copies.item_grams": {"reference", "rarity", "corpus"},
    "pipelines.text.copies.minhash": SIGNATURES,
    "pipelines.text.copies.removed": {*DOCUMENTS, "corpus"},
    "pipelines.text.copies.repeats": {"repeats", "corpus"},
    "pipelines.text.copies.shingles": SIGNATURES,
    "pipelines.text.copies.substrings": {"repeats"},
    "pipelines.text.copies.urls": SIGNATURES,
    "pipelines.text.judgement.classifier": {"classifier"},
    "pipelines.text.judgement.models": {"scores"},
    "pipelines.text.judgement.perplexity": {"scores"},
    "pipelines.text.judgement.annotators.process": {"scores"},
    "pipelines.text.judgement.prose": {"classifier"},
    "pipelines.text.judgement.languages.identify": {*DOCUMENTS, "corpus"},
    "pipelines.text.judgement.measures": {*DOCUMENTS, "corpus"},
    "pipelines.text.judgement.rules.verdict": {"clusters", "repeats", "classifier", "scores", "corpus"},
    "pipelines.text.judgement.private.find": {"corpus"},
    "pipelines.text.tokenization.encode": TOKENS,
    "pipelines.text.tokenization.report": VOCABULARIES,
    "pipelines.text.tokenization.vocabulary": {"vocabulary/trained"},
    # the datasets
    "pipelines.datasets.rarity": {"rarity"},
    "pipelines.datasets.reference": {"reference"},
    "pipelines.datasets.clusters": {"clusters"},
    "pipelines.datasets.repeats": {"repeats"},
    "pipelines.datasets.classifier": {"classifier"},
    "pipelines.datasets.scores": {"scores"},
    "pipelines.datasets.corpus": {"corpus"},
    "pipelines.datasets.index": {"index"},
    "pipelines.datasets.vocabulary": VOCABULARIES,
    "pipelines.datasets.tokens": TOKENS,
    "pipelines.datasets.joined_tokens": {"joined tokens"},
    # what comes after them
    "pipelines.exports.export": {"export"},
    "pipelines.exports.release.folder": set(),
    "expectations.suites": {"gate"},
    "training.data.rows.index": {"row index"},
    "training.data.tasks": {"task index"},
    "training.data.order.sampler": OBJECTIVES,
    "training.objectives.causal_lm": {"causal_lm"},
    "training.objectives.masked_lm": {"masked_lm"},
    "training.objectives.text_infilling": {"text_infilling"},
    "training.objectives.span_corruption": {"span_corruption"},
    "training.objectives.ul2": {"ul2"},
    "training.objectives.text_to_text": OBJECTIVES,
    "training.tasks.course": {"task course"},
    "training.ancestors.history": {"ancestors"},
    "training.search.passages": {"passages"},
    # Only with quality.tokens = "datatrove" (tests/pipelines/text/judgement/test_datatrove_words.py).
    "pipelines.text.judgement.datatrove_words": set(),
    # The demo's sample is no dataset: its folder has a note with the version (tests/pipelines/fetching/test_demo_sample.py).
    "pipelines.fetching.demo_sample": set(),
    "pipelines.review.gather": set(),  # of a page, which is no dataset either
}


# The versions and their copies


@dataclass(frozen=True)
class Copy:
    """A module's variable whose value holds versions of other modules, and the expression that made it."""

    module: ModuleType
    name: str
    expression: CodeType


def trees() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, ast.parse(path.read_text())


def mentions_version(node: ast.AST) -> bool:
    names = (n.attr if isinstance(n, ast.Attribute) else n.id for n in ast.walk(node) if isinstance(n, ast.Attribute | ast.Name))
    return any(name.endswith("VERSION") for name in names)


def assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


TREES = dict(trees())
VERSIONED = [name for name, tree in TREES.items() if "VERSION" in dict(assignments(tree))]


def copies() -> list[Copy]:
    """Module variables made from versions, and imports of these by name."""
    found = [
        Copy(sys.modules[module], name, compile(ast.Expression(value), module, "eval"))
        for module, tree in TREES.items()
        for name, value in assignments(tree)
        if module in sys.modules and mentions_version(value)
    ]
    made = {(copy.module.__name__, copy.name) for copy in found} | {(module, "VERSION") for module in VERSIONED}
    for module, tree in TREES.items():
        for node in tree.body:
            for alias in node.names if isinstance(node, ast.ImportFrom) and module in sys.modules else ():
                if (node.module, alias.name) in made:
                    source = compile(f"__import__('sys').modules[{node.module!r}].{alias.name}", module, "eval")
                    found.append(Copy(sys.modules[module], alias.asname or alias.name, source))
    return found


def bump(module: ModuleType, known: list[Copy], monkeypatch: pytest.MonkeyPatch) -> None:
    """Change a version, and whatever was made from it when the modules were imported."""
    monkeypatch.setattr(module, "VERSION", "bumped")
    changed = True
    while changed:
        changed = False
        for copy in known:
            if copy.module is module and copy.name == "VERSION":
                continue
            value = eval(copy.expression, vars(copy.module))
            if value != getattr(copy.module, copy.name):
                monkeypatch.setattr(copy.module, copy.name, value)
                changed = True


# What things are made from


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for kind in SOURCES:
        (folder / kind).mkdir()
    for name in ("wikipedia/a.xml", "books/a.txt", "common_crawl/a.warc", "tasks.jsonl", "benchmark.jsonl"):
        (folder / name).write_text("{}\n")
    pq.write_table(pa.table({"text": ["a"]}), folder / "records" / "a.parquet")
    return folder


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Mapping[str, Any]]:
    """What every dataset would be made from, once the plan has run."""
    noted: dict[str, Mapping[str, Any]] = {}
    facts = {"enabled": True, "tokenizer": {"sha256": "0"}}

    def ensure(_context: Context, dataset: str, made_from: Mapping[str, Any], _make: object) -> Dataset:
        noted[dataset] = made_from
        return Dataset(f"out/{dataset}", Manifest(dataset=dataset, fingerprint=dataset, made_from={}, parts=(), facts=facts))

    for module in [module for name, module in sys.modules.items() if name.startswith("pipelines.")]:
        if "ensure" in vars(module):
            monkeypatch.setattr(module, "ensure", ensure)
    for module in (documents, corpus_dataset):
        monkeypatch.setattr(module, "language_models", lambda _context: (Model("models/lid.ftz", "0"),))
    tokenizer = SimpleNamespace(sha256="0", library="tokenizers", kind="bpe")
    monkeypatch.setattr(vocabulary.existing, "load_existing", lambda *_: tokenizer)
    return noted


def build_nothing(inputs: Path, **sections: dict[str, Any]) -> None:
    sources = [{"name": kind, "kind": kind, "root": str(inputs / kind), "snapshot": "1"} for kind in SOURCES]
    config = CorpusConfig.model_validate(
        {
            "corpus": {"name": "t"},
            "sources": sources,
            "repeats": {"lines_limit": 9},
            "decontaminate": {"paths": [str(inputs / "benchmark.jsonl")]},
            "vocabularies": [{"name": "trained"}, {"name": "existing", "path": "tokenizer.json"}],
            **sections,
            "quality": {"keep": "top(quality_score, 0.5)", **sections.get("quality", {})},
        }
    )
    built: dict[str, Dataset] = {}
    for step in corpus.plan(Context(config, "out")):
        built[step.name] = step.run({name: built[name] for name in step.needs})


class Noted(Exception):
    """Ends a function at the moment at which it knows what its result is made from."""


def identities(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the things after the corpus are made from."""

    def noting(made_from: Mapping[str, Any]) -> str:
        raise Noted(made_from)

    tokenizer = SimpleNamespace(sha256="0", size=9)
    dataset = SimpleNamespace(fingerprint="0", tokenizer=tokenizer, uri="out")
    tokens = Manifest(
        dataset="tokens/t", fingerprint="0", made_from={}, parts=(), facts={"tokens": {}, "tokenizer": {"sha256": "0"}}
    )
    streams = SimpleNamespace(manifest=tokens, dtype=SimpleNamespace(name="<u2"))
    course = SimpleNamespace(rows=SimpleNamespace(digest=lambda: "0"), steps=1, batch_rows=1, seed=1)
    report = SimpleNamespace(format="nanogpt", fingerprint="0", splits={}, files=())
    section = SimpleNamespace(name="t", path=str(inputs / "tasks.jsonl"), prefix="")
    judged = gate._Gate("corpus", "0", "out", "out/gates")
    with monkeypatch.context() as patched:
        patched.setattr(manifest, "fingerprint", noting)
        patched.setattr(manifest, "read", lambda _uri: tokens)
        patched.setattr(index, "parts_of", lambda *_: [None])
        calls = {
            "row index": lambda: index.open_rows(dataset, "train", "out", Layout(tokens=8, packing="concatenate"), seed=1),
            "task index": lambda: tasks.open_tasks([section], tokenizer, "out"),
            "joined tokens": lambda: joined_tokens.join("out", "first", "second", "label"),
            "passages": lambda: passages.index(Path("out"), "0", list),
            "gate": lambda: judged.pass_through(GateLimits(), [], dict, lambda _tables: []),
        }
        found: dict[str, Any] = {}
        for name, call in calls.items():
            with pytest.raises(Noted) as caught:
                call()
            found[name] = caught.value.args[0]
    return (
        found
        | {"export": export._provenance(streams, report)}
        | {"ancestors": history.identity("0", None, 1, 1)}
        | {"task course": Epochs.identity(course)}
        | {name: _feed(name) for name in OBJECTIVES}
    )


def _feed(objective: str) -> Any:
    settings = SimpleNamespace(
        data=SimpleNamespace(max_epochs=None, seed=1, batch_rows=8),
        objective=SimpleNamespace(name=objective, model_dump=lambda **_: {}),
        rows=SimpleNamespace(document_boundaries=None),
    )
    feed = SimpleNamespace(
        config=settings,
        dataset=SimpleNamespace(fingerprint="0", tokenizer=SimpleNamespace(sha256="0")),
        index=SimpleNamespace(fingerprint="0"),
        tasks=SimpleNamespace(index=SimpleNamespace(fingerprint="0")),
        sampler=SimpleNamespace(segments=(), streams=()),
    )
    return Feed.identity(feed)


def all_made_from(inputs: Path, noted: dict[str, Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    build_nothing(inputs)
    return {name: json.dumps(value, default=str) for name, value in (noted | identities(inputs, monkeypatch)).items()}


# The tests


def test_every_version_is_in_the_table() -> None:
    assert sorted(VERSIONED) == sorted(MOVES)


def test_a_version_moves_what_the_table_says(
    inputs: Path, noted: dict[str, Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VERSIONED:
        import_module(name)
    known = copies()
    before = all_made_from(inputs, noted, monkeypatch)
    assert {*DOCUMENTS, *VOCABULARIES, *TOKENS, "reference", "clusters", "repeats", "classifier", "corpus", "index"} <= set(
        before
    )
    moves: dict[str, set[str]] = {}
    for name in VERSIONED:
        with monkeypatch.context() as patched:
            bump(sys.modules[name], known, patched)
            after = all_made_from(inputs, noted, patched)
        moves[name] = {dataset for dataset in before if after[dataset] != before[dataset]}
    assert moves == MOVES
    assert all_made_from(inputs, noted, monkeypatch) == before


@pytest.mark.parametrize(
    "sections",
    [
        {"quality": {"rules": {"gopher": {"min_words": 7}}}},
        {"quality": {"rules": ["fineweb"], "rules_for": "all"}},
        {"quality": {"rules_by_language": {"de": {"gopher": {"max_word_length": 14}}}}},
        {"language": {"score_limit": 0.3, "keep": ["de"]}},
    ],
)
def test_a_threshold_acts_after_the_documents_and_on_all_that_ask_what_passes(
    inputs: Path, noted: dict[str, Mapping[str, Any]], sections: dict[str, Any]
) -> None:
    build_nothing(inputs)
    before = dict(noted)
    build_nothing(inputs, **sections)
    moved = {name for name in before if noted[name] != before[name]}
    assert moved == {"clusters", "repeats", "classifier", "scores", "corpus"}


def test_a_list_of_words_is_read_by_the_documents(inputs: Path, noted: dict[str, Mapping[str, Any]]) -> None:
    build_nothing(inputs)
    before = dict(noted)
    build_nothing(inputs, quality={"stop_words": {"en": ["the"], "de": ["der", "die"]}})
    assert {name for name in before if noted[name] != before[name]} >= DOCUMENTS
