import re

import pyarrow as pa
import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.judgement import lines
from pipelines.text.judgement.lines import LineRules


def measured(text: str) -> dict[str, int]:
    found = lines.measure(pa.array(["3 likes\nHOME", text, "x"]))
    return {name: value for name, value in zip(lines.FIELDS, found[1].tolist(), strict=True) if value and name != "longest_line"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("THE WHOLE Line", {"uppercase_lines": 1, "flagged_words": 3}),
        ("Some ABCD xy", {}),  # 5 of 10 characters are capitals: not more than half
        ("12.5 / 99", {"number_lines": 1, "flagged_words": 2}),
        ("3 likes", {"counter_lines": 1, "flagged_words": 2}),
        ("likes 3", {}),
        ("Home", {"one_word_lines": 1, "flagged_words": 1}),
        ("Home.", {}),  # a sentence
        ("STOP HERE!", {}),
        ("* * *", {}),
        ("One two three four five.", {"prose_lines": 1, "prose_words": 5, "prose_sentences": 1}),
        ("One two three four five", {}),
        ("One. Two? (Three four five six!)", {"prose_lines": 1, "prose_words": 6, "prose_sentences": 3}),
        ("One two three four.", {}),
        ("这是一个句子。", {"prose_lines": 1, "prose_words": 6, "prose_sentences": 1}),
        ("", {}),
    ],
)
def test_lines_are_of_the_kind_that_the_definition_says(text: str, wanted: dict[str, int]) -> None:
    assert measured(text) == wanted
    assert measured(f"{text}\n\n{text}") == {name: 2 * value for name, value in wanted.items()}


def test_the_longest_line_is_measured_in_characters() -> None:
    assert lines.measure(pa.array(["ab\nabc déf\n", "天地"]))[:, 8].tolist() == [7, 2]


def test_lines_that_mention_scripts_and_policies_are_counted() -> None:
    texts = pa.array(["Enable JavaScript\nplease\njavascript.", "Our Privacy Policy\nWe use cookies", "prose", ""])
    scripts, policies = lines.mentions(texts)
    assert (scripts.tolist(), policies.tolist()) == ([2, 0, 0, 0], [0, 2, 0, 0])
    assert [column.tolist() for column in lines.mentions(pa.array([], pa.string()))] == [[], []]


PAGE = "\n".join(
    ["Home", "", "", "It rained all day, and the river rose.", "TODAY ONLY: BUY", "3 likes", "", "He said “no.”", "More..."]
)


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        (LineRules(), [0, 1, 3, 4, 5, 6, 7, 8]),
        (LineRules(terminal=True), [3, 6, 7]),
        (LineRules(min_words=3), [3, 4, 6, 7]),
        (LineRules(max_word_length=5), [0, 1, 4, 5, 6, 7]),
        (LineRules(kinds=lines.UPPERCASE), [0, 1, 3, 5, 6, 7, 8]),
        (LineRules(kinds=lines.COUNTER), [0, 1, 3, 4, 6, 7, 8]),
        (LineRules(kinds=lines.ONE_WORD), [3, 4, 5, 6, 7, 8]),
        (LineRules(phrases=("the river", "today")), [0, 1, 5, 6, 7, 8]),
        (LineRules(min_words=99), []),
    ],
)
def test_lines_are_cut_and_blank_lines_between_others_stay(rules: LineRules, kept: list[int]) -> None:
    every = PAGE.split("\n")
    wanted = "\n".join(every[i] for i in kept).strip("\n")
    assert lines.cut(pa.array(["x.", PAGE, ""]), rules).to_pylist()[1:] == [wanted, ""]


def test_a_mark_is_not_asked_of_a_script_without_sentence_marks() -> None:
    texts = pa.array(["ฝนตกทั้งวัน\nabc", "这是一个句子。\n菜单", "यह वाक्य है।\nयह"])
    assert lines.cut(texts, LineRules(terminal=True)).to_pylist() == ["ฝนตกทั้งวัน", "这是一个句子。", "यह वाक्य है।"]


@many
@given(st.lists(st.text(alphabet="aB1. é天\n", max_size=12), max_size=6))
def test_without_rules_only_blank_lines_change(parts: list[str]) -> None:
    found = lines.cut(pa.array(parts, pa.string()), LineRules()).to_pylist()
    assert found == [re.sub(r"\n(?:[ ]*\n)+", "\n\n", p).strip("\n") if p.strip() else "" for p in (trimmed(p) for p in parts)]


def trimmed(text: str) -> str:
    """Without blank lines at the ends."""
    return re.sub(r"(\n[ ]*)+$", "", re.sub(r"^([ ]*\n)+", "", text))
