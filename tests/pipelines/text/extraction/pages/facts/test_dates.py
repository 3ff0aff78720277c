"""Dates: days that exist, of publication, before the crawl."""

import pytest

from pipelines.text.extraction.pages.about import about
from pipelines.text.extraction.pages.facts import calendar
from pipelines.text.extraction.pages.tree import parse


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2024-05-03T10:00:00Z", ["2024-05-03"]),
        ("2024/5/3", ["2024-05-03"]),
        ("May 3rd, 2024", ["2024-05-03"]),
        ("Sept. 3 2024", ["2024-09-03"]),
        ("3 May 2024", ["2024-05-03"]),
        ("Fri, 03 May 2024 10:00:00 GMT", ["2024-05-03"]),
        ("3. Mai 2024", ["2024-05-03"]),
        ("3 de mayo de 2024", ["2024-05-03"]),
        ("1er février 2024", ["2024-02-01"]),
        ("3 мая 2024", ["2024-05-03"]),
        ("3 Μαΐου 2024", ["2024-05-03"]),
        ("3 maja 2024", ["2024-05-03"]),
        ("3 Mayıs 2024", ["2024-05-03"]),
        ("2024年5月3日", ["2024-05-03"]),
        ("2024년 5월 3일", ["2024-05-03"]),
        ("03.05.2024", ["2024-05-03"]),
        ("03/05/2024", ["2024-05-03", "2024-03-05"]),
        ("07/11/11-09:42", ["2011-11-07", "2011-07-11"]),
        ("05/13/2024", ["2024-05-13"]),
        ("7/9/05", ["2005-09-07", "2005-07-09"]),
        ("30 February 2024", []),
        ("2024-13-01", []),
        ("1.2.3.4", []),
        ("12345-05-03", []),
        ("3 mills 2024", []),
        ("2024", []),
    ],
)
def test_days(text: str, days: list[str]) -> None:
    assert [day.isoformat() for day in calendar.dates(text)] == days


def test_the_month_is_first_in_the_us() -> None:
    assert [day.isoformat() for day in calendar.dates("03/05/2024", month_first=True)] == ["2024-03-05", "2024-05-03"]
    assert [day.isoformat() for day in calendar.dates("03.05.2024", month_first=True)] == ["2024-05-03"]
    assert [day.isoformat() for day in calendar.written("20240503")] == ["2024-05-03"]


def date(markup: str, url: str | None = None, retrieved: str | None = "2024-06-01T10:00:00Z") -> str | None:
    return about(parse(markup.encode()), url, {}, retrieved).date


def test_the_places_of_a_date() -> None:
    assert date('<meta property="article:published_time" content="2024-05-03T23:59:00-08:00">') == "2024-05-03"
    assert date('<meta itemprop="datePublished" content="2024-05-03">') == "2024-05-03"
    assert date('<time datetime="2024-05-03" pubdate>') == "2024-05-03"
    assert date("<p>x", "https://a.example/2024/05/03/mill.html") == "2024-05-03"
    assert date("<p>x", "https://a.example/mill-20240503.html") == "2024-05-03"
    assert date("<p>x", "https://a.example/2024/may/03/mill") == "2024-05-03"
    assert date("<h1>The mill</h1><p>3 May 2024 | 5 min read</p>") == "2024-05-03"
    assert date("<p>3 May 2024</p><h1>The mill</h1>") == "2024-05-03"
    assert date('<div class="post-date">03.05.2024</div>') == "2024-05-03"
    assert date("<p>In May 3, 2024 the mill burned.") is None


def test_a_date_of_publication_counts_before_that_of_a_change() -> None:
    near = "<h1>The mill</h1><p>Updated 20 May 2024</p><p>Published 3 May 2024</p>"
    assert date(near) == "2024-05-03"
    assert date("<h1>The mill</h1><p>Updated 20 May 2024</p>") == "2024-05-20"
    assert date('<meta property="article:modified_time" content="2024-05-20">') is None


def test_a_doubtful_date_is_read_as_the_language_and_the_country_do() -> None:
    page = '<html lang="en"><h1>The mill</h1><p>11/01/2024</p>'
    assert date(page, "https://a.example/x", "2024-12-01") == "2024-11-01"
    assert date(page, "https://a.example/x", "2024-03-01") == "2024-01-11"  # the other day is still to come
    assert date(page, "https://a.co.uk/x", "2024-12-01") == "2024-01-11"
    assert date(page.replace("en", "de"), "https://a.example/x", "2024-12-01") == "2024-01-11"


def test_the_date_of_a_film_in_an_article_is_not_that_of_the_article() -> None:
    film = '<script type="application/ld+json">{"@type": "VideoObject", "uploadDate": "2024-01-01"}</script>'
    assert date(film + '<meta name="date" content="2024-05-03">') == "2024-05-03"
    assert date(film) == "2024-01-01"


def test_no_date_is_after_the_crawl_or_unset() -> None:
    later = '<meta name="date" content="2024-07-01"><meta name="dc.date" content="2024-05-03">'
    assert date(later) == "2024-05-03"
    assert date(later, retrieved=None) == "2024-07-01"
    assert date('<meta name="date" content="2024-06-02">') == "2024-06-02"  # where the day begins earlier
    assert date('<meta name="date" content="1970-01-01T00:00:00Z">') is None
    assert date('<meta name="date" content="0001-01-01">') is None
    assert date('<meta name="citation_date" content="1895/12/28">') == "1895-12-28"
    assert date("<h1>The mill</h1><p>28 December 1895</p>") is None
