"""Dumps as documents: what is a page, what is skipped, and what a broken file comes to."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from places import FIXTURES, SHARED

from pipelines.config import SourceSection
from pipelines.contract.ledger import Ledger, add
from pipelines.contract.schema import document_id
from pipelines.sources import wikipedia
from pipelines.sources.listing import SourceError

DATA = FIXTURES / "wikipedia"
REAL = SHARED / "wikipedia"

Read = tuple[list[dict[str, Any]], list[dict[str, Any]], Ledger]

LAKE = """Lake Härö (Härösjön) is a lake of 12 km2. It lies in the north.

Wildlife

- Perches live here.
- Swans come in spring & autumn."""


def read(root: Path, pattern: str = "*.*", **more: Any) -> Read:
    section = SourceSection(name="w", kind="wikipedia", root=str(root), paths=(pattern,), snapshot="1", license="CC", **more)
    batches = [batch for unit in wikipedia.units(section) for batch in wikipedia.read(section, unit)]
    ledger = add(batch.ledger for batch in batches)
    ledger.check()
    documents = [row for batch in batches for row in batch.documents.to_pylist()]
    return documents, [row for batch in batches for drops in batch.drops for row in drops.to_pylist()], ledger


def texts(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["title"]: row["text"] for row in rows}


def test_a_dump_with_a_page_of_every_kind() -> None:
    documents, drops, ledger = read(DATA, "small.xml")
    assert texts(documents) == {
        "Lake Härö": LAKE,
        "Results": "The boat race is held every year.\n\nNobody won in 2003.",
        "Nested & broken": "A deep deeper altissimus well.\n\nThe well is dry.",
    }
    assert [(row["title"], row["reason"], row["text"]) for row in drops] == [
        ("Härö", "boilerplate_only", "Härö may be:\n\n- Lake Härö\n- Härö (village), a village"),
        ("Deleted", "empty", ""),
    ]
    assert ledger.skipped == {"namespace": 2, "redirect": 1, "content_type": 1}
    assert ledger.bytes_read == (DATA / "small.xml").stat().st_size


def test_what_is_known_of_a_page() -> None:
    lake = read(DATA, "small.xml")[0][0]
    assert {name: lake[name] for name in ("id", "work", "source", "snapshot", "origin", "url", "title", "date", "license")} == {
        "id": document_id("w", "testwiki/1/101"),
        "work": document_id("w", "testwiki/1/101"),
        "source": "w",
        "snapshot": "1",
        "origin": "small.xml#1",
        "url": "https://test.example.org/wiki/Lake_H%C3%A4r%C3%B6",
        "title": "Lake Härö",
        "date": "2024-05-01T10:00:00Z",
        "license": None,  # the source's is added in the corpus
    }


def test_other_namespaces_on_request() -> None:
    documents, _, ledger = read(DATA, "small.xml", namespaces=(1,))
    assert texts(documents) == {"Diskusjon:Lake Härö": "Is this lake real? It is."}
    assert ledger.skipped == {"namespace": 8}


def test_a_schema_without_ns_takes_the_namespace_from_the_title() -> None:
    documents, _, ledger = read(DATA, "old.xml")
    assert texts(documents) == {"Ash: a tree": "The ash is a tree."}
    assert ledger.skipped == {"namespace": 1, "redirect": 1}
    assert documents[0]["id"] == document_id("w", "old/1/11")  # no dbname and no wiki's name: the file's


def test_of_several_revisions_the_last_in_time_counts(tmp_path: Path) -> None:
    (tmp_path / "nnwiki-20240101-history.xml").write_bytes((DATA / "history.xml").read_bytes())
    documents, _, ledger = read(tmp_path)
    assert texts(documents) == {"Elm": "The elm is last.", "Oak": "The oak stands alone."}
    assert documents[0]["id"] == document_id("w", "nnwiki/1/13")
    assert documents[0]["url"] == "https://nn.wikipedia.org/wiki/Elm"
    assert ledger.lines["read"].documents_in == 2


def test_entities_are_never_expanded() -> None:
    documents, drops, _ = read(DATA, "bomb.xml")
    assert texts(documents) == {"Fir": "The fir is a tree."}
    assert [row["reason"] for row in drops] == ["unreadable", "cut_off"]
    assert drops[0]["title"] == "File" and "&file;" in drops[0]["detail"]
    assert all(len(row["text"]) == 0 for row in drops)


def multistream(content: bytes) -> bytes:
    return b"".join(bz2.compress(content[place : place + 700]) for place in range(0, len(content), 700))


STORED: dict[str, Callable[[bytes], bytes]] = {
    "a.xml": bytes,
    "a.xml.bz2": bz2.compress,
    "a-multistream.bz2": multistream,
    "a.xml.gz": gzip.compress,
    "two.gz": lambda content: gzip.compress(content[:900]) + gzip.compress(content[900:]),
    "a.xml.xz": lzma.compress,
    "a.XML.ZST": zstandard.compress,
    "misnamed.xml.bz2": gzip.compress,  # the content tells, not the name
    "utf16.xml": lambda content: content.decode().encode("utf-16"),
    "utf16.xml.bz2": lambda content: bz2.compress(content.decode().encode("utf-16")),
}


@pytest.mark.parametrize("name", STORED)
def test_every_way_of_storing_gives_the_same_pages(name: str, tmp_path: Path) -> None:
    stored = STORED[name]((DATA / "small.xml").read_bytes())
    (tmp_path / name).write_bytes(stored)
    documents, drops, ledger = read(tmp_path)
    expected_documents, expected_drops, expected = read(DATA, "small.xml")
    assert texts(documents) == texts(expected_documents)
    assert [row["id"] for row in documents] == [row["id"] for row in expected_documents]
    assert texts(drops) == texts(expected_drops)
    assert ledger.skipped == expected.skipped
    assert ledger.bytes_read == len(stored)


def many_pages() -> bytes:
    """300 pages that do not compress well, so that a cut lies between them in compressed forms too."""
    digits = [str(pow(7, n * n + 3, 10**400)) for n in range(300)]
    pages = (
        f"<page><title>P{n}</title><ns>0</ns><id>{n}</id><revision><id>{n}</id>"
        f"<text>Number {d} is long.</text></revision></page>\n"
        for n, d in enumerate(digits)
    )
    return ("<mediawiki>\n" + "".join(pages) + "</mediawiki>\n").encode()


def cut(stored: bytes) -> bytes:
    return stored[: len(stored) * 2 // 3]


def garbage(stored: bytes) -> bytes:
    middle = len(stored) * 2 // 3
    return stored[:middle] + b"\x00\xff<garbage" * 20 + stored[middle:]


@pytest.mark.parametrize("damage", [cut, garbage])
@pytest.mark.parametrize(
    ("name", "store", "pages_before"),
    [
        ("a.xml", bytes, 190),
        ("a.xml.gz", gzip.compress, 190),
        ("a.xml.xz", lzma.compress, 0),  # one block, known only when it is whole
        ("a.xml.bz2", lambda content: b"".join(bz2.compress(content[p : p + 5000]) for p in range(0, len(content), 5000)), 180),
    ],
)
def test_a_broken_file_gives_the_pages_before_and_one_drop(
    damage: Callable[[bytes], bytes], name: str, store: Callable[[bytes], bytes], pages_before: int, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(damage(store(many_pages())))
    documents, drops, ledger = read(tmp_path)
    assert [row["title"] for row in documents] == [f"P{n}" for n in range(len(documents))]
    assert pages_before <= len(documents) < 210
    assert [row["reason"] for row in drops] == ["cut_off"]
    assert drops[0]["detail"].startswith(f"{name}: after page {len(documents) - 1} (P{len(documents) - 1}), by byte ")
    assert ledger.documents_dropped == 1


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_a_file_that_breaks_off_before_its_first_page_is_a_drop(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(pack(many_pages())[:10])
    documents, drops, _ = read(tmp_path)
    assert (documents, [row["reason"] for row in drops]) == ([], ["cut_off"])
    assert drops[0]["detail"].startswith("a.xml: after the beginning, by byte 10 of the file: the compressed stream is broken: ")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.xml", b"<html><body/></html>", "its root element is <html>"),
        ("a.xml", b"hello, world", "line 1: "),
        ("a.xml", b"   \n", "it holds no XML element"),
        ("a.xml.bz2", b"BZh9 this is no bzip2", "the compressed stream is broken"),
    ],
)
def test_what_is_no_dump_is_an_error_with_file_place_and_fix(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match="is not a MediaWiki XML dump") as error:
        read(tmp_path)
    assert why in str(error.value) and str(tmp_path / name) in str(error.value) and "sources.paths" in str(error.value)


def real(name: str) -> Path:
    if not (REAL / name).exists():
        pytest.skip(f"the real dump {name} is not on this machine (../shared/data)")
    return REAL


def test_real_utf16_dump() -> None:
    name = "bgwiki-latest-pages-articles-shortened.xml.bz2"
    documents, _, ledger = read(real(name), name)
    assert (len(documents), ledger.skipped) == (1, {"namespace": 2})
    assert documents[0]["url"].startswith("https://bg.wikipedia.org/wiki/")


def test_real_complete_dump() -> None:
    name = "ltgwiki-latest-pages-articles.xml.bz2"
    documents, _, ledger = read(real(name), name)
    assert ledger.lines["read"].documents_in + sum(ledger.skipped.values()) == 2004
    assert ledger.skipped == {"namespace": 954, "redirect": 147}
    assert len(documents) > 850
    for residue in ("{{", "}}", "[[", "]]", "'''", "<ref", "thumb|"):
        assert not [row["title"] for row in documents if residue in row["text"]]


def test_real_truncated_dump() -> None:
    name = "jawiki-truncated-100k.xml.xz"
    documents, drops, _ = read(real(name), name)
    broken = [row for row in drops if row["reason"] == "cut_off"]
    assert len(documents) > 170 and len(broken) == 1
    assert "line 100001" in broken[0]["detail"]
