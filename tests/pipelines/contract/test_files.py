"""A name that exists is complete: bytes reach the disk before they get their name, and a failure leaves nothing."""

import hashlib
import os
import re
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from disk import Disk

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.storage import stores

BYTES = b"abc" * 1000


def test_bytes_are_on_the_disk_before_the_file_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, target = Disk(monkeypatch), tmp_path / "folder" / "part.parquet"
    with files.writing(str(target)) as stream:
        stream.write(BYTES)
    assert disk.of(target) == [("fsync", 3000), ("rename", 3000)]
    assert (stream.bytes_written, stream.sha256) == (3000, hashlib.sha256(BYTES).hexdigest())
    assert target.read_bytes() == BYTES and os.listdir(target.parent) == ["part.parquet"]


def test_a_spilled_file_is_renamed_but_not_forced_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, target = Disk(monkeypatch), tmp_path / "00001.arrow"
    with files.replacing(str(target), fsync=False) as stream:
        stream.write(BYTES)
    assert disk.of(target) == [("rename", 3000)] and target.read_bytes() == BYTES


def test_names_of_a_folder_are_forced_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    files.flush_folder(tmp_path)
    assert [name for name, _ in disk.of(tmp_path)] == ["fsync"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "manifest.json"
    target.write_text("old")
    with pytest.raises(error), files.writing(str(target)) as stream:
        stream.write(b"half")
        assert len(os.listdir(tmp_path)) == 2
        raise error
    assert os.listdir(tmp_path) == ["manifest.json"] and target.read_text() == "old"


def test_what_a_killed_process_leaves_is_found_by_its_ending(tmp_path: Path) -> None:
    target = tmp_path / "part.parquet"
    names = {files.temporary_path(target) for _ in range(20)}
    assert len(names) == 20 and {path.parent for path in names} == {tmp_path}
    assert all(re.fullmatch(rf"\.part\.parquet\.{os.getpid()}\.[0-9a-f]{{8}}\.tmp", path.name) for path in names)
    left_over = names.pop()
    left_over.touch()
    assert files.listing(str(tmp_path), files.TEMPORARY) == [str(left_over)]
    assert files.temporary_path(target, ".old").name.endswith(".old")


def test_a_uri_is_local_without_a_scheme_or_with_that_of_files(tmp_path: Path) -> None:
    assert [files.is_local(uri) for uri in ("/a", "a:b", "file:///a", "gs://a", "s3://file://")] == [True] * 3 + [False] * 2
    assert (files.join("a/", "b", "c"), files.join("a"), files.join("gs://a//", "b")) == ("a/b/c", "a", "gs://a/b")
    (tmp_path / "x").write_bytes(BYTES)
    uri = f"file://{tmp_path}/x"
    assert (files.exists(uri), files.exists(f"{uri}y"), files.size(uri)) == (True, False, 3000)
    assert files.join("file:///my%20data", "a%20b") == "/my data/a%20b"
    with pytest.raises(
        UserError, match=r"^file://data/x: names a file of the machine 'data'; write file:///, then the whole path"
    ):
        files.local_path("file://data/x")
    with pytest.raises(UserError, match=r"^what://x: .*; name a local path, or an object of gs://, s3:// or abfs://$"):
        files.exists("what://x")


def test_a_local_folder_is_listed_by_ending(tmp_path: Path) -> None:
    for name in ("b/x.json", "a.json", "c.txt", "b/folder.json/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files.listing(str(tmp_path), ".json") == [f"{tmp_path}/a.json", f"{tmp_path}/b/x.json"]
    assert len(files.listing(str(tmp_path))) == 4
    assert files.listing(str(tmp_path / "nowhere")) == []


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the store gs://."""
    root = tmp_path / "store"
    root.mkdir()
    objects = pafs.SubTreeFileSystem(str(root), pafs.LocalFileSystem())
    monkeypatch.setattr(stores, "locate", lambda uri: (objects, uri.removeprefix("gs://")))
    return root


def test_an_object_of_a_store_is_written_read_listed_and_removed(store: Path, tmp_path: Path) -> None:
    (store / "b" / "folder.json").mkdir(parents=True)
    for name in ("b/y.json", "b/folder.json/x.json", "b/z"):
        with files.writing(f"gs://{name}") as stream:
            assert (stream.write(BYTES), stream.write(b"!"), stream.tell(), stream.bytes_written) == (3000, 1, 3001, 3001)
        assert stream.sha256 == hashlib.sha256(BYTES + b"!").hexdigest() == files.sha256(f"gs://{name}")
    assert (store / "b" / "y.json").read_bytes() == BYTES + b"!"
    assert files.size("gs://b/y.json") == 3001
    assert (files.exists("gs://b/z"), files.exists("gs://b"), files.exists("gs://b/nothing")) == (True, True, False)
    assert files.listing("gs://b", ".json") == ["gs://b/folder.json/x.json", "gs://b/y.json"]
    assert files.listing("gs://nowhere") == []
    files.copy("gs://b/y.json", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == BYTES + b"!"
    files.remove("gs://b/y.json")
    files.remove("gs://b/folder.json")
    files.remove("gs://b/nothing")
    assert os.listdir(store / "b") == ["z"]


def test_a_remote_file_is_copied_once_and_a_changed_one_is_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    (store / "x").write_bytes(BYTES)
    digest = hashlib.sha256(BYTES).hexdigest()
    path = files.local_copy("gs://x", digest)
    assert path == str(tmp_path / "cache" / "copies" / digest) and Path(path).read_bytes() == BYTES
    (store / "x").unlink()
    assert files.local_copy("gs://x", digest) == path  # it is not fetched again
    (tmp_path / "here").write_bytes(BYTES)
    assert files.local_copy(f"file://{tmp_path}/here", digest) == str(tmp_path / "here")
    with pytest.raises(UserError, match=r"here: its content has changed since it was recorded \(sha256 0f\); restore it$"):
        files.local_copy(str(tmp_path / "here"), "0f")


def test_a_file_a_link_or_a_folder_is_removed_and_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "file").touch()
    for name in ("folder", "file", "nothing", "link"):
        files.remove(str(tmp_path / name))
    assert os.listdir(tmp_path) == ["kept"]


def test_what_pyarrow_asks_of_a_stream(tmp_path: Path) -> None:
    with files.writing(str(tmp_path / "x")) as stream:
        assert (stream.readable(), stream.writable(), stream.seekable(), stream.closed) == (False, True, False, False)
        stream.write(b"abc")
        stream.flush()
        assert [path.stat().st_size for path in tmp_path.iterdir()] == [3]
        stream.close()
        assert stream.closed
