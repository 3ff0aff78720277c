"""Deduplication through files gives what deduplication in one process gives, row for row."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from broken_rules import broken_rules

from pipelines.beam import runners
from pipelines.beam.runners import InputError, PipelineError
from pipelines.clustering import candidates, components, earlier, pairs
from pipelines.clustering.removals import Deduplicated
from pipelines.clustering.signatures import signature_parts
from pipelines.clustering.through_files import deduplicate_through_files
from pipelines.config import CorpusConfig
from pipelines.contract import manifest
from pipelines.contract.batch import born, documents_from
from pipelines.contract.schema import Grain, document_id
from pipelines.datasets import clusters
from pipelines.stages import signatures
from pipelines.text.copies import clusters as science
from pipelines.units.context import Context, Dataset, RunnerOptions
from pipelines.units.descriptor import Unit
from pipelines.units.parts import write_unit

Row = tuple[str, str, str | None, str | None]  # key, text, rule, url
BUDGET = 120_000  # bytes: several segments, ranges and chunks of some hundred documents


def config(**deduplicate_fields) -> CorpusConfig:
    sources = [
        {"name": name, "kind": "books", "root": "/nowhere", "snapshot": "1", "priority": priority}
        for name, priority in {"web": 0, "books": 5}.items()
    ]
    return CorpusConfig.model_validate(
        {
            "corpus": {"name": "test"},
            "sources": sources,
            "deduplicate": {"url": True, **deduplicate_fields},
            "language": {"enabled": False},
        }
    )


def write_documents(out: str, settings: CorpusConfig, source: str, units: dict[str, list[Row]]) -> Dataset:
    name = f"documents/{source}"
    made_from = {"texts": {unit: [list(row) for row in rows] for unit, rows in units.items()}}
    uri = manifest.folder(out, name, manifest.fingerprint(made_from))
    sidecars = []
    for unit, rows in units.items():
        ids = [document_id(source, key) for key, *_ in rows]
        documents = documents_from(
            {
                "id": ids,
                "work": ids,
                "source": [source] * len(rows),
                "snapshot": ["1"] * len(rows),
                "origin": [key for key, *_ in rows],
                "text": [text for _, text, _, _ in rows],
                "measures": broken_rules([rule for _, _, rule, _ in rows]),
                "url": pa.array([url for _, _, _, url in rows], pa.string()),
            }
        )
        batch = signatures.stage(settings.deduplicate)(born("read", documents))
        sidecars.append(write_unit(uri, Unit(name=unit, source=source, uri=unit, root="/", bytes=1, identity=unit), [batch]))
    made = manifest.assemble(name, made_from, sidecars)
    manifest.write(uri, made)
    return Dataset(uri, made)


def published(documents: Dataset) -> Dataset:
    """The index of an earlier corpus that has published these documents."""
    parts = tuple(part.model_copy(update={"table": earlier.INDEX}) for part in documents.manifest.of(signatures.TABLE))
    made = documents.manifest.model_copy(update={"dataset": earlier.INDEX, "parts": parts, "facts": {"corpus": "older"}})
    return Dataset(documents.uri, made)


def random_text(generator: np.random.Generator, words: int) -> list[str]:
    return [f"w{n}" for n in generator.integers(0, 50_000, words)]


def corpus(seed: int, documents: int) -> list[Row]:
    """Copies with changed words, chains of them, equal texts, templates, pages of one address, short and rejected texts."""
    generator = np.random.default_rng(seed)
    texts = [random_text(generator, int(generator.integers(3, 120))) for _ in range(documents // 2)]
    template = random_text(generator, 100)
    while len(texts) < documents:
        kind, of = generator.integers(0, 4), texts[generator.integers(0, len(texts))]
        if kind == 0:
            texts.append(of)
        elif kind == 1:
            texts.append([*template, *random_text(generator, int(generator.integers(1, 60)))])
        else:
            changed = np.array(of, np.object_)
            changed[generator.integers(0, len(of), kind)] = f"new{len(texts)}"
            texts.append(changed.tolist())
    rules = generator.random(documents) < 0.3
    urls = generator.integers(0, documents * 3, documents)
    return [
        (f"{seed}-{i}", " ".join(text), "gopher_symbols" if rules[i] else None, f"http://example.org/{urls[i]}")
        for i, text in enumerate(texts)
    ]


def datasets(out: str, settings: CorpusConfig, seed: int, documents: int) -> tuple[list[Dataset], list[Dataset]]:
    """Two sources of several units, and an earlier corpus that shares texts with them."""
    rows = corpus(seed, documents)
    rows = [rows[i] for i in np.random.default_rng(seed + 1).permutation(len(rows))]
    old = [(f"old-{key}", *rest) for key, *rest in rows[: documents // 10]]
    web = {f"u{i}": rows[i : documents // 2 : 3] for i in range(3)}
    books = {f"u{i}": rows[documents // 2 + i :: 2] for i in range(2)}
    made = [write_documents(out, settings, "web", web), write_documents(out, settings, "books", books)]
    return made, [published(write_documents(out, settings, "old", {"p": old[::2], "q": old[1::2]}))]


def spilled(tmp_path, settings, documents, indexes=(), workers=1, budget=BUDGET) -> Deduplicated:
    context = Context(settings, str(tmp_path), RunnerOptions(workers=workers))
    found = deduplicate_through_files(
        context, signature_parts(documents, indexes), str(tmp_path / "spill"), str(tmp_path / "out"), budget=budget
    )
    assert not (tmp_path / "spill").exists()
    return found


def facts_of(found: Deduplicated) -> dict:
    """What the manifest says of the same, but for the documents that were counted elsewhere and the parts of text."""
    counts, figures = found.counts, found.figures
    return {
        "sources": {
            source: {grain.value: figures.removed.get((source, grain.value), 0) for grain in Grain} for source in ("web", "books")
        },
        "earlier": dict(figures.by_corpus),
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
        "largest_clusters": figures.largest,
    }


def expected(dataset: Dataset) -> dict:
    facts = dict(dataset.manifest.facts)
    del facts["enabled"], facts["documents"]
    sources = {name: {key: n for key, n in counts.items() if key != "documents"} for name, counts in facts["sources"].items()}
    largest = [{key: value for key, value in entry.items() if key != "excerpt"} for entry in facts["largest_clusters"]]
    older = {name: counts["removed"] for name, counts in facts["earlier"].items() if counts["removed"]}
    return facts | {"sources": sources, "earlier": older, "largest_clusters": largest}


def assert_same(tmp_path: Path, settings: CorpusConfig, seed: int, documents: int, workers: int = 1) -> Deduplicated:
    """Both ways, compared; and what was found."""
    made, indexes = datasets(str(tmp_path), settings, seed, documents)
    one = clusters.build(Context(settings, str(tmp_path)), made, indexes)
    found = spilled(tmp_path, settings, made, indexes, workers)
    assert facts_of(found) == expected(one)
    assert found.parts == one.manifest.parts
    for part in found.parts:
        assert (tmp_path / "out" / part.path).read_bytes() == (Path(one.uri) / part.path).read_bytes()
    return found


def test_both_ways_give_the_same_tables_and_facts(tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "DOCUMENTS_PER_INPUT", 120)
    found = assert_same(tmp_path, config(), 1, 300)
    assert found.counts.failed > 10
    assert found.counts.rounds > 1
    assert found.figures.by_corpus["older"] > 10
    assert {grain for _, grain in found.figures.removed} == {"exact", "near", "url"}


def test_capped_buckets_and_components_by_rounds(tmp_path, monkeypatch):
    monkeypatch.setattr(components, "BYTES_PER_EDGE", 500)
    found = assert_same(tmp_path, config(bucket_limit=2), 3, 200)
    assert found.counts.capped > 0
    assert found.counts.capped_buckets > 0


def test_centres_that_run_out(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs.verify, "__defaults__", (1,))
    monkeypatch.setattr(science.verify, "__defaults__", (1,))
    found = assert_same(tmp_path, config(), 4, 200)
    assert found.counts.rounds == 1
    assert found.counts.unresolved > 0


@pytest.mark.parametrize("fields", [{"verify": "jaccard"}, {"scheme": "affine64", "exact": False}])
def test_words_and_wide_signatures(tmp_path, fields):
    found = assert_same(tmp_path, config(**fields), 5, 100)
    assert sum(part.rows for part in found.parts) > 10


def test_two_worker_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(runners, "IN_PROCESS_BYTES", 0)
    monkeypatch.setattr(pairs, "ROUNDS_AT_ONCE", 1)
    assert_same(tmp_path, config(near=False, url=False), 6, 80, workers=2)


def test_the_parts_do_not_depend_on_the_budget(tmp_path):
    settings = config()
    made, indexes = datasets(str(tmp_path), settings, 7, 80)
    first = spilled(tmp_path / "a", settings, made, indexes, budget=2**30)
    assert first == spilled(tmp_path / "b", settings, made, indexes, budget=20_000)


def test_nothing_alike_and_nothing_at_all(tmp_path):
    settings = config()
    made = write_documents(str(tmp_path), settings, "web", {"u": [("a", "one text", None, None), ("b", "another", None, None)]})
    assert spilled(tmp_path / "a", settings, [made]).parts == ()
    assert spilled(tmp_path / "b", settings, []).figures.clusters == 0


def equal_texts(keys: str) -> list[Row]:
    return [(key, "a text of some words that are all the same in every document", None, None) for key in keys]


def test_a_cluster_that_is_too_large_names_its_best_document(tmp_path):
    settings = config(cluster_limit=4)
    made = write_documents(str(tmp_path), settings, "web", {"u": equal_texts("abcde")})
    best = min(document_id("web", key) for key in "abcde").hex()
    with pytest.raises(InputError, match=f"^5 documents form one cluster .*cluster_limit = 4; the best of them is {best}"):
        spilled(tmp_path, settings, [made])
    assert not (tmp_path / "spill").exists()


def test_one_id_for_two_documents_of_a_unit_is_an_error(tmp_path):
    settings = config()
    rows = [*equal_texts("ab"), ("a", "something else altogether", None, None)]
    rows += [("b", "something else again", None, None)]
    made = write_documents(str(tmp_path), settings, "web", {"u": rows})
    with pytest.raises(InputError, match=r"^documents/web, unit u: two documents have the id"):
        spilled(tmp_path, settings, [made])
    across = {"u": equal_texts("ab"), "v": [("a", "something else altogether", None, None)]}
    assert len(spilled(tmp_path, settings, [write_documents(str(tmp_path / "b"), settings, "web", across)]).parts) == 1


def test_a_damaged_file_names_the_step(tmp_path):
    settings = config()
    made = write_documents(str(tmp_path), settings, "web", {"u": equal_texts("ab"), "v": equal_texts("cd")})
    damaged = Path(signature_parts([made])[1].uri)
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(PipelineError, match="unit sample-00000: ArrowInvalid"):
        spilled(tmp_path, settings, [made])
