import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.contract.manifest import DatasetError
from training.data.shards import ShardError, open_dataset, open_runs

SHARD = "tokens/train/books/en/unit0.arrow"


def test_documents_come_back_without_a_copy(dataset_folder: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    before = pa.total_allocated_bytes()
    runs = open_runs(dataset, "train", "books")
    assert pa.total_allocated_bytes() == before
    assert [Path(run.path).parent.name for run in runs] == ["de"] * 2 + ["en"] * 11  # by language, then by part
    assert [run.documents for run in runs] == [3, 2, 3, 3, 3, 3, 3, 3, 2, 3, 3, 3, 2]  # batches of 3
    assert all(not run.tokens.flags.owndata and not run.tokens.flags.writeable for run in runs)
    first = dataset.tokenizer.decode(runs[0].tokens[runs[0].offsets[0] : runs[0].offsets[1]])
    assert first.startswith("the old house")


def test_a_dataset_knows_its_streams_and_totals(dataset_folder: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    assert dataset.splits() == ["train", "validation"]
    assert dataset.sources("train") == ["books", "wiki"]
    assert dataset.sources("test") == []
    assert dataset.totals("validation")["rows"] == 10
    assert dataset.end_of_text() == dataset.tokenizer.processor.piece_to_id("<|endoftext|>")


def test_a_build_names_its_dataset(dataset_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").symlink_to(dataset_folder)
    (tmp_path / "release.json").write_text(json.dumps({"tokens": {"gpt": "tokens", "bert": "elsewhere"}}))
    assert open_dataset(str(tmp_path), "gpt").fingerprint == open_dataset(str(dataset_folder)).fingerprint
    with pytest.raises(DatasetError, match=r"the name given is None; its tokens datasets are \['bert', 'gpt'\]"):
        open_dataset(str(tmp_path))
    (tmp_path / "release.json").write_text(json.dumps({"tokens": {"gpt": "tokens"}}))
    assert open_dataset(str(tmp_path)).tokenizer.size == 300


def test_a_folder_without_a_dataset_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"neither manifest\.json nor release\.json"):
        open_dataset(str(tmp_path / "nowhere"))
    (tmp_path / "release.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"release\.json: does not name tokens datasets"):
        open_dataset(str(tmp_path))


def test_another_tokenizer_is_refused(own_dataset: Path) -> None:
    path = own_dataset / "tokenizer.model"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"tokenizer\.model: .*another tokenizer"):
        open_dataset(str(own_dataset))
    path.unlink()
    with pytest.raises(ValueError, match=r"tokenizer\.model: the tokenizer is missing"):
        open_dataset(str(own_dataset))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _overwrite(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, r"unit0\.arrow: has [\d,]+ bytes, the manifest says"),
        (_overwrite, r"unit0\.arrow: is no Arrow file of tokens"),
        (Path.unlink, r"unit0\.arrow: the manifest lists this shard"),
    ],
)
def test_a_damaged_shard_is_named(own_dataset: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(own_dataset / SHARD)
    with pytest.raises(ShardError, match=message):
        open_runs(open_dataset(str(own_dataset)), "train", "books")


def test_a_changed_byte_is_found_on_request(own_dataset: Path) -> None:
    path = own_dataset / SHARD
    content = bytearray(path.read_bytes())
    place = bytes(content).index(np.asarray(open_runs(open_dataset(str(own_dataset)), "train", "books")[2].tokens[:8]).tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    dataset = open_dataset(str(own_dataset))
    open_runs(dataset, "train", "books")
    with pytest.raises(ShardError, match=r"unit0\.arrow: its sha256 is not the manifest's"):
        open_runs(dataset, "train", "books", verify=True)
