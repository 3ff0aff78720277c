"""The count of visible characters: what a browser would show, in one pass over any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.extraction.visible import characters, visible_characters


@pytest.mark.parametrize(
    ("markup", "wanted"),
    [
        ("", 0),
        ("a b\n\tc", 3),
        ("<p class='x'>é水</p>", 2),
        ("&amp;&#160;&nbsp &; &verylongname; x", 1 + 1 + 5 + 2 + 14 + 1),
        ("<head><title>T</title></head><body>b", 1),
        ("<header>h</header><titles>t</titles>", 2),
        ("<SCRIPT>a<b>c</SCRIPT >d<style>e</style>", 1),
        ("a<!-- b > <p> -->c<!---->d<!-- e", 3),
        ("<script>x", 0),
        ("a < b <", 4),
        ("a <b", 1),  # a tag that is not closed
        ("</script>a", 1),
    ],
)
def test_exact_counts(markup: str, wanted: int) -> None:
    assert visible_characters(markup) == wanted


@given(st.text(st.sampled_from("ab <>/!-&;#'\"\0é") | st.characters(), max_size=60))
def test_no_more_is_visible_than_there_is(markup: str) -> None:
    assert 0 <= visible_characters(markup) <= len(markup)
    text = "".join(c for c in markup if c not in "<&")
    assert visible_characters(text) == sum(c > " " for c in text) >= characters(text) - sum(c < " " for c in text)
