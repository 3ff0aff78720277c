"""Kept nodes to text: exact results on small pages."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters.normalize import normalize
from pipelines.text.extraction.pages.structure import write
from pipelines.text.extraction.pages.tags import NAMES, TEXT
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
        ("<a href=1>Home</a><a href=2>News</a>, <a href=3>O</a>f<a href=4>-</a><a href=5>x</a>", "Home News, Of-x"),
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


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("<h1>A</h1><p>b <b>c</b>, <strong> d </strong>e <i>f</i>g<p>h", "# A\n\nb **c**, **d** e fg\n\nh"),
        ("<h3>A <b>b</b><br>c</h3>", "### A b c"),
        ("Call <code>a</code> or <code>b`</code>.", "Call `a` or b`."),
        ("<blockquote>a<p>b<blockquote>c</blockquote></blockquote>d", "> a\n>\n> b\n>\n> > c\n\nd"),
        ("<ul><li>a<p>b<ol><li>c</ol><li>d</ul>", "- a\n\n  b\n\n  1. c\n- d"),
        ("<dl><dt>a<dd>b<dd>c</dl>", "a\n: b\n: c"),
        ("<b><p>a</p></b>b", "a\n\nb"),
        ("<table><tr><th>a<th><b>b</b><tr><td>c<td><code>d</code></table>", "| a | **b** |\n| --- | --- |\n| c | `d` |"),
    ],
)
def test_markdown(markup: str, wanted: str) -> None:
    assert text(markup, markdown=True) == wanted


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("<h2>Build<a class=headerlink href='#b'>¶</a></h2>", "Build"),
        ("<h2><a class=anchor>Build it</a></h2>", "Build it"),
        ("<h2>Build<span class=mw-editsection>[edit]</span></h2>", "Build"),
        ("<ol class=commentlist><li>Ann: yes<li>Bob: no</ol>", "Ann: yes\nBob: no"),
        ("<ul><li><span class=ltx_tag_item>•</span><p>a</ul><ol><li><span class=ltx_tag_item>(i)</span> a</ol>", "- a\n\n(i) a"),
    ],
)
def test_signs_of_links_and_items_are_left_out(markup: str, wanted: str) -> None:
    assert text(markup) == wanted


_ATTRIBUTES = [
    "",
    " colspan=99",
    " rowspan=0",
    " start=-9",
    " reversed",
    " class=katex",
    " class=gutter",
    " class=crayon-syntax",
    " class=line",
]
_TEXTS = ["a", " b c ", "\n", " ", "1", "```", "x|y", "*", "\u00a0", "\u3000", "\ufdee", "漢字", "long text " * 15, "<br>"]
_OFTEN = ["li", "td", "tr", "table", "ul", "ol", "pre", "code", "b", "blockquote", "div", "p", "math", "q", "dd"]
_NAMES = st.sampled_from(_OFTEN) | st.sampled_from([name for name in NAMES if name[0] != "#"])
_OPENING = st.builds("<{}{}>".format, _NAMES, st.sampled_from(_ATTRIBUTES))
_MARKUP = st.lists(_OPENING | st.builds("</{}>".format, _NAMES) | st.sampled_from(_TEXTS), max_size=80).map("".join)


@given(_MARKUP, st.integers(0, 2**80), st.booleans(), st.booleans())
def test_any_tree_has_a_tidy_text_of_linear_size(markup: str, chosen: int, markdown: bool, fences: bool) -> None:
    tree = parse(markup.encode())
    kept = (tree.tag == TEXT) & np.array([chosen >> number % 80 & 1 for number in range(len(tree.tag))], np.bool_)
    result = write(tree, kept, markdown=markdown, fences=fences)
    assert len(result.encode()) <= 3 * len(markup.encode()) + 30 * len(tree.tag) + 4096
    assert result == result.strip(" \n")
    assert "\n\n\n" not in result
    assert all(line == line.strip(" ") for line in result.split("\n") if not line.startswith((">", "```")))
