"""Authors: the names, without what is written around them."""

import pytest

from pipelines.text.extraction.pages.about import about
from pipelines.text.extraction.pages.facts import names
from pipelines.text.extraction.pages.tree import parse


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Ann Mill", ["Ann Mill"]),
        ("By Ann Mill", ["Ann Mill"]),
        ("by: Ann Mill and Bo Brook", ["Ann Mill", "Bo Brook"]),
        ("Written by Ann Mill, PhD", ["Ann Mill"]),
        ("By Dr. Ann Mill-Wheel | 3 May 2024", ["Dr. Ann Mill-Wheel"]),
        ("Ann Mill, Bo Brook & Cy Wheel", ["Ann Mill", "Bo Brook", "Cy Wheel"]),
        ("Ann Mill, Senior Editor", ["Ann Mill"]),
        ("Posted by Ann Mill on May 3, 2024", ["Ann Mill"]),
        ("Von Anna Mühle", ["Anna Mühle"]),
        ("Автор: Анна Мельник", ["Анна Мельник"]),
        ("記者 王小明", ["王小明"]),
        ("Mill, Ann B.", ["Ann B. Mill"]),
        ("Ann Mill Ann Mill", ["Ann Mill"]),
        ("Bylund Andersson", ["Bylund Andersson"]),
        ("Vincent van der Mill", ["Vincent van der Mill"]),
        ("Updated March 3, 2024", []),
        ("admin", []),
        ("https://brook.example/ann", []),
        ("Read more", []),
        ("It stands by the brook and turns.", []),
        ("3 comments", []),
        ("", []),
    ],
)
def test_people(text: str, people: list[str]) -> None:
    assert names.people(text) == people


def author(markup: str, url: str = "https://brook.example/mill") -> str | None:
    return about(parse(markup.encode()), url).author


def test_the_places_of_an_author() -> None:
    assert author('<meta name="author" content="Ann Mill">') == "Ann Mill"
    assert author('<meta property="article:author" content="https://facebook.example/ann">') is None
    assert author('<meta name="twitter:label1" content="Written by"><meta name="twitter:data1" content="Ann Mill">') == "Ann Mill"
    assert author('<meta name="twitter:label1" content="Price"><meta name="twitter:data1" content="Ann Mill">') is None
    assert author('<p><a rel="author" href="/ann">Ann Mill</a>') == "Ann Mill"
    assert author('<span itemprop="author"><span itemprop="name">Ann Mill</span></span>') == "Ann Mill"
    assert author('<div class="post-byline"><span>By</span> <a>Ann Mill</a><time>3 May</time></div>') == "Ann Mill"
    assert author("<h1>The mill</h1><div>by <b>Ann Mill</b></div>") == "Ann Mill"
    assert author('<div class="comment-author">Ann Mill</div>') is None


def test_somebody_counts_before_the_site_and_an_account() -> None:
    site = '<meta property="og:site_name" content="Brook News"><meta name="author" content="Brook News">'
    assert author(site + "<h1>The mill</h1><p>By Ann Mill</p>") == "Ann Mill"
    assert author(site + "<h1>The mill</h1>") == "Brook News"
    assert author(site, "https://brook.example/") is None
    assert author('<meta name="author" content="amill77"><h1>The mill</h1><p>By Ann Mill</p>') == "Ann Mill"


def test_authors_of_linked_data_are_those_of_the_page() -> None:
    graph = """<script type="application/ld+json">{"@graph": [{"@type": "Article", "author": {"@id": "#ann"}},
      {"@type": "Person", "@id": "#ann", "name": "Ann Mill"}, {"@type": "Person", "@id": "#bo", "name": "Bo Brook"}]}</script>"""
    assert author(graph) == "Ann Mill"
    review = """<script type="application/ld+json">{"@type": "Product", "review": {"author": {"name": "Ann Mill"}}}</script>"""
    assert author(review) is None
    broken = '{"@type": "Article", "author": {"@type": "Person", "name": "Ann Mill"}, ,}'
    assert author(f'<script type="application/ld+json">{broken}</script>') == "Ann Mill"


def test_what_stands_before_a_name_is_passed_over() -> None:
    assert author('<div class="byline"><span>Dec 17, 2025</span><b>Ann Mill</b></div>') == "Ann Mill"
    assert author('<div class="author"><i>AM</i><b>Ann Mill</b></div>') == "Ann Mill"
    assert author('<span itemprop="author"><meta itemprop="name" content="Ann Mill"></span>') == "Ann Mill"
    assert author('<p class="author">The Mill Society © 2025') is None
    assert author('<p class="author">By Ann Mill</p>' + "<p>x" * 200) == "Ann Mill"


def test_a_byline_near_the_title_counts_before_the_name_of_the_site() -> None:
    site = '<meta property="og:site_name" content="Brook"><meta name="author" content="Brook"><h1>The mill</h1>'
    assert author(site + '<div class="post-author">Ann Mill</div>') == "Ann Mill"
    assert author(site + "<p>x" * 200 + '<div class="post-author">Ann Mill</div>') == "Brook"
