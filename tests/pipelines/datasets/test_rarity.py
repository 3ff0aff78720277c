"""How many documents have each n-gram of the benchmarks, whatever the workers and the units, and what follows for the corpus."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.config import CorpusConfig
from pipelines.contract import manifest
from pipelines.contract.batch import born, documents_from
from pipelines.contract.schema import document_id
from pipelines.datasets import clusters, rarity, reference, repeat_rows
from pipelines.stages import signatures
from pipelines.text.copies import item_grams
from pipelines.units.context import Context, Dataset, RunnerOptions
from pipelines.units.descriptor import Unit
from pipelines.units.parts import write_unit

QUESTION = "which of the old ferries that cross the lake goes twice a day in winter when there is ice"
QUOTATION = "nobody who had seen the garden could say what it was like in the month of june"


def documents(out: str, settings: CorpusConfig, units: dict[str, list[str]]) -> Dataset:
    made_from = {"units": units}
    uri = manifest.folder(out, "documents/web", manifest.fingerprint(made_from))
    sidecars = []
    for unit, texts in units.items():
        ids = [document_id("web", f"{unit}-{n}") for n in range(len(texts))]
        columns = {"id": ids, "work": ids, "origin": ["o"] * len(ids), "text": texts}
        batch = born("read", documents_from({**columns, "source": ["web"] * len(ids), "snapshot": ["1"] * len(ids)}))
        batch = signatures.stage(settings.deduplicate)(batch)
        sidecars.append(write_unit(uri, Unit(name=unit, source="web", uri=unit, root="/", bytes=1, identity=unit), [batch]))
    made = manifest.assemble("documents/web", made_from, sidecars)
    manifest.write(uri, made)
    return Dataset(uri, made)


def counted(folder: Path, units: dict[str, list[str]], workers: int = 1) -> tuple[Dataset, reference.Reference]:
    folder.mkdir(exist_ok=True)
    (folder / "b.jsonl").write_text("".join(json.dumps({"t": text}) + "\n" for text in (QUESTION, QUOTATION)))
    settings = CorpusConfig.model_validate(
        {
            "corpus": {"name": "test"},
            "sources": [{"name": "web", "kind": "books", "root": "/nowhere", "snapshot": "1"}],
            "language": {"enabled": False},
            "decontaminate": {"paths": [str(folder / "b.jsonl")]},
        }
    )
    context = Context(settings, str(folder / "out"), RunnerOptions(workers=workers))
    web = documents(str(folder / "out"), settings, units)
    items = reference.build(context)
    made = rarity.build(context, [web], clusters.build(context, [web]), items)
    return made, reference.load(items.uri)


def most(made: Dataset, known: reference.Reference, text: str) -> set[int]:
    """In how many documents the n-grams of a text are."""
    found = item_grams.hits(pa.array([text]), item_grams.index(known.items, ngram=known.ngram))
    return set(rarity.load(made.uri).documents[found.grams].tolist())


UNITS = {
    "u1": [f"One speech: {QUOTATION}, and more.", f"Another page of text. {QUOTATION} {QUOTATION} It ends.", "Nothing of it."],
    "u2": [f"A third and very different one says: {QUOTATION}!", QUESTION, "Nothing of it.", "Nothing of it."],
}


def test_documents_count_once_and_copies_not_at_all(tmp_path: Path) -> None:
    made, known = counted(tmp_path, UNITS)
    assert most(made, known, QUOTATION) == {3}
    assert most(made, known, QUESTION) == {1}
    assert made.manifest.facts == {"documents": 5, "met": len(known.items.hashes)}  # "Nothing of it." is there once


@pytest.mark.parametrize("changes", [{"BYTES_PER_GROUP": 1}, {"NGRAMS_PER_RANGE": 5}])
def test_units_ranges_and_workers_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int]) -> None:
    expected, _ = counted(tmp_path / "a", UNITS)
    for name, value in changes.items():
        monkeypatch.setattr(rarity if hasattr(rarity, name) else repeat_rows, name, value)
    made, _ = counted(tmp_path / "b", UNITS, workers=2)
    assert made.manifest.parts == expected.manifest.parts
    assert not (Path(made.uri) / "spill").exists()


def test_without_documents_nothing_is_met(tmp_path: Path) -> None:
    made, known = counted(tmp_path, {})
    assert np.array_equal(rarity.load(made.uri).documents, np.zeros(len(known.items.hashes)))
    assert made.manifest.facts == {"documents": 0, "met": 0}
