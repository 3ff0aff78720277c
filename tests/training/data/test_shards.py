import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.contract.manifest import DatasetError
from pipelines.contract.verify import verify
from training.data.shards import ShardError, TokenDataset, open_dataset, open_runs

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


def test_runs_know_their_documents(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    texts = ["the river", "the old house stood", "people of the town", "a", "every evening"]
    dataset = open_dataset(str(make_dataset(tmp_path, {("train", "books", "en"): [texts]})))
    runs = open_runs(dataset, "train", "books")
    assert [(run.source, run.language, run.first, run.documents) for run in runs] == [
        ("books", "en", 0, 3),
        ("books", "en", 3, 2),
    ]
    found = [run.document(number) for run in runs for number in range(run.documents)]
    assert found == [hashlib.md5(text.encode()).digest() for text in texts]
    assert [run.ids.shape for run in runs] == [(3, 16), (2, 16)]
    assert [run.utf8_bytes.tolist() for run in runs] == [[9, 19, 18], [1, 13]]
    assert [run.sentences.tolist() for run in runs] == [[0, 0, 0], [0, 0]]
    assert [run.sentence_offsets.tolist() for run in runs] == [[0, 1, 2, 3], [0, 1, 2]]
    assert not any(
        array.flags.owndata for run in runs for array in (run.ids, run.utf8_bytes, run.sentences, run.sentence_offsets)
    )


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


def _put_another_table(path: Path) -> None:
    """An Arrow file of other columns, of which the manifest knows the size."""
    with pa.ipc.new_file(str(path), pa.schema([("id", pa.int64())])) as writer:
        writer.write_batch(pa.RecordBatch.from_pydict({"id": [1]}))
    _claim(path, bytes=path.stat().st_size)


def _claim(path: Path, **said: int) -> None:
    """Let the manifest say this of a part."""
    folder = next(parent for parent in path.parents if (parent / "manifest.json").exists())
    content = json.loads((folder / "manifest.json").read_text())
    next(part for part in content["parts"] if path == folder / part["path"]).update(said)
    (folder / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, r"unit0\.arrow: has [\d,]+ bytes, the manifest says"),
        (_overwrite, r"unit0\.arrow: is not an Arrow file of tokens"),
        (
            _put_another_table,
            r"unit0\.arrow: .*its columns are id: int64, not tokens: list<item: uint16 not null>, sentence_starts",
        ),
        (Path.unlink, r"unit0\.arrow: the manifest lists this shard"),
    ],
)
def test_a_damaged_shard_is_named(own_dataset: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(own_dataset / SHARD)
    with pytest.raises(ShardError, match=message):
        open_runs(open_dataset(str(own_dataset)), "train", "books")
    assert any(SHARD in problem for problem in verify(str(own_dataset)).problems)


def test_an_unknown_split_or_source_is_named(dataset_folder: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    with pytest.raises(DatasetError, match=r"the split 'test' is empty; the dataset has \['train', 'validation'\]"):
        open_runs(dataset, "test", "books")
    with pytest.raises(DatasetError, match=r"the split 'validation' has no documents of a source 'wiki'; it has \['books'\]"):
        open_runs(dataset, "validation", "wiki")


def test_a_manifest_that_does_not_match_its_parts_is_refused(own_dataset: Path) -> None:
    _claim(own_dataset / SHARD, rows=21)
    with pytest.raises(ShardError, match=r"unit0\.arrow: has 20 documents, the manifest says 21"):
        open_runs(open_dataset(str(own_dataset)), "train", "books")
    _claim(own_dataset / SHARD, rows=20)
    content = json.loads((own_dataset / "manifest.json").read_text())
    content["facts"]["tokens"]["train"]["books"]["de"]["tokens"] += 1
    (own_dataset / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ShardError, match=r"de/unit0\.arrow: holds {'rows': 5, 'tokens': \d+.*, the manifest says"):
        open_runs(open_dataset(str(own_dataset)), "train", "books")


def test_swapped_parts_are_found(own_dataset: Path) -> None:
    first, second = own_dataset / SHARD, (own_dataset / SHARD).with_name("unit1.arrow")
    first.rename(own_dataset / "kept")
    second.rename(first)
    (own_dataset / "kept").rename(second)
    with pytest.raises(ShardError, match=r"unit0\.arrow: has [\d,]+ bytes, the manifest says"):
        open_runs(open_dataset(str(own_dataset)), "train", "books")


def test_a_part_of_another_dataset_is_found(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    """As many bytes, documents and tokens: only the content is another."""
    for name, texts in (("one", ["the river", "the old house"]), ("two", ["the old house", "the river"])):
        make_dataset(tmp_path / name, {("train", "books", "en"): [texts]})
    shutil.copy(tmp_path / "two" / SHARD, tmp_path / "one" / SHARD)
    dataset = open_dataset(str(tmp_path / "one"))
    open_runs(dataset, "train", "books")
    with pytest.raises(ShardError, match=r"unit0\.arrow: its sha256 is not the manifest's"):
        open_runs(dataset, "train", "books", verify=True)


def _flip(path: Path, good: bytes, place: int) -> None:
    content = bytearray(good)
    content[place] ^= 0xFF
    path.unlink()  # a file that is mapped keeps its content
    path.write_bytes(content)


def _read_all(dataset: TokenDataset) -> int:
    """Touch every byte that the runs promise to be there."""
    total = 0
    for run in open_runs(dataset, "train", "books"):
        assert (np.diff(run.offsets) >= 0).all() and (np.diff(run.sentence_offsets) >= 0).all()
        starts = np.minimum(run.offsets, len(run.tokens) - 1)
        total += int(run.tokens[run.offsets[0] : run.offsets[-1]].sum()) + int(run.tokens[starts].sum())
        total += int(run.ids.sum()) + int(run.sentences[run.sentence_offsets[0] : run.sentence_offsets[-1]].sum())
        assert len(run.ids) == len(run.utf8_bytes) == run.documents == len(run.sentence_offsets) - 1
    return total


def test_every_flipped_byte_is_found_and_none_is_read_outside_the_file(
    make_dataset: Callable[..., Path], tmp_path: Path
) -> None:  # fmt: skip
    """Schema, metadata, offsets, values and footer, each seventh byte in turn: refused, or read without harm."""
    folder = make_dataset(tmp_path, {("train", "books", "en"): [["the river", "the old house", "people", "of the town"]]})
    dataset, path = open_dataset(str(folder)), folder / SHARD
    good = path.read_bytes()
    read = []
    for place in range(0, len(good), 7):
        _flip(path, good, place)
        with pytest.raises(ShardError, match=r"unit0\.arrow: its sha256"):
            open_runs(dataset, "train", "books", verify=True)
        try:
            _read_all(dataset)
            read.append(place)
        except ShardError as error:
            assert "unit0.arrow: " in str(error)
    assert 0 < len(read) < len(good) / 7 / 2
    assert verify(str(folder)).problems == [f"{path}: its sha256 is not the manifest's: a byte has changed"]
