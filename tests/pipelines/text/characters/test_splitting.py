import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters.splitting import split_text

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"

_PARTS = st.lists(st.sampled_from(["a", "word ", "s. ", "。", "\n\n", "e\u0301", "\u200d", "xyz", "\n", "👍🏽"]), max_size=60)


@given(_PARTS.map("".join), st.integers(1, 30))
def test_no_character_is_lost_and_no_piece_is_too_long(text: str, limit: int) -> None:
    got = split_text(text, limit)
    assert "".join(got) == text
    assert all(0 < len(piece) <= limit for piece in got) or got == [""]


@pytest.mark.parametrize(
    ("text", "limit", "wanted"),
    [
        ("short", 5, ["short"]),
        ("", 5, [""]),
        ("One two. Three four.\n\nFive six.", 24, ["One two. Three four.\n\n", "Five six."]),
        ("Aa bb cc. Dd ee ff. Gg", 18, ["Aa bb cc. ", "Dd ee ff. Gg"]),
        ("天地玄黃。宇宙洪荒。日", 8, ["天地玄黃。", "宇宙洪荒。日"]),
        ("aaaa bbbb cccc", 10, ["aaaa ", "bbbb cccc"]),
        ("abcdefghij", 4, ["abcd", "efg", "hij"]),  # hard, and nearly equal: not 4, 4, 2
        ("abcde\u0301\u0301fg", 5, ["abcd", "e\u0301\u0301fg"]),
        ("abcd\u200def", 5, ["abc", "d\u200def"]),  # not before a zero-width joiner
        ("abc\u200ddef", 5, ["ab", "c\u200ddef"]),  # nor after it
        ("abc👍🏻ef", 5, ["abc", "👍🏻ef"]),  # nor before the first and the last of the skin tones
        ("abc👍🏿ef", 5, ["abc", "👍🏿ef"]),
        (f"abc{ENGLAND}de", 8, ["abc", ENGLAND, "de"]),  # nor within a flag
        ("abc🇩🇪🇫🇷", 4, ["abc", "🇩🇪🇫🇷"]),
        ("abc🇩🇪🇫🇷def", 6, ["abc🇩🇪", "🇫🇷def"]),
        ("e" + "\u0301" * 9, 4, ["e\u0301\u0301\u0301", "\u0301" * 3, "\u0301" * 3]),  # there is no other place
    ],
)
def test_where_texts_are_cut(text: str, limit: int, wanted: list[str]) -> None:
    assert split_text(text, limit) == wanted


def test_pieces_are_of_nearly_equal_size() -> None:
    text = "".join(f"Sentence number {i} is here.\n\n" for i in range(1000))
    sizes = [len(piece) for piece in split_text(text, 10_000)]
    assert len(sizes) == 3 + (len(text) > 30_000)
    assert max(sizes) - min(sizes) < 60
