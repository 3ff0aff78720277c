"""A name that exists is complete: bytes reach the disk before they get their name, and a failure leaves nothing."""

import hashlib
import os
import re
from pathlib import Path

import pytest
from disk import Disk

from pipelines.contract import files

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
