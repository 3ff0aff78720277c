"""Bytes to text: every answer exact, nothing binary taken for text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import SHARED

from pipelines.text.characters.encodings import Decoded, decode, python_encoding

DATA = SHARED

RUSSIAN = "Река медленно текла мимо старой мельницы, и никто не помнил, когда её построили.\n"
POLISH = "Późną jesienią źrebięta biegały po łące, a gęsi krzyczały głośno nad żółtym polem.\n"
JAPANESE = "山の上の小さな家には、だれも住んでいないと村の人々は言っていた。\n"
CHINESE = "山上的小屋没有人住，村里的人都这样说，可是晚上总有一盏灯亮着。\n"
TAIWANESE = "山上的小屋沒有人住，村裡的人都這樣說，可是晚上總有一盞燈亮著。\n"
KOREAN = "산 위의 작은 집에는 아무도 살지 않는다고 마을 사람들은 말했다.\n"
GERMAN = "Die Mühle am Bach gehörte früher einem Müller, der große Bücher über Träume schrieb.\n"


@pytest.mark.parametrize(
    ("text", "stored_as", "named"),
    [
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8-r", "koi8_r"),
        (POLISH, "iso8859-2", "iso8859_2"),
        (JAPANESE, "shift_jis", "cp932"),
        (JAPANESE, "euc-jp", "euc_jp"),
        (JAPANESE, "iso2022_jp", "iso2022_jp"),
        (CHINESE, "gbk", "gb18030"),
        (TAIWANESE, "big5", "big5"),
        (KOREAN, "euc-kr", "cp949"),
        (GERMAN, "latin-1", "cp1252"),
        (GERMAN, "utf-16-le", "utf-16-le"),
        (CHINESE, "utf-16-be", "utf-16-be"),
        (GERMAN, "utf-8", "utf-8"),
    ],
)
def test_an_undeclared_encoding_is_found(text: str, stored_as: str, named: str) -> None:
    assert decode((text * 3).encode(stored_as)) == Decoded(text * 3, named)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn"], exclude_characters="\ufeff\ufffd")))
def test_a_marked_text_comes_back_exactly(text: str) -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        decoded = decode(text.encode(encoding))
        assert decoded is not None
        assert decoded.text == text


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x24F, exclude_categories=["Cc"]), min_size=1))
def test_valid_utf8_is_utf8(text: str) -> None:
    assert decode(text.encode()) == Decoded(text, "utf-8")


def test_line_ends_become_line_feeds() -> None:
    assert decode(b"one\r\ntwo\rthree\n") == Decoded("one\ntwo\nthree\n", "utf-8")


def test_a_declared_encoding_counts_only_if_it_is_valid() -> None:
    assert decode("naïve".encode(), "cp932") == Decoded("naïve", "utf-8") or decode("naïve".encode(), "ascii") is not None
    assert decode(GERMAN.encode("latin-1"), "utf-8") == Decoded(GERMAN, "cp1252")
    assert decode(RUSSIAN.encode("iso8859-5"), "ISO-8859-5") == Decoded(RUSSIAN, "iso8859_5")
    assert decode(GERMAN.encode("latin-1"), "no-such-encoding") == Decoded(GERMAN, "cp1252")


def test_a_few_broken_bytes_do_not_cost_the_text() -> None:
    broken = (GERMAN * 20).encode()[:300] + b"\xff" + (GERMAN * 20).encode()
    decoded = decode(broken)
    assert decoded is not None
    assert decoded.encoding == "utf-8"
    assert decoded.text.count("\ufffd") in (1, 2)


@given(st.binary(min_size=64).map(lambda noise: bytes(byte for pair in noise for byte in (0, 0, pair))))
def test_nul_rich_bytes_are_not_text(data: bytes) -> None:
    decoded = decode(data)
    assert decoded is None or decoded.encoding.startswith("utf-")


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 8, bytes(range(256)) * 16, b"\0" * 100])
def test_binary_is_not_text(data: bytes) -> None:
    assert decode(data) is None


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("utf8", "utf-8"),
        ("UTF-8;", "utf-8"),
        ("latin1", "cp1252"),
        ("gb2312", "gb18030"),
        ("euc-kr", "cp949"),
        ("", None),
        ("x", None),
    ],
)
def test_labels_are_read_as_browsers_do(label: str, name: str | None) -> None:
    assert python_encoding(label) == name


def test_real_books() -> None:
    folder = DATA / "books"
    if not folder.exists():
        pytest.skip("the real books are not on this machine")
    found = {path.parent.name: decode(path.read_bytes()) for path in sorted(folder.glob("*/*.txt"))}
    assert {name: book and book.encoding for name, book in found.items()} == {
        "de": "utf-8", "en": "utf-8", "gutenberg": "utf-8", "ja": "cp932", "lzh": "utf-8", "pl": "utf-8",
    }  # fmt: skip
