import time
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from examples import many
from ftfy.badness import is_bad
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.reasons import Change
from pipelines.text.characters import normalize as n


def tagged(letters: str) -> str:
    """A black flag with these letters in tags: the flag of a region."""
    return "🏴" + "".join(chr(0xE0000 + ord(letter)) for letter in letters) + "\U000e007f"


_CHARACTER = st.characters(blacklist_categories=["Cs"])
_MOJIBAKE = st.text(_CHARACTER, max_size=4).map(lambda text: text.encode().decode("latin-1"))
_TRICKY = st.text(st.sampled_from("ÃÂâ€™©\xa0\x85\u200b\u0301\n\t  \r\ufeffŒœà²¢аγ\u2028éaB\u200d\ue000🏴\U000e0061\U000e007f"))
_HIDING = st.text(st.sampled_from("aب❤ \u200c\u200d\u200b\ufe0f\U000e0100\u2066"), min_size=3, max_size=12)
TEXTS = st.lists(st.one_of(st.text(_CHARACTER), _MOJIBAKE, _TRICKY, _HIDING), max_size=8).map("".join)
ALL_CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def normalized(text: str) -> str:
    return n.normalize(pa.array([text]))[0].as_py()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cafe\u0301 \r\n\r\n\r\n  cafÃ©\u00a0!", "café\n\ncafé !"),
        ("a\rb\x0bc\x0cd\u2028e\u2029f\r\n\r\ng", "a\nb\nc\nd\ne\nf\n\ng"),
        ("soft\u00adhy\u200bphen\ufeff\u202e\u2066\x00\x7f\ue000\ufffe", "softhyphen"),
        ("نمی\u200cخواهم 👩\u200d🚀", "نمی\u200cخواهم 👩\u200d🚀"),
        ("क्\u200dष ক্\u200cষ ක්\u200dෂ", "क्\u200dष ক্\u200cষ ක්\u200dෂ"),  # joiners of Devanagari, Bengali and Sinhala
        ("❤\ufe0f ☎\ufe0e 1\ufe0f\u20e3 葛\U000e0100 ᠠ\u180b", "❤\ufe0f ☎\ufe0e 1\ufe0f\u20e3 葛\U000e0100 ᠠ\u180b"),  # selectors
        ("👍🏽 🏳\ufe0f\u200d🌈 🇩🇪", "👍🏽 🏳\ufe0f\u200d🌈 🇩🇪"),
        (
            "F\u200cr\u200de\u200d\u200ce \u200d1\u200c2 水\u200d車",
            "Free 12 水車",
        ),  # joiners that join nothing hide a word or mark it
        (
            "PDF\u200cها می\u200c\u200c\u200dشود क\u200d!",
            "PDF\u200cها می\u200cشود क\u200d!",
        ),  # a letter on one side; a row is one
        ("A\ufe0f\ufe0e\U000e0101\ufe0f B\U000e0100\u200d\ufe0f", "A\ufe0f B\U000e0100"),  # selectors after a selector carry data
        (f"x {tagged('gbeng')}\u200b!", f"x {tagged('gbeng')}!"),  # the flags of England, Texas and a part of France
        (f"{tagged('ustx')}{tagged('fr20r')}", f"{tagged('ustx')}{tagged('fr20r')}"),
        (f"a{tagged('gbeng')[1:]} {tagged('gbeng')[:-1]} 🏴", "a 🏴 🏴"),  # tags alone, and some that are not ended
        (f"{tagged('ab')} {tagged('aaaabbbb')} {tagged('GBENG')} {tagged('gbeng')[:4]}x", "🏴 🏴 🏴 🏴x"),  # no region
        (f"🏴\ufe0f{tagged('gbeng')[1:]} 🏴\U000e007f", "🏴\ufe0f 🏴"),
        ("a\tb\t\tc \t d", "a\tb c d"),
        (" \n\t a \n \n \n b \n", "a\n\nb"),
        ("e\u200b\u0301", "é"),
        ("It\x92s", "It’s"),
        ("日本\u3000語", "日本 語"),
        ("A\ufffdB", "A\ufffdB"),
        ("", ""),
        (" \u200b\n", ""),
        ("\u200b\na", "a"),  # what is invisible does not keep a line end from being the text's first character
    ],
)
def test_exact_results(text: str, wanted: str) -> None:
    assert normalized(text) == wanted


