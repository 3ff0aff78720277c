"""Books: grouping, titles, and every kind of file that cannot be read."""

import bz2
import gzip
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from places import FIXTURES, SHARED

from pipelines.config import SourceSection
from pipelines.contract.ledger import add
from pipelines.sources import books, listing
from pipelines.sources.listing import SourceError
from pipelines.text.characters.code_spaces import restored

BOOKS = FIXTURES / "books"
DATA = SHARED / "books"

Rows = dict[str, dict[str, Any]]


def section(folder: Path, **fields: Any) -> SourceSection:
    return SourceSection(name="books", kind="books", root=str(folder), snapshot="x", **fields)


def read(folder: Path, **fields: Any) -> tuple[Rows, Rows, dict[str, int], int]:
    """Documents and drops by path, skips, bytes read."""
    chosen = section(folder, **fields)
    batches = [batch for unit in books.units(chosen) for batch in books.read(chosen, unit)]
    ledger = add(batch.ledger for batch in batches)
    ledger.check()
    documents = {row["origin"].removesuffix("#0"): row for batch in batches for row in batch.documents.to_pylist()}
    drops = {row["origin"].removesuffix("#0"): row for b in batches for rows in b.drops for row in rows.to_pylist()}
    return documents, drops, dict(ledger.skipped), ledger.bytes_read


def test_the_fixtures_come_out_exactly() -> None:
    documents, drops, skipped, _ = read(BOOKS)
    assert {path: (row["title"], row["text"]) for path, row in documents.items()} == {
        "aozora_sjis.txt": ("水車", "水車\n山田太郎\n\n　水車が回る。\n　川の音がする。"),
        "gutenberg.txt": (
            "The Mill and the Brook",
            "THE MILL AND THE BROOK\n\nby A. Miller\n\nThe mill stood by the brook.",
        ),
        "mill.html": ("The Mill", "The Mill\n\nThe mill stood by the brook.\n\nNobody knew why."),
        "mill_tei.xml": ("The Mill", "CHAPTER I\n\nThe mill stood by the brook."),
    }
    assert (drops, skipped) == ({}, {})


@pytest.mark.parametrize(
    ("ending", "pack"),
    [("gz", gzip.compress), ("BZ2", bz2.compress), ("xz", lzma.compress), ("zst", zstandard.compress), ("gz", bytes)],
)
def test_compressed_files_are_the_same_documents(tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    for path in BOOKS.iterdir():
        (tmp_path / f"{path.name}.{ending}").write_bytes(pack(path.read_bytes()))
    plain, packed = read(BOOKS)[0], read(tmp_path)[0]
    assert {f"{path}.{ending}": row["text"] for path, row in plain.items()} == {path: row["text"] for path, row in packed.items()}


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_bytes(b" \r\n\t\n")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "broken.xml").write_bytes(b"<TEI><text>")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"The mill. " * 99)[:-20])
    (tmp_path / "fake.txt.gz").write_bytes(b"\x1f\x8bThe mill.")
    (tmp_path / "good.txt").write_bytes("Młyn stał.\r\n".encode("cp1250"))
    (tmp_path / "other.xml").write_bytes(b"<html/>")
    (tmp_path / "deep.html").write_bytes(b"<div>" * 100_000)
    with pytest.raises(SourceError, match=r"/other\.xml is XML, but not TEI \(.*unread_files = \"skip\"$"):
        read(tmp_path)
    documents, drops, skipped, bytes_read = read(tmp_path, unread_files="skip")
    assert [row["text"] for row in documents.values()] == ["Młyn stał."]
    assert {path: row["reason"] for path, row in drops.items()} == {
        "blank.txt": "empty",
        "binary.txt": "undecodable",
        "broken.xml": "unreadable",
        "cut.txt.gz": "cut_off",
        "fake.txt.gz": "unreadable",
        "deep.html": "empty",
    }
    assert drops["cut.txt.gz"]["detail"] == "cut.txt.gz: the gzip stream is cut off"
    assert skipped == {"file_type": 1}
    assert bytes_read == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_units_are_cut_by_size_and_named_by_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcde":
        (tmp_path / f"{name}.txt").write_text(f"{name} " * 10)  # 20 bytes
    monkeypatch.setattr(books, "TARGET_BYTES_PER_UNIT", 45)
    monkeypatch.setattr(listing, "ends_group", lambda *_: False)  # groups end when they are full
    units = books.units(section(tmp_path))
    assert sorted(unit.paths for unit in units) == [("a.txt", "b.txt"), ("c.txt", "d.txt"), ("e.txt",)]
    assert [unit.name for unit in units] == sorted({unit.name for unit in units})
    (tmp_path / "a.txt").write_text("A " * 10)
    changed = books.units(section(tmp_path))
    assert [unit.name for unit in changed] == [unit.name for unit in units]
    assert sum(new.identity != old.identity for new, old in zip(changed, units, strict=True)) == 1


