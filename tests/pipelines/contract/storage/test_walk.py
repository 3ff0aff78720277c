"""A walk misses nothing: links are followed, circles end, and what cannot be listed or opened is named."""

import os
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from rights import as_any_user

from pipelines.contract import files
from pipelines.contract.storage import walk


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def paths(folder: Path) -> list[str]:
    return sorted(found.path for found in walk.local(str(folder)))


def test_linked_folders_and_files_belong_to_the_folder_that_holds_the_link(tmp_path: Path) -> None:
    make(tmp_path, "in/a/x", "elsewhere/y", "elsewhere/deep/z")
    (tmp_path / "in" / "b").symlink_to("../elsewhere")
    (tmp_path / "in" / "a" / "c").symlink_to(tmp_path / "elsewhere" / "deep", target_is_directory=True)
    (tmp_path / "in" / "file").symlink_to("../elsewhere/y")
    assert paths(tmp_path / "in") == ["a/c/z", "a/x", "b/deep/z", "b/y", "file"]
    (tmp_path / "root").symlink_to("in")
    assert len(paths(tmp_path / "root")) == 5
    assert sorted(f.path for f in walk.local(str(tmp_path / "in"), links=False)) == ["a/x", "file"]


def test_circles_of_links_end(tmp_path: Path) -> None:
    make(tmp_path, "in/a/x", "in/b/y")
    (tmp_path / "in" / "a" / "up").symlink_to("..")
    (tmp_path / "in" / "a" / "over").symlink_to("../b")
    (tmp_path / "in" / "b" / "over").symlink_to("../a")
    (tmp_path / "in" / "b" / "here").symlink_to(".")
    assert paths(tmp_path / "in") == ["a/over/y", "a/x", "b/over/x", "b/y"]


def test_names_that_cannot_be_opened_as_files_are_yielded_with_their_problem(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("/nonexistent/file")
    (tmp_path / "self").symlink_to("self")
    os.mkfifo(tmp_path / "pipe")
    found = {each.path: (each.problem, each.may_be_folder) for each in walk.local(str(tmp_path))}
    assert found == {
        "gone": (
            "is a link to /nonexistent/file, which does not exist; restore that file or folder, or remove the link",
            True,
        ),
        "self": ("too many levels of symbolic links; correct its link or its permissions, or remove it", True),
        "pipe": ("is neither a file nor a folder; remove it, or leave it out", False),
    }


def test_a_folder_without_permission_stops_the_walk_unless_nothing_in_it_is_wanted(tmp_path: Path) -> None:
    make(tmp_path, "a/x", "b/y")
    (tmp_path / "b").chmod(0)
    try:
        with as_any_user():
            with pytest.raises(PermissionError) as refused:
                paths(tmp_path)
            assert [f.path for f in walk.local(str(tmp_path), lambda folder: folder != "b")] == ["a/x"]
            (tmp_path / "b").chmod(0o400)  # names, but nothing about them
            problems = [f.problem for f in walk.local(str(tmp_path / "b"))]
    finally:
        (tmp_path / "b").chmod(0o700)
    assert refused.value.filename == f"{tmp_path}/b/"
    assert problems == ["permission denied; correct its link or its permissions, or remove it"]


def test_size_and_stamp_are_those_of_the_file_behind_a_link(tmp_path: Path) -> None:
    make(tmp_path, "x", "in/y")
    (tmp_path / "in" / "link").symlink_to("../x")
    found = {each.path: each for each in walk.local(str(tmp_path / "in"))}
    status = (tmp_path / "x").stat()
    assert found["link"].bytes == 1
    assert found["link"].stamp == (1, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def test_keys_of_a_store_are_taken_as_they_are(tmp_path: Path) -> None:
    make(tmp_path, "b/a%20b/c d#e?f", "b/x", "bb/y")
    store = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    found = {each.path: each.bytes for each in walk.store(store, "b")}
    assert found == {"a%20b/c d#e?f": len("b/a%20b/c d#e?f"), "x": 3}
    assert [each.path for each in walk.store(store, "b/", lambda _: False)] == ["x"]
    assert list(walk.store(store, "nothing")) == []


def test_a_listing_stops_for_a_name_with_its_ending_that_is_no_file(tmp_path: Path) -> None:
    make(tmp_path, "a.json")
    (tmp_path / "b.txt").symlink_to("nothing")
    assert files.listing(str(tmp_path), ".json") == [f"{tmp_path}/a.json"]
    with pytest.raises(files.UserError, match=rf"^{tmp_path}/b\.txt: is a link to nothing, which does not exist; "):
        files.listing(str(tmp_path))
