"""Directives for robots and the reservation of text and data mining."""

import pytest

from pipelines.text.extraction.pages import opt_outs


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("noindex", ["noindex"]),
        ("NOINDEX,NOFOLLOW", ["noindex"]),
        ("none", ["noindex"]),
        ("index, follow, max-image-preview:large, max-snippet: -1", []),
        ("noai, noimageai", ["noai", "noimageai"]),
        ("noai;noimageai", ["noai", "noimageai"]),
        ("nofollow noindex", ["noindex"]),
        ("googlebot: noindex, nofollow", ["noindex"]),
        ("CCBot:noai", ["noai"]),
        ("otherbot: noindex, nofollow", []),
        ("otherbot: noindex, googlebot: noai", ["noai"]),
        ("otherbot: nofollow, robots: noindex", ["noindex"]),
        ("unavailable_after: 25 Jun 2010 15:00:00 PST, noindex", ["noindex"]),
        ("max-snippet: 5, noindex", ["noindex"]),
        ("noindexing, all", []),
        ("", []),
    ],
)
def test_directives(content: str, said: list[str]) -> None:
    assert list(opt_outs.in_order(opt_outs.of_robots(content))) == said


def test_a_long_list_is_read_to_its_limit() -> None:
    assert opt_outs.of_robots("x, " * 1_000_000 + "noindex") == set()
    assert opt_outs.of_robots("noindex" + ", x:" * 1_000_000) == {"noindex"}


def test_a_reservation_is_1() -> None:
    assert [opt_outs.of_reservation(content) for content in ("1", " 1 ", "0", "", "true", "10")] == [
        {"tdm"},
        {"tdm"},
        *[set()] * 4,
    ]


def test_all_headers_count() -> None:
    fields = {"x-robots-tag": ("otherbot: noindex", "noimageai", "googlebot: none"), "tdm-reservation": ("0", "1")}
    assert opt_outs.in_order(opt_outs.of_headers(fields)) == ("noindex", "noimageai", "tdm")
    assert opt_outs.of_headers({}) == set()
