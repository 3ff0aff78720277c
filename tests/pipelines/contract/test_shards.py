"""Token shards: what a manifest says of them, and what is refused before a byte is read outside its array."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.contract import files, schema, shards
from pipelines.contract.manifest import DatasetError, Manifest, Part
from pipelines.contract.shards import ShardError, ShardRun

TABLE = "tokens/train/books/en"


def part(table: str, path: str = "", rows: int = 1) -> Part:
    return Part(table=table, unit="u", path=path or f"{table}/u.arrow", rows=rows, bytes=0, sha256="")


def described(*parts: Part, **facts: Any) -> Manifest:
    return Manifest(dataset="tokens/t", fingerprint="", made_from={}, parts=parts, facts=facts)


def test_a_run_counts_its_documents_and_their_ends() -> None:
    run = ShardRun("p", np.arange(9), np.array([2, 5, 5, 8], np.int32), ids=np.arange(48, dtype=np.uint8).reshape(3, 16))
    assert (run.documents, run.joined, run.first) == (3, 9, 0)  # 6 tokens, and an end after each document
    assert run.document(1) == bytes(range(16, 32))
    assert (run.ids.shape, run.utf8_bytes.shape, run.sentences.shape, run.sentence_offsets.tolist()) == ((3, 16), (0,), (0,), [0])
    assert ShardRun("p", np.arange(0), np.zeros(1, np.int32)).ids.shape == (0, 16)


def test_splits_sources_and_streams_are_in_order() -> None:
    made = described(
        part("tokens/validation/wiki/en"),
        part("tokens/train/wiki/en", "b"),
        part("tokens/train/wiki/en", "a"),
        part("tokens/train/wiki/de", "c"),
        part("tokens/train/books/en"),
        part("tokens/train/empty/en", rows=0),
        part("tokens/trained/other/en"),
        part("tokenizer", "tokenizer.model"),
    )
    assert shards.splits(made) == ["train", "trained", "validation"]
    assert shards.sources(made, "train") == ["books", "empty", "wiki"][::2]
    assert shards.sources(made, "test") == []
    assert [found.path for found in shards.stream(made, "train", "wiki")] == ["c", "a", "b"]
    shards.check_source("D", made, "train", "wiki")
    with pytest.raises(
        DatasetError, match=r"^D: the split 'train' has no documents of a source 'empty'; it has \['books', 'wiki'\]$"
    ):
        shards.check_source("D", made, "train", "empty")
    with pytest.raises(DatasetError, match=r"^D: the split 'x' is empty; the dataset has \['train', 'trained', 'validation'\]$"):
        shards.check_source("D", made, "x", "wiki")
    with pytest.raises(DatasetError, match=r"^D: the split 'train' is empty; the dataset has no documents$"):
        shards.check_source("D", described(), "train", "wiki")


def test_a_dataset_is_found_by_its_folder_its_manifest_or_its_build(tmp_path: Path) -> None:
    uri, release = str(tmp_path), tmp_path / "release.json"
    with pytest.raises(DatasetError, match=r"there is neither manifest\.json nor release\.json"):
        shards.find(uri)
    release.write_text(json.dumps({"tokens": {"gpt": "tokens/gpt/1"}}))
    assert shards.find(uri) == shards.find(f"{uri}/") == shards.find(uri, "gpt") == f"{uri}/tokens/gpt/1"
    with pytest.raises(DatasetError, match=r"the name given is 'bert'; its tokens datasets are \['gpt'\]$"):
        shards.find(uri, "bert")
    release.write_text(json.dumps({"tokens": {"gpt": "tokens/gpt/1", "bert": "tokens/bert/2"}}))
    assert shards.find(uri, "bert") == f"{uri}/tokens/bert/2"
    with pytest.raises(DatasetError, match=r"the name given is None; its tokens datasets are \['bert', 'gpt'\]$"):
        shards.find(uri)
    for content in ("{}", "[]", '{"tokens": 3}', "{"):
        release.write_text(content)
        with pytest.raises(DatasetError, match=r"release\.json: does not name tokens datasets; build the corpus again"):
            shards.find(uri)
    (tmp_path / "manifest.json").touch()
    assert shards.find(uri) == shards.find(f"{uri}/") == shards.find(f"{uri}/manifest.json") == uri
    assert shards.find("D/other.json") == "D/other.json"


def lists(values: Any, offsets: list[int], nulls: list[int] | None = None) -> pa.Array:
    """A list column of these buffers, right or wrong."""
    item = pa.array(values) if nulls is None else pa.array(values, mask=np.isin(np.arange(len(values)), nulls))
    kind = pa.list_(pa.field("item", item.type, nullable=False))
    buffer = np.zeros(len(offsets), np.int32)
    column = pa.Array.from_buffers(kind, len(offsets) - 1, [None, pa.py_buffer(buffer)], children=[item])
    buffer[:] = offsets  # after pyarrow has checked them
    return column


def written(folder: Path, *batches: dict[str, pa.Array], rows: int, size: int = 300) -> tuple[Manifest, Part]:
    """A part of these columns (those that are not given hold three documents), and a manifest that has it."""
    wanted, path = schema.tokens(size), folder / "u.arrow"
    width = np.uint16 if size <= 2**16 else np.uint32
    whole = {
        "tokens": lists(np.arange(6, dtype=width), [0, 3, 3, 6]),
        "sentence_starts": lists(np.zeros(3, np.uint32), [0, 1, 2, 3]),
        "utf8_bytes": pa.array([9, 0, 8], pa.uint32()),
        "id": pa.array([bytes([n] * 16) for n in range(3)], pa.binary(16)),
    }
    with pa.ipc.new_file(str(path), wanted) as writer:
        for columns in batches:
            writer.write_batch(pa.RecordBatch.from_arrays([(whole | columns)[name] for name in wanted.names], schema=wanted))
    made = Part(table=TABLE, unit="u", path="u.arrow", rows=rows, bytes=path.stat().st_size, sha256=files.sha256(str(path)))
    counts = {"rows": rows, "tokens": 2 * rows, "utf8_bytes": 17 * rows // 3}
    return described(made, tokenizer={"size": size}, tokens={"train": {"books": {"en": counts}}}), made


@pytest.mark.parametrize("size", [2**16, 2**16 + 1])
def test_a_part_is_mapped_run_by_run(tmp_path: Path, size: int) -> None:
    made, one = written(tmp_path, {}, {}, rows=6, size=size)
    runs = shards.open_part(str(tmp_path), made, one)
    assert [(run.source, run.language, run.first, run.documents) for run in runs] == [
        ("books", "en", 0, 3),
        ("books", "en", 3, 3),
    ]
    for run in runs:
        assert run.tokens.dtype == (np.uint16 if size == 2**16 else np.uint32)
        assert (run.tokens.tolist(), run.offsets.tolist()) == ([0, 1, 2, 3, 4, 5], [0, 3, 3, 6])
        assert (run.sentences.tolist(), run.sentence_offsets.tolist()) == ([0, 0, 0], [0, 1, 2, 3])
        assert (run.utf8_bytes.tolist(), run.ids[2].tolist()) == ([9, 0, 8], [2] * 16)
    assert [run.first for run in shards.open_stream(str(tmp_path), made, "train", "books", verify=True)] == [0, 3]


WRONG = {
    "offsets that descend": ({"tokens": lists(np.arange(6, dtype=np.uint16), [0, 4, 3, 6])}, "tokens do not ascend within its 6"),
    "sentences' offsets that descend": (
        {"sentence_starts": lists(np.zeros(3, np.uint32), [0, 2, 1, 3])},
        "sentence_starts do not",
    ),
    "a null among the tokens": ({"tokens": lists(np.arange(6, dtype=np.uint16), [0, 3, 3, 6], [1])}, "column tokens has nulls"),
    "a null among the documents": ({"utf8_bytes": pa.array([9, None, 8], pa.uint32())}, "it has nulls"),
}


@pytest.mark.parametrize("case", WRONG)
def test_columns_that_cannot_be_read_safely_are_refused(tmp_path: Path, case: str) -> None:
    columns, message = WRONG[case]
    made, one = written(tmp_path, {}, columns, rows=6)
    with pytest.raises(ShardError, match=rf"u\.arrow: is not an Arrow file of tokens, or is damaged; .*{message}"):
        shards.open_part(str(tmp_path), made, one)


@pytest.mark.parametrize("difference", [-1, 1])
def test_counts_of_a_manifest_are_compared_both_ways(tmp_path: Path, difference: int) -> None:
    uri = str(tmp_path)
    made, one = written(tmp_path, {}, rows=3)
    other = one.model_copy(update={"rows": 3 + difference})
    with pytest.raises(ShardError, match=rf"u\.arrow: has 3 documents, the manifest says {3 + difference}; it is another file"):
        shards.open_part(uri, made, other)
    other = one.model_copy(update={"bytes": one.bytes + difference})
    with pytest.raises(
        ShardError, match=rf"u\.arrow: has {one.bytes:,} bytes, the manifest says {one.bytes + difference:,}; it is"
    ):
        shards.open_part(uri, made, other)
    for name in ("rows", "tokens", "utf8_bytes"):
        stated = {"rows": 3, "tokens": 6, "utf8_bytes": 17}
        stated[name] += difference
        made.facts["tokens"] = {"train": {"books": {"en": stated}}}
        with pytest.raises(ShardError, match=r"u\.arrow: holds {'rows': 3, 'tokens': 6, 'utf8_bytes': 17}, the manifest says"):
            shards.open_stream(uri, made, "train", "books")


def test_a_language_that_only_the_parts_or_only_the_facts_have_is_refused(tmp_path: Path) -> None:
    made, _ = written(tmp_path, {}, rows=3)
    counts = made.facts["tokens"]["train"]["books"]["en"]
    made.facts["tokens"] = {"train": {"books": {"en": counts, "de": {"rows": 1, "tokens": 1, "utf8_bytes": 1}}}}
    with pytest.raises(ShardError, match=r"tokens/train/books/de: holds {'rows': 0, 'tokens': 0, 'utf8_bytes': 0}, the"):
        shards.open_stream(str(tmp_path), made, "train", "books")
    made.facts["tokens"] = {}
    with pytest.raises(ShardError, match=r"u\.arrow: holds {'rows': 3, .*, the manifest says None"):
        shards.open_stream(str(tmp_path), made, "train", "books")


def test_an_empty_record_batch_is_no_run(tmp_path: Path) -> None:
    empty = {
        name: array.slice(0, 0)
        for name, array in {"utf8_bytes": pa.array([1], pa.uint32()), "id": pa.array([b"x" * 16], pa.binary(16))}.items()
    }
    empty |= {"tokens": lists(np.zeros(0, np.uint16), [0]), "sentence_starts": lists(np.zeros(0, np.uint32), [0])}
    made, _ = written(tmp_path, empty, {}, rows=3)
    assert [run.documents for run in shards.open_stream(str(tmp_path), made, "train", "books")] == [3]


def test_a_shard_of_a_store_is_copied_once_and_checked(s3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    bucket, copies = s3.make("shards"), tmp_path / "cache" / "copies"
    made, _ = written(tmp_path, {}, rows=3)
    path, uri = tmp_path / "u.arrow", f"{bucket}/u.arrow"
    with pytest.raises(ShardError, match=rf"^{uri}: the manifest lists this shard, but there is no such file"):
        shards.open_stream(bucket, made, "train", "books")
    content = path.read_bytes()
    truncated, changed = content[:-1], content[:-1] + b"?"
    for wrong, message in ((truncated, r"has [\d,]+ bytes, the manifest says"), (changed, "its sha256 is not the manifest's")):
        (tmp_path / "wrong").write_bytes(wrong)
        files.copy(str(tmp_path / "wrong"), uri)
        with pytest.raises(ShardError, match=f"^{uri}: {message}"):
            shards.open_stream(bucket, made, "train", "books")
    assert not any(file.is_file() and not file.name.endswith(".lock") for file in copies.iterdir())
    files.copy(str(path), uri)
    here = shards.open_stream(str(tmp_path), made, "train", "books")
    for _ in range(2):
        there = shards.open_stream(bucket, made, "train", "books")
        assert [run.tokens.tolist() for run in there] == [run.tokens.tolist() for run in here]
        assert [run.path for run in there] == [uri] * len(here)
        files.remove(uri)  # it is not needed again
    assert [file.name for file in copies.iterdir()] == [hashlib.sha256(content).hexdigest()]


@pytest.mark.parametrize("offsets", [[-1, 3, 3, 6], [0, 3, 3, 7], [0, 4, 3, 6]])
def test_offsets_are_checked_without_pyarrow_too(offsets: list[int]) -> None:
    """pyarrow refuses the first two when a batch is validated; no array is read outside even if it did not."""
    column = lists(np.arange(6, dtype=np.uint16), offsets)
    with pytest.raises(pa.ArrowInvalid, match="the offsets of column tokens do not ascend within its 6 values"):
        shards._list({"tokens": column}, "tokens")  # type: ignore[arg-type]
    values, edges = shards._list({"tokens": lists(np.arange(6, dtype=np.uint16), [0, 2, 2, 6])}, "tokens")  # type: ignore[arg-type]
    assert (values.tolist(), edges.tolist()) == ([0, 1, 2, 3, 4, 5], [0, 2, 2, 6])


def test_a_changed_token_is_found_only_where_hashes_are_compared(tmp_path: Path) -> None:
    uri = str(tmp_path)
    made, one = written(tmp_path, {}, rows=3)
    content = bytearray((tmp_path / "u.arrow").read_bytes())
    place = content.index(np.arange(6, dtype=np.uint16).tobytes())
    content[place] = 7
    (tmp_path / "u.arrow").write_bytes(content)
    for runs in (shards.open_part(uri, made, one), shards.open_stream(uri, made, "train", "books")):
        assert runs[0].tokens.tolist() == [7, 1, 2, 3, 4, 5]
    assert len(list(shards.runs_of(uri, made, "train", "books"))) == 1
    for verified in (
        lambda: shards.open_part(uri, made, one, verify=True),
        lambda: shards.open_stream(uri, made, "train", "books", verify=True),
    ):
        with pytest.raises(ShardError, match=r"u\.arrow: its sha256 is not the manifest's"):
            verified()
