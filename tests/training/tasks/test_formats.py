"""Files that are no tables: TREC's questions, a corpus' titles."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.contract import manifest
from pipelines.contract.manifest import Manifest, Part
from training.tasks.config import load
from training.tasks.errors import TaskError
from training.tasks.input import formats

CONFIGS = Path(__file__).parents[3] / "configs/finetune"


def test_trec_is_read_as_published(tmp_path: Path) -> None:
    path = tmp_path / "train"
    path.write_bytes(b"DESC:manner How did\xf0it end ?\n\nHUM:ind Who ?\n")
    found = formats.read("classification", path)
    assert found is not None and found.numbers.tolist() == [0, 2]
    assert found.columns.to_pylist() == [
        {"text": "How did it end ?", "label": "DESC", "fine": "DESC:manner"},
        {"text": "Who ?", "label": "HUM", "fine": "HUM:ind"},
    ]
    path.write_bytes(b"DESC:manner How ?\nwho\n")
    with pytest.raises(TaskError, match=r"train, line 2: does not begin with COARSE:fine and a space"):
        formats.read("classification", path)
    path.write_bytes(b"text\tlabel\n")
    assert formats.read("classification", path) is None and formats.read("classification", tmp_path / "none") is None


def corpus(root: Path, rows: list[dict[str, str | None]]) -> Path:
    """A build with a published corpus, as far as its titles go."""
    made_from = {"rows": json.dumps(rows)}
    folder = Path(manifest.folder(str(root), "corpus", manifest.fingerprint(made_from)))
    (folder / "documents").mkdir(parents=True)
    schema = pa.schema({"title": pa.string(), "url": pa.string(), "text": pa.large_string()})
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "documents/a.parquet")
    size = (folder / "documents/a.parquet").stat().st_size
    part = Part(table="documents", unit="a", path="documents/a.parquet", rows=len(rows), bytes=size, sha256="0" * 64)
    made = Manifest(dataset="corpus", fingerprint=manifest.fingerprint(made_from), made_from=made_from, parts=(part,))
    manifest.write(str(folder), made)
    (root / "release.json").write_text(json.dumps({"corpus": str(folder.relative_to(root))}))
    return folder


def test_titles_of_a_build_are_paired_with_their_texts(tmp_path: Path) -> None:
    folder = corpus(
        tmp_path,
        [
            {"title": "Lake", "text": "Lake\n\nA lake is water."},
            {"title": None, "text": "No title."},
            {"title": "Only", "text": "Only"},
            {"title": "Hill", "text": "It is high. " * 1000},
        ],
    )
    for path in (tmp_path, folder):
        found = formats.read("similarity", path)
        assert found is not None and found.columns["first"].to_pylist() == ["Lake", "Hill"]
        assert found.columns["second"][0].as_py() == "A lake is water."
        assert len(found.columns["second"][1].as_py()) < 4001
    assert formats.read("similarity", tmp_path / "pairs.jsonl") is None


def test_a_corpus_without_titles_is_refused(tmp_path: Path) -> None:
    corpus(tmp_path, [{"title": None, "text": "No title."}])
    with pytest.raises(TaskError, match="no document has a title and a text under it"):
        formats.read("similarity", tmp_path)


@pytest.mark.parametrize("name", ["trec_bert", "similarity_bert"])
def test_the_configs_that_are_shipped_are_read(name: str) -> None:
    assert load(CONFIGS / f"{name}.toml").run.out == f"build/finetune/{name}"
