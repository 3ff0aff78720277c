"""Web archives: every record is kept, dropped or skipped, and a broken one stops nothing."""

import bz2
import gzip
import io
import lzma
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import zstandard
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

    def __init__(self, folder: Path, name: str, data: bytes, **settings: Any) -> None:
        (folder / name).write_bytes(data)
        section = SourceSection(name="crawl", kind="common_crawl", root=str(folder), paths=(name,), snapshot="x", **settings)
        (unit,) = common_crawl.units(section)
        self.batches = list(common_crawl.read(section, unit))
        ledger = add(batch.ledger for batch in self.batches)
        ledger.check()
        self.pages = Counter(ledger.pages)
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
    assert (first["url"], first["title"], first["retrieved"]) == ("http://example.com/1", "Mill 1", "2024-05-18T01:58:10Z")
    assert first["date"] is None
    assert read.bytes_read == sum(map(len, parts))


def test_a_page_that_trafilatura_cannot_take_is_a_drop_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trafilatura.py").write_text(
        "import os\ndef extract(markup):\n    if 'number 1' in markup: os._exit(9)\n    return 'Text of ' + markup[19:25]\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    read = Read(tmp_path, "a.warc", b"".join(GOOD), extractor="trafilatura")
    assert [(row["title"], row["text"]) for row in read.documents] == [(f"Mill {n}", f"Text of Mill {n}") for n in (0, 2, 3)]
    assert [(row["reason"], row["detail"]) for row in read.drops] == [
        ("extraction_failed", f"a.warc#{len(GOOD[0])}: trafilatura: its process ended with exit status 9")
    ]


