"""Addresses that are one page."""

import re

import numpy as np
import pyarrow as pa
import pytest
from examples import many
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.text.copies import urls


def c4(address: str) -> str:
    """The three steps of C4 in Python's regular expressions."""
    bare = re.sub(r"https?://(www\.)?", "", address)
    return re.sub(r"\?(utm_|ref|feed).*", "", bare).rstrip("/")


@pytest.mark.parametrize(
    ("address", "compared"),
    [
        ("http://example.org/a", "example.org/a"),
        ("https://www.example.org/a/", "example.org/a"),
        ("http://www2.example.org/", "www2.example.org"),
        ("https://example.org//", "example.org"),
        ("https://example.org/a?utm_source=x&id=7", "example.org/a"),
        ("https://example.org/a/?ref=home", "example.org/a"),
        ("https://example.org/?feed=rss2", "example.org"),
        ("https://example.org/a?reference=7", "example.org/a"),  # as C4
        ("https://example.org/a?id=7&utm_source=x", "example.org/a?id=7&utm_source=x"),  # as C4
        ("https://example.org/a?b=2&a=1", "example.org/a?b=2&a=1"),
        ("https://archive.org/web/2019/http://www.example.org/", "archive.org/web/2019/example.org"),
        ("HTTPS://WWW.Example.ORG/Path", "example.org/Path"),  # C4 keeps HTTPS://WWW.Example.ORG
        ("https://BÜCHER.example/Ä", "xn--bcher-kva.example/%C3%84"),
        ("https://xn--Bcher-kva.example/%c3%84", "xn--bcher-kva.example/%C3%84"),
        ("https://faß.de", "xn--fa-hia.de"),  # UTS 46 as browsers have it, not IDNA 2003's fass.de
        ("https://a_b.日本。jp:8080/", "a_b.xn--wgv71a.jp:8080"),
        ("https://é\u200b .org/", "%C3%A9%20.org"),  # no name
        ("http://example.org./a", "example.org/a"),
        ("http://example.org.:8080", "example.org:8080"),
        ("http://example.org:/a", "example.org/a"),
        ("http://example.org/%7Euser/%41%2d%2E", "example.org/~user/A-."),
        ("http://example.org/%2f%c3%a9", "example.org/%2F%C3%A9"),
        ("http://example.org/a b|c\u200d", "example.org/a%20b%7Cc%E2%80%8D"),
        ("http://example.org/100%/%zz%4", "example.org/100%/%zz%4"),
        ("http://example.org:80/a", "example.org/a"),
        ("https://example.org:443", "example.org"),
        ("http://example.org:8080/a", "example.org:8080/a"),
        ("http://example.org/a:80", "example.org/a:80"),
        ("https://example.org/a#part-2", "example.org/a"),
        ("https://example.org/a/#", "example.org/a"),
        ("https://example.org/#!/page/2", "example.org/#!/page/2"),
        ("https://example.org/a#b#!c", "example.org/a"),
        (" http://example.org/a\n", "example.org/a"),
        ("example.org/A#b", "example.org/A#b"),  # no http address: as C4
        ("urn:isbn:1", "urn:isbn:1"),
        ("http://", ""),
        ("", ""),
    ],
)
def test_canonical(address, compared):
    assert urls.canonical(pa.array([address])).to_pylist() == [compared]


def test_addresses_that_need_no_rfc_rule_are_compared_as_in_c4():
    plain = ["http://a.org/x/", "https://www.a.org/?q=http://www.b.org/", "http://a.org/?refs#", "ftp://a.org/A/", "a.org//?feed"]
    assert urls.canonical(pa.array(plain)).to_pylist() == [c4(address) for address in plain]


PIECES = [
    "www.",
    "a",
    "B",
    ".org",
    "/",
    "?",
    "#",
    "!",
    "#!",
    ":80",
    ":443",
    ":8",
    "utm_",
    "ref",
    "feed",
    "=",
    "&",
    "é",
    "http://www.",
]


@many
@given(
    st.sampled_from(["http://", "https://"]),
    st.sampled_from(["www.", ""]),
    st.sampled_from(["a.org", "A.org", "b.net"]),
    st.sampled_from(["", ":80", ":443", ":8"]),
    st.lists(st.sampled_from(PIECES), max_size=5),
)
@example("http://", "www.", "a.org", "", ["#", "http://www.", "!"])
def test_addresses_equal_in_c4_are_equal(scheme, www, host, port, pieces):
    """An address has the hash of its form in C4, written as an http address again."""
    address = scheme + www + host + port + "/" + "".join(pieces)
    one, other = urls.hashes(pa.array([address, "http://" + c4(address)])).tolist()
    assert one == other


@many
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="#?%/:"), max_size=8), st.data())
def test_every_way_to_encode_a_path_is_one_address(path, data):
    """Each character may be written as itself or as its codes, in either case; neighbours keep their own forms."""

    def codes(character, small):
        written = "".join(f"%{byte:02x}" for byte in character.encode())
        return written if small else written.upper()

    variants = [
        data.draw(st.sampled_from([c, codes(c, True), codes(c, False)])) if c not in "!$&'()*+,;=@[]" else c for c in path
    ]
    addresses = [f"http://a.org/x{path}y", f"http://a.org/x{''.join(variants)}y", "http://b.org/z"]
    one, other, far = urls.canonical(pa.array(addresses)).to_pylist()
    assert one == other and one.isascii()
    assert far == "b.org/z"


def test_hashes_are_fixed_and_zero_is_no_address():
    """They go into datasets: another value needs another VERSION."""
    found = urls.hashes(pa.array(["http://example.org/a", None, "", "https://www.EXAMPLE.org/a/", "http://"]))
    assert found.dtype == np.uint64
    assert found.tolist() == [found[0], 0, 0, found[0], 0]
    assert (found[0], urls.VERSION) == (3937220354742254793, 2)


def test_a_slice_and_no_rows():
    addresses = pa.array(["http://a.org", None, "http://b.org/", "b.org"])
    assert urls.hashes(addresses.slice(1)).tolist() == urls.hashes(addresses).tolist()[1:]
    assert urls.hashes(addresses.slice(4)).tolist() == []
    assert urls.hashes(pa.array([None, None], pa.string())).tolist() == [0, 0]
