"""Kept nodes to text: exact results on small pages."""

import pyarrow as pa
import pytest

from pipelines.text.characters.normalize import normalize
from pipelines.text.extraction.pages.structure import write
from pipelines.text.extraction.pages.tags import TEXT
from pipelines.text.extraction.pages.tree import parse


def text(markup: str, *, markdown: bool = False) -> str:
    """Return all text of a page as `normalize` leaves it."""
    tree = parse(markup.encode())
    return normalize(pa.array([write(tree, tree.tag == TEXT, markdown=markdown)]), whitespace="code")[0].as_py()


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("<h1>A</h1>Some <b>o</b>ld\n<i>mills</i> <i> of</i> wood<p>One<p>Two", "A\n\nSome old mills of wood\n\nOne\n\nTwo"),
        ("a<div>b</div>c<div><div>d</div></div>", "a\nb\nc\nd"),
        (f"<div>{'long ' * 21}</div><div>b</div>", f"{('long ' * 21).strip()}\n\nb"),
        ("a<!-- -->b <b> c </b>d<button>e</button>f<wbr>g<img>h", "ab c d e fg h"),
        ("<q>a</q>, <q>b </q>.", "“a”, “b”."),
        ("<b>Hel</b>lo <a>東京</a>と<a>大阪</a>", "Hello 東京と大阪"),
        ("<ruby>漢<rp>(<rt>kan<rp>)</ruby>字", "漢字"),
        ("<figure><img alt='no'><figcaption>A mill</figcaption></figure>b<hr>c", "A mill\n\nb\n\nc"),
        ("<dl><dt>a<dd>b<dt>c<dd>d</dl>e", "a\nb\nc\nd\n\ne"),
        ("a<blockquote>b<p>c</blockquote>d", "a\n\nb\n\nc\n\nd"),
        ("<p>5 km\u00a0</p><p>&nbsp;\u3000&#8203;</p><p>\ufdedb</p>", "5 km\n\nb"),
        ("<p>à\u00c2&nbsp;!", "à !"),  # mojibake keeps its no-break space, and is repaired
    ],
)
def test_paragraphs_and_lines(markup: str, wanted: str) -> None:
    assert text(markup) == wanted


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("a<br>b<br/>\n c <br><br>d<br><br><br>e", "a\nb\nc\n\nd\n\ne"),
        ("<div>a<br></div>b", "a\nb"),
        ("<div>a</div><div><br></div><div>b</div>", "a\n\nb"),
        ("<p>a</p><br>b", "a\n\nb"),
        ("<br><br>a<br>", "a"),
    ],
)
def test_line_breaks(markup: str, wanted: str) -> None:
    assert text(markup) == wanted


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("a<ul><li>b<li><p>c</p></li><li></li><li><br>d</ul>e", "a\n\n- b\n- c\n- d\n\ne"),
        ("<ul><li>a<ul><li>b<ol><li>c</ol></ul><li>d</ul>", "- a\n  - b\n    1. c\n- d"),
        ("<ol><li>a<ul><li>b</ul><li>c<p>d</ol>", "1. a\n   - b\n2. c\n\nd"),
        ("<ol start=3><li>a<li><li>b<li value=-7>c<li>d</ol>", "3. a\n5. b\n-7. c\n-6. d"),
        ("<ol reversed><li>a<li>b<li>c</ol>", "3. a\n2. b\n1. c"),
        ("<ol type=i start=4><li>a<li>b</ol>", "iv. a\nv. b"),
        ("<ol type=A start=26><li>a<li>b</ol>", "Z. a\nAA. b"),
        ("<ol type=a start=0><li>a</ol>", "0. a"),
        ("<ol start=99999999999999999999><li>a</ol>", "1000000000. a"),
        ("<ul><li><h3>a</h3>b<li><h3>c</h3>d</ul>", "a\n\nb\n\nc\n\nd"),  # cards
        ("<li>a<li>b", "- a\n- b"),
    ],
)
def test_lists(markup: str, wanted: str) -> None:
    assert text(markup) == wanted


def test_only_kept_text_is_text() -> None:
    tree = parse(b"<p>a<p>b<ol><li>c<li>d</ol><h2>e</h2>f")
    kept = tree.tag == TEXT
    kept[[3, 6, 10]] = False
    assert [bytes(tree.text[tree.start[n] : tree.stop[n]]) for n in (3, 6, 10)] == [b"b", b"c", b"e"]
    assert write(tree, kept) == "a\n\n2. d\n\nf"


def test_marks_are_bounded() -> None:
    markup = "<ol start=1000000000>" * 300 + "<li>a" * 100_000
    assert len(text(markup)) < 6 * len(markup)
