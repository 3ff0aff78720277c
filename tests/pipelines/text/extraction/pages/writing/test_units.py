"""Code blocks and tables of data are kept or left whole."""

import pytest

from pipelines.text.extraction.pages.structure import write
from pipelines.text.extraction.pages.tags import TEXT
from pipelines.text.extraction.pages.tree import parse

TABLE = "<table><tr><th>A<th>B<tr><td>c<td>d</table>"
ROWS = "| A | B |\n| --- | --- |\n| c | d |"


def text(markup: str, *left_out: bytes) -> str:
    """Return the text of a page of which some texts were left out."""
    tree = parse(markup.encode())
    kept = tree.tag == TEXT
    for node in range(len(kept)):
        kept[node] &= tree.text[tree.start[node] : tree.stop[node]].tobytes() not in left_out
    return write(tree, kept, whole_units=True)


@pytest.mark.parametrize(
    ("markup", "left_out", "wanted"),
    [
        (f"<p>x{TABLE}", (b"c", b"d"), f"x\n\n{ROWS}"),  # half of it is kept
        (f"<p>x{TABLE}", (b"A", b"c", b"d"), "x\n\nB"),
        (f"<p>x{TABLE}<p>y", (b"A", b"B", b"c", b"d"), f"x\n\n{ROWS}\n\ny"),  # stands between texts that are kept
        (f"<p>x{TABLE}<p>y", (b"A", b"B", b"c", b"d", b"y"), "x"),
        (f"{TABLE}<p>y", (b"A", b"B", b"c", b"d"), "y"),
        (f"<p>x{TABLE.replace('th', 'td')}<p>y", (b"A", b"B", b"c", b"d"), "x\n\ny"),  # without header cells
        ("<p>x<pre>a<b>b</b></pre><p>y", (b"a",), "x\n\n```\nab\n```\n\ny"),
        ("<p>x<pre>a</pre><p>y", (b"a",), "x\n\n```\na\n```\n\ny"),
        ("<p>x<pre>a</pre><p>y", (b"a", b"x"), "y"),
        (f"<p>x<pre>{'a' * 20_001}</pre><p>y", (b"a" * 20_001,), "x\n\ny"),
        ("<p>x<pre>a<script>z</script><textarea>w</textarea></pre><p>y", (b"a", b"w"), "x\n\n```\na\n```\n\ny"),
    ],
)
def test_units(markup: str, left_out: tuple[bytes, ...], wanted: str) -> None:
    assert text(markup, *left_out) == wanted
