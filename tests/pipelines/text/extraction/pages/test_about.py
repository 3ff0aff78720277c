"""What a page says of itself, from whole pages."""

import json
import time
from typing import Any

import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.extraction.pages.about import About, about, images_of
from pipelines.text.extraction.pages.tree import parse

URL = "https://www.brook-news.example/2024/05/17/the-mill"


def said(markup: str, url: str | None = URL, retrieved: str | None = "2024-06-01T10:00:00Z", **headers: str) -> About:
    fields = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    return about(parse(markup.encode()), url, fields, retrieved)


def linked(**fields: Any) -> str:
    return f'<script type="application/ld+json">{json.dumps({"@context": "https://schema.org", **fields})}</script>'


PAGE = (
    """<!doctype html><html lang="en-GB"><head>
<title>The mill by the brook &amp; its wheel | Brook News</title>
<meta property="og:site_name" content="Brook News"><meta property="og:title" content="The mill by the brook &amp; its wheel">
<meta property="og:type" content="article"><link rel="canonical" href="/2024/05/17/the-mill">
<link rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/">
<meta name="robots" content="noai, noimageai"><meta name="tdm-reservation" content="1">"""
    + linked(
        **{
            "@type": "NewsArticle",
            "headline": "The mill by the brook & its wheel",
            "datePublished": "2024-05-17T08:00:00+01:00",
            "dateModified": "2024-05-20",
            "author": [{"@type": "Person", "name": "Ann Mill"}, {"@type": "Person", "name": "Bo Brook"}],
        }
    )
    + """</head><body><h1><a href="/">Brook News</a></h1><article><h1>The mill by the brook &amp; its wheel</h1>
<p class="byline">By Cy Wheel</p>
<p>It stands.</p></article></body></html>"""
)


def test_a_page_that_says_everything() -> None:
    assert said(PAGE) == About(
        title="The mill by the brook & its wheel",
        author="Ann Mill; Bo Brook",
        date="2024-05-17",
        language="en-GB",
        canonical_url="https://www.brook-news.example/2024/05/17/the-mill",
        license="CC-BY-SA-4.0",
        site_type="news",
        opt_outs=("noai", "noimageai", "tdm"),
    )


def test_a_page_that_says_nothing() -> None:
    assert said("<p>It stands.</p>", None) == About()
    assert said("", None) == About()


def test_headers_count_where_the_page_says_nothing() -> None:
    zero = "<https://creativecommons.org/publicdomain/zero/1.0/>; rel=license"
    link = f'<https://x.example/p.pdf>; rel="alternate", </mill>; rel="canonical", {zero}'
    got = said("<p>It stands.</p>", link=link, content_language="de", x_robots_tag="googlebot: noindex", tdm_reservation="1")
    assert got == About(
        date="2024-05-17",
        language="de",
        canonical_url="https://www.brook-news.example/mill",
        license="CC0-1.0",
        opt_outs=("noindex", "tdm"),
    )
    assert said('<html lang="fr"><p>x', None, content_language="de").language == "fr"
    assert said("<p>x", None, content_language="de, en").language is None


@pytest.mark.parametrize(
    ("markup", "address"),
    [
        ('<link rel=canonical href="http://a.example/x">', "http://a.example/x"),
        ('<link rel="CANONICAL nofollow" href="../y">', "https://www.brook-news.example/2024/05/y"),
        ('<link rel=canonical href="ftp://a.example/x">', None),
        ('<link rel=canonical href="javascript:void(0)">', None),
        ('<link rel=canonical href="http://[bad/x">', None),
        (
            '<link rel=canonical href=""><meta property="og:url" content="https://a.example/z">',
            "https://www.brook-news.example/2024/05/17/the-mill",
        ),
        ('<meta property="og:url" content="https://a.example/z">', "https://a.example/z"),
        ('<link rel=canonical href="https://a.example/two words">', None),
    ],
)
def test_a_canonical_address_is_absolute(markup: str, address: str | None) -> None:
    assert said(markup).canonical_url == address


@pytest.mark.parametrize(
    ("markup", "opt_outs"),
    [
        ('<meta name="robots" content="noindex,nofollow">', ("noindex",)),
        ('<META NAME="GoogleBot" CONTENT="NOINDEX">', ("noindex",)),
        ('<meta name="otherbot" content="noindex">', ()),
        ('<meta name="robots" content="index"><meta name="robots" content="noai">', ("noai",)),
        ('<meta name="tdm-reservation" content="0">', ()),
        ('<meta property="robots" content="none">', ("noindex",)),
    ],
)
def test_opt_outs_of_a_page(markup: str, opt_outs: tuple[str, ...]) -> None:
    assert said(markup).opt_outs == opt_outs


@pytest.mark.parametrize(
    ("markup", "kind"),
    [
        (linked(**{"@type": "Product", "name": "Wheel"}), "product"),
        (linked(**{"@graph": [{"@type": "WebPage"}, {"@type": ["Article", "BlogPosting"]}]}), "blog"),
        (linked(**{"@type": "WebPage", "mainEntity": {"@type": "Question"}}), "question"),
        (linked(**{"@type": "DiscussionForumPosting"}), "forum"),
        ('<html itemscope itemtype="http://schema.org/Recipe">', "recipe"),
        ('<meta property="og:type" content="website">', "page"),
        ('<meta property="og:type" content="article">' + linked(**{"@type": "WebPage"}), "article"),
        ('<meta property="og:type" content="video.movie">', "video"),
        ('<meta property="og:type" content="mill">', None),
        (linked(**{"@type": "BreadcrumbList"}), None),
    ],
)
def test_site_types(markup: str, kind: str | None) -> None:
    assert said(markup).site_type == kind


