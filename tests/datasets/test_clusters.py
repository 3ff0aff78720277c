"""The clusters dataset end to end: documents in, removals out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.build import Context, Dataset, RunnerOptions
from pipelines.config import CorpusConfig
from pipelines.contract import manifest
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.ledger import Ledger
from pipelines.contract.schema import CLUSTERS, document_id
from pipelines.datasets import clusters
from pipelines.parts import write_unit
from pipelines.stages import deduplicate, signatures
from pipelines.unit import Unit

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def config(priorities=None, **deduplicate_fields) -> CorpusConfig:
    priorities = priorities or {"web": 0}
    sources = [
        {"name": name, "kind": "books", "root": "/nowhere", "snapshot": "1", "priority": priority}
        for name, priority in priorities.items()
    ]
    return CorpusConfig.model_validate(
        {
            "corpus": {"name": "test"},
            "sources": sources,
            "deduplicate": deduplicate_fields,
            "language": {"enabled": False},
        }
    )


def write_documents(out: str, settings: CorpusConfig, source: str, units: dict[str, list[tuple[str, str, str | None]]]) -> Dataset:
    """A documents dataset; a document is (key, text, rule)."""
    name = f"documents/{source}"
    made_from = {"texts": {unit: [list(document) for document in rows] for unit, rows in units.items()}, "source": source}
    uri = manifest.folder(out, name, manifest.fingerprint(made_from))
    sidecars = []
    for unit, rows in units.items():
        documents = documents_from(
            {
                "id": [document_id(source, key) for key, _, _ in rows],
                "work": [document_id(source, key) for key, _, _ in rows],
                "source": [source] * len(rows),
                "snapshot": ["1"] * len(rows),
                "origin": [key for key, _, _ in rows],
                "text": [text for _, text, _ in rows],
                "rule": pa.array([rule for _, _, rule in rows], pa.string()),
            }
        )
        batch = signatures.stage(settings.deduplicate, settings.language)(born("read", documents))
        description = Unit(name=unit, source=source, uri=unit, root="/", bytes=1, identity=unit)
        sidecars.append(write_unit(uri, description, [batch]))
    made = manifest.assemble(name, made_from, sidecars)
    manifest.write(uri, made)
    return Dataset(uri, made)


def build(tmp_path, settings: CorpusConfig, sources: dict[str, dict[str, list]], workers: int = 1) -> Dataset:
    out = str(tmp_path)
    documents = [write_documents(out, settings, source, units) for source, units in sources.items()]
    return clusters.build(Context(settings, out, RunnerOptions(workers=workers)), documents)


def removals(dataset: Dataset, source: str = "web", unit: str = "u") -> dict[bytes, dict]:
    table = clusters.removals_for(dataset, f"documents/{source}", unit)
    return {row["id"]: row for row in table.to_pylist()}


def sentence_text(seed: int, words: int = 300) -> str:
    generator = np.random.default_rng(seed)
    return " ".join(f"w{n}" for n in generator.integers(0, 50_000, words))


def changed(text: str, places: list[int]) -> str:
    words = text.split()
    for place in places:
        words[place] = f"changed{place}"
    return " ".join(words)


def test_planted_near_duplicates_are_removed_and_nothing_else(tmp_path):
    texts = [sentence_text(seed) for seed in range(200)]
    rows = [(f"original-{i}", text, None) for i, text in enumerate(texts)]
    # Three changed words break at most 15 of 296 shingles: Jaccard at least 281 / 311 = 0.90. A shorter copy ranks lower.
    rows += [(f"copy-{i}", changed(texts[i], [50, 120, 250]).rsplit(" ", 1)[0], None) for i in range(0, 200, 10)]
    found = removals(build(tmp_path, config(), {"web": {"u": rows}}))
    longer = {i: max((len(t), k) for k, t, _ in rows if k.endswith(f"-{i}"))[1] for i in range(0, 200, 10)}
    expected = {document_id("web", ({"original", "copy"} - {kept.split("-")[0]}).pop() + f"-{i}") for i, kept in longer.items()}
    assert set(found) == expected
    for row in found.values():
        assert not row["exact"]
        assert 0.7 <= row["similarity"] < 1
        assert row["cluster"] == min(row["id"], row["survivor"])
