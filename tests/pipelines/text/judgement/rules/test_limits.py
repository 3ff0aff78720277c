"""Every threshold of the published rules: a text that just passes, a text that just does not, and what the rule measures."""

import pyarrow as pa
import pytest

from pipelines.contract.reasons import DropReason as Reason
from pipelines.rule_thresholds import ENGLISH_STOP_WORDS, RuleSets
from pipelines.text.judgement.measures import Measures, measure
from pipelines.text.judgement.rules.verdict import SETS
from pipelines.text.judgement.words import WordLists

STOP_WORDS, BAD_WORDS = WordLists.of({"en": ENGLISH_STOP_WORDS}), WordLists.of({"en": ["damn", "what the heck"]})
THRESHOLDS = RuleSets.model_validate(list(SETS)).thresholds()
THRESHOLDS["c4"]["min_prose_sentences"] = 3  # off by default, as is
THRESHOLDS["gopher"]["min_letter_tokens"] = 0.8
NONE = float("nan")  # the rule does not apply


def lines(count: int, others: int, line: str = "{}", other: str = "{}", between: str = "\n") -> str:
    """`count` lines and `others`, none like another if the braces are kept."""
    return between.join([line.format(f"one {i}") for i in range(count)] + [other.format(f"other {i}") for i in range(others)])


def twice(item: str, rest: int, between: str = " ") -> str:
    """An item, a word of so many characters, and the item again."""
    return between.join([item, "x" * rest, item])


