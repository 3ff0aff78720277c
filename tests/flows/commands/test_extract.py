"""`corpusmill extract`: a line of JSON for every document of any file, a reason where there is no text, and pages to look at."""

import gzip
import importlib.metadata
import io
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from browser import CHROMIUM, chromium
from places import FIXTURES

from flows.commands import main as cli
from flows.commands.corpora import extract as command
from pipelines.sources import any_file

TINY = FIXTURES / "tiny"
TEXT = "The mill stood by the brook, and its wheel turned day and night while the miller slept."
PAGE = f"<html><head><title>The mill</title></head><body><nav><a href=/>Menu</a></nav><main><p>{TEXT}</p></main></body></html>"
HOSTILE = '</title></div><script>document.title="ran"</script><img src=x onerror=alert(1)>\u202e\x1b[2J&lt;script&gt;'

Extract = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture
def extract(capfd: pytest.CaptureFixture[str], language_model: str) -> Extract:
    """Run the command; return its exit code, its lines and what it says on standard error."""

    def run(*arguments: str | Path, model: str = language_model) -> tuple[int, list[dict[str, Any]], str]:
        capfd.readouterr()
        code = cli.main(["extract", *map(str, arguments), *(["--language-model", model] if model else [])])
        out, err = capfd.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return run


def test_a_saved_page_is_a_line(extract: Extract, tmp_path: Path) -> None:
    (tmp_path / "mill.html").write_text(PAGE)
    code, (row,), err = extract(tmp_path / "mill.html")
    path = str(tmp_path / "mill.html")
    assert code == 0
    assert list(row)[:5] == ["url", "title", "author", "date", "language"] and list(row)[-1] == "text"
    assert (row["url"], row["title"], row["text"], row["language"]) == (path, "The mill", TEXT, "en")
    assert (row["origin"], row["author"], row["date"]) == (f"{path}#0", None, None)
    assert 0.5 < row["language_score"] <= 1
    assert err == f"{path}: page: 1 document, {len(TEXT)} characters\n"


def test_what_a_page_says_of_itself_is_in_its_line(extract: Extract, tmp_path: Path) -> None:
    said = (
        '<link rel="canonical" href="https://mill.example/wheel"><meta name="author" content="Ada Fenwick">'
        '<meta property="article:published_time" content="2021-03-04T05:06:07Z"><meta name="robots" content="noai">'
    )
    (tmp_path / "saved.html").write_text(PAGE.replace("<head>", f"<head>{said}"))
    _, (row,), _ = extract(tmp_path / "saved.html")
    assert (row["url"], row["author"], row["date"][:10]) == ("https://mill.example/wheel", "Ada Fenwick", "2021-03-04")
    assert (row["opt_outs"], row["text"]) == (["noai"], TEXT)
    _, (row,), _ = extract(tmp_path / "saved.html", "--set", 'respect=["noai"]')
    assert (row["reason"], row["text"]) == ("opted_out_noai", None)


def test_every_kind_is_read_as_a_build_reads_it(tiny: Any, extract: Extract) -> None:
    """Every text of the build's documents datasets, before any filter, is a line with the same facts.

    A book in HTML is a book for the build, which keeps all of its text, and a page for the command.
    """
    names = ["id", "url", "origin", "title", "date", "language", "text"]
    built = [
        row
        for path in sorted(tiny.out.glob("documents/*/*/documents/*.parquet"))
        for row in pq.read_table(path, columns=names).to_pylist()
    ]
    paths = [path for folder in ("wiki", "books", "crawl") for path in sorted((TINY / folder).iterdir()) if path.suffix != ".csv"]
    code, rows, err = extract(*paths)
    assert code == 0 and len(err.splitlines()) == len(paths)
    lines = {row["origin"].rpartition("/")[2]: row for row in rows if row["text"] is not None}
    assert len(built) == 23
    for row in built:
        line = lines[row["origin"].rpartition("/")[2]]
        if "ferry.html" in row["origin"]:
            line["text"] = f"{row['title']}\n\n{line['text'].removeprefix(row['title']).lstrip()}"
        assert {name: line[name] for name in names[3:]} == {name: row[name] for name in names[3:]}
        assert line["url"] == row["url"] or "ferry" in line["origin"]


def test_every_kind_can_be_named() -> None:
    assert tuple(any_file.KINDS) == command.KINDS


def test_nothing_is_lost_in_silence(extract: Extract) -> None:
    code, rows, err = extract(TINY / "crawl" / "pages.warc")
    dropped = [row for row in rows if row["text"] is None]
    assert [(row["reason"], row["stage"]) for row in dropped] == [("no_main_text", "read"), ("unreadable", "read")]
    assert dropped[1]["detail"] and dropped[1]["origin"].endswith("pages.warc#14647")
    places = [int(row["origin"].rpartition("#")[2]) for row in rows]
    assert places == sorted(places) and len(places) == len(set(places))
    kept = len(rows) - 2
    assert f"common_crawl: {kept} documents, " in err and "; dropped: no_main_text 1, unreadable 1; skipped: " in err
    assert code == 0