@many
@given(TEXTS)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = n.normalize(pa.array([text]))
    assert n.normalize(once) is once
    result = once[0].as_py()
    assert unicodedata.is_normalized("NFC", result)
    assert result == result.strip(" \t\n")
    assert not any(bad in result for bad in ("  ", "\n\n\n", " \n", "\n ", "\r", "\u200b"))


@many
@given(TEXTS)
def test_suspicious_agrees_with_ftfy(text: str) -> None:
    assert n.suspicious(pa.array([text]))[0].as_py() == is_bad(text)


def test_no_character_that_composition_may_change_is_passed_over() -> None:
    """A row that the quick check does not mark is NFC, whatever is beside the character."""
    seen = pc.match_substring_regex(pa.array(ALL_CHARACTERS), n._NOT_SURELY_NFC).to_pylist()
    passed = [c for c, marked in zip(ALL_CHARACTERS, seen, strict=True) if not marked]
    assert all(unicodedata.is_normalized("NFC", c) and not unicodedata.combining(c) for c in passed)
    second = {
        unicodedata.decomposition(c).split()[-1]
        for c in ALL_CHARACTERS
        if " " in unicodedata.decomposition(c) and unicodedata.decomposition(c)[0] != "<"
    }
    assert not {f"{ord(c):04X}" for c in passed} & second
    assert unicodedata.normalize("NFC", "".join(passed)) == "".join(passed)


@pytest.mark.parametrize("hidden", ["\u200c", "\ufe0f\u200c", "\u200b\u200c\ufe0f", "\U000e0100"])
def test_a_million_characters_that_hide_something_are_read_once(hidden: str) -> None:
    normalized("x\u200c\ufe0f")  # compiled
    start = time.process_time()
    assert len(normalized(f"a{hidden * (10**6 // len(hidden))}b")) <= 3
    assert time.process_time() - start < 5


def test_clean_texts_are_not_copied() -> None:
    texts = pa.array(["clean", "текст\n\nещё"])
    assert n.normalize(texts) is texts
    assert list(n.steps(texts)) == []


def test_steps_name_what_they_change_and_only_touch_the_rows_that_need_it() -> None:
    texts = pa.array(["clean", "two  spaces", "e\u0301", "x\x00", "cafÃ©", "last"])
    found = list(n.steps(texts))
    assert [change for change, _ in found] == [Change.ENCODING, Change.CONTROL, Change.WHITESPACE, Change.COMPOSITION]
    assert found[-1][1].to_pylist() == ["clean", "two spaces", "é", "x", "café", "last"]


def test_encoding_repair_can_be_switched_off() -> None:
    assert n.normalize(pa.array(["cafÃ©\x85next"]), repair=False).to_pylist() == ["cafÃ©\nnext"]


def test_repair_works_line_by_line() -> None:
    text = "Das schöne Mädchen\nline 2: cafÃ©\n„fin“"
    assert n.repair_encoding(pa.array([text, "x"])).to_pylist() == ["Das schöne Mädchen\nline 2: café\n„fin“", "x"]


def test_slices_and_empty_arrays() -> None:
    texts = pa.array(["drop", "a  b", "\x00c"]).slice(1)
    assert n.normalize(texts).to_pylist() == ["a b", "c"]
    assert n.normalize(pa.array([], pa.string())).to_pylist() == []


def test_garbled_share() -> None:
    assert n.garbled_share(pa.array(["", "ab", "a\ufffd\ufffdb"])).to_pylist() == [0.0, 0.0, 0.5]
