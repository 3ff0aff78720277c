"""Web archives: every record is kept, dropped or skipped, and a broken one stops nothing."""

import gzip
import io
import random
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from fastwarc.stream_io import BrotliWriter
from places import SHARED

from pipelines.config import SourceSection
from pipelines.contract.ledger import add
from pipelines.sources.listing import SourceError
from pipelines.sources.web import common_crawl, http_message

DATA = SHARED / "crawl"
PAGE = "<html><head><title>Mill {n}</title></head><body><main><p>The mill number {n} stood by the brook.</p></main></body></html>"


def record(n: int, block: bytes, kind: str = "response", length: int | None = None, **headers: str) -> bytes:
    fields = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{n}>",
        "WARC-Date": "2024-05-18T01:58:10Z",
        "WARC-Target-URI": f"http://example.com/{n}",
        "Content-Length": str(len(block) if length is None else length),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def response(n: int, body: bytes | None = None, status: str = "200 OK", **headers: str) -> bytes:
    fields = {"Content-Type": "text/html; charset=utf-8", **{name.replace("_", "-"): value for name, value in headers.items()}}
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    return record(n, head.encode() + (PAGE.format(n=n).encode() if body is None else body))


def text_of(n: int) -> str:
    return f"The mill number {n} stood by the brook."


def members(records: Iterable[bytes]) -> list[bytes]:
    return [gzip.compress(r, mtime=0) for r in records]


class Read:
    """A file as the source reads it."""

    def __init__(self, folder: Path, name: str, data: bytes) -> None:
        (folder / name).write_bytes(data)
        section = SourceSection(name="crawl", kind="common_crawl", root=str(folder), paths=(name,), snapshot="x")
        (unit,) = common_crawl.units(section)
        self.batches = list(common_crawl.read(section, unit))
        ledger = add(batch.ledger for batch in self.batches)
        ledger.check()
        self.skipped, self.bytes_read = Counter(ledger.skipped), ledger.bytes_read
        self.documents: list[dict[str, Any]] = [row for batch in self.batches for row in batch.documents.to_pylist()]
        self.drops: list[dict[str, Any]] = [row for b in self.batches for rows in b.drops for row in rows.to_pylist()]

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.documents]

    @property
    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.drops]


GOOD = [response(n) for n in range(4)]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_documents_know_where_they_are(tmp_path: Path, name: str) -> None:
    parts = members(GOOD) if name.endswith(".gz") else GOOD
    read = Read(tmp_path, name, b"".join(parts))
    assert read.texts == [text_of(n) for n in range(4)]
    offsets = [sum(map(len, parts[:n])) for n in range(4)]
    assert [row["origin"] for row in read.documents] == [f"{name}#{offset}" for offset in offsets]
    first = read.documents[1]
    assert (first["url"], first["title"], first["date"]) == ("http://example.com/1", "Mill 1", "2024-05-18T01:58:10Z")
    assert read.bytes_read == sum(map(len, parts))


def test_every_record_that_is_no_document_is_counted(tmp_path: Path) -> None:
    data = b"".join(
        [
            record(0, b"software: x\r\n", "warcinfo"),
            record(1, b"GET / HTTP/1.1\r\n\r\n", "request"),
            response(2, status="404 Not Found"),
            response(12, status="206 Partial Content"),  # a part of a page is not a page
            response(3, b"\xff\xd8", Content_Type="image/jpeg"),
            record(4, b"", "revisit"),
            response(5, b"plain  text\r\nof two lines", Content_Type="text/plain"),
            response(6, Content_Type="application/xhtml+xml"),
            response(7, b"<html><body></body></html>"),
            response(8, b"%PDF-1.4", Content_Type="text/html").replace(
                b"WARC-Date", b"WARC-Identified-Payload-Type: application/pdf\r\nWARC-Date"
            ),
            record(9, b"\x00\x01", "response", WARC_Target_URI="dns:example.com"),
            response(10, Content_Type="").replace(b"WARC-Date", b"WARC-Identified-Payload-Type: text/html\r\nWARC-Date"),
            response(11, b"\0\1\2\3" * 200),
        ]
    )
    read = Read(tmp_path, "a.warc", data)
    assert read.texts == ["plain  text\nof two lines", text_of(6), text_of(10)]
    assert read.skipped == {"record_type": 3, "http_status": 2, "content_type": 2, "revisit": 1}
    assert read.reasons == ["empty", "undecodable"]


def test_wet(tmp_path: Path) -> None:
    data = b"".join(members([record(0, b"x", "warcinfo"), record(1, "Młyn\r\nstał.".encode(), "conversion")]))
    read = Read(tmp_path, "a.warc.wet.gz", data)
    assert read.texts == ["Młyn\nstał."]
    assert read.skipped == {"record_type": 1}


def brotli(data: bytes) -> bytes:
    class Kept(io.BytesIO):
        def close(self) -> None:
            """Stay readable when the writer, which ends the stream only then, closes it."""

    stream = Kept()
    writer = BrotliWriter(stream)
    writer.write(data)
    writer.close()
    return stream.getvalue()


