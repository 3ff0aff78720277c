"""Tables of data become rows; tables that lay out a page become lines."""

import pytest

from pipelines.text.extraction.pages.structure import write
from pipelines.text.extraction.pages.tags import TEXT
from pipelines.text.extraction.pages.tree import parse


def text(markup: str, *, fences: bool = True) -> str:
    """Return all text of a page."""
    tree = parse(markup.encode())
    return write(tree, tree.tag == TEXT, fences=fences)


@pytest.mark.parametrize(
    ("markup", "rows", "plain"),
    [
        (
            "<tr><th>A<th>B<tr><td>a<td>b|c<tr><td><td>d",
            "| A | B |\n| --- | --- |\n| a | b\\|c |\n| | d |",
            "A | B\na | b|c\n| d",
        ),
        (
            "<caption>Cap</caption><tr><th colspan=2>A<th>C<tr><td rowspan=2>r<td>b<td>c<tr><td>d<td><p>e<p>f<ul><li>g<li>h</ul>",
            "Cap\n\n| A | | C |\n| --- | --- | --- |\n| r | b | c |\n| | d | e f g h |",
            "Cap\n\nA | | C\nr | b | c\n| d | e f g h",
        ),
        ("<tr><td>a<br>b<td>c<tr><td>d<td>e", "| a b | c |\n| --- | --- |\n| d | e |", "a b | c\nd | e"),
        (
            "<tr><td colspan=9007199254740991>x<tr><td>a<td>b<tr><td>c<td>d",
            "| x | |\n| --- | --- |\n| a | b |\n| c | d |",
            "x\na | b\nc | d",
        ),
        ("<thead><tr><th>a<tbody><tr><td>b<tr><td>c", "| a |\n| --- |\n| b |\n| c |", "a\nb\nc"),
        ("<tr><td>a<td>b<tr><td><td><tr><td>c", "a\nb\nc", "a\nb\nc"),
    ],
)
def test_tables_of_data(markup: str, rows: str, plain: str) -> None:
    assert text(f"x<table>{markup}</table>y") == f"x\n\n{rows}\n\ny"
    assert text(f"x<table>{markup}</table>y", fences=False) == f"x\n\n{plain}\n\ny"


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("<table><tr><td>a<td>b</table>", "a\nb"),
        ("<table><tr><td>a<tr><td>b</table>", "a\nb"),
        ("<table role=presentation><tr><td>a<td>b<tr><td>c<td>d</table>", "a\nb\nc\nd"),
        ("<table><tr><td>a<td><h2>b</h2><tr><td>c<td>d</table>", "a\n\nb\n\nc\nd"),
        (f"<table><tr><td>a<td>{'b ' * 900}<tr><td>c<td>d</table>", f"a\n{'b ' * 899}b\n\nc\nd"),
        (
            "<table><tr><td>M<td>L<table><tr><td>a<td>b<tr><td>c<td>d</table></table>",
            "M\nL\n\n| a | b |\n| --- | --- |\n| c | d |",
        ),
    ],
)
def test_tables_of_layout(markup: str, wanted: str) -> None:
    assert text(markup) == wanted


def test_a_million_cells_with_huge_spans() -> None:
    markup = "<table>" + "<tr>" + "<td colspan=20 rowspan=9>a" * 500 + ("<tr>" + "<td colspan=1000 rowspan=65535>b" * 100) * 1000
    assert len(text(markup)) < 4 * len(markup)
