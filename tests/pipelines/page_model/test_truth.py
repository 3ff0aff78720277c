"""Labelled pages from files: what cannot be used is named by file and place."""

import json
from pathlib import Path

import pytest

from pipelines.page_model.truth import TruthError, labelled_pages

URL = "https://mill.example/"
ROW = json.dumps({"url": URL, "text": "The wheel turns."})


def _archive(path: Path, *urls: str) -> Path:
    records = []
    for url in urls:
        block = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>The wheel turns.</p>"
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Length: {len(block)}\r\n\r\n"
        records.append(f"{head}{block}\r\n\r\n")
    path.write_text("".join(records), newline="")
    return path


def _truth(folder: Path, content: str | bytes) -> Path:
    path = folder / "truth.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_pages_come_in_the_order_of_their_urls(tmp_path: Path) -> None:
    rows = [{"url": URL + name, "text": name, "language": "en"} for name in "ba"]
    truth = _truth(tmp_path, "\ufeff" + "\n\n".join(map(json.dumps, rows)))  # a byte order mark, an empty line
    pages = labelled_pages([truth], [_archive(tmp_path / "a.warc", URL + "b", URL + "c", URL + "a")])
    assert [(page.url, page.truth, page.kind) for page in pages] == [(URL + "a", "a", "en"), (URL + "b", "b", "en")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": no row; a row is a JSON object with url and text"),
        (ROW + "\nhello", ": line 2: not a JSON object in UTF-8 with url and text"),
        (b'{"url": "\xe9", "text": ""}', ": line 1: not a JSON object in UTF-8 with url and text"),
        ("[1]", ": line 1: not a JSON object in UTF-8 with url and text"),
        ('{"url": "a"}', ": line 1: not a JSON object in UTF-8 with url and text"),
        ('{"url": "a", "text": null}', ": line 1: url, text, type and language must be strings; correct or remove the row"),
        ('{"url": [], "text": ""}', ": line 1: url, text, type and language must be strings; correct or remove the row"),
        (
            '{"url": "a", "text": "", "type": 5}',
            ": line 1: url, text, type and language must be strings; correct or remove the row",
        ),
        ('{"url": "a", "text": ""}', ": line 1: no archive has a page with this URL (rows without one: 1); name its WARC file"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    truth = _truth(tmp_path, content)
    with pytest.raises(TruthError) as error:
        labelled_pages([truth], [_archive(tmp_path / "a.warc", URL)])
    assert str(error.value) == f"{truth}{message}"


def test_a_url_has_one_row(tmp_path: Path) -> None:
    truth = _truth(tmp_path, f"{ROW}\n{ROW}\n")
    with pytest.raises(TruthError) as error:
        labelled_pages([truth], [_archive(tmp_path / "a.warc", URL)])
    assert str(error.value) == f"{truth}: line 2: the URL of {truth}: line 1 again; remove one of them"


@pytest.mark.parametrize(("content", "place"), [(b"<p>no archive", 0), (None, 164)])
def test_an_archive_that_is_broken_is_no_archive_with_fewer_pages(tmp_path: Path, content: bytes | None, place: int) -> None:
    path = _archive(tmp_path / "a.warc", URL)
    path.write_bytes(content or path.read_bytes() + b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 99\r\n\r\ncut")
    with pytest.raises(TruthError, match=f"a.warc: byte {place}: not a whole record of a web archive"):
        labelled_pages([_truth(tmp_path, ROW)], [path])
