"""Titles: the heading that the other titles agree with, without the site's name."""

import pytest

from pipelines.text.extraction.pages.about import about
from pipelines.text.extraction.pages.tree import parse

ARTICLE = '<meta property="og:type" content="article">'


@pytest.mark.parametrize(
    ("markup", "title"),
    [
        ("<title>The mill | Brook News</title>", "The mill"),
        ("<title>The mill - Brook.example</title>", "The mill"),
        ("<title>The mill – a story</title>", "The mill – a story"),
        ("<title>Brook</title>", "Brook"),
        ("<title>The mill | Brook News</title><h1>Brook News</h1><h1>The Mill</h1>", "The Mill"),
        ("<title>The mill by the brook</title><h1>Come and buy a wheel!</h1>", "The mill by the brook"),
        (ARTICLE + "<title>How a mill works in 2024</title><h1>A mill, explained</h1>", "A mill, explained"),
        ("<title>The mill — Docs</title><h1>The mill<a href=#m>¶</a></h1>", "The mill"),
        ('<title>x</title><meta property="og:title" content="The mill &amp; more | Brook">', "The mill & more"),
        ("<h1>Only <br>this</h1>", "Only this"),
        ("<title> \n </title><h1> </h1>", None),
        ("<svg><title>Icon</title></svg><title>The mill</title>", "The mill"),
        ("<title>磨坊 | 小溪新闻</title><h1>磨坊</h1>", "磨坊"),
        ("<title>溪边的磨坊_社会_小溪网</title>", "溪边的磨坊"),
        ("<title>溪边的磨坊 - 社會 - 小溪網</title>", "溪边的磨坊"),
        ("<title>News: The mill by the brook - Local</title><h2>The mill by the brook</h2>", "The mill by the brook"),
        ("<title>Brook - The mill turns</title>", "The mill turns"),
    ],
)
def test_titles(markup: str, title: str | None) -> None:
    names = '<meta property="og:site_name" content="Brook News">' if "Brook News" in markup else ""
    assert about(parse((names + markup).encode()), "https://www.brook.example/mill").title == title
