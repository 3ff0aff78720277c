"""The first bytes of a body: no bytes are too odd, and no body takes longer than its beginning."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.web.sniffing import file_type, is_binary, is_declared_xml, is_html, without_subset, xml_root

_PIECES = st.sampled_from(
    [
        b"<",
        b">",
        b"<!--",
        b"-->",
        b"<?",
        b"?>",
        b"<?xml",
        b"<!DOCTYPE ",
        b"[",
        b"]",
        b"<html",
        b" ",
        b"\0",
        b"\xff\xfe",
        b"%PDF-",
        b"RIFF",
    ]
)
BODIES = st.one_of(st.binary(max_size=80), st.lists(_PIECES, max_size=14).map(b"".join))


@given(BODIES)
def test_any_bytes_are_judged(body: bytes) -> None:
    assert file_type(body) is None or " " in str(file_type(body))
    root = xml_root(body)
    assert root is None or (root == root.lower() and root.isascii() and root)
    assert isinstance(is_html(body), bool) and isinstance(is_binary(body), bool)
    assert not is_declared_xml(body) or b"?" in body


@given(st.text(st.sampled_from("<!doctype html[]> \"'ab"), max_size=60))
def test_only_a_subset_is_taken_out(markup: str) -> None:
    shorter = without_subset(markup)
    assert shorter == markup or (len(shorter) < len(markup) and "[" in markup)


@pytest.mark.parametrize(
    "repeated",
    [
        b"<!---->",
        b"<??>",
        b"<!DOCTYPE x>",
        b"<!DOCTYPE [",
        b"<!DOCTYPE ",
        b"<!doctype [x",
        b"] ",
        b"]",
        b" ",
        b"<!doctype [ ] ",
        b"<!--",
    ],
)
def test_a_large_body_takes_no_longer_than_its_beginning(repeated: bytes) -> None:
    body = repeated * (2**24 // len(repeated))
    start = time.process_time()
    for judge in (file_type, is_html, is_binary, is_declared_xml, xml_root):
        judge(body)
    without_subset(body[: 2**20].decode())
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("body", "root"),
    [
        (b"<a:html xmlns:a='x'>", "html"),
        (b"\xef\xbb\xbf <?xml version='1.0'?> <!-- <rss> --> <?style x?> <RSS>", "rss"),
        (b"<!DOCTYPE html PUBLIC '-//W3C//DTD' 'x'><html>", "html"),
        (b"<!DOCTYPE x [<!ENTITY a '<b>'> ]><x>", "x"),
        ("<feed>".encode("utf-16-be"), "feed"),
        (b"<!-- never closed <html>", None),
        (b"<3", None),
        (b"text <html>", None),
    ],
)
def test_the_root_is_found_behind_what_may_precede_it(body: bytes, root: str | None) -> None:
    assert xml_root(body) == root
