"""Patterns choose files, and stop for what they name and cannot be opened, but for nothing else."""

import os
from pathlib import Path

import pytest
from rights import as_any_user

from pipelines.sources.patterns import PathError, chosen, matching, may_hold


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("**/*", ["a.txt", "x/a.txt", "x/y/a.txt"]),
        ("**", ["a.txt", "x/a.txt", "x/y/a.txt"]),
        ("*", ["a.txt"]),
        ("**/a.txt", ["a.txt", "x/a.txt", "x/y/a.txt"]),
        ("x/**", ["x/a.txt", "x/y/a.txt"]),
        ("x/**/a.txt", ["x/a.txt", "x/y/a.txt"]),
        ("x/*", ["x/a.txt"]),
        ("*/*", ["x/a.txt"]),
        ("x?a.txt", []),
        ("x[/]a.txt", []),
        ("x[!b]a.txt", []),
        ("A.txt", []),
        ("?.txt", ["a.txt"]),
    ],
)
def test_stars_marks_and_brackets_know_folders(pattern: str, wanted: list[str]) -> None:
    assert matching(["a.txt", "x/a.txt", "x/y/a.txt"], pattern) == wanted


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("a\nb", "*"),
        ("a\nb", "a?b"),
        ("a[1]", "a[[]1]"),
        ("a[1]", r"a\[1\]"),
        ("a1", "a[1]"),
        ("b", "[!a]"),
        ("b", "[^a]"),
        ("[", "["),
        ("]", "[]]"),
        (".hidden/a", "**/a"),
        (".hidden", "*"),
        ("a\udcff", "a?"),  # a name that is not UTF-8, as Python holds it
        ("a{1,2}|@(b)~!", "a{1,2}|@(b)~!"),
        ("!a", "!a"),
        ("a\\b", r"a\\b"),
        ("gs://bucket/x/a", "gs://bucket/**/a"),
        ("gs://bucket/a", "gs://bucket/**/a"),
    ],
)
def test_unusual_names_are_matched(name: str, pattern: str) -> None:
    assert matching([name], pattern) == [name]


@pytest.mark.parametrize(
    ("folder", "pattern", "held"),
    [
        ("x", "*.txt", False),
        ("x", "*/*.txt", True),
        ("x/y", "*/*.txt", False),
        ("x/y", "x/**", True),
        ("z", "x/**", False),
        ("x/y/z", "**/a.txt", True),
        ("x/y/z", "x/**/a.txt", True),
        ("x/y/z", "?/y/[!a]/*", True),
        (".cache", "*/a", True),
        ("a[1]", "a[[]1]/*", True),
    ],
)
def test_a_folder_may_hold_files_of_a_pattern(folder: str, pattern: str, held: bool) -> None:
    assert may_hold(folder, pattern) == held


def found(root: Path, *patterns: str) -> list[list[str]]:
    return [[file.path for file in files] for files in chosen(str(root), patterns).by_pattern.values()]


def test_files_are_chosen_by_pattern_and_hidden_ones_only_by_their_dot(tmp_path: Path) -> None:
    for name in ("a.txt", "._a.txt", "x/b.txt", ".y/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path, "**/*.txt", "*.txt", "*.jsonl", ".*") == [[".y/c.txt", "a.txt", "x/b.txt"], ["a.txt"], [], ["._a.txt"]]
    choice = chosen(str(tmp_path), ["**/*.txt", "*.txt"])
    assert ([file.path for file in choice.files], choice.hidden) == ([".y/c.txt", "a.txt", "x/b.txt"], ["._a.txt"])


def test_what_a_build_has_written_is_chosen_only_by_its_path(tmp_path: Path) -> None:
    for name in ("a.txt", "x/out/corpusmill.json", "x/out/b.txt", "x/out/y/c.txt", "x/outer.txt", "corpusmill.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    choice = chosen(str(tmp_path), ["**/*.txt", "x/*.txt"])
    assert [file.path for file in choice.files] == ["a.txt", "x/outer.txt"]
    assert choice.outputs == ["x/out/"]
    choice = chosen(str(tmp_path), ["*.txt", "x/out/**/*.txt"])
    assert ([file.path for file in choice.files], choice.outputs) == (["a.txt", "x/out/b.txt", "x/out/y/c.txt"], [])
    assert chosen(str(tmp_path / "x/out"), ["**/*.txt"]).outputs == []


def test_a_link_to_nothing_stops_where_a_file_or_a_folder_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").touch()
    (tmp_path / "gone").symlink_to("/nonexistent/disk")
    (tmp_path / ".#x.jsonl").symlink_to("me@host.1234")  # an editor's lock
    os.mkfifo(tmp_path / "pipe")
    assert found(tmp_path, "*.jsonl") == [["x.jsonl"]]
    said = rf"^{tmp_path}/gone: is a link to /nonexistent/disk, which does not exist; restore that file or folder, or remove"
    for pattern in ("*/*.jsonl", "**/*.jsonl", "g*"):
        with pytest.raises(PathError, match=said):
            chosen(str(tmp_path), ["*.jsonl", pattern])
    with pytest.raises(PathError, match=r"/pipe: is neither a file nor a folder; remove it, or leave it out$"):
        chosen(str(tmp_path), ["p*"])


def test_a_name_that_is_not_utf8_is_shown_where_it_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").touch()
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jsonl", "w"):
        pass
    assert found(tmp_path, "x*") == [["x.jsonl"]]
    with pytest.raises(PathError) as error:
        chosen(str(tmp_path), ["**/*.jsonl"])
    assert str(error.value) == (
        f"{tmp_path}/caf\\xe9.jsonl: its name is not UTF-8 (a byte of it is shown as \\x…), so no id can name it; rename it, or"
        " leave it out of the patterns"
    )


def test_a_folder_without_permission_stops_where_files_in_it_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir(mode=0)
    (tmp_path / "x.jsonl").touch()
    with as_any_user():
        assert found(tmp_path, "*.jsonl") == [["x.jsonl"]]
        with pytest.raises(PermissionError, match=r"lost\+found/'$"):
            chosen(str(tmp_path), ["**/*.jsonl"])
