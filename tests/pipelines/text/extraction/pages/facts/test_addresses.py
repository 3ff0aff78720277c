"""Addresses of a page, made absolute."""

import pytest

from pipelines.text.extraction.pages.facts.addresses import absolute, host, is_home

BASE = "https://mill.example/river/wheel?page=2"


@pytest.mark.parametrize(
    ("address", "base", "wanted"),
    [
        ("oak.html", BASE, "https://mill.example/river/oak.html"),
        (" /oak ", BASE, "https://mill.example/oak"),
        ("//other.example/a", BASE, "https://other.example/a"),
        ("http://other.example", None, "http://other.example"),
        ("oak.html", None, None),
        ("data:image/png;base64,AA", BASE, None),
        ("http://[broken", BASE, None),
    ],
)
def test_absolute(address: str, base: str | None, wanted: str | None) -> None:
    assert absolute(address, base) == wanted


def test_parts() -> None:
    assert [host(url) for url in (BASE, "https://MILL.example:80", "", None)] == ["mill.example", "mill.example", "", ""]
    assert [is_home(url) for url in (BASE, "https://mill.example/?a", "https://mill.example", None)] == [False, True, True, False]
