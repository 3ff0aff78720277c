"""Files as units: their names, where they are, and what identifies their content."""

import gzip
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.ledger import add
from pipelines.sources import listing
from pipelines.sources.hashes import Hashes
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


def test_a_root_that_is_a_file_is_named_with_the_fix(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl")
    with pytest.raises(SourceError, match=r"a\.jsonl is a file; name its folder in sources\.root and the file in sources\.paths"):
        file_units(section(tmp_path / "a.jsonl"))


def test_a_source_has_a_pattern(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="paths"):
        section(tmp_path, paths=[])


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
    write(tmp_path, "a.jsonl", "x/b.jsonl", data=b"{}")
    before = file_units(section(tmp_path, paths=["x/*"])) + file_units(section(tmp_path, paths=["*"]))
    monkeypatch.setattr(files, "sha256", pytest.fail)
    assert file_units(section(tmp_path)) == sorted(before, key=lambda unit: unit.name)


def test_hashes_are_noted_even_if_planning_is_stopped_and_without_a_note_files_are_read(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", "b.jsonl", data=b"{}")
    found = {file.path: file for file in files.walk(str(tmp_path))}
    first = files.sha256(f"{tmp_path}/a.jsonl")
    with pytest.raises(KeyboardInterrupt), Hashes(str(tmp_path)) as hashes:
        assert hashes.sha256(found["a.jsonl"]) == first
        raise KeyboardInterrupt
    (tmp_path / "a.jsonl").unlink()
    with Hashes(str(tmp_path)) as hashes:
        assert hashes.sha256(found["a.jsonl"]) == first
        note = hashes._path  # pyright: ignore[reportPrivateUsage]
    assert note is not None
    for damaged in (b"", b"[]", b'{"b.jsonl": 1}', b'{"b.jsonl": [[0], "00"]}'):
        note.write_bytes(damaged)
        with Hashes(str(tmp_path)) as hashes:
            assert hashes.sha256(found["b.jsonl"]) == first


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


# --- many small files -------------------------------------------------------------------------------------------------


def test_a_small_file_more_changes_few_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "FILES_PER_GROUP", 20)
    names = [f"{n:03}.jsonl.gz" for n in range(400)]
    write(tmp_path, *names)
    before = {unit.name for unit in file_units(section(tmp_path))}
    write(tmp_path, "100a.jsonl.gz")
    after = {unit.name for unit in file_units(section(tmp_path))}
    assert len(before) > 20
    assert len(before - after) <= 3


def test_many_small_files_are_units_of_neighbours_and_large_ones_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "BYTES_PER_GROUP", 100)
    monkeypatch.setattr(listing, "FILES_PER_GROUP", 15)
    monkeypatch.setattr(listing, "ends_group", lambda *_: False)  # groups end when they are full
    names = [f"{n:02}.jsonl.gz" for n in range(listing.SEPARATE_FILES)]
    write(tmp_path, *names)
    write(tmp_path, "20-large.jsonl.gz", data=b"x" * 101)
    apart = file_units(section(tmp_path))
    assert [unit.uri for unit in apart] == sorted([*names, "20-large.jsonl.gz"])
    assert all(unit.paths == () for unit in apart)
    write(tmp_path, "32.jsonl.gz", data=b"y" * 90)
    units = file_units(section(tmp_path))
    assert [list(unit.paths) or [unit.uri] for unit in units] == [
        names[:15],
        names[15:20],
        ["20-large.jsonl.gz"],
        names[20:],
        ["32.jsonl.gz"],
    ]
    assert [unit.bytes for unit in units] == [15, 5, 101, 12, 90]
    assert units[2] == apart[20]
    (large,) = listing.members(units[2])
    assert large == units[2]
    of_group = listing.members(units[1])
    assert [(file.uri, file.bytes, file.paths, file.parameters) for file in of_group] == [(n, 1, (), {}) for n in names[15:20]]
    write(tmp_path, "16.jsonl.gz", data=b"z")
    changed = file_units(section(tmp_path))
    assert [unit.name for unit in changed] == [unit.name for unit in units]
    assert [new.identity != old.identity for new, old in zip(changed, units, strict=True)] == [False, True, False, False, False]


def pages(n: int) -> bytes:
    page = (
        f"<page><title>P{n}</title><ns>0</ns><id>{n}</id><revision><id>{n}</id><text>Page {n} of a mill.</text></revision></page>"
    )
    return f"<mediawiki><siteinfo><dbname>xwiki</dbname></siteinfo>{page}</mediawiki>".encode()


def archive(n: int) -> bytes:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nThe page %d of a mill." % n
    head = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:%d>\r\nWARC-Target-URI: http://a.example/%d\r\n" % (n, n)
    return head + b"Content-Length: %d\r\n\r\n" % len(page) + page + b"\r\n\r\n"


def table(n: int) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": [f"Row {n} of a mill."]}), sink)
    return sink.getvalue().to_pybytes()


CONTENTS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "xml": ("wikipedia", pages),
    "txt": ("books", lambda n: b"Book %d of a mill." % n),
    "warc": ("common_crawl", archive),
    "jsonl": ("records", lambda n: b'{"text": "Line %d of a mill."}\n{"text": 1}\n' % n),
    "jsonl.gz": ("records", lambda n: gzip.compress(b'{"text": "Line %d of a mill."}' % n)),
    "parquet": ("records", table),
}


@pytest.mark.parametrize("ending", CONTENTS)
def test_a_group_has_the_documents_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    kind, content = CONTENTS[ending]
    for n in range(40):
        write(tmp_path, f"{n // 10}/{n:02}.{ending}", data=content(n))
    chosen = section(tmp_path, kind=kind)

    def read() -> tuple[int, dict[str, tuple[bytes, str]], Counter[str], dict[str, Any]]:
        units = KINDS[kind].units(chosen)
        batches = [batch for unit in units for batch in KINDS[kind].read(chosen, unit)]
        rows = [row for batch in batches for row in batch.documents.to_pylist()]
        drops = [row["origin"] for batch in batches for some in batch.drops for row in some.to_pylist()]
        ledger = add(batch.ledger for batch in batches)
        ledger.check()
        return len(units), {row["origin"]: (row["id"], row["text"]) for row in rows}, Counter(drops), ledger.model_dump()

    one, documents, drops, ledger = read()
    monkeypatch.setattr(listing, "SEPARATE_FILES", 40)
    many = read()
    assert (one, many[0]) == (1, 1 if kind == "books" else 40)
    assert (documents, drops, ledger) == many[1:]
    assert len(documents) == 40 and drops.total() == (40 if ending == "jsonl" else 0)