PACKS: dict[str, Callable[[bytes], bytes]] = {"BZ2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress, "gz": bytes}


@pytest.mark.parametrize("ending", PACKS)
def test_other_compressions_have_the_places_of_the_content(tmp_path: Path, ending: str) -> None:
    read = Read(tmp_path, f"a.warc.{ending}", stored := PACKS[ending](b"".join(GOOD)))
    assert read.texts == [text_of(n) for n in range(4)]
    offsets = [sum(map(len, GOOD[:n])) for n in range(4)]
    assert [row["origin"] for row in read.documents] == [f"a.warc.{ending}#{offset}" for offset in offsets]
    assert read.bytes_read == len(stored)


def test_a_frame_for_each_record_with_a_shared_dictionary(tmp_path: Path) -> None:
    dictionary = zstandard.ZstdCompressionDict(b"".join(GOOD[:2]))
    packer = zstandard.ZstdCompressor(dict_data=dictionary)
    held = zstandard.compress(dictionary.as_bytes())
    first = b"\x5d\x2a\x4d\x18" + len(held).to_bytes(4, "little") + held
    assert Read(tmp_path, "a.warc.zst", first + b"".join(map(packer.compress, GOOD))).texts == [text_of(n) for n in range(4)]


def test_a_compressed_archive_that_breaks_off_gives_what_precedes(tmp_path: Path) -> None:
    whole, last = zstandard.compress(b"".join(GOOD[:2])), zstandard.compress(b"".join(GOOD[2:]))
    read = Read(tmp_path, "a.warc.zst", whole + last[:-8])
    assert (read.texts, read.reasons) == ([text_of(0), text_of(1)], ["cut_off"])
    assert read.drops[0]["detail"] == f"a.warc.zst#{sum(map(len, GOOD[:2]))}: the zstd stream is cut off"
    read = Read(tmp_path, "b.warc.bz2", bz2.compress(b"".join(GOOD)[:-100]) + b"garbage")
    assert read.texts == [text_of(n) for n in range(3)]
    assert read.drops[0]["detail"].endswith(": bytes that are no compressed stream follow one")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
@pytest.mark.parametrize("length", [10, 30])
def test_a_compressed_archive_that_breaks_off_before_its_first_record_is_a_drop(
    tmp_path: Path, pack: Callable[[bytes], bytes], length: int
) -> None:
    read = Read(tmp_path, "a.warc", pack(b"".join(GOOD))[:length])
    assert (read.texts, read.reasons) == ([], ["cut_off"])
    assert "cut off" in read.drops[0]["detail"]


def arc_record(url: str, block: bytes, fields: str = "text/html", length: int | None = None) -> bytes:
    return f"{url} 192.0.2.1 19961104142103 {fields} {len(block) if length is None else length}\n".encode() + block + b"\n"


def arc_page(n: int, url: str, fields: str = "text/html") -> bytes:
    return arc_record(url, b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE.format(n=n).encode(), fields)


ARC = {
    1: [
        arc_record(
            "filedesc://a.arc", b"1 0 Alexa Internet\nURL IP-address Archive-date Content-type Archive-length\n", "text/plain"
        ),
        arc_record("dns:example.com", b"19961104142103\nexample.com. 12 IN A 192.0.2.1\n", "text/dns"),
        arc_page(0, "http://example.com/0"),
        arc_page(1, "http://example.com/with space", "text/html; charset=utf-8"),
        arc_record("http://example.com/gone", b"HTTP/1.0 404 Not Found\r\n\r\n"),
    ],
    2: [
        arc_record("filedesc://a.arc", b"2 0 Internet Archive\n\n", "text/plain 200 - - 0 a.arc"),
        arc_page(0, "http://example.com/0", "text/html 200 a1b2 - 120 a.arc"),
        arc_page(1, "https://example.com/with space", "text/html 200 a1b2 - 990 a.arc"),
    ],
}


@pytest.mark.parametrize("version", ARC)
@pytest.mark.parametrize("name", ["a.arc", "a.ARC.GZ", "a.arc.bz2"])
def test_arc_files_are_read_as_responses(tmp_path: Path, version: int, name: str) -> None:
    parts = ARC[version]
    packed = members(parts) if name.endswith("GZ") else [bz2.compress(b"".join(parts))] if name.endswith("bz2") else parts
    read = Read(tmp_path, name, b"".join(packed))
    assert (read.texts, read.drops) == ([text_of(0), text_of(1)], [])
    place = sum(map(len, parts[: 3 if version == 1 else 2]))
    assert read.documents[1]["origin"] == f"{name}#{place}"
    assert read.documents[1]["url"].endswith("://example.com/with space")
    assert read.documents[1]["retrieved"] == "1996-11-04T14:21:03Z"
    assert read.skipped == ({"record_type": 2, "http_status": 1} if version == 1 else {"record_type": 1})
    assert read.bytes_read == sum(map(len, packed))


def test_an_arc_file_with_damage_and_without_its_end(tmp_path: Path) -> None:
    head, _, first, second, _ = ARC[1]
    read = Read(tmp_path, "a.arc", head + first + b"garbage\nof two lines\n\n" + second + first[:-90])
    assert (read.texts, read.reasons) == ([text_of(0), text_of(1)], ["unreadable", "cut_off"])
    place = len(head + first)
    assert read.drops[0]["detail"] == f"a.arc#{place}: bytes that are no ARC record"
    assert read.drops[1]["detail"].startswith(f"a.arc#{place + len(b'garbage|of two lines||') + len(second)}: the record says ")
    read = Read(tmp_path, "b.arc", head + first + b"x" * 200_000)
    assert (read.texts, read.reasons) == ([text_of(0)], ["cut_off"])


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
    assert read.reasons == ["no_main_text", "undecodable"]


FILES = {
    "a PDF file": b"\r\n%PDF-1.7 <html>",
    "a PNG image": b"\x89PNG\r\n\x1a\n\0\0",
    "a JPEG image": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "a WebP image": b"RIFF\x10\0\0\0WEBPVP8 ",
    "a ZIP file (or an office document)": b"PK\x03\x04\x14\0<p>",
    "an MP4 file": b"\0\0\0\x20ftypisom",
    "a program": b"MZ\x90\0\x03",
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("says", ["text/html", "text/plain"])
def test_a_file_that_calls_itself_text_is_a_drop_that_says_what_it_is(tmp_path: Path, what: str, says: str) -> None:
    read = Read(tmp_path, "a.warc", GOOD[0] + response(1, FILES[what], Content_Type=says) + GOOD[2])
    assert (read.texts, read.reasons) == ([text_of(0), text_of(2)], ["not_text"])
    assert read.drops[0]["detail"] == f"a.warc#{len(GOOD[0])}: says {says} and is {what}"


WITHOUT_TYPE = {
    b"<!doctype html><p>%s</p>": True,
    b" \n<!-- by hand --><title>x</title><p>%s</p>": True,
    b"\xef\xbb\xbf<P>%s</P>": True,
    b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x" "y"><html xmlns="http://www.w3.org/1999/xhtml"><p>%s</p></html>': True,
    b"%s": False,  # a text, perhaps, or code, or data
    b"<pre-history>%s</pre-history>": False,
    b"<p>\0\1\2%s</p>": False,
    b"%%PDF-1.4 <p>%s</p>": False,
    b"": False,
}


@pytest.mark.parametrize("markup", WITHOUT_TYPE)
@pytest.mark.parametrize("says", ["", "application/octet-stream", "unk"])
def test_a_page_without_a_type_is_known_by_its_first_bytes(tmp_path: Path, markup: bytes, says: str) -> None:
    text = text_of(1).encode()
    read = Read(tmp_path, "a.warc", response(1, markup % text if b"%s" in markup else markup, Content_Type=says))
    wanted = ([text_of(1)], {}) if WITHOUT_TYPE[markup] else ([], {"content_type": 1})
    assert (read.texts, read.skipped, read.drops) == (*wanted, [])


@pytest.mark.parametrize("says", ["application/xml", "text/xml; charset=utf-8", "", "text/html"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_xml_is_a_page_if_its_root_is_html(tmp_path: Path, says: str, encoding: str) -> None:
    page = f'<?xml version="1.0"?><!-- <rss> --><?x y?>\n<h:html xmlns:h="x"><body><p>{text_of(1)}</p></body></h:html>'
    feed = f'<?xml version="1.0"?>\n<!-- <html> --><rss version="2.0"><channel><title>{text_of(2)}</title></channel></rss>'
    bodies = [page.replace("h:", "").encode(encoding), feed.encode(encoding)]
    read = Read(tmp_path, "a.warc", b"".join(response(n, body, Content_Type=says) for n, body in enumerate(bodies)))
    assert (read.texts, read.skipped, read.drops) == ([text_of(1)], {"xml": 1}, [])


def test_what_is_served_as_xml_is_read_as_xml(tmp_path: Path) -> None:
    """An element is empty if it says so, and character data is text; in text/html neither is."""
    page = f"<html xmlns='http://www.w3.org/1999/xhtml'><title/><body><p><![CDATA[{text_of(1)}]]></p></body></html>".encode()
    declared = ["application/xhtml+xml", "text/xml", "application/vnd.wap.xhtml+xml", "text/html"]
    read = Read(tmp_path, "a.warc", b"".join(response(n, page, Content_Type=says) for n, says in enumerate(declared)))
    assert (read.texts, read.reasons) == ([text_of(1)] * 3, ["no_main_text"])


@pytest.mark.parametrize("says", ["application/xhtml+xml", "application/xml"])
def test_xhtml_has_cdata_empty_elements_and_declarations(tmp_path: Path, says: str) -> None:
    page = (
        '<?xml version="1.0"?><!DOCTYPE html [<!ENTITY mill "a > b"> <!ELEMENT p ANY>\n]>\n<html xmlns="x">'
        "<head><title>M</title><script/></head>"
        f"<body><div/><p><![CDATA[If a < b & c, <mill> says:]]> {text_of(1)}</p></body></html>"
    )
    read = Read(tmp_path, "a.warc", response(1, page.encode(), Content_Type=says))
    assert read.texts == [f"If a < b & c, <mill> says: {text_of(1)}"]


def test_other_xml_is_skipped_unless_it_is_declared_as_a_page(tmp_path: Path) -> None:
    data = b"<note><to>%s</to></note>" % text_of(1).encode()
    declared = ["application/xml", "text/xml", "text/html", "application/rss+xml"]
    read = Read(tmp_path, "a.warc", b"".join(response(n, data, Content_Type=says) for n, says in enumerate(declared)))
    assert (read.texts, read.skipped) == ([text_of(1)], {"xml": 2, "content_type": 1})


def test_a_page_without_main_text_says_how_much_text_is_visible(tmp_path: Path) -> None:
    menu = "".join(f'<li><a href="/{n}">Item {n}</a></li>' for n in range(30))
    pages = [f"<nav><ul>{menu}</ul></nav>", "<p>\u200b\u2066</p>", ""]
    read = Read(tmp_path, "a.warc", b"".join(response(n, f"<html><body>{page}".encode()) for n, page in enumerate(pages)))
    assert (read.texts, read.reasons) == ([], ["no_main_text"] * 3)
    visible = [row["detail"].split(": ")[1] for row in read.drops]
    assert visible[2] == "0 characters of visible text"
    assert visible[0] == f"{len(''.join(f'Item{n}' for n in range(30)))} characters of visible text"


def test_what_pages_show_and_what_is_kept_is_counted(tmp_path: Path) -> None:
    text = "The mill number one stood by the brook; its wheel turned day and night, and the miller slept."
    page = f"<title>No</title><nav><a href=/>Menu of five</a></nav><main><p>{text}</p></main><script>var x</script>"
    bodies = [page, "<body><nav><a href=/>Men&uuml;</a></nav>", "<p>"]
    data = b"".join(response(n, body.encode()) for n, body in enumerate(bodies))
    read = Read(tmp_path, "a.warc", data + response(9, b"plain text", Content_Type="text/plain"))
    kept = len(text.replace(" ", ""))
    assert read.texts == [text, "plain text"]
    wanted = {"pages": 3, "visible_characters": kept + len("Menuoffive") + len("Menü"), "kept_characters": kept}
    assert read.pages == wanted | {"without_main_text": 2, "fallbacks": 0}


@pytest.mark.parametrize("encoding", ["utf-7", "utf-16-le", "utf-16-be", "utf-8"])
@pytest.mark.parametrize("declared", ["utf-7", "utf-16", "utf-16le", "utf-16be", "UTF-8"])
def test_what_is_declared_as_utf_7_or_utf_16_is_read_as_what_it_is(tmp_path: Path, encoding: str, declared: str) -> None:
    text = "Die Mühle am Bach stand dort, und das Rad drehte sich + weiter. a+b C++."
    body = f"<html><body><main><p>{text}</p></main></body></html>".encode(encoding)
    read = Read(tmp_path, "a.warc", response(1, body, Content_Type=f"text/html; charset={declared}"))
    as_ascii = text.encode("utf-7").decode()  # browsers know no UTF-7: undeclared, it is read as ASCII
    assert read.texts == [as_ascii if encoding == "utf-7" != declared else text]


def test_nuls_and_broken_bytes_lose_no_page(tmp_path: Path) -> None:
    page = "<html><body><main><p>Die Mühle am Bach stand dort.</p></main></body></html>"
    bodies = [
        page.encode() + b"\0" * 500,  # a block of a disk
        page.encode().replace(b" ", b" \0"),
        page.encode("utf-16-be")[:-1],
        b"\xff\xfe"
        + page.replace("</p>", "X</p>" + "<p>y</p>" * 9)
        .encode("utf-16-le")
        .replace(b"X\0", b"\x00\xd8"),  # half of a surrogate pair
        page.encode().replace(b".</p>", b".\xed\xa0\x80</p>" + "<p>Das Rad für Öl.</p>".encode() * 50),
    ]
    read = Read(tmp_path, "a.warc", b"".join(response(n, body) for n, body in enumerate(bodies)))
    assert read.drops == []
    assert {text.replace("\ufffd", "").split("\n")[0] for text in read.texts} == {"Die Mühle am Bach stand dort."}


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
    assert read.reasons == ["extraction_failed", "no_main_text"]


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
    "data",
    [
        b"<html>not a WARC</html>",
        gzip.compress(b"not a WARC"),
        bz2.compress(b"no"),
        b"BZh9 no bzip2",
        random.Random(1).randbytes(5000),
    ],
)
def test_no_warc_at_all(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SourceError, match=r"a\.warc\.gz: byte 0: not a WARC or ARC file"):
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
        ("common-crawl/CC-MAIN-2020-34-16-pages.warc.gz", 16, [], {"record_type": 34}),
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


# --- what a page says against its use -------------------------------------------------------------------------------------

OPTED_OUT = [
    response(0, X_Robots_Tag="noindex, nofollow"),
    response(1, X_Robots_Tag="otherbot: noindex\r\nX-Robots-Tag: noai\r\nx-robots-tag: googlebot: noindex"),
    response(2, TDM_Reservation="1"),
    response(3, TDM_Reservation="0", X_Robots_Tag="otherbot: noindex"),
    response(4, X_Robots_Tag="noimageai"),
    response(5, b"The mill.", Content_Type="text/plain", X_Robots_Tag="noai"),
]


def test_opt_outs_are_a_column(tmp_path: Path) -> None:
    read = Read(tmp_path, "a.warc", b"".join(OPTED_OUT))
    assert read.drops == []
    assert [row["opt_outs"] for row in read.documents] == [
        ["noindex"],
        ["noindex", "noai"],
        ["tdm"],
        None,
        ["noimageai"],
        ["noai"],
    ]


def test_respected_opt_outs_are_drops_with_their_reason(tmp_path: Path) -> None:
    read = Read(tmp_path, "a.warc", b"".join(OPTED_OUT), respect=("tdm", "noai"))
    assert [row["opt_outs"] for row in read.documents] == [["noindex"], None]
    assert [(row["reason"], row["detail"]) for row in read.drops] == [
        ("opted_out_noai", "the page says noai"),
        ("opted_out_tdm", "the page says tdm"),
        ("opted_out_noai", "the page says noimageai"),
        ("opted_out_noai", "the page says noai"),
    ]
    assert Read(tmp_path, "a.warc", b"".join(OPTED_OUT), respect=("noindex",)).reasons == ["opted_out_noindex"] * 2


def test_what_a_page_says_of_itself_is_in_its_columns(tmp_path: Path) -> None:
    page = b"""<html lang=en><title>The mill | Brook</title><meta name=author content="Ann Mill">
<meta name=date content=2024-05-03>
<link rel=canonical href=/mill><link rel=license href=https://creativecommons.org/licenses/by/4.0/>
<meta property=og:type content=article><body><main><p>The mill number 0 stood by the brook.</p><img src=/m.png alt=Mill></main>"""
    row = Read(tmp_path, "a.warc", response(0, page)).documents[0]
    assert {name: row[name] for name in ("title", "author", "date", "retrieved", "license", "canonical_url")} == {
        "title": "The mill | Brook",
        "author": "Ann Mill",
        "date": "2024-05-03",
        "retrieved": "2024-05-18T01:58:10Z",
        "license": "CC-BY-4.0",
        "canonical_url": "http://example.com/mill",
    }
    assert (row["declared_language"], row["site_type"], row["opt_outs"], row["images"]) == ("en", "article", None, None)
    own = Read(tmp_path, "a.warc", response(0, page), license="CC0-1.0", images=True).documents[0]
    assert (own["license"], own["images"]) == ("CC-BY-4.0", [{"url": "http://example.com/m.png", "alt": "Mill", "caption": None}])


def test_images_are_those_of_the_main_part(tmp_path: Path) -> None:
    prose = "<p>The old mill stood by the brook for a hundred years, and nobody in the village knew who had built it.</p>" * 2
    links = "".join(f"<li><a href=/{n}>Link {n}</a></li>" for n in range(9))
    page = f"""<title>The mill</title><body><nav><img src=/logo.png><ul>{links}</ul></nav><main><h1>The mill</h1><img src=/1.png>
{prose}<img src=/2.png>{prose}</main><footer><ul>{links}</ul><img src=/badge.png></footer>"""
    row = Read(tmp_path, "a.warc", response(0, page.encode()), images=True).documents[0]
    assert [image["url"] for image in row["images"]] == ["http://example.com/1.png", "http://example.com/2.png"]


def test_a_page_opts_out_in_its_metas(tmp_path: Path) -> None:
    page = b'<meta name="robots" content="noai"><body><main><p>The mill stood by the brook.</p></main>'
    read = Read(tmp_path, "a.warc", response(0, page), respect=("noai",))
    assert [(row["reason"], row["opt_outs"]) for row in read.drops] == [("opted_out_noai", ["noai"])]
