import re
import unicodedata

import pyarrow as pa
import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.characters import counts as words

_ALPHABET = [*list("aB' \t\n\n.!?…#{-•*\"”)9é你好。、「」々カなกำလပ가ьы́\u200dथ।½²("), "...", "the ", "To ", "and. ", "of"]
texts_of_all_kinds = st.one_of(
    st.lists(st.sampled_from(_ALPHABET), max_size=60).map("".join),
    st.text(st.characters(blacklist_categories=["Cs"]), max_size=40),
)


def is_spaceless(c: str) -> bool:
    return bool(words.table()[ord(c)] & words.SPACELESS)


def tokens(text: str) -> list[str]:
    """The definition in the module's docstring, one character at a time."""
    found: list[str] = []
    for run in re.split(r"[\s\x1c-\x1f\x85]+", text):
        token = ""
        for c in run:
            has_alnum = any(unicodedata.category(x)[0] in "LN" for x in token)
            begins = is_spaceless(c) and has_alnum
            begins |= any(map(is_spaceless, token)) and not is_spaceless(c) and unicodedata.category(c)[0] in "LN"
            if begins:
                found.append(token)
                token = ""
            token += c
        if token:
            found.append(token)
    return found


def reference(text: str) -> dict[str, int]:
    all_tokens = tokens(text)
    categories = [[unicodedata.category(c) for c in token] for token in all_tokens]
    letters = [c for c in text if unicodedata.category(c)[0] == "L" or c == "〇"]
    measured = [
        token
        for token, kinds in zip(all_tokens, categories, strict=True)
        if any(k[0] in "LN" for k in kinds)
        and not any(map(is_spaceless, token))
        and not re.search("[\u1100-\u11ff\uac00-\ud7ff]", token)
    ]
    lines = [line for line in (line.strip() for line in text.split("\n")) if line]
    return {
        "tokens": len(all_tokens),
        "words": sum(any(k[0] in "LN" for k in kinds) for kinds in categories),
        "letter_tokens": sum(any(c in letters for c in token) for token in all_tokens),
        "measured_words": len(measured),
        "measured_characters": sum(map(len, measured)),
        "hashes": text.count("#"),
        "ellipses": text.count("…") + text.count("..."),
        "lines": len(lines),
        "bullet_lines": sum(line[0] in words._BULLETS for line in lines),
        "ellipsis_lines": sum(line.endswith(("…", "...")) for line in lines),
        "punctuated_lines": sum(
            line.rstrip(words._CLOSERS + "".join(filter(str.isspace, line)))[-1:] in set(words._TERMINALS + words._FULL_STOPS)
            for line in lines
        ),
        "newlines": text.count("\n"),
        "curly_brackets": text.count("{"),
        "letters": len(letters),
    }


def assert_counts_are_the_definitions(text: str) -> None:
    got = words.count(pa.array([text]))
    for name, value in reference(text).items():
        assert getattr(got, name)[0] == value, (name, text)


@many
@given(texts_of_all_kinds)
def test_counts_are_those_of_the_definition(text: str) -> None:
    assert_counts_are_the_definitions(text)


def test_counts_of_known_texts() -> None:
    got = words.count(
        pa.array(['- The cat (with a hat) sat… "Why?"\n\nNo. 5!', "你好，世界。他说：「走吧。」\n好 world", "สวัสดี ครับ", ""])
    )
    assert got.tokens.tolist() == [10, 10, 7, 0]
    assert got.words.tolist() == [9, 10, 7, 0]
    assert got.sentences.tolist() == [4, 2, 0, 0]
    assert got.lines.tolist() == [2, 2, 1, 0]
    assert got.bullet_lines.tolist() == [1, 0, 0, 0]
    assert got.punctuated_lines.tolist() == [2, 1, 0, 0]
    assert got.measured_characters.tolist() == [31, 5, 0, 0]
    assert got.unpunctuated_letters.tolist() == [0, 0, 7, 0]


@pytest.mark.parametrize(
    ("text", "sentences"), [("One. Two! Three?", 3), ("3.5 and a.b", 0), ("He said “no.” Then", 1), ("... . !", 0)]
)
def test_sentences(text: str, sentences: int) -> None:
    assert words.count(pa.array([text])).sentences.tolist() == [sentences]


def test_width_of_a_line_counts_han_twice() -> None:
    got = words.count(pa.array(["a" * 29, "a" * 30, "字" * 14, "字" * 15]))
    assert got.short_lines.tolist() == [1, 0, 1, 0]
