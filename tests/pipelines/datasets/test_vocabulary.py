"""A vocabulary is a function of the train split's documents, not of their order."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.config import CorpusConfig, VocabularySection
from pipelines.contract import files, manifest, memory, schema
from pipelines.contract.batch import born, documents_from
from pipelines.contract.tokenizers import loading
from pipelines.contract.verify import verify
from pipelines.datasets import vocabulary, vocabulary_sample
from pipelines.units import parts
from pipelines.units.context import Context, Dataset
from pipelines.units.descriptor import Unit

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
    """Every fourth document is German, every tenth has no language."""
    ids = [schema.document_id(source, str(n)) for n in numbers]
    rows = len(numbers)
    columns = {"id": ids, "work": ids, "source": [source] * rows, "snapshot": ["1"] * rows, "origin": ["x"] * rows}
    languages = [None if n % 10 == 9 else "de" if n % 4 == 0 else "en" for n in numbers]
    return documents_from({**columns, "text": [text(n) for n in numbers], "language": languages})


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
    tokenizer = loading.load(made.uri)
    assert tokenizer.special_ids == {"<|endoftext|>": 0, "<unk>": 1}
    assert tokenizer.decode(tokenizer.encode(text(7))) == text(7)
    facts = made.manifest.facts
    assert facts["tokenizer"] == tokenizer.facts("tokenizer.model")
    assert (facts["wanted_size"], facts["report"]["by_language"]["en"]["coverage"]) == (400, 1.0)


def test_a_vocabulary_of_characters_is_as_large_as_the_text_asks(tmp_path: Path) -> None:
    made = build(tmp_path, [list(range(100))], kind="char", size=1000, character_coverage=1.0, byte_fallback=False)
    tokenizer = loading.load(made.uri)
    letters = set("".join(text(n) for n in range(100))) - {" ", "\n"}
    assert tokenizer.size == len({"<|endoftext|>", "<unk>", " ", "\n"} | letters)
    assert tokenizer.decode(tokenizer.encode(text(7))) == text(7)
    assert (made.manifest.facts["wanted_size"], made.manifest.facts["report"]["warnings"]) == (1000, [])


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


def drawn(batches: list[pa.RecordBatch], wanted: dict[str, int]) -> pa.Table:
    draw = vocabulary_sample.Draw(wanted, 0.2)
    for batch in batches:
        draw.add(batch)
    return draw.sample()


def test_the_sample_is_the_smallest_keys_of_the_train_split_of_each_language() -> None:
    numbers = list(range(400))
    whole = documents(numbers)
    sample = drawn([documents(numbers[i : i + 9]) for i in range(0, 400, 9)], {"en": 5_000, "de": 777, "und": 10**9, "xx": 5})
    train = whole.filter(pa.array(~schema.is_validation(whole["work"], 0.2)))
    ordered = train.take(pa.array(np.argsort(schema.sampling_key(train["id"])))).to_pylist()
    for language, wanted in (("en", 5_000), ("de", 777)):
        texts = [row["text"] for row in ordered if row["language"] == language]
        found = {row["id"]: row["text"] for row in sample.to_pylist() if row["language"] == language}
        by_key = [found[row["id"]] for row in ordered if row["id"] in found]
        assert "".join(by_key) == "".join(texts)[:wanted]  # the last is cut off
        assert by_key[:-1] == texts[: len(by_key) - 1]
    assert sample.filter(pc.equal(sample["language"], "und")).num_rows == sum(row["language"] is None for row in ordered)
    assert sample["id"].to_pylist() == sorted(sample["id"].to_pylist())
    assert sample.column_names == ["id", "passage", "source", "language", "text"]
    assert drawn([whole.slice(i, 1) for i in reversed(range(400))], {"en": 5_000, "de": 777, "und": 10**9}).equals(sample)


def test_a_draw_holds_at_most_twice_the_sample_and_a_batch() -> None:
    batches = [documents(list(range(i, i + 40))) for i in range(0, 4000, 40)]
    largest = max(pc.sum(pc.binary_length(batch["text"])).as_py() for batch in batches)
    wanted = {"en": 8_000, "de": 4_000, "und": 500}
    draw = vocabulary_sample.Draw(wanted, 0.0)
    held: list[int] = []
    for batch in batches:
        draw.add(batch)
        held.append(sum(pool.held for pool in draw._pools.values()))
    assert sum(wanted.values()) < max(held) <= 2 * sum(wanted.values()) + largest
    assert max(held[1:]) <= 2 * sum(wanted.values())  # thinned at once
    assert pc.sum(pc.binary_length(draw.sample()["text"])).as_py() == sum(wanted.values())


def test_a_cut_never_falls_inside_a_character() -> None:
    batch = documents([1, 2])
    batch = batch.set_column(batch.schema.names.index("text"), "text", pa.array(["水" * 100, "水" * 100]))
    sizes = [
        len("".join(drawn([batch], {"en": wanted})["text"].to_pylist()).encode()) for wanted in (1, 2, 3, 301, 302, 303, 400)
    ]
    assert sizes == [0, 0, 3, 300, 300, 303, 399]
    assert drawn([batch], {"en": 2}).num_rows == 0


def test_a_long_document_gives_passages_and_all_of_it_when_all_is_wanted() -> None:
    batch = documents([1, 2])
    novels = [" ".join(f"word{n}" for n in range(40_000)), "水" * 50_000]
    batch = batch.set_column(batch.schema.names.index("text"), "text", pa.array(novels))
    whole = drawn([batch], {"en": 10**9})
    by_id = [whole.filter(pc.equal(whole["id"], document)) for document in batch["id"].to_pylist()]
    assert ["".join(rows["text"].to_pylist()) for rows in by_id] == novels
    assert [rows["passage"].to_pylist() for rows in by_id] == [list(range(rows.num_rows)) for rows in by_id]
    some = drawn([batch], {"en": 60_000})
    assert pc.sum(pc.binary_length(some["text"])).as_py() in range(59_998, 60_001)
    assert len(some["id"].unique()) == 2
    assert len(some) in (4, 5)


def test_bytes_are_counted_by_language_in_the_train_split() -> None:
    whole = documents(list(range(300)))
    rows = whole.filter(pa.array(~schema.is_validation(whole["work"], 0.2))).to_pylist()
    counted = vocabulary_sample.language_bytes([whole.slice(0, 100), whole.slice(100, 7), whole.slice(107)], 0.2)
    assert list(counted) == ["de", "en", "und"]
    assert counted["de"] == sum(len(row["text"].encode()) for row in rows if row["language"] == "de")
    assert counted["und"] == sum(len(row["text"].encode()) for row in rows if row["language"] is None)


def test_languages_are_balanced_and_the_facts_say_how(tmp_path: Path) -> None:
    made = build(tmp_path, [list(range(300))], sample_bytes=12_000, language_exponent=0.0, language_weights={"und": 0, "en": 2})
    languages = made.manifest.facts["sample"]["languages"]
    assert {name: (fact["wanted_share"], fact["drawn_bytes"]) for name, fact in languages.items()} == {
        "de": (0.333333, 4_000),
        "en": (0.666667, 8_000),
        "und": (0.0, 0),
    }
    assert languages["und"]["available_bytes"] > 1_000
    assert made.manifest.facts["sample"]["utf8_bytes"] == 12_000
    assert made.manifest.facts["sample"]["passages"] == languages["de"]["passages"] + languages["en"]["passages"]
    assert list(made.manifest.facts["report"]["by_language"]) == ["en", "de"]
    with pytest.raises(ValueError, match=r"^vocabularies\.gpt\.language_weights\.xx: .* the languages are de, en, und$"):
        build(tmp_path / "b", [list(range(50))], language_weights={"xx": 0})


def test_a_smaller_vocabulary_than_wanted_is_reported(tmp_path: Path) -> None:
    made, events = context(tmp_path, size=30_000), list[str]()
    made = dataclasses.replace(made, on_event=lambda name, facts: events.append(facts["text"]) if name == "warning" else None)
    dataset = vocabulary.build(made, corpus(tmp_path / "corpus", [list(range(30))]), made.config.vocabularies[0])
    facts = dataset.manifest.facts
    assert facts["wanted_size"] == 30_000 > facts["tokenizer"]["size"]
    assert facts["report"]["warnings"] == events
    assert events[0].startswith(f"the vocabulary has {facts['tokenizer']['size']} pieces instead of 30,000: ")


def test_a_sample_that_does_not_fit_the_memory_is_refused_with_what_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 150_120_000)
    with pytest.raises(
        ValueError, match=r"^vocabularies\.gpt\.sample_bytes: bpe on 19,998 bytes takes about .* lower it to 10,000,"
    ):
        build(tmp_path, [list(range(300))])
    build(tmp_path / "b", [list(range(300))], sample_bytes=10_000)


def test_families_and_normalizer_come_from_the_section(tmp_path: Path) -> None:
    section: dict[str, object] = {
        "families": ["bert"],
        "normalizer": "nfkc_lower",
        "kind": "unigram",
        "control_pieces": ["<sep>"],
        "size": 500,
    }
    made = build(tmp_path, [list(range(100))], **section)
    tokenizer = loading.load(made.uri)
    assert list(tokenizer.special_ids) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<sep>"]
    assert (tokenizer.newline_id, tokenizer.decode(tokenizer.encode("Mill\nRiver"))) == (None, "mill river")
    assert verify(made.uri).problems == []


def test_an_existing_tokenizer_is_taken_as_it_is(tmp_path: Path) -> None:
    trained = build(tmp_path, [list(range(100))])
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "spiece.model"
    path.write_bytes(Path(trained.uri, "tokenizer.model").read_bytes())
    made = build(tmp_path / "b", [list(range(100))], path=str(path))
    assert verify(made.uri).problems == []
    assert loading.load(made.uri).sha256 == loading.load(trained.uri).sha256 == made.manifest.made_from["vocabulary"]["sha256"]
    assert str(tmp_path) not in made.manifest.model_dump_json()
    report = made.manifest.facts["report"]
    assert set(report) == set(trained.manifest.facts["report"])
    assert report["by_source"]["books"]["coverage"] == 1.0
    with_t5 = build(tmp_path / "b", [list(range(100))], path=str(path), families=["t5"]).manifest.facts["tokenizer"]
    assert (with_t5["size"], with_t5["special_ids"]["<extra_id_0>"]) == (400 + 102, 501)
    with pytest.raises(loading.TokenizerError, match=r"^vocabularies\.gpt\.path: .*/nowhere\.model: "):
        build(tmp_path / "b", [list(range(100))], path="/nowhere.model")
    moved = path.rename(tmp_path / "elsewhere" / "other.model")
    assert build(tmp_path / "b", [list(range(100))], path=str(moved), size=900).uri == made.uri


def test_an_empty_split_and_an_impossible_size_name_the_field(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^vocabularies\.gpt: .* holds no document"):
        build(tmp_path / "a", [[]])
    with pytest.raises(ValueError, match=r"^vocabularies\.gpt\.size is 300, but the characters"):
        build(tmp_path / "b", [list(range(20))], size=300)


def test_the_section_has_defaults_that_train() -> None:
    assert VocabularySection(name="x").families == ("gpt",)