def test_the_limit_says_that_there_is_more(extract: Extract) -> None:
    _, rows, err = extract(TINY / "crawl" / "pages.warc", "--limit", "3")
    assert len(rows) == 3
    assert err.endswith("; only the first 3 of these are written\n")


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_standard_input_is_a_file_too(
    extract: Extract, monkeypatch: pytest.MonkeyPatch, packed: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(packed(PAGE.encode()))))
    _, (row,), err = extract("-")
    assert (row["url"], row["origin"], row["text"]) == ("stdin", "stdin#0", TEXT)
    assert err.startswith("stdin: page: ")


def test_settings_of_a_source_and_the_kind_can_be_named(extract: Extract, tmp_path: Path) -> None:
    (tmp_path / "lines.data").write_text(json.dumps({"body": TEXT, "name": "M"}) + "\n" + json.dumps({"name": "none"}) + "\n")
    code, rows, _ = extract(tmp_path / "lines.data", "--set", "text_field=body", "--set", "title_field=name")
    assert code == 0
    assert [(row["title"], row["text"], row.get("reason")) for row in rows] == [("M", TEXT, None), ("none", None, "empty")]
    (tmp_path / "page.html").write_text(PAGE)
    _, (row,), err = extract(tmp_path / "page.html", "--kind", "books")
    assert row["text"] == f"Menu\n\n{TEXT}" and ": books: " in err
    code, rows, err = extract(tmp_path / "page.html", "--set", "text_feld=x")
    assert (code, rows) == (1, [])
    assert "text_feld: unknown key; did you mean 'text_field'?" in err


def test_a_file_that_cannot_be_read_is_a_line_on_standard_error_and_stops_no_other(extract: Extract, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "book.epub").write_bytes(b"PK\x03\x04\x14\0")
    (tmp_path / "data.bin").write_bytes(b"\0\1\2")
    (tmp_path / "feed.xml").write_text("<rss><channel/></rss>")
    (tmp_path / "wrong.warc").write_text("no archive")
    (tmp_path / "good.html").write_text(PAGE)
    names = ["empty.txt", "book.epub", "data.bin", "feed.xml", "wrong.warc", "none", ".", "good.html"]
    code, rows, err = extract(*(tmp_path / name for name in names))
    assert (code, [row["text"] for row in rows]) == (1, [TEXT])
    told = err.splitlines()
    assert len(told) == len(names) and all(line.startswith("corpusmill: ") for line in told[:-1])
    wanted = [
        *("is empty", "is a ZIP file (or an office document), which cannot be read", "is a binary file of an unknown type"),
        *("is XML with the root element rss", "not a WARC or ARC file", "no such file", "is a folder; name its files"),
    ]
    for line, what in zip(told, wanted, strict=False):
        assert what in line


def test_a_page_that_is_none_is_a_drop_or_counted(extract: Extract, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"%PDF-1.4")
    (tmp_path / "b.html").write_text("<html><body><nav><a href=/>Menu</a></nav>")
    (tmp_path / "c.html").write_text("<?xml version='1.0'?><rss><channel/></rss>")
    (tmp_path / "d.html.gz").write_bytes(gzip.compress(PAGE.encode() * 99)[:-20])
    code, rows, err = extract(*sorted(tmp_path.iterdir()))
    assert (code, [(row["reason"], row["text"]) for row in rows]) == (
        0,
        [("not_text", None), ("no_main_text", None), ("cut_off", None)],
    )
    assert "c.html: page: 0 documents, 0 characters; skipped: xml 1\n" in err


