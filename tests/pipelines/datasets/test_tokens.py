"""The tokens dataset holds all that training needs, and does not depend on how it was made."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.config import CorpusConfig
from pipelines.contract import files, manifest, schema
from pipelines.contract.batch import born, documents_from
from pipelines.contract.tokenizers import loading
from pipelines.contract.verify import verify
from pipelines.datasets import tokens, vocabulary
from pipelines.units import parts
from pipelines.units.context import Context, Dataset
from pipelines.units.descriptor import Unit

SENTENCES = ["The mill turned.", "Seven geese looked on.", "Nobody came!", "Der Müller schlief.", "Was he home?"]


def text(n: int) -> str:
    return " ".join(np.random.default_rng(n).choice(SENTENCES, 30)) + f"\nEnd of {n}."


def corpus(folder: Path) -> Dataset:
    """Three parts of "books" and one of "web", 20 documents each."""
    sidecars = []
    for i, source in enumerate(["books", "web", "books", "books"]):
        numbers = range(20 * i, 20 * i + 20)
        ids = [schema.document_id(source, str(n)) for n in numbers]
        columns = {"id": ids, "work": ids, "source": [source] * 20, "snapshot": ["1"] * 20, "origin": ["x"] * 20}
        rows = documents_from(
            {**columns, "text": [text(n) for n in numbers], "language": ["en" if n % 3 else None for n in numbers]}
        )
        unit = Unit(name=f"u{i}", source=source, uri=f"u{i}", root="", bytes=1, identity="x")
        sidecars.append(parts.write_unit(str(folder), unit, [born("read", rows.slice(0, 12)), born("read", rows.slice(12))]))
    made = manifest.assemble("corpus", {"a": 1}, sidecars)
    manifest.write(str(folder), made)
    return Dataset(str(folder), made)


@pytest.fixture
def built(tmp_path: Path) -> tuple[Context, Dataset, Dataset]:
    config = {
        "corpus": {"name": "c", "validation_share": 0.2},
        "sources": [{"name": name, "kind": "books", "root": "/r", "snapshot": "1"} for name in ("books", "web")],
        "vocabularies": [{"name": "gpt", "size": 400, "threads": 1}],
        "tokens": {"text_bytes_per_unit": 30_000},
    }
    context = Context(CorpusConfig.model_validate(config), str(tmp_path))
    made = corpus(tmp_path / "corpus")
    return context, made, vocabulary.build(context, made, context.config.vocabularies[0])


def test_the_dataset_holds_every_document_once(built: tuple[Context, Dataset, Dataset]) -> None:
    context, made, vocabulary_dataset = built
    shards = tokens.build(context, made, vocabulary_dataset)
    assert verify(shards.uri).problems == []
    facts = shards.manifest.facts
    tokenizer = loading.load(shards.uri)
    assert facts["tokenizer"] == vocabulary_dataset.manifest.facts["tokenizer"]
    assert (facts["dtype"], facts["corpus"], facts["vocabulary"]) == (
        "uint16",
        made.manifest.fingerprint,
        vocabulary_dataset.manifest.fingerprint,
    )
    texts, counted = {}, {}
    for table in [name for name in shards.manifest.tables() if name.startswith("tokens/")]:
        _, split, source, language = table.split("/")
        rows = [row for part in shards.manifest.of(table) for row in mapped(files.join(shards.uri, part.path))]
        texts |= {row["id"]: tokenizer.decode(row["tokens"]) for row in rows}
        totals = (len(rows), sum(len(row["tokens"]) for row in rows), sum(row["utf8_bytes"] for row in rows))
        counted[split, source, language] = dict(zip(("rows", "tokens", "utf8_bytes"), totals, strict=True))
    assert texts == {schema.document_id("web" if 20 <= n < 40 else "books", str(n)): text(n) for n in range(80)}
    assert counted == {
        (s, o, x): facts["tokens"][s][o][x] for s in facts["tokens"] for o in facts["tokens"][s] for x in facts["tokens"][s][o]
    }
    assert sorted(facts["tokens"]) == ["train", "validation"]


def mapped(path: str) -> list[dict[str, object]]:
    return pa.ipc.open_file(pa.memory_map(path)).read_all().to_pylist()


def test_a_unit_written_again_has_the_same_bytes(built: tuple[Context, Dataset, Dataset], tmp_path: Path) -> None:
    _, made, vocabulary_dataset = built
    job = tokens.TokensJob(tokens.stages(vocabulary_dataset, 0.2))
    wanted = tokens.units(made, 30_000)
    first = [parts.write_unit(str(tmp_path / "a"), unit, job.open()(unit), documents=False) for unit in wanted]
    process = pickle.loads(pickle.dumps(job)).open()  # one worker for all units, in another order
    second = [parts.write_unit(str(tmp_path / "b"), unit, process(unit), documents=False) for unit in reversed(wanted)]
    assert first == second[::-1]


def test_units_are_groups_of_one_source(built: tuple[Context, Dataset, Dataset]) -> None:
    _, made, _ = built
    found = tokens.units(made, 30_000)
    assert [(unit.source, unit.paths) for unit in found] == [
        ("books", ("documents/u0.parquet", "documents/u2.parquet")),
        ("books", ("documents/u3.parquet",)),
        ("web", ("documents/u1.parquet",)),
    ]
    assert [len(tokens.units(made, limit)) for limit in (1, 10**9)] == [4, 2]
    assert len({unit.name for unit in found}) == 3
    assert (found[0].root, found[0].identity) == (made.uri, made.manifest.fingerprint)


def test_a_job_refuses_another_tokenizer(built: tuple[Context, Dataset, Dataset]) -> None:
    _, _, vocabulary_dataset = built
    with pytest.raises(loading.TokenizerError, match="another tokenizer than when the build began"):
        tokens.load_unchanged(vocabulary_dataset.uri, "0" * 64)


def test_a_corpus_without_its_sidecars_is_an_error(built: tuple[Context, Dataset, Dataset]) -> None:
    _, made, _ = built
    files.remove(files.join(made.uri, "units", "u1.json"))
    with pytest.raises(manifest.DatasetError, match=r"u1\.json: is missing"):
        tokens.units(made, 30_000)
