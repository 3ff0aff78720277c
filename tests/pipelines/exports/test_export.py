"""One entry for all formats: what it refuses, what it says of itself, and that the same dataset gives the same bytes."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.contract import files, manifest
from pipelines.contract.manifest import DatasetError
from pipelines.contract.shards import ShardError
from pipelines.exports.export import FORMATS, Format, export
from pipelines.exports.streams import ExportError

WITHOUT_LOADING: list[Format] = ["huggingface", "megatron", "mds"]  # nanogpt reads the tokenizer's pieces


def content(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize("format", WITHOUT_LOADING)
def test_an_export_says_what_it_is_and_is_the_same_twice(tokens: str, tmp_path: Path, format: Format) -> None:
    report = export(tokens, None, format, str(tmp_path / "one"))
    export(tokens, None, format, str(tmp_path / "two"))
    found = content(tmp_path / "one")
    assert found == content(tmp_path / "two")
    made = manifest.read(tokens)
    said = json.loads((tmp_path / "one" / "corpusmill.json").read_text())
    assert said["tokens"] == {"dataset": "tokens/test", "fingerprint": made.fingerprint}
    assert said["tokenizer"] == made.facts["tokenizer"]
    assert said["splits"] == made.facts["tokens"]
    assert {file["path"]: file["sha256"] for file in said["files"]} | {"corpusmill.json": found["corpusmill.json"]} == found
    assert found["tokenizer.model"] == made.facts["tokenizer"]["sha256"]
    assert report.splits["train"] == {"rows": 8, "tokens": 3 + 3 + 1 + 2 + 300 + 1 + 2, "utf8_bytes": 3 * 312}
    assert report.bytes == sum((tmp_path / "one" / file["path"]).stat().st_size for file in said["files"])


def test_splits_are_chosen(tokens: str, tmp_path: Path) -> None:
    report = export(tokens, None, "megatron", str(tmp_path / "out"), ["validation"])
    assert list(report.splits) == ["validation"]
    assert sorted(content(tmp_path / "out")) == [
        "corpusmill.json", "tokenizer.model", "validation/wiki.bin", "validation/wiki.idx"]  # fmt: skip
    with pytest.raises(DatasetError, match=r"the split 'test' is empty; the dataset has \['train', 'validation'\]"):
        export(tokens, None, "megatron", str(tmp_path / "more"), ["test"])


def test_a_folder_that_is_not_empty_is_refused(tokens: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    export(tokens, None, "mds", str(tmp_path / "empty"))
    before = content(tmp_path)
    for out in (tmp_path / "empty", tmp_path / "empty" / "corpusmill.json"):
        with pytest.raises(ExportError, match="is not empty; name a new folder"):
            export(tokens, None, "mds", str(out))
    assert content(tmp_path) == before


@pytest.mark.parametrize("format", WITHOUT_LOADING)
def test_tokens_of_a_store_are_exported_into_a_store(
    s3, tokens: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Format
) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    bucket = s3.make(f"exports-{format}")
    for path in Path(tokens).rglob("*"):
        if path.is_file():
            files.copy(str(path), files.join(bucket, "my tokens", path.relative_to(tokens).as_posix()))
    export(tokens, None, format, str(tmp_path / "here"))
    out = f"{bucket}/an export/{format}"
    report = export(f"{bucket}/my tokens", None, format, out)
    stored = {uri.removeprefix(f"{out}/"): files.sha256(uri) for uri in files.listing(out)}
    assert (report.out, stored) == (out, content(tmp_path / "here"))
    with pytest.raises(ExportError, match=rf"^{out}: is not empty; name a new folder"):
        export(tokens, None, format, out)
    assert [path.name for path in (tmp_path / "cache" / "exports").iterdir()] == []
    shards = sorted(path.name for path in (tmp_path / "cache" / "copies").iterdir())
    assert shards == sorted(part.sha256 for part in manifest.read(tokens).parts if part.path.endswith(".arrow"))


def test_what_does_not_fit_is_named(tokens: str, write_tokens: Callable[..., Path], tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(ExportError, match=r"format 'webdataset': the formats are huggingface, megatron, mds, nanogpt"):
        export(tokens, None, "webdataset", out)  # pyright: ignore[reportArgumentType]
    without_end = str(write_tokens(tmp_path / "without_end", special_ids={}))
    for format in ("megatron", "nanogpt"):
        with pytest.raises(ExportError, match=rf'without_end: {format} needs <\|endoftext\|> .* add "gpt" to the families'):
            export(without_end, None, format, out)
    large = str(write_tokens(tmp_path / "large", size=70_000))
    with pytest.raises(
        ExportError, match=r"nanoGPT reads uint16, but the vocabulary has 70,000 pieces; use one of at most 65,536"
    ):
        export(large, None, "nanogpt", out)
    assert not Path(out).exists()


@pytest.mark.parametrize("format", FORMATS)
def test_a_damaged_dataset_leaves_nothing_behind(write_tokens: Callable[..., Path], tmp_path: Path, format: Format) -> None:
    folder = write_tokens(tmp_path / "tokens")
    shard = folder / "tokens/train/wiki/en/unit0.arrow"
    good = shard.read_bytes()
    shard.write_bytes(good.replace(bytes([11, 0, 12, 0]), bytes([11, 0, 13, 0])))
    with pytest.raises(ShardError, match=r"wiki/en/unit0\.arrow: its sha256 is not the manifest's"):
        export(str(folder), None, format, str(tmp_path / "out"))
    shard.write_bytes(good)
    (folder / "tokenizer.model").write_bytes(b"another")
    with pytest.raises(DatasetError, match=r"tokenizer\.model: not the tokenizer that the manifest names"):
        export(str(folder), None, format, str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]


def test_an_id_outside_the_vocabulary_is_refused(write_tokens: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_tokens(tmp_path / "tokens", size=12)
    with pytest.raises(ShardError, match=r"books/en/unit1\.arrow: has the id 40, but the vocabulary has 12 pieces"):
        export(str(folder), None, "huggingface", str(tmp_path / "out"))
