"""Licences: SPDX identifiers of Creative Commons, and other addresses as they are."""

import pytest

from pipelines.text.extraction.pages.about import about
from pipelines.text.extraction.pages.facts.licenses import identifier
from pipelines.text.extraction.pages.tree import parse


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("http://www.creativecommons.org/licenses/by-nc-nd/2.5/legalcode", "CC-BY-NC-ND-2.5"),
        ("//creativecommons.org/licenses/by-sa/3.0/de/", "CC-BY-SA-3.0-DE"),
        ("https://creativecommons.org/licenses/by-sa/3.0/pl/", "CC-BY-SA-3.0"),
        ("https://creativecommons.org/licenses/by/4.0/deed.de", "CC-BY-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://spdx.org/licenses/MIT.html", "MIT"),
        ("https://opensource.org/licenses/Apache-2.0", "Apache-2.0"),
        ("https://creativecommons.org/", None),
        ("https://a.example/terms", None),
    ],
)
def test_identifiers(address: str, name: str | None) -> None:
    assert identifier(address) == name


def license_of(markup: str) -> str | None:
    return about(parse(markup.encode()), "https://a.example/mill").license


BY, SA = (f'<a href="https://creativecommons.org/licenses/{terms}/4.0/">CC</a>' for terms in ("by", "by-sa"))


def test_the_places_of_a_licence() -> None:
    assert license_of('<link rel=license href="/terms">') == "https://a.example/terms"
    assert license_of('<a rel="nofollow license" href="https://creativecommons.org/licenses/by/4.0/">') == "CC-BY-4.0"
    assert license_of('<meta name="dcterms.license" content="https://creativecommons.org/licenses/by/3.0/">') == "CC-BY-3.0"
    assert license_of('<meta name="dc.rights" content="CC BY-SA 4.0">') == "CC-BY-SA-4.0"
    assert license_of('<meta name="copyright" content="Brook News">') is None
    json = '{"@type":"Article","license":"https://creativecommons.org/licenses/by-nc/4.0/"}'
    assert license_of(f'<script type="application/ld+json">{json}</script>') == "CC-BY-NC-4.0"


def test_a_link_counts_where_it_is_of_the_page() -> None:
    assert license_of(f"<footer><p>{BY}</footer>") == "CC-BY-4.0"
    assert license_of(f"<p>Except where otherwise noted, all is {SA}.") == "CC-BY-SA-4.0"
    assert license_of(f"<p>This work is licensed under {SA}.") == "CC-BY-SA-4.0"
    assert license_of(f"<p>Photo by Ann on Flickr, {BY}") is None
    assert license_of(f"<p>We like {BY}") is None
    assert license_of(f"<footer>{BY} {SA}</footer>") is None
