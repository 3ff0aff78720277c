"""Files as units: their names, where they are, and what identifies their content."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.sources import listing
from pipelines.sources.kinds import KINDS
from pipelines.sources.listing import SourceError, full_uri, inventory
from pipelines.units.descriptor import Unit


def section(root: object, **fields: Any) -> SourceSection:
    return SourceSection.model_validate({"name": "s", "kind": "records", "root": str(root), "snapshot": "x"} | fields)


def file_units(chosen: SourceSection) -> list[Unit]:
    return listing.units(chosen, KINDS[chosen.kind].names)


def write(folder: Path, *names: str, data: bytes = b"x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


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


# --- files that nothing reads -----------------------------------------------------------------------------------------

READ = {
    "wikipedia": "a.xml A.XML a.xml.bz2 a.xml-p1p41.bz2 a-pages-articles.BZ2 a.xz a.xml-p1p2.gz a.xml.zst",
    "books": "a.txt a.TXT.GZ a.text a.htm a.html a.xhtml a.xml.gz a.txt.bz2",
    "common_crawl": "a.warc a.WARC a.warc.gz a.warc.wet.gz a.wet a.Warc.Gz a.warc.zst a.warc.bz2 a.arc a.arc.gz a.ARC.GZ",
    "records": "a.jsonl a.JSONL a.ndjson a.json a.jsonl.gz b.jsonl.GZ a.json.zst a.ndjson.zstd a.jsonl.bz2 a.jsonl.xz b.PARQUET",
}
UNREAD = {
    "wikipedia": "README a.xml.7z a.xml.bz2.md5 a-index.txt.bz2 a-index.txt-p1p41.bz2 a.sql.gz a.json.gz a.tar.gz a.xml-rss.html",
    "books": "a a.epub a.pdf a.txt~ a.txt.part a.doc a.gz",
    "common_crawl": "a.warc.open a.wat.gz a.warc.wat.gz a.cdx a.warc.7z a.txt",
    "records": "a.csv a.jl a.json.lz4 a.parquet.gz a.7z _metadata a.jsonl.gz.tmp",
}


@pytest.mark.parametrize("kind", READ)
def test_every_file_is_read_or_named(tmp_path: Path, kind: str) -> None:
    write(tmp_path, *READ[kind].split(), *UNREAD[kind].split())
    found = inventory(section(tmp_path, kind=kind), KINDS[kind].names)
    assert [file.path for file in found.read] == sorted(READ[kind].split())
    assert [file.path for file in found.unread] == sorted(UNREAD[kind].split())


def test_a_file_that_nothing_reads_stops_the_build_and_the_message_says_what_is_read(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", *(f"b{n}.csv" for n in range(7)))
    with pytest.raises(SourceError) as error:
        file_units(section(tmp_path))
    assert str(error.value) == (
        f"source s: 7 of the 8 files below {tmp_path} that match sources.paths have names that the kind 'records' does not read"
        " (b0.csv, b1.csv, b2.csv, b3.csv, b4.csv, …); it reads"
        f" {KINDS['records'].names.shown}: convert them, narrow sources.paths, or count them as skipped with"
        ' sources.unread_files = "skip"'
    )
    assert [unit.uri for unit in file_units(section(tmp_path, paths=["*.jsonl"]))] == ["a.jsonl"]


def test_wat_files_and_open_ones_are_named_for_what_they_are(tmp_path: Path) -> None:
    write(tmp_path, "a.warc.gz", "b.warc.wat.gz", "c.warc.open")
    with pytest.raises(SourceError) as error:
        file_units(section(tmp_path, kind="common_crawl"))
    assert str(error.value).endswith(
        "; a WAT file describes pages and holds no text of theirs: fetch the .warc or .wet file beside it; a file that ends in"
        " .open is still being written by its crawler"
    )


def test_skipped_files_are_counted_in_one_unit_that_knows_their_names(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", data=b"{}\n")
    write(tmp_path, "b.csv", "c/d.csv")
    write(tmp_path, "_SUCCESS", "part-0.jsonl", data=b"")
    chosen = section(tmp_path, unread_files="skip")
    read, counted = file_units(chosen)
    assert (read.uri, counted.uri, counted.bytes) == ("a.jsonl", "b.csv", 0)
    (batch,) = KINDS["records"].read(chosen, counted)
    assert (batch.ledger.skipped, batch.ledger.bytes_read) == ({"file_type": 2, "empty_file": 2}, 0)
    write(tmp_path, "b.csv", data=b"other bytes, which nothing reads")
    assert file_units(chosen) == [read, counted]
    write(tmp_path, "e.csv")
    changed = file_units(chosen)[1]
    assert changed.name == counted.name and changed.identity != counted.identity


def test_an_empty_shard_of_lines_is_no_document_and_other_empty_files_stop(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", "_SUCCESS", data=b"")
    (unit,) = file_units(section(tmp_path))
    assert unit.parameters == {"not_read": {"empty_file": 2}}
    for name in ("b.jsonl.gz", "b.parquet"):
        write(tmp_path, name, data=b"")
        with pytest.raises(SourceError, match=rf"/{name} is empty; remove it or fetch it again$"):
            file_units(section(tmp_path))
        (tmp_path / name).unlink()


def test_hidden_names_that_would_be_read_are_known(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", "._a.jsonl", ".DS_Store", "x/.b.parquet")
    assert inventory(section(tmp_path), KINDS["records"].names).hidden == ["._a.jsonl", "x/.b.parquet"]
