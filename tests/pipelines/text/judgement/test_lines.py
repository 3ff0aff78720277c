import pyarrow as pa
import pytest

from pipelines.text.judgement import lines


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
