"""What is handed on by the command line: tokens in other projects' formats, a tokenizer, a row's documents."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from transformers import AutoTokenizer

from flows.commands.main import main
from pipelines.contract import manifest, shards
from pipelines.contract.tables import read_batches
from pipelines.contract.tokenizers import loading

TEXT = "Two  spaces,\n\n\ttabs and 42 geese."


@pytest.fixture(scope="module")
def dataset(tiny) -> str:
    return shards.find(str(tiny.out))


def test_every_format_holds_the_tokens_of_the_build(tiny, dataset, tmp_path, capfd) -> None:
    made, known = manifest.read(dataset), loading.load(dataset)
    counts = made.facts["tokens"]["train"]
    documents = sum(n["rows"] for languages in counts.values() for n in languages.values())
    tokens = sum(n["tokens"] for languages in counts.values() for n in languages.values())
    for name in ("huggingface", "megatron", "mds", "nanogpt"):
        assert main(["export", str(tiny.out), "--to", name, "--out", str(tmp_path / name), "--split", "train"]) == 0
        said = capfd.readouterr().out
        assert f"{documents:,} documents" in said and f"{tokens:,} tokens" in said and f"as {name} reads them" in said
        assert json.loads((tmp_path / name / "corpusmill.json").read_text())["tokens"]["fingerprint"] == made.fingerprint
    stream = np.fromfile(tmp_path / "nanogpt" / "train.bin", np.uint16)
    assert len(stream) == tokens + documents
    assert np.count_nonzero(stream == known.special_ids["<|endoftext|>"]) == documents
    rows = datasets.load_from_disk(str(tmp_path / "huggingface"))["train"]
    assert sum(map(len, rows["input_ids"])) == tokens


def test_the_tokenizer_is_the_same_for_hugging_face(tiny, dataset, tmp_path, capfd) -> None:
    assert main(["export", str(tiny.out), "--to", "tokenizer", "--out", str(tmp_path / "t"), "--family", "gpt"]) == 0
    assert "AutoTokenizer.from_pretrained" in capfd.readouterr().out
    theirs = AutoTokenizer.from_pretrained(str(tmp_path / "t"))
    ours = loading.load(dataset)
    assert theirs(TEXT, add_special_tokens=False)["input_ids"] == ours.encode(TEXT)
    assert theirs.decode(ours.encode(TEXT)) == TEXT


def test_what_cannot_be_exported_is_said_in_a_line(tiny, tmp_path, capfd) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert main(["export", str(tiny.out), "--to", "mds", "--out", str(tmp_path / "full")]) == 1
    assert "is not empty; name a new folder" in capfd.readouterr().err
    assert main(["export", str(tiny.out), "--to", "mds", "--out", str(tmp_path / "x"), "--name", "bert"]) == 1
    assert "'bert'" in capfd.readouterr().err
    assert main(["export", str(tiny.out), "--to", "mds", "--out", str(tmp_path / "x"), "--split", "test"]) == 1
    assert "the split 'test' is empty; the dataset has ['train'" in capfd.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_row_is_traced_to_its_documents(tiny, tmp_path, capfd) -> None:
    config = tmp_path / "feed.toml"
    config.write_text(f'[data]\ntokens = "{tiny.out}"\nrows = "{tmp_path / "rows"}"\nbatch_rows = 4\n[rows]\nlength = 32\n')
    assert main(["trace", str(config), "--step", "1", "--row", "2", "--json"]) == 0
    (row,) = json.loads(capfd.readouterr().out)["rows"]
    published = {}
    corpus = json.loads((Path(tiny.out) / "release.json").read_text())["corpus"]
    for part in manifest.read(str(tiny.out / corpus)).of("documents"):
        for batch in read_batches(str(tiny.out / corpus / part.path), ["id", "title", "origin", "source"]):
            published |= {document["id"].hex(): document for document in batch.to_pylist()}
    assert row["documents"]
    for document in row["documents"]:
        origin = published[document["id"]]
        assert (document["title"], document["origin"], document["source"]) == (
            origin["title"],
            origin["origin"],
            origin["source"],
        )
    assert main(["trace", str(config), "--step", "1", "--row", "4"]) == 1
    assert "a batch has the rows 0 to 3 (data.batch_rows), and no row 4" in capfd.readouterr().err
    assert main(["trace", str(config), "--step", "1"]) == 0
    assert capfd.readouterr().out.count("\nrow ") == 4