def test_images_are_absolute_and_named_once() -> None:
    markup = """<figure><a><img data-src="m.jpg" src="data:image/gif;base64,R0" alt=" A  mill "></a>
<figcaption>In <i>May</i></figcaption></figure>
<img src="/pixel.gif" width="1"><img src="data:image/png;base64,xx" alt="x"><img src="//cdn.example/b.png?a=1&amp;b=2">
<img src="m.jpg" alt="again"><img><img srcset="s.jpg 1x, l.jpg 2x" alt="">"""
    assert images_of(parse(markup.encode()), "https://a.example/p/") == [
        {"url": "https://a.example/p/m.jpg", "alt": "A mill", "caption": "In May"},
        {"url": "https://cdn.example/b.png?a=1&b=2", "alt": None, "caption": None},
        {"url": "https://a.example/p/s.jpg", "alt": None, "caption": None},
    ]


def test_images_may_be_those_of_a_part() -> None:
    tree = parse(b"<img src=/logo.png><p>One<img src=/a.png><p>Two<img src=/b.png>")
    assert [image["url"] for image in images_of(tree, "https://a.example", (1, 4))] == ["https://a.example/a.png"]


def test_relative_addresses_start_at_the_base() -> None:
    page = '<base href="/sub/"><base href="/no/"><link rel=canonical href=x><img src=y>'
    assert said(page, "https://a.example/z").canonical_url == "https://a.example/sub/x"
    assert images_of(parse(page.encode()), "https://a.example/z")[0]["url"] == "https://a.example/sub/y"
    assert said('<base href="http://["><link rel=canonical href=x>', "https://a.example/z").canonical_url == "https://a.example/x"


# --- what no page may do ----------------------------------------------------------------------------------------------

BAD = {
    "a million brackets": '<script type="application/ld+json">' + "[" * 400_000 + "</script>",
    "a long number": '<script type="application/ld+json">{"@type":"Article","datePublished":' + "9" * 100_000 + "}</script>",
    "many objects": linked(**{"@graph": [{"@type": "Article", "author": {"@id": str(i)}} for i in range(20_000)]}),
    "itself": linked(**{"@type": "Article", "@id": "#a", "author": {"@id": "#a"}, "mainEntity": {"@id": "#a"}}),
    "no types": linked(**{"@type": {"x": 1}, "author": 5, "datePublished": ["2024", None], "headline": {}}),
    "many headings": "<h1>a</h1>" * 50_000,
    "many times": '<time datetime="1066-10-14">x</time>' * 50_000,
    "many bylines": '<p class="author">By ' * 30_000,
    "many metas": '<meta name="author" content="x@y">' * 50_000,
    "a long title": "<title>" + "a | " * 100_000,
    "a long byline": "<h1>x</h1><p>By " + "and Ann " * 100_000,
    "a long robots": '<meta name=robots content="' + "a:" * 200_000 + '">',
    "digits": "<h1>x</h1><p>" + "1/2/" * 100 + "<time>" + "20240101" * 1000,
    "a bad address": '<link rel=canonical href="http://[::1"><link rel=license href="//[">',
    "licences": '<a href="https://creativecommons.org/licenses/by/4.0/">x</a>' * 20_000,
}


@pytest.mark.parametrize("name", BAD)
def test_a_strange_page_costs_little(name: str) -> None:
    tree = parse(BAD[name].encode())
    about(tree, "http://[bad", {"link": ("<" * 100_000,)}, "never")
    begin = time.process_time()
    about(tree, "http://[bad", {"link": ("<" * 100_000,)}, "never")
    assert time.process_time() - begin < 0.5


_PARTS = st.sampled_from(
    [
        *(
            '<script type="application/ld+json">',
            "</script>",
            '{"@type":"Article","author":',
            '{"name":',
            '"By Ann',
            "]",
            "}",
            "[",
            '"',
        ),
        *("<meta name=author content=", "<meta property=article:published_time content=", "<title>", "</title>", "<h1>", "</h1>"),
        *(
            "<p class=byline>By ",
            "<time datetime=",
            "2024-02-30",
            "2024-02-29",
            "31/12/2023",
            " | ",
            "<a rel=license href=",
            ">",
            "'",
        ),
        *(
            "https://creativecommons.org/licenses/by/4.0/",
            "<link rel=canonical href=",
            "http://[",
            "é",
            "\x00",
            "\ud800",
            "&#0;",
            "&amp",
        ),
    ]
)


@few
@given(st.lists(_PARTS, max_size=30), st.sampled_from([None, URL, "http://[", "x"]))
def test_no_page_raises(parts: list[str], url: str | None) -> None:
    got = about(parse("".join(parts).encode("utf-8", "replace")), url, {}, "2024-06-01")
    assert got.date is None or "1800-01-01" <= got.date <= "2024-06-02"
    assert got.title is None or got.title == got.title.strip() != ""
