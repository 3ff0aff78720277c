"""Code, tables and formulas: what the scorer finds in a text, and what the labelled set takes from a page."""

import json
import sys
from pathlib import Path

import lxml.html
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import structure
import structure_set
from build import read_pages

sys.path.pop(0)


def test_code_is_fenced_or_indented_by_four_after_an_empty_line() -> None:
    text = "Run:\n\n```sh\nmake  x\n\n  y\n```\n\n    a = 1\n    if a:\n        b\n\nThen\n    no code\n"
    assert structure.of_text(text) == structure.Structure("make  x\n\n  y\na = 1\nif a:\n    b", "", "")


def test_tables_have_a_rule_below_their_first_row_or_are_html() -> None:
    text = "| a | b \\| c |\n|:---|---:|\n| `1` |  |\n\nx | y\n\n<table><tr><th>p<td>q</table>"
    assert structure.of_text(text).tables == "p q\na b | c\n1"


def test_formulas_are_found_outside_code() -> None:
    text = "$x$ and $$\\frac{1}\n {2}$$, \\(y\\), \\[z\\], 5\\$ and `$HOME` and\n\n```\n$A $B\n```\n"
    assert structure.of_text(text).formulas == "x\n\\frac{1} {2}\ny\nz"


def test_a_kind_counts_if_either_side_has_it() -> None:
    truth = structure.of_truth({"code": ["ab"], "tables": [[["1", "2"], ["3", ""]]], "formulas": []})
    assert truth == structure.Structure("ab", "1 2\n3", "")
    assert structure.similarities(truth, structure.Structure("ab", "", "x")) == {"code": 1.0, "tables": 0.0, "formulas": 0.0}
    assert structure.similarities(structure.Structure("", "", ""), structure.Structure("", "", "")) == {}


def distance(first: str, second: str) -> int:
    if not first or not second:
        return len(first) + len(second)
    differs = first[-1] != second[-1]
    return min(distance(first[:-1], second[:-1]) + differs, distance(first[:-1], second) + 1, distance(first, second[:-1]) + 1)


@given(st.text("ab\U0001f600", max_size=6), st.text("ab\U0001f600", max_size=6))
def test_similarity_is_one_minus_the_share_of_edits(first: str, second: str) -> None:
    longest = max(len(first), len(second))
    assert structure.similarity(first, second) == (1 - distance(first, second) / longest if longest else 1)


PAGE = rb"""<html><body><p>Take <span class="math">\(x &lt; 1\)</span>.</p><div class="math">\[y\]</div>
<div class="highlight"><pre>if <b>a</b>:
    b
</pre></div>
<table class="docutils"><tr><th>k<br>l</th><td><span class="math">\(z\)</span></td></tr>
<tr><td> </td></tr></table></body></html>"""
GROUP = {
    "code": "//div[@class='highlight']/pre",
    "tables": "//table[@class='docutils']",
    "formulas": "//*[@class='math']",
}


def test_a_page_is_labelled_by_what_its_generator_writes() -> None:
    truth, page = structure_set.labelled(GROUP, PAGE, None)
    assert truth == {"code": ["if a:\n    b"], "tables": [[["k l", "$z$"]]], "formulas": ["x < 1", "y", "z"]}
    assert page == PAGE


@pytest.mark.parametrize(
    ("way", "written"),
    [
        ("scripts", '<script type="math/tex; mode=display">y</script>'),
        ("wiki", 'alt="{\\displaystyle x &lt; 1}"'),
    ],
)
def test_formulas_are_written_anew_and_the_truth_stays(way: str, written: str) -> None:
    truth, page = structure_set.labelled({**GROUP, "formulas_as": way}, PAGE, None)
    assert truth["formulas"] == ["x < 1", "y", "z"]
    assert written in page.decode()
    assert "\ue000" not in page.decode()
    assert lxml.html.document_fromstring(page).xpath("//table//td")


def test_the_set_has_the_pages_of_a_group_with_their_truth(tmp_path: Path) -> None:
    manual = tmp_path / "manual"
    manual.mkdir()
    filler = b"<p>" + b"words " * 600
    (manual / "a.html").write_bytes(PAGE.replace(b"</table>", b"</table>" + filler))
    (manual / "b.html").write_bytes(PAGE)  # too small
    (manual / "c.html").write_bytes(b"<html><body>" + filler)  # has nothing that is wanted
    rows = list(structure_set.pages_of({**GROUP, "name": "sphinx", "count": 5}, "handbook", manual, None))
    structure_set.write(tmp_path / "set", rows)
    (truth,) = map(json.loads, (tmp_path / "set" / "truth.jsonl").read_text().splitlines())
    assert (truth["url"], truth["generator"], truth["code"]) == (
        "https://handbook.example/sphinx/a.html",
        "sphinx",
        ["if a:\n    b"],
    )
    page = (manual / "a.html").read_bytes()
    assert list(read_pages(tmp_path / "set" / "pages.warc.gz")) == [(truth["url"], page)]
    assert (tmp_path / "set" / "pages" / "000-sphinx.html").read_bytes() == page


def test_without_katex_its_pages_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert structure_set.labelled({**GROUP, "formulas_as": "katex"}, PAGE, None) is None
    assert "left out: pages with formulas as katex need node" in capsys.readouterr().err
