"""A vocabulary is a function of the train split's documents, not of their order."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import parts
from pipelines.build import Context, Dataset
from pipelines.config import CorpusConfig, VocabularySection
from pipelines.contract import files, manifest, schema
from pipelines.contract import tokenizer as tokenizers
from pipelines.contract.batch import born, documents_from
from pipelines.contract.verify import verify
from pipelines.datasets import vocabulary
from pipelines.unit import Unit

WORDS = [
    "mill",
    "river",
    "goose",
    "miller",
    "bridge",
    "autumn",
    "turned",
    "looked",
    "went",
    "home",
    "seven",
    "stone",
    "water",
    "wheel",
    "grain",
]


def text(n: int) -> str:
    draw = np.random.default_rng(n).choice(WORDS, 40)
    return f"Document {n}. " + " ".join(draw[:20]) + ".\n" + " ".join(draw[20:])


def documents(numbers: list[int], source: str = "books") -> pa.RecordBatch:
    ids = [schema.document_id(source, str(n)) for n in numbers]
    rows = len(numbers)
    columns = {"id": ids, "work": ids, "source": [source] * rows, "snapshot": ["1"] * rows, "origin": ["x"] * rows}
    return documents_from({**columns, "text": [text(n) for n in numbers], "language": ["en"] * rows})


def corpus(folder: Path, numbers: list[list[int]]) -> Dataset:
    sidecars = [
        parts.write_unit(
            str(folder),
            Unit(name=f"u{i}", source="books", uri=f"u{i}", root="", bytes=1, identity="x"),
            [born("read", documents(n))],
        )
        for i, n in enumerate(numbers)
    ]
    made = manifest.assemble("corpus", {"numbers": sorted(n for group in numbers for n in group)}, sidecars)
    manifest.write(str(folder), made)
    return Dataset(str(folder), made)


def context(out: Path, **section: object) -> Context:
    vocabulary_section = {"name": "gpt", "size": 400, "sample_bytes": 20_000, "threads": 1, **section}
    config = {
        "corpus": {"name": "c", "validation_share": 0.2},
        "sources": [{"name": "books", "kind": "books", "root": "/r", "snapshot": "1"}],
        "vocabularies": [vocabulary_section],
    }
    return Context(CorpusConfig.model_validate(config), str(out))


def build(out: Path, numbers: list[list[int]], **section: object) -> Dataset:
    made = context(out, **section)
    return vocabulary.build(made, corpus(out / "corpus", numbers), made.config.vocabularies[0])


def test_a_vocabulary_is_a_sound_dataset_with_its_tokenizer(tmp_path: Path) -> None:
    made = build(tmp_path, [list(range(100))])
    assert verify(made.uri).problems == []
    assert [(part.table, part.path, part.rows) for part in made.manifest.parts] == [
        ("tokenizer", "tokenizer.model", 400),
        ("tokenizer", "pieces.arrow", 400),
    ]
    tokenizer = tokenizers.load(made.uri)
    assert tokenizer.special_ids == {"<unk>": 0, "<|endoftext|>": 1}
    assert tokenizer.decode(tokenizer.encode(text(7))) == text(7)
    facts = made.manifest.facts
    assert facts["tokenizer"] == tokenizer.facts("tokenizer.model")
    assert (facts["wanted_size"], facts["report"]["by_language"]["en"]["coverage"]) == (400, 1.0)


def test_the_order_of_the_documents_and_of_the_parts_does_not_matter(tmp_path: Path) -> None:
    first = build(tmp_path / "a", [list(range(300))])
    second = build(tmp_path / "b", [list(range(299, 149, -1)), list(range(150))])
    assert first.manifest.model_dump() == second.manifest.model_dump()
    for part in first.manifest.parts:
        assert files.sha256(files.join(first.uri, part.path)) == files.sha256(files.join(second.uri, part.path)) == part.sha256


def test_a_finished_vocabulary_is_found_again_and_another_section_makes_another(tmp_path: Path) -> None:
    first = build(tmp_path, [list(range(50))])
    assert build(tmp_path, [list(range(50))]).uri == first.uri
    assert build(tmp_path, [list(range(50))], threads=2).uri != first.uri


def test_the_sample_is_the_smallest_keys_of_the_train_split() -> None:
    numbers = list(range(400))
    whole = documents(numbers)
    sample = vocabulary.draw_sample((documents(numbers[i : i + 9]) for i in range(0, 400, 9)), 0.2, 5_000)
    train = whole.filter(pa.array(~schema.is_validation(whole["work"], 0.2)))
    ordered = train.take(pa.array(np.argsort(schema.sampling_key(train["id"]))))
    held = np.cumsum([len(t.encode()) for t in ordered["text"].to_pylist()])
    expected = ordered.slice(0, int(np.searchsorted(held, 5_000)) + 1)
    assert sample["id"].to_pylist() == sorted(expected["id"].to_pylist())
    assert held[sample.num_rows - 1] >= 5_000 > held[sample.num_rows - 2]
    assert sample.column_names == ["id", "source", "language", "text"]


def test_an_empty_split_and_an_impossible_size_name_the_field(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^vocabularies\.gpt\.size: .* holds no document"):
        build(tmp_path / "a", [[]])
    with pytest.raises(ValueError, match=r"^vocabularies\.gpt\.size is 300, but the characters"):
        build(tmp_path / "b", [list(range(20))], size=300)


def test_the_section_has_defaults_that_train() -> None:
    assert VocabularySection(name="x").families == ("gpt",)
