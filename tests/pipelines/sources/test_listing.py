"""Files as units: their names, where they are, and what identifies their content."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.sources.listing import SourceError, file_units, full_uri


def section(root: object, **fields: Any) -> SourceSection:
    return SourceSection(name="s", kind="records", root=str(root), snapshot="x", **fields)


def test_a_root_with_the_scheme_of_files_is_that_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my data%"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "x%20y.jsonl").write_text("{}")
    plain = file_units(section(folder))
    for root in (f"file://{tmp_path}/my%20data%25", f"file://localhost{tmp_path}/my data%/"):
        units = file_units(section(root))
        assert [(unit.name, unit.uri, unit.identity) for unit in units] == [(u.name, u.uri, u.identity) for u in plain]
        assert files.read_text(full_uri(units[0])) == "{}"
    assert plain[0].uri == "b/x%20y.jsonl"


def test_a_change_that_keeps_size_and_time_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}')
    status = path.stat()
    (before,) = file_units(section(tmp_path))
    with path.open("r+") as stream:
        stream.write('{"text": "two"}')
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ino) == (15, status.st_mtime_ns, status.st_ino)
    (after,) = file_units(section(tmp_path))
    assert before.identity != after.identity == f"sha256:{files.sha256(str(path))}"


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    before = file_units(section(tmp_path))
    monkeypatch.setattr(files, "sha256", pytest.fail)
    assert file_units(section(tmp_path)) == before


def test_what_cannot_be_opened_names_the_source(tmp_path: Path) -> None:
    (tmp_path / "gone.jsonl").symlink_to("/nonexistent/file.jsonl")
    with pytest.raises(SourceError, match=rf"^source s: {tmp_path}/gone\.jsonl: is a link to /nonexistent/file\.jsonl, which "):
        file_units(section(tmp_path))