def chunked(data: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(data[i : i + 50]), data[i : i + 50]) for i in range(0, len(data), 50)) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "encode"),
    [
        ({"Content_Encoding": "gzip"}, gzip.compress),
        ({"Content_Encoding": "deflate"}, zlib.compress),
        ({"Content_Encoding": "deflate"}, lambda data: zlib.compress(data)[2:-4]),
        ({"Content_Encoding": "br"}, brotli),
        ({"Transfer_Encoding": "chunked"}, chunked),
        ({"Transfer_Encoding": "chunked", "Content_Encoding": "gzip"}, lambda data: chunked(gzip.compress(data))),
        ({"Transfer_Encoding": "chunked", "Content_Encoding": "gzip"}, lambda data: data),  # the archiver undid both
        ({"Content_Encoding": "br"}, lambda data: data),
    ],
)
def test_body_encodings(tmp_path: Path, headers: dict[str, str], encode: Any) -> None:
    assert Read(tmp_path, "a.warc", response(1, encode(PAGE.format(n=1).encode()), **headers)).texts == [text_of(1)]


@pytest.mark.parametrize(
    ("headers", "body", "detail"),
    [
        ({"Content_Encoding": "gzip"}, gzip.compress(PAGE.encode() * 9)[:-30], "breaks off"),
        ({"Content_Encoding": "br"}, brotli(random.Random(1).randbytes(999))[:-400], "compressed body"),
        ({"Transfer_Encoding": "chunked"}, chunked(PAGE.encode())[:-40], "chunk at byte"),
        ({"Transfer_Encoding": "chunked"}, b"5\r\nabcdefghi\r\n", "no chunk size"),
    ],
)
def test_a_broken_body_is_a_drop(tmp_path: Path, headers: dict[str, str], body: bytes, detail: str) -> None:
    read = Read(tmp_path, "a.warc", GOOD[0] + response(1, body, **headers) + GOOD[2])
    assert read.texts == [text_of(0), text_of(2)]
    assert read.reasons == ["unreadable"]
    assert detail in read.drops[0]["detail"]
    assert read.drops[0]["detail"].startswith(f"a.warc#{len(GOOD[0])}: ")


def test_chunks_may_end_in_bare_line_feeds() -> None:
    assert http_message.unchunked(b"3\nabc\n2;x=y\nde\n0\n\n") == b"abcde"
    assert http_message.unchunked(b"3\nabc\n1\n\n\n0\n\n") == b"abc\n", "a chunk's own line feed stays"


def test_a_bomb_does_not_go_off(tmp_path: Path) -> None:
    bomb = response(1, gzip.compress(b"a" * 40_000_000), Content_Encoding="gzip")
    deep = response(2, b"<div>" * 100_000)
    read = Read(tmp_path, "a.warc", bomb + deep + GOOD[3])
    assert read.texts == [text_of(3)]
    assert read.reasons == ["extraction_failed", "extraction_failed"]


def wrong_length(n: int, length: int) -> bytes:
    return GOOD[n].replace(b"Content-Length: ", b"Content-Length: %d\r\nX-Was: " % length)


