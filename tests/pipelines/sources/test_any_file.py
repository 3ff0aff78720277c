"""The kind of a file: first what only one kind begins with, then the name, then what is less certain."""

import bz2
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import FIXTURES, SHARED

from pipelines.sources.any_file import KINDS, UnknownFileError, ending_of, kind_of

TINY = FIXTURES / "tiny"


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"]}), sink)
    return sink.getvalue()


WARC, ARC = b"WARC/1.0\r\nWARC-Type: warcinfo\r\n\r\n", b"filedesc://a.arc 0.0.0.0 1996 text/plain 9\n"
DUMP, TEI = b'<?xml version="1.0"?><mediawiki xmlns="x">', b"<?xml version='1.0'?><!-- x --><TEI xmlns='x'>"
XHTML = b'<?xml version="1.0"?><!DOCTYPE html><html xmlns="x"><p>x</p></html>'


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
@pytest.mark.parametrize(
    ("name", "content", "kind", "ending"),
    [
        ("a.warc", WARC, "common_crawl", ""),
        ("a.dat", WARC, "common_crawl", ".warc"),
        ("a.html", WARC, "common_crawl", ".warc"),
        ("a", ARC, "common_crawl", ".warc"),
        ("a.warc.wet", b"damaged", "common_crawl", ""),
        ("dump.xml", DUMP, "wikipedia", ""),
        ("dump.txt", DUMP, "wikipedia", ".xml"),
        ("book.xml", TEI, "books", ""),
        ("book", TEI, "books", ".xml"),
        ("book.txt", b"{ a brace", "books", ""),
        ("book.txt", b"<p>markup", "books", ""),
        ("a.md", b"# Title", "books", ".txt"),
        ("a.html", b"plain", "page", ""),
        ("a.HTM", b"<x-app>", "page", ""),
        ("a.xml", XHTML, "page", ".html"),
        ("saved", b"<!DOCTYPE html><p>", "page", ".html"),
        ("saved", "<html>".encode("utf-16"), "page", ".html"),
        ("a.jsonl", b'{"text": "x"}', "records", ""),
        ("a.json", b"[]", "records", ""),
        ("a", b' {"text": "x"}', "records", ".jsonl"),
    ],
)
def test_kinds(tmp_path: Path, name: str, content: bytes, kind: str, ending: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(pack(content))
    uri = str(tmp_path / name)
    assert kind_of(uri) == kind
    assert ending_of(kind, uri) == ending
    assert KINDS[kind].names.read(uri + ending)


def test_parquet(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(parquet())
    assert (kind_of(str(tmp_path / "a")), ending_of("records", str(tmp_path / "a"))) == ("records", ".parquet")


@pytest.mark.parametrize(
    ("content", "seems"),
    [
        (b"", "is empty"),
        (b"%PDF-1.4", "is a PDF file"),
        (b"\0\0\0\0", "is a binary file of an unknown type"),
        (b"<?xml version='1.0'?><svg>", "is XML with the root element svg"),
        (b"<unknown-root>", "is XML with the root element unknown-root"),
    ],
)
def test_what_is_of_no_kind_is_named(tmp_path: Path, content: bytes, seems: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UnknownFileError, match=f"a: {seems}"):
        kind_of(str(tmp_path / "a"))


@pytest.mark.parametrize("folder", ["crawl", "books", "wikipedia", "extraction"])
def test_real_files(folder: str) -> None:
    if not SHARED.exists():
        pytest.skip("the real inputs are not on this machine")
    kinds = {"crawl": "common_crawl", "books": "books", "wikipedia": "wikipedia"}
    for path in sorted((SHARED / folder).rglob("*")):
        if path.is_file() and not path.name.startswith("README") and ".wat" not in path.name:
            wanted = kinds.get(folder, "records" if path.suffix == ".jsonl" else "common_crawl")
            assert kind_of(str(path)) in (wanted, "page" if path.suffix.startswith(".htm") else wanted), path