def test_an_extractor_that_is_not_installed_is_no_bug(extract: Extract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(_name: str) -> str:
        raise importlib.metadata.PackageNotFoundError("trafilatura")

    (tmp_path / "mill.html").write_text(PAGE)
    monkeypatch.setattr(importlib.metadata, "version", version)
    code, rows, err = extract(tmp_path / "mill.html", "--set", "extractor=trafilatura")
    assert (code, rows, err.count("\n")) == (1, [], 1)
    assert err.startswith('corpusmill: sources.extractor = "trafilatura" needs the package trafilatura, which is not installed')


def test_errors_name_the_file_that_was_given(extract: Extract, tmp_path: Path) -> None:
    (tmp_path / "mill.html").write_text(PAGE)
    code, rows, err = extract(tmp_path / "mill.html", "--kind", "common_crawl")
    assert (code, rows) == (1, [])
    assert err.startswith(f"corpusmill: {tmp_path}/mill.html: byte 0: not a WARC or ARC file")


def test_standard_input_that_is_closed_is_no_bug(extract: Extract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    expected = "corpusmill: -: standard input is closed; name a file, or pipe one into the command\n"
    assert extract("-") == (1, [], expected)


def test_a_folder_for_the_lines_is_refused_before_anything_is_read(extract: Extract, tmp_path: Path) -> None:
    expected = f"corpusmill: {tmp_path}: is a folder; name a file with --out\n"
    assert extract(tmp_path / "none.html", "--out", tmp_path) == (1, [], expected)


def test_a_stream_of_which_nothing_can_be_decompressed_is_not_empty(extract: Extract, tmp_path: Path) -> None:
    (tmp_path / "mill.html.gz").write_bytes(gzip.compress(PAGE.encode())[:12])
    expected = f"corpusmill: {tmp_path}/mill.html.gz: cannot be decompressed; fetch it again\n"
    assert extract(tmp_path / "mill.html.gz") == (1, [], expected)


def test_the_lines_can_go_into_a_file(extract: Extract, tmp_path: Path) -> None:
    (tmp_path / "mill.html").write_text(PAGE.replace("mill", "młyn"), encoding="utf-8")
    _, rows, _ = extract(tmp_path / "mill.html", "--out", tmp_path / "out" / "texts.jsonl")
    assert rows == []
    line = (tmp_path / "out" / "texts.jsonl").read_text(encoding="utf-8")
    assert json.loads(line)["title"] == "The młyn" and "młyn" in line


def test_without_a_language_model_languages_are_null(extract: Extract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mill.html").write_text(PAGE)
    code, (row,), err = extract(tmp_path / "mill.html", model="")
    assert (code, row["language"], row["language_score"], row["text"]) == (0, None, None, TEXT)
    assert err.startswith("no language model here, so languages are null")


class Elements(HTMLParser):
    """The elements of a page, its event handlers and addresses, and its text by the class of what holds it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def pages(extract: Extract, tmp_path: Path) -> Path:
    """The pages of a good page, and of one by an enemy."""
    (tmp_path / "a.html").write_text(PAGE)
    (tmp_path / "b.html").write_text(
        f"<html><head><title>&lt;/title&gt;{HOSTILE.replace('<', '&lt;')}</title></head><body><main>"
        f"<p>{HOSTILE.replace('<', '&lt;')} {TEXT}</p><p>שלום עולם</p></main></body></html>"
    )
    deep = "".join(f'<div class="a-name-of-some-length-{n} another-name-of-some-length">' for n in range(9))
    (tmp_path / "b2.html").write_text(f"<html><body><main>{deep}<p>{TEXT * 9}</p>{'x' * 999}</main></body></html>")
    (tmp_path / "c.txt").write_text("A book.")
    extract(tmp_path / "a.html", tmp_path / "b.html", tmp_path / "b2.html", tmp_path / "c.txt", "--html", tmp_path / "pages")
    return tmp_path / "pages"


def test_pages_show_what_was_kept_and_what_was_left_in_order(pages: Path) -> None:
    assert sorted(path.name for path in pages.iterdir()) == ["000001.html", "000002.html", "000003.html", "index.html"]
    page = (pages / "000001.html").read_text()
    assert "body &gt; main &gt; p</span>" in page and "17 words · " in page and "1 word, 100% of it links · " in page
    assert f'<pre class=whole dir="auto">{TEXT}</pre>' in page
    left, kept = page.index('<div class="block left">'), page.index('<div class="block kept">')
    assert left < page.index(">Menu<") < kept < page.index(TEXT)
    assert f"kept: {len(TEXT.replace(' ', ''))} of {len(TEXT.replace(' ', '')) + 4} visible characters" in page
    index = Elements((pages / "index.html").read_text())
    assert {value for name, value in index.attributes if name == "href"} == {f"00000{n}.html" for n in (1, 2, 3)}
    assert "The mill" in index.text and "3 web pages" in index.text and "1 other documents have no page here" in index.text


def test_what_strangers_wrote_stays_text(pages: Path) -> None:
    for path in pages.iterdir():
        page = path.read_text()
        elements = Elements(page)
        assert not elements.names & {"script", "img", "iframe", "object", "link", "base", "form"}
        assert not [name for name, _ in elements.attributes if name.startswith("on") and name != "only"]
        assert all(
            value and value.endswith(".html") and ":" not in value for name, value in elements.attributes if name == "href"
        )
        assert "default-src 'none'" in page and "\x1b" not in page and "\u202e" not in page
    assert "<script>document.title" in Elements((pages / "000002.html").read_text()).text


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_browser_runs_and_fetches_nothing(pages: Path) -> None:
    with chromium() as browser:
        browser.size(900, 700)
        for name in ("index.html", "000002.html", "000003.html"):
            browser.open(pages / name)
            assert browser.run("document.documentElement.scrollWidth") <= 900
            assert browser.run("document.title") != "ran"
            assert browser.run("document.scripts.length") == 0
            assert [url for url in browser.requests if not url.startswith("file:")] == []
        assert browser.errors == []


def test_a_folder_that_holds_something_is_not_written(extract: Extract, tmp_path: Path) -> None:
    (tmp_path / "mill.html").write_text(PAGE)
    code, rows, err = extract(tmp_path / "mill.html", "--html", tmp_path)
    assert (code, rows) == (1, [])
    assert "holds something already; name a new or empty folder with --html" in err