# Rule set, the threshold's name, the reason, a text that passes and what is measured of it, a text that does not.
LIMITS: list[tuple[str, str, Reason, str, float, str, float]] = [
    ("c4", "max_lorem_ipsum", Reason.C4_LOREM_IPSUM, "Lorem, ipsum", 0, "Lorem IPSUM", 1),
    ("c4", "max_curly_brackets", Reason.C4_CURLY_BRACKET, "a }", 0, "a {", 1),
    ("c4", "min_sentences", Reason.C4_FEW_SENTENCES, "One. Two. Three.", 3, "One. Two.", 2),
    ("c4", "min_sentences", Reason.C4_FEW_SENTENCES, "กก a", NONE, "ก a", 0),  # mostly Thai, which has no sentence marks
    ("gopher", "min_words", Reason.GOPHER_WORD_COUNT, "word " * 50, 50, "word " * 49, 49),
    ("gopher", "max_words", Reason.GOPHER_WORD_COUNT, "word " * 100_000, 100_000, "word " * 100_001, 100_001),
    ("gopher", "min_word_length", Reason.GOPHER_WORD_LENGTH, "abc " * 100, 3, "abc " * 99 + "ab", 2.99),
    ("gopher", "max_word_length", Reason.GOPHER_WORD_LENGTH, "abcdefghij " * 100, 10, "abcdefghij " * 99 + "abcdefghijk", 10.01),
    (
        "gopher",
        "min_word_length",
        Reason.GOPHER_WORD_LENGTH,
        "ab 漢字",
        NONE,
        "ab 漢",
        2,
    ),  # mostly a script whose words have no measured length
    ("gopher", "max_symbols", Reason.GOPHER_SYMBOLS, "a " * 90 + "#a " * 10, 10 / 100, "a " * 89 + "#a " * 11, 11 / 100),
    ("gopher", "max_symbols", Reason.GOPHER_SYMBOLS, "a " * 90 + "a… " * 10, 10 / 100, "a " * 89 + "a… " * 11, 11 / 100),
    ("gopher", "max_symbols", Reason.GOPHER_SYMBOLS, "a " * 90 + "#a… " * 10, 10 / 100, "a " * 89 + "#a... " * 11, 11 / 100),
    ("gopher", "max_bullet_lines", Reason.GOPHER_BULLETS, lines(90, 10, "• {}"), 90 / 100, lines(91, 9, "• {}"), 91 / 100),
    ("gopher", "max_ellipsis_lines", Reason.GOPHER_ELLIPSES, lines(30, 70, "{}…"), 30 / 100, lines(31, 69, "{}..."), 31 / 100),
    ("gopher", "min_letter_words", Reason.GOPHER_ALPHABETIC, "a " * 80 + "1 " * 20, 80 / 100, "a " * 79 + "1 " * 21, 79 / 100),
    ("gopher", "min_letter_tokens", Reason.GOPHER_ALPHABETIC, "a " * 80 + "- " * 20, 80 / 100, "a " * 79 + "- " * 21, 79 / 100),
    ("gopher", "min_stop_words", Reason.GOPHER_STOP_WORDS, "the day of", 2, "the day off", 1),
    *(
        (
            "gopher_repetition",
            rule,
            reason,
            lines(31, 69, "same", between=by),
            30 / 100,
            lines(32, 68, "same", between=by),
            31 / 100,
        )
        for rule, reason, by in (
            ("max_duplicate_lines", Reason.GOPHER_DUPLICATE_LINES, "\n"),
            ("max_duplicate_paragraphs", Reason.GOPHER_DUPLICATE_PARAGRAPHS, "\n\n"),
        )
    ),
    *(
        ("gopher_repetition", rule, reason, twice("a" * 20, 60, by), 20 / 100, twice("a" * 20, 59, by), 20 / 99)
        for rule, reason, by in (
            ("max_duplicate_line_characters", Reason.GOPHER_DUPLICATE_LINES, "\n"),
            ("max_duplicate_paragraph_characters", Reason.GOPHER_DUPLICATE_PARAGRAPHS, "\n\n"),
        )
    ),
    *(  # twice so many characters of a hundred
        (
            "gopher_repetition",
            rule,
            Reason.GOPHER_TOP_NGRAM,
            twice(gram, 100 - 2 * n),
            n / 50,
            twice(gram, 99 - 2 * n),
            2 * n / 99,
        )
        for rule, gram, n in (
            ("max_top_2gram_characters", "aaaaa bbbbb", 10),
            ("max_top_3gram_characters", "aaa bbb ccc", 9),
            ("max_top_4gram_characters", "aa bb cc dd", 8),
        )
    ),
    *(  # the second of two counts
        (
            "gopher_repetition",
            rule,
            Reason.GOPHER_DUPLICATE_NGRAMS,
            twice(gram, 100 - 2 * n),
            n / 100,
            twice(gram, 99 - 2 * n),
            n / 99,
        )
        for rule, gram, n in (
            ("max_duplicate_5gram_characters", "aaa bbb ccc ddd eee", 15),
            ("max_duplicate_6gram_characters", "aaa bbb cc dd ee ff", 14),
            ("max_duplicate_7gram_characters", "aa bb cc dd ee ff g", 13),
            ("max_duplicate_8gram_characters", "aa bb cc dd e f g h", 12),
            ("max_duplicate_9gram_characters", "aa bb c d e f g h i", 11),
            ("max_duplicate_10gram_characters", "a b c d e f g h i j", 10),
        )
    ),
    (
        "fineweb",
        "min_punctuated_lines",
        Reason.FINEWEB_PUNCTUATION,
        lines(13, 87, "{}."),
        13 / 100,
        lines(12, 88, "{}."),
        12 / 100,
    ),
    ("fineweb", "min_punctuated_lines", Reason.FINEWEB_PUNCTUATION, "กก a", NONE, "ก a", 0),
    (
        "fineweb",
        "max_short_lines",
        Reason.FINEWEB_SHORT_LINES,
        lines(66, 34, other="{0} " * 5),
        66 / 100,
        lines(67, 33, other="{0} " * 5),
        67 / 100,
    ),
    ("fineweb", "max_short_lines", Reason.FINEWEB_SHORT_LINES, "a" * 30, 0, "a" * 29, 1),  # characters
    ("fineweb", "max_newlines", Reason.FINEWEB_LIST, "a " * 100 + "\n" * 30, 30 / 100, "a " * 100 + "\n" * 31, 31 / 100),
    (
        "fineweb",
        "max_duplicate_line_characters",
        Reason.FINEWEB_DUPLICATE_LINES,
        twice("a" * 10, 81, "\n"),
        10 / 101,
        twice("a" * 10, 80, "\n"),
        10 / 100,
    ),
    ("c4", "max_bad_words", Reason.C4_BAD_WORDS, "Damnation! What the hecks", 0, "DAMN, what\nthe heck.", 2),
    (
        "c4",
        "min_prose_sentences",
        Reason.C4_FEW_SENTENCES,
        "So it is. So it was.\nA. B.\nAnd so it shall be.",
        3,
        "So it is. So it was.\nA. B.\nThat is all. And so it shall be",
        2,
    ),
    (
        "refinedweb",
        "max_flagged_words",
        Reason.REFINEDWEB_LINES,
        "a " * 57 + "\n3 likes\nHome",
        3 / 60,
        "a " * 56 + "\n3 likes\nHome",
        3 / 59,
    ),
    ("signs", "min_words", Reason.POOR_SIGNS, "a " * 90, 90, "a " * 89, 89),
    ("signs", "min_words_per_line", Reason.POOR_SIGNS, "a " * 16, 16, "a " * 15, 15),
    ("signs", "min_stop_words", Reason.POOR_SIGNS, "the " * 12 + "a " * 88, 0.12, "the " * 11 + "a " * 89, 0.11),
    ("signs", "min_prose_sentences", Reason.POOR_SIGNS, "A. B. A B C D E.", 3, "A. B C D E F.", 2),
    ("signs", "min_prose_sentences", Reason.POOR_SIGNS, "กก a", NONE, "ก a", 0),
    ("signs", "min_letters", Reason.POOR_SIGNS, "हिन्दी" * 10, 1, "a" * 926 + "1" * 74, 0.926),  # vowel signs are of their letters
    ("signs", "max_capitals", Reason.POOR_SIGNS, "a" * 92 + "A" * 8, 0.08, "a" * 91 + "A" * 9, 0.09),
    ("signs", "max_capital_words", Reason.POOR_SIGNS, "a " * 95 + "A " * 5, 0.05, "a " * 94 + "A " * 6, 0.06),
    ("signs", "max_digits", Reason.POOR_SIGNS, "a" * 975 + "1" * 25, 0.025, "a" * 974 + "1" * 26, 0.026),
    ("signs", "max_digits", Reason.POOR_SIGNS, "天天1", NONE, "a天1", 1 / 3),
    (
        "signs",
        "max_top_2gram_characters",
        Reason.POOR_SIGNS,
        "b b " + "a" * 400 + " b b",
        4 / 404,
        "b b " + "a" * 80 + " b b",
        4 / 84,
    ),
]


def judged(rules: str, threshold: str, inside: str, outside: str) -> tuple[str, list[bool], list[float]]:
    rule = next(rule for rule in SETS[rules] if rule.threshold == threshold)
    measured = Measures(measure(pa.array([inside, outside]), pa.array(["en", "en"]), STOP_WORDS, BAD_WORDS))
    values = rule.value(measured)
    return rule.reason, rule.breaks(values, THRESHOLDS[rules][threshold]).tolist(), values.tolist()


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: f"{row[0]}-{row[1]}-{row[4]:.4g}")
def test_both_sides_of_every_limit(row: tuple[str, str, Reason, str, float, str, float]) -> None:
    rules, threshold, reason, inside, measured_inside, outside, measured_outside = row
    got = judged(rules, threshold, inside, outside)
    assert got == (reason, [False, True], pytest.approx([measured_inside, measured_outside], nan_ok=True))


def test_every_rule_has_a_row() -> None:
    assert {(name, rule.threshold) for name, rules in SETS.items() for rule in rules} == {row[:2] for row in LIMITS}
