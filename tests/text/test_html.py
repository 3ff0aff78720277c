"""HTML to text: exact results on small pages, and no page that hangs."""

import json
import sys
import time
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator

from pipelines.text.html import (
    MAX_ATTRIBUTES,
    MAX_BYTES,
    MAX_NESTING,
    MAX_OPTIONS,
    ExtractionError,
    Page,
    all_text,
    decode_html,
    main_text,
    tidy,
)

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
TOOLS = DATA.parent / "tools"

ARTICLE = """<!DOCTYPE html><html><head><title>The
 Mill &amp; the Brook</title><style>p{}</style></head><body>
<nav><a href="/">Home</a> <a href="/about">About us</a></nav>
<main><h1>The Mill</h1><p>The mill stood   by the brook,&nbsp;and nobody
knew who had built it.</p><p>One day a <em>stranger</em> came.<br>He asked for bread.</p>
<img src="a.png" alt="A picture of a mill"></main>
<footer>Copyright</footer><script>var x = 1;</script></body></html>"""


def test_main_text_and_title() -> None:
    assert main_text(ARTICLE) == Page(
        "The Mill\n\nThe mill stood by the brook, and nobody knew who had built it.\n\n"
        "One day a stranger came.\nHe asked for bread.",
        "The Mill & the Brook",
    )


def test_all_text_keeps_what_is_no_main_content() -> None:
    text = all_text(ARTICLE).text
    assert "About us" in text
    assert "Copyright" in text
    assert "var x" not in text
    assert "A picture" not in text


def test_tidy() -> None:
    assert tidy(" a \u00a0\t b \n \n\n\n c\n d ") == "a b\n\nc\nd"


@pytest.mark.parametrize(
    ("data", "http", "text"),
    [
        ("<p>żółw</p>".encode("iso8859-2"), "ISO-8859-2", "<p>żółw</p>"),
        ('<meta charset="windows-1250"><p>żółw</p>'.encode("cp1250"), None, '<meta charset="windows-1250"><p>żółw</p>'),
        (
            '<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS"><p>小説</p>'.encode("cp932"),
            None,
            '<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS"><p>小説</p>',
        ),
        ('<meta charset="utf-16"><p>Grüße</p>'.encode(), None, '<meta charset="utf-16"><p>Grüße</p>'),
        ('<meta charset="iso-8859-1"><p>Grüße</p>'.encode(), "utf-8", '<meta charset="iso-8859-1"><p>Grüße</p>'),
        (b"\x00\x01\x02" * 100, None, None),
    ],
)
def test_encodings(data: bytes, http: str | None, text: str | None) -> None:
    assert decode_html(data, http) == text


@pytest.mark.parametrize(
    ("html", "what"),
    [
        ("<div>" * 100_000 + "x", "nested 100,000 deep"),
        ("<ARTICLE>" * (MAX_NESTING + 1) + "x", "nested 1,001 deep"),
        ("</div>" * 2000 + "<div>" * 2000, "nested 2,000 deep"),
        ("<select>" + "<option>x" * (MAX_OPTIONS + 1), "10,001 <option>"),
        ("<div " + " ".join(f"a{i}=1" for i in range(MAX_ATTRIBUTES * 5)) + ">x", "50,000 attributes"),
        ("x" * (MAX_BYTES + 1), "more than 16,777,216"),
    ],
)
def test_a_page_built_to_hang_is_refused_at_once(html: str, what: str) -> None:
    start = time.monotonic()
    with pytest.raises(ExtractionError, match=what):
        main_text(html)
    assert time.monotonic() - start < 2


def test_pages_at_the_limits_pass() -> None:
    start = time.monotonic()
    assert main_text("<div>" * (MAX_NESTING - 1) + "<p>word</p>").text == "word"
    assert main_text("<div><p>word</p></div>" * 3000).text.count("word") == 3000
    main_text("<p>" + "word <b>" * 50_000)
    assert time.monotonic() - start < 10


def test_too_large_bytes_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(ExtractionError, match="bytes of HTML"):
        decode_html(b"a" * (MAX_BYTES + 1))


def test_score_on_hand_made_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """F1 over the English pages; Resiliparse with all its options on has .881."""
    if not (DATA / "extraction").exists():
        pytest.skip("the extraction benchmark is not on this machine")
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])
    from score_extraction import shingles  # pyright: ignore[reportMissingImports]

    rows = [json.loads(line) for line in (DATA / "extraction" / "truth.jsonl").read_text().splitlines()]
    truth = {row["url"]: row["text"] for row in rows if row["language"] == "English"}
    precision, recall = [], []
    with (DATA / "extraction" / "pages.warc.gz").open("rb") as stream:
        for record in ArchiveIterator(stream):
            url = record.headers.get("WARC-Target-URI")
            if url not in truth or len(precision) == 150:
                continue
            html = decode_html(record.reader.read())
            got, want = shingles(main_text(html or "").text), shingles(truth[url])
            both = sum((want & got).values())
            precision.append(both / sum(got.values()) if got else 0.0)
            recall.append(both / sum(want.values()) if want else 1.0)
    p, r = sum(precision) / len(precision), sum(recall) / len(recall)
    assert 2 * p * r / (p + r) > 0.89