ZIPPED = members(GOOD)
FLIPPED = bytearray(ZIPPED[1])
FLIPPED[len(FLIPPED) // 2] ^= 0xFF
BAD_SUM = ZIPPED[1][:-8] + b"\1\2\3\4" + ZIPPED[1][-4:]


@pytest.mark.parametrize(
    ("name", "parts", "kept", "place"),
    [
        ("a.warc.gz", [ZIPPED[0], bytes(FLIPPED), *ZIPPED[2:]], [0, 2, 3], len(ZIPPED[0])),
        ("a.warc.gz", [ZIPPED[0], BAD_SUM, *ZIPPED[2:]], [0, 2, 3], len(ZIPPED[0])),
        ("a.warc.gz", [ZIPPED[0], ZIPPED[1][:99], *ZIPPED[2:]], [0, 2, 3], len(ZIPPED[0])),
        ("a.warc.gz", [ZIPPED[0], b"garbage", *ZIPPED[2:]], [0, 2, 3], len(ZIPPED[0])),
        ("a.warc.gz", [ZIPPED[0], *members([wrong_length(1, 50)]), *ZIPPED[2:]], [0, 2, 3], len(ZIPPED[0])),
        ("a.warc.gz", [ZIPPED[0], *members([wrong_length(1, 500)]), *ZIPPED[2:]], [0, 2, 3], len(ZIPPED[0])),
        ("a.warc.gz", [*ZIPPED[:3], ZIPPED[3][:-20]], [0, 1, 2], sum(map(len, ZIPPED[:3]))),
        ("a.warc.gz", [*ZIPPED[:3], ZIPPED[3][:-3]], [0, 1, 2], sum(map(len, ZIPPED[:3]))),
        ("a.warc.gz", [*ZIPPED[:3], ZIPPED[3][:12]], [0, 1, 2], sum(map(len, ZIPPED[:3]))),
        ("a.warc", [GOOD[0], b"garbage\r\n" * 9, *GOOD[2:]], [0, 2, 3], len(GOOD[0])),
        ("a.warc", [GOOD[0], wrong_length(1, 50), *GOOD[2:]], [0, 2, 3], len(GOOD[0])),
        ("a.warc", [GOOD[0], wrong_length(1, 500), *GOOD[2:]], [0, 2, 3], len(GOOD[0])),
        ("a.warc", [*GOOD[:3], GOOD[3][:-60]], [0, 1, 2], sum(map(len, GOOD[:3]))),
        ("a.warc", [*GOOD[:3], GOOD[3][:70]], [0, 1, 2], sum(map(len, GOOD[:3]))),
    ],
)
def test_a_broken_record_is_one_drop(tmp_path: Path, name: str, parts: list[bytes], kept: list[int], place: int) -> None:
    data = b"".join(parts)
    read = Read(tmp_path, name, data)
    assert read.texts == [text_of(n) for n in kept]
    assert read.reasons == ["cut_off" if kept == [0, 1, 2] else "unreadable"]  # with the last record the file breaks off
    assert read.drops[0]["detail"].startswith(f"{name}#{place}: ")
    assert read.bytes_read == len(data)


def test_many_records_in_one_gzip_member(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(GOOD))
    read = Read(tmp_path, "a.warc.gz", whole)
    assert read.texts == [text_of(n) for n in range(4)]
    assert [row["origin"] for row in read.documents] == [f"a.warc.gz#urn:uuid:{n}" for n in range(4)]
    assert Read(tmp_path, "b.warc.gz", whole[:-3]).reasons == ["cut_off"]


@pytest.mark.parametrize(
    "data", [b"<html>not a WARC</html>", gzip.compress(b"not a WARC"), b"\x1f\x8b\x08", random.Random(1).randbytes(5000)]
)
def test_no_warc_at_all(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SourceError, match=r"a\.warc\.gz: byte 0: not a WARC file"):
        Read(tmp_path, "a.warc.gz", data)


def test_damage_at_random_never_stops_the_reader(tmp_path: Path) -> None:
    chance = random.Random(7)
    for turn in range(60):
        data = bytearray(b"".join(ZIPPED if turn % 2 else GOOD))
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(20 if turn % 2 else 10, len(data))] = chance.randrange(256)
        name = f"{turn}.warc{'.gz' if turn % 2 else ''}"
        try:
            read = Read(tmp_path, name, bytes(data[: chance.randrange(len(data) // 2, len(data) + 1)]))
        except SourceError:
            continue
        assert read.bytes_read > 0
        assert read.documents or read.drops


@pytest.mark.parametrize(
    ("name", "kept", "drops", "skipped"),
    [
        ("malformed/clipped.warc.gz", 0, ["cut_off"], {}),
        ("malformed/example-bad-non-chunked.warc.gz", 1, [], {"record_type": 4, "revisit": 1}),
        ("malformed/example-iana.org-chunked.warc", 1, [], {"record_type": 2}),
        ("malformed/example-trunc.warc", 0, ["unreadable"], {"record_type": 3}),
        ("malformed/example-wrong-chunks.warc.gz", 1, [], {"record_type": 1}),
        ("malformed/post-test.warc.gz", 0, [], {"content_type": 3, "record_type": 3}),
        ("other/clueweb-quirk.warc.gz", 29, [], {"record_type": 1}),
        ("other/iana.warc.gz", 16, [], {"record_type": 172, "content_type": 28, "revisit": 123, "http_status": 4}),
        ("common-crawl/CC-MAIN-2020-34-16-pages.warc.gz", 15, ["empty"], {"record_type": 34}),
        ("common-crawl/whirlwind.warc.wet.gz", 1, [], {"record_type": 1}),
    ],
)
def test_real_archives(tmp_path: Path, name: str, kept: int, drops: list[str], skipped: dict[str, int]) -> None:
    if not DATA.exists():
        pytest.skip("the real archives are not on this machine")
    path = DATA / name
    read = Read(tmp_path, path.name, path.read_bytes())
    assert (len(read.texts), read.reasons, read.skipped) == (kept, drops, skipped)
    assert read.bytes_read == path.stat().st_size


def test_a_record_that_comes_twice_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(response(1) + response(2) + response(1, b"<p>Another text under the same record id.</p>"))
    section = SourceSection.model_validate({"name": "crawl", "kind": "common_crawl", "root": str(tmp_path), "snapshot": "1"})
    batches = [batch for unit in common_crawl.units(section) for batch in common_crawl.read(section, unit)]
    assert [row["origin"] for batch in batches for row in batch.documents.to_pylist()] == [
        "a.warc#0",
        f"a.warc#{len(response(1))}",
    ]
    (dropped,) = [row for batch in batches for drops in batch.drops for row in drops.to_pylist()]
    assert (dropped["reason"], dropped["detail"]) == (
        "repeated_key",
        "an earlier record of this unit has the key urn:uuid:1",
    )
