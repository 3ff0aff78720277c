"""Hostile pages: the time is linear in their bytes, every page has a verdict, and the text is not much larger than the page."""

import gc
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from hostile import PAGES, Maker

from pipelines.config import SourceSection
from pipelines.contract.ledger import add
from pipelines.sources.collector import Collector, Record
from pipelines.sources.web import common_crawl
from pipelines.text.characters.normalize import normalize
from pipelines.text.extraction.extractors import EXTRACTORS, Extract
from pipelines.text.extraction.html import MAX_BYTES
from pipelines.text.extraction.pages.extract import MAX_BLOCKS

SMALL = 2**16  # bytes
TIMES = 4  # of the larger page
MOST_RATIO = 8.0  # of the CPU times: 4 if linear, 16 if quadratic
MOST_GROWTH = 16  # bytes of text for each byte of the page: a deep list is indented
ATTEMPTS = 3  # the machine may be busy

SECTION = SourceSection(name="crawl", kind="common_crawl", root="", paths=("x",), snapshot="x")


@pytest.fixture(scope="module")
def extract() -> Generator[Extract]:
    with EXTRACTORS["corpusmill"].opened() as opened:
        take(opened, PAGES["prose"](SMALL))
        yield opened


def take(extract: Extract, page: bytes) -> list[str]:
    """Read a page as a build does; return its text, or nothing if it is dropped with a reason."""
    collector = Collector(SECTION)
    record = Record(key="1", origin="x#0", text="", url="http://example.com/a/1", retrieved="2024-05-18T01:58:10Z")
    common_crawl.take_body(collector, record, page, "text/html", None, extract)
    batch = collector.rest()
    assert batch.documents.num_rows + sum(drops.num_rows for drops in batch.drops) == 1
    return normalize(batch.documents["text"], whitespace="code").to_pylist()


def seconds(extract: Extract, page: bytes) -> float:
    gc.collect()
    start = time.thread_time()
    take(extract, page)
    return time.thread_time() - start


@pytest.mark.parametrize("name", PAGES)
def test_time_is_linear(extract: Extract, name: str) -> None:
    small, large = PAGES[name](SMALL), PAGES[name](TIMES * SMALL)
    texts = take(extract, large)
    assert sum(len(text.encode()) for text in texts) <= MOST_GROWTH * len(large)
    shortest = [float("inf")] * 2
    for _ in range(ATTEMPTS):
        shortest = [min(best, seconds(extract, page)) for best, page in zip(shortest, (small, large), strict=True)]
        if shortest[1] < MOST_RATIO * shortest[0]:
            break
    assert shortest[1] < MOST_RATIO * shortest[0], (
        f"{shortest[0]:.4f} s for a page, {shortest[1]:.4f} s for one four times as long"
    )


def test_a_page_that_is_too_large_is_a_drop_that_says_so(extract: Extract) -> None:
    attributes: Maker = PAGES["attributes of a tag"]
    collector = Collector(SECTION)
    common_crawl.take_body(collector, Record("1", "x#0", ""), attributes(MAX_BYTES + 1), "text/html", None, extract)
    (drops,) = collector.rest().drops
    assert drops["reason"].to_pylist() == ["extraction_failed"]
    assert "bytes of HTML, more than 16,777,216" in drops["detail"][0].as_py()


def test_a_page_with_too_many_blocks_is_a_drop_that_says_so(extract: Extract) -> None:
    """Their features would take gigabytes."""
    collector = Collector(SECTION)
    common_crawl.take_body(collector, Record("1", "x#0", ""), b"<p>x" * (MAX_BLOCKS + 1), "text/html", None, extract)
    (drops,) = collector.rest().drops
    assert drops["reason"].to_pylist() == ["extraction_failed"]
    assert drops["detail"].to_pylist() == ["x#0: 250,001 blocks of text, more than 250,000"]


def test_every_hostile_page_of_an_archive_has_a_verdict(tmp_path: Path) -> None:
    """None ends the reader, and what comes after them is read."""
    bodies = [make(SMALL // 4) for make in PAGES.values()] + [b"<p>The mill stood by the brook, and its wheel turned."]
    (tmp_path / "a.warc").write_bytes(b"".join(response(n, body) for n, body in enumerate(bodies)))
    section = SECTION.model_copy(update={"root": str(tmp_path), "paths": ("a.warc",)})
    (unit,) = common_crawl.units(section)
    batches = list(common_crawl.read(section, unit))
    add(batch.ledger for batch in batches).check()
    texts = [text for batch in batches for text in batch.documents["text"].to_pylist()]
    drops = [row for batch in batches for rows in batch.drops for row in rows.to_pylist()]
    assert texts[-1] == "The mill stood by the brook, and its wheel turned."
    assert len(texts) + len(drops) == len(bodies)
    assert {row["reason"] for row in drops} <= {"no_main_text", "undecodable"}


def response(number: int, body: bytes) -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Target-URI: http://example.com/{number}\r\n"
    return f"{head}WARC-Date: 2024-05-18T01:58:10Z\r\nContent-Length: {len(http)}\r\n\r\n".encode() + http + b"\r\n\r\n"