def test_a_declared_encoding_is_used_and_checked(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("żółć".encode("iso8859-2"))
    assert [row["text"] for row in read(tmp_path, encoding="latin2")[0].values()] == ["żółć"]
    with pytest.raises(SourceError, match="'klingon' is not an encoding"):
        read(tmp_path, encoding="klingon")


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    units = books.units(section(tmp_path))
    (tmp_path / "a.txt").unlink()
    with pytest.raises(SourceError, match=r"a\.txt: is gone"):
        list(books.read(section(tmp_path), units[0]))


def test_tags_left_in_plain_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("<strong>食货六</strong>\n赋税下<br/>大唐")
    (tmp_path / "b.txt").write_text("Write <strong> or <video>.")
    assert [row["text"] for row in read(tmp_path)[0].values()] == ["食货六\n赋税下\n大唐", "Write <strong> or <video>."]


def test_real_books(tmp_path: Path) -> None:
    if not DATA.exists():
        pytest.skip("the real books are not on this machine")
    for name in (
        "gutenberg/11-0.txt",
        "gutenberg/11-h.htm",
        "de/kafka_process.txt",
        "ja/1104_ruby_4554.txt",
        "tei/FRA00101_Adam.xml",
    ):
        shutil.copy(DATA / name, tmp_path)
    documents, drops, skipped, _ = read(tmp_path)
    assert {path: row["title"] for path, row in documents.items()} == {
        "11-0.txt": "Alice’s Adventures in Wonderland",
        "11-h.htm": "Alice's Adventures in Wonderland",
        "kafka_process.txt": "Der Prozess",
        "1104_ruby_4554.txt": "趣味の遺伝",
        "FRA00101_Adam.xml": "Mon Village",
    }
    assert (drops, skipped) == ({}, {})
    text = documents["11-0.txt"]["text"]
    assert "bank, and of having nothing to do: once or twice she had peeped into the book" in text  # three lines of the file
    assert not any("Gutenberg" in row["text"] for row in documents.values())


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("武成", "武成"),
        ("何处是归程？", "何处是归程？"),
        ("王问其故，曰何哉？", None),
        ("王曰：善。", None),
        ("A Tale, in Two Parts", "A Tale, in Two Parts"),
        ("What Next?", "What Next?"),
    ],
)
def test_a_first_line_of_several_clauses_is_no_title(tmp_path: Path, line: str, title: str | None) -> None:
    (tmp_path / "a.txt").write_text(f"{line}\n他的书。\n", encoding="utf-8")
    assert [row["title"] for row in read(tmp_path)[0].values()] == [title]


def test_preformatted_text_of_a_page_keeps_its_spaces_and_hides_no_licence(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        "<title>T</title><body><pre>The Project Gutenberg EBook of Loops\n\n*** START OF THE PROJECT GUTENBERG EBOOK LOOPS ***\n"
        "\nfor all:\n    loop  on\n</pre><p>And   on.</p><pre>\nEnd of Project Gutenberg's Loops\n\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK LOOPS ***\nLicence</pre>"
    )
    (row,) = read(tmp_path)[0].values()
    assert restored(row["text"]).strip() == "for all:\n    loop  on\n\nAnd on."
