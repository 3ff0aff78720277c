"""Cuts: what stays around a run of words that goes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text import cuts


def cut(marked: str) -> str:
    """Cut what stands between « » (which are not part of the text); words are runs of letters."""
    text, runs = "", []
    for i, piece in enumerate(re.split("[«»]", marked)):
        if i % 2:
            runs.append((len(text.encode()), len((text + piece).encode())))
        text += piece
    words = [(len(text[: m.start()].encode()), len(text[: m.end()].encode())) for m in re.finditer(r"\w+", text)]
    bounds = []
    for start, end in runs:
        before = max((b for _, b in words if b <= start), default=0)
        behind = min((a for a, _ in words if a >= end), default=len(text.encode()))
        bounds.append(cuts.Run(before, start, end, behind))
    return cuts.cut(text.encode(), bounds).decode()


@pytest.mark.parametrize(
    ("marked", "left"),
    [
        ("One «two three» four.", "One four."),
        ("One. «Two three». Four.", "One. Four."),
        ("He said: “«Two three»!” Then he left.", "He said: Then he left."),
        ("One («two three»), four.", "One four."),
        ("«One two» three", "three"),
        ("One «two three».", "One"),
        ("One\n«two three».\nFour", "One\nFour"),
        ("One.\n\n«Two three».\n\nFour", "One.\n\nFour"),
        ("One.\n\n- «Two three».\n- Four", "One.\n\n- Four"),
        ("One.\n- «Two three».\n\nFour", "One.\n\nFour"),
        ("- «One two»\n- Three", "- Three"),
        ("One\n- «Two three» four\n", "One\n- four\n"),
        ("One «two\nthree» four", "One four"),
        ("One «two».\nThree", "One\nThree"),
        ("One\n«two» three", "One\nthree"),
        ("One «two», three «four» five", "One three five"),
        ("One.\n«Two»\nx\n«Three»\nFour", "One.\nx\nFour"),
        ("***\n«One two»\n***", ""),
        ("“«One two»!”", ""),
        ("One-«two»-three", "One-three"),
        ("One", "One"),
    ],
)
def test_what_stays(marked, left):
    assert cut(marked) == left


def test_scripts_without_spaces_are_joined_without_one():
    text, run = "今天。“我们去北京。”明天", "我们去北京"
    start = text.encode().index(run.encode())
    end = start + len(run.encode())
    behind = text.encode().index("明".encode())
    assert cuts.cut(text.encode(), [cuts.Run(6, start, end, behind)]).decode() == "今天。明天"


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "B"]), st.sampled_from([" ", ". ", "\n", ".\n\n", ", “", "- "])), min_size=1)
)
def test_no_debris(pieces):
    """Every word that is to stay stays, and no run goes beyond its own spaces."""
    marked = "".join(("«B»" if word == "B" else word) + gap for word, gap in pieces)
    marked = re.sub(r"»([^«a-z]*)«", r"\1", marked)  # runs that touch are one
    left = cut(marked.strip())
    assert re.findall(r"\w", left) == [word for word, _ in pieces if word != "B"]
    assert "  " not in left and "\n\n\n" not in left
