"""Every threshold of the published rules: a text that just passes, a text that just does not, and what the rule measures."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest

from pipelines.contract.reasons import DropReason as Reason
from pipelines.text.judgement.rules.c4 import c4
from pipelines.text.judgement.rules.fineweb import fineweb
from pipelines.text.judgement.rules.gopher import gopher, gopher_repetition
from pipelines.text.judgement.rules.measured import Rule, Texts

NGRAMS = Reason.GOPHER_DUPLICATE_NGRAMS
Rules = Callable[[Texts], Iterator[Rule]]


def lines(count: int, others: int, line: str = "{}", other: str = "{}", between: str = "\n") -> str:
    """`count` lines and `others`, none like another if the braces are kept."""
    return between.join([line.format(f"one {i}") for i in range(count)] + [other.format(f"other {i}") for i in range(others)])


def twice(item: str, rest: int, between: str = " ") -> str:
    """An item, a word of so many characters, and the item again."""
    return between.join([item, "x" * rest, item])


# Rule set, the rule's number in it, its reason, a text that passes and what is measured of it, a text that does not.
LIMITS: list[tuple[Rules, int, Reason, str, float, str, float]] = [
    (c4, 0, Reason.C4_LOREM_IPSUM, "Lorem, ipsum", 0, "Lorem IPSUM", 1),
    (c4, 1, Reason.C4_CURLY_BRACKET, "a }", 0, "a {", 1),
    (c4, 2, Reason.C4_FEW_SENTENCES, "One. Two. Three.", 3, "One. Two.", 2),
    (c4, 2, Reason.C4_FEW_SENTENCES, "กก a", 0, "ก a", 0),  # mostly Thai, which has no sentence marks
    (gopher, 0, Reason.GOPHER_WORD_COUNT, "word " * 50, 50, "word " * 49, 49),
    (gopher, 0, Reason.GOPHER_WORD_COUNT, "word " * 100_000, 100_000, "word " * 100_001, 100_001),
    (gopher, 1, Reason.GOPHER_WORD_LENGTH, "abc " * 100, 3, "abc " * 99 + "ab", 2.99),
    (gopher, 1, Reason.GOPHER_WORD_LENGTH, "abcdefghij " * 100, 10, "abcdefghij " * 99 + "abcdefghijk", 10.01),
    (gopher, 1, Reason.GOPHER_WORD_LENGTH, "ab 漢字", 2, "ab 漢", 2),  # mostly a script whose words have no measured length
    (gopher, 2, Reason.GOPHER_SYMBOLS, "a " * 90 + "#a " * 10, 10 / 100, "a " * 89 + "#a " * 11, 11 / 100),
    (gopher, 2, Reason.GOPHER_SYMBOLS, "a " * 90 + "a… " * 10, 10 / 100, "a " * 89 + "a… " * 11, 11 / 100),
    (gopher, 2, Reason.GOPHER_SYMBOLS, "a " * 90 + "#a… " * 10, 10 / 100, "a " * 89 + "#a... " * 11, 11 / 100),
    (gopher, 3, Reason.GOPHER_BULLETS, lines(90, 10, "• {}"), 90 / 100, lines(91, 9, "• {}"), 91 / 100),
    (gopher, 4, Reason.GOPHER_ELLIPSES, lines(30, 70, "{}…"), 30 / 100, lines(31, 69, "{}..."), 31 / 100),
    (gopher, 5, Reason.GOPHER_ALPHABETIC, "a " * 80 + "1 " * 20, 80 / 100, "a " * 79 + "1 " * 21, 79 / 100),
    (gopher, 6, Reason.GOPHER_STOP_WORDS, "the day of", 2, "the day off", 1),
    *(
        (
            gopher_repetition,
            rule,
            reason,
            lines(31, 69, "same", between=by),
            30 / 100,
            lines(32, 68, "same", between=by),
            31 / 100,
        )
        for rule, reason, by in ((0, Reason.GOPHER_DUPLICATE_LINES, "\n"), (2, Reason.GOPHER_DUPLICATE_PARAGRAPHS, "\n\n"))
    ),
    *(
        (gopher_repetition, rule, reason, twice("a" * 20, 60, by), 20 / 100, twice("a" * 20, 59, by), 20 / 99)
        for rule, reason, by in ((1, Reason.GOPHER_DUPLICATE_LINES, "\n"), (3, Reason.GOPHER_DUPLICATE_PARAGRAPHS, "\n\n"))
    ),
    *(  # twice so many characters of a hundred
        (gopher_repetition, rule, Reason.GOPHER_TOP_NGRAM, twice(gram, 100 - 2 * n), n / 50, twice(gram, 99 - 2 * n), 2 * n / 99)
        for rule, gram, n in ((4, "aaaaa bbbbb", 10), (5, "aaa bbb ccc", 9), (6, "aa bb cc dd", 8))
    ),
    *(  # the second of two counts
        (
            gopher_repetition,
            rule,
            Reason.GOPHER_DUPLICATE_NGRAMS,
            twice(gram, 100 - 2 * n),
            n / 100,
            twice(gram, 99 - 2 * n),
            n / 99,
        )
        for rule, gram, n in (
            (7, "aaa bbb ccc ddd eee", 15),
            (8, "aaa bbb cc dd ee ff", 14),
            (9, "aa bb cc dd ee ff g", 13),
            (10, "aa bb cc dd e f g h", 12),
            (11, "aa bb c d e f g h i", 11),
            (12, "a b c d e f g h i j", 10),
        )
    ),
    (fineweb, 0, Reason.FINEWEB_PUNCTUATION, lines(13, 87, "{}."), 13 / 100, lines(12, 88, "{}."), 12 / 100),
    (fineweb, 0, Reason.FINEWEB_PUNCTUATION, "กก a", 0, "ก a", 0),
    (
        fineweb,
        1,
        Reason.FINEWEB_SHORT_LINES,
        lines(66, 34, other="{0} " * 5),
        66 / 100,
        lines(67, 33, other="{0} " * 5),
        67 / 100,
    ),
    (fineweb, 1, Reason.FINEWEB_SHORT_LINES, "a" * 30, 0, "a" * 29, 1),  # characters
    (fineweb, 2, Reason.FINEWEB_LIST, "a " * 100 + "\n" * 30, 30 / 100, "a " * 100 + "\n" * 31, 31 / 100),
]


def judged(rules: Rules, number: int, inside: str, outside: str) -> tuple[str, list[bool], list[float]]:
    reason, broken, values = list(rules(Texts(pa.array([inside, outside]), np.array([True, True]))))[number]
    return reason, broken.tolist(), values.tolist()


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: f"{row[0].__name__}-{row[1]}-{row[4]:.4g}")
def test_both_sides_of_every_limit(row: tuple[Rules, int, Reason, str, float, str, float]) -> None:
    rules, number, reason, inside, measured_inside, outside, measured_outside = row
    got = judged(rules, number, inside, outside)
    assert got == (reason, [False, True], [measured_inside, measured_outside])


def test_every_rule_has_a_row() -> None:
    for rules in (c4, gopher, gopher_repetition, fineweb):
        numbers = range(len(list(rules(Texts(pa.array([""]), np.array([True]))))))
        assert {number for named, number, *_ in LIMITS if named is rules} == set(numbers)
