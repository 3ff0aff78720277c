"""Hard-wrapped text: what is joined, what is kept."""

import textwrap

from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.extraction.wrapping import unwrap

WORDS = "the old mill stood by the brook and nobody in the village could say who had built it or when it had last ground corn"
PARAGRAPHS = [f"{n} {WORDS}, {WORDS} and {n} more. {WORDS}." for n in ("One", "Two", "Three", "Four", "Five", "Six")]


def wrapped(width: int = 70, between: str = "\n\n", indent: str = "") -> str:
    return between.join(textwrap.fill(p, width, initial_indent=indent) for p in PARAGRAPHS)


def test_paragraphs_are_joined_and_stay_apart() -> None:
    assert unwrap(wrapped()) == "\n\n".join(PARAGRAPHS)


def test_paragraphs_marked_by_an_indent() -> None:
    assert unwrap(wrapped(between="\n", indent=" ")).split("\n") == [f" {PARAGRAPHS[0]}", *PARAGRAPHS[1:]]


def test_verse_and_short_lines_are_kept() -> None:
    verse = "    The brook runs down,\n    the wheel goes round,\n      the corn is ground,\n    and all is found."
    address = "Dear Sir,\nYour letter came.\nYours, A."
    text = f"{wrapped()}\n\n{verse}\n\n{address}\n\n{wrapped()}"
    assert unwrap(text) == "\n\n".join([*PARAGRAPHS, verse, address, *PARAGRAPHS])


def test_hyphens_and_dashes_at_a_line_end() -> None:
    lines = [
        "He had lived all his days in that half-ruined house by the water-",
        "side and had no wish to live in any other house or village at all--",
        "none, he said, and he meant it; he knew only the mill and the Vor-",
        "und Nachteile of a life between the stones and the flour and the",
    ]
    text = f"{wrapped(66)}\n\n" + "\n".join(lines)
    last = unwrap(text).split("\n\n")[-1]
    assert "water-side and" in last
    assert "at all--none" in last
    assert "Vor- und Nachteile" in last


def test_east_asian_lines_join_without_a_space() -> None:
    sentence = "山の上の小さな家にはだれも住んでいないと村の人々は言っていたが夜になると窓に灯がともるのであった。"
    paragraphs = [sentence * n for n in (3, 4, 5, 3)]
    text = "\n\n".join("\n".join(p[i : i + 40] for i in range(0, len(p), 40)) for p in paragraphs)
    assert unwrap(text) == "\n\n".join(paragraphs)


def test_one_paragraph_per_line_is_not_wrapped() -> None:
    text = "\n".join(PARAGRAPHS + ['"Yes."', '"No."'] * 10)
    assert unwrap(text) == text


def test_verse_alone_is_not_wrapped() -> None:
    text = "\n".join(f"{'the wheel goes round and ' * (n % 3)}round" for n in range(60))
    assert unwrap(text) == text


@given(st.lists(st.text("ab -—\n. 山", max_size=60), max_size=40).map("\n".join))
def test_no_character_but_whitespace_changes(text: str) -> None:
    assert "".join(unwrap(text).split()) == "".join(text.split())


@given(st.integers(40, 100))
def test_every_width_gives_the_same_text(width: int) -> None:
    assert unwrap(wrapped(width)) == "\n\n".join(PARAGRAPHS)
