"""A folder that `datasets.load_from_disk` reads."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.exports.export import export

datasets = pytest.importorskip("datasets")

Documents = list[tuple[str, str, list[int]]]


def test_its_own_reader(tokens: str, train_documents: Documents, train_ids: list[bytes], tmp_path: Path) -> None:
    export(tokens, None, "huggingface", str(tmp_path / "out"))
    found = datasets.load_from_disk(str(tmp_path / "out"))
    assert {split: len(found[split]) for split in found} == {"train": 8, "validation": 1}
    train = found["train"]
    assert train.column_names == ["input_ids", "id", "source", "language", "utf8_bytes"]
    assert train.features["input_ids"].feature.dtype == "uint16"
    assert [(row["source"], row["language"], row["input_ids"]) for row in train] == train_documents
    assert train["id"][:] == [i.hex() for i in train_ids]
    assert train["utf8_bytes"][:] == [3 * len(ids) for _, _, ids in train_documents]
    assert train.filter(lambda row: row["source"] == "wiki", keep_in_memory=True).num_rows == 2
    assert found["validation"][0]["input_ids"] == [20, 21]
    again = datasets.load_from_disk(str(tmp_path / "out" / "train"))
    assert again._fingerprint == train._fingerprint != found["validation"]._fingerprint


def test_files_are_mapped_as_they_are(tokens: str, tmp_path: Path) -> None:
    """An Arrow stream a part; nothing is decoded or copied when it is opened."""
    export(tokens, None, "huggingface", str(tmp_path / "out"))
    paths = sorted((tmp_path / "out" / "train").glob("*.arrow"))
    assert [path.name for path in paths] == [f"data-0000{n}-of-00004.arrow" for n in range(4)]
    before = pa.total_allocated_bytes()
    batches = [pa.ipc.open_stream(pa.memory_map(str(path))).read_all().to_batches() for path in paths]
    assert pa.total_allocated_bytes() == before
    assert [[batch.num_rows for batch in of_part] for of_part in batches] == [[1], [2, 1], [2], [2]]
