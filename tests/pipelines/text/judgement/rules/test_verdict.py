import pyarrow as pa
import pytest

from pipelines.contract.reasons import DropReason as Reason
from pipelines.rule_thresholds import ENGLISH_STOP_WORDS, RuleSets
from pipelines.text.judgement.measures import measure
from pipelines.text.judgement.rules import signs, verdict
from pipelines.text.judgement.rules.verdict import SETS
from pipelines.text.judgement.words import WordLists

RULE_SETS = ("c4", "gopher", "gopher_repetition", "fineweb")
STOP_WORDS, NONE = WordLists.of({"en": ENGLISH_STOP_WORDS}), WordLists.of({})

# Sixty different words, four sentences, two of Gopher's stop words: it passes every rule.
_WORDS = [
    f"{a}{b}"
    for a in ("bar", "dol", "fen", "gim", "hul", "jor")
    for b in ("an", "ek", "im", "os", "ut", "ar", "el", "in", "ov", "uk")
]
GOOD = (
    "The "
    + " ".join(_WORDS[:20])
    + ". And "
    + " ".join(_WORDS[20:40])
    + ". So "
    + " ".join(_WORDS[40:50])
    + "! As "
    + " ".join(_WORDS[50:])
    + "."
)


def judge(texts: pa.Array, english: list[bool], sets: tuple[str, ...]) -> tuple[pa.Array, pa.Array]:
    languages = pa.array(["en" if entry else None for entry in english], pa.string())
    measured = measure(texts, languages, STOP_WORDS, NONE)
    return verdict.judge(measured, RuleSets.model_validate(list(sets)).thresholds())


def first(text: str, *, english: bool = True, rule_sets: tuple[str, ...] = RULE_SETS) -> tuple[str | None, float | None]:
    rules, values = judge(pa.array([text]), [english], rule_sets)
    return rules[0].as_py(), values[0].as_py()


def test_prose_passes() -> None:
    assert first(GOOD) == (None, None)
    assert first(GOOD.replace(" ", " » ", 40), rule_sets=("gopher",)) == (None, None)  # "»" is no word


@pytest.mark.parametrize(
    ("text", "reason", "value"),
    [
        (GOOD + " Lorem Ipsum.", Reason.C4_LOREM_IPSUM, 1),
        (GOOD + " {}", Reason.C4_CURLY_BRACKET, 1),
        ("One. Two.", Reason.C4_FEW_SENTENCES, 2),
        ("One. Two. Three.", Reason.GOPHER_WORD_COUNT, 3),
        ("Ab cd. " * 30, Reason.GOPHER_WORD_LENGTH, 2.5),
        (GOOD.replace(" dol", " #dol"), Reason.GOPHER_SYMBOLS, 10 / 64),
        (GOOD + " 1" * 20, Reason.GOPHER_ALPHABETIC, 64 / 84),
        (GOOD + " 1 »" * 20, Reason.GOPHER_ALPHABETIC, 64 / 84),
        (GOOD.replace("The ", "").replace("And ", ""), Reason.GOPHER_STOP_WORDS, 0),
        (GOOD.replace(" ", "…\n", 30), Reason.GOPHER_SYMBOLS, 30 / 64),
        ("• " + GOOD.replace(". ", ".\n• "), Reason.GOPHER_BULLETS, 1),
        ("\n".join([GOOD, "and more…"]), Reason.GOPHER_ELLIPSES, 0.5),
        ("\n".join([GOOD, "same", "same", "same"]), Reason.GOPHER_DUPLICATE_LINES, 0.5),
        ("\n\n".join([GOOD, "a b\nc", "a b\nd", "a b\nc", "a b\nd"]), Reason.GOPHER_DUPLICATE_LINES, None),
        (GOOD + " dolan fenek" * 10, Reason.GOPHER_TOP_NGRAM, None),
        (GOOD + " " + " ".join(_WORDS[:14]), Reason.GOPHER_DUPLICATE_NGRAMS, None),
        ("\n".join([GOOD.rstrip(".")] + [f"{w} {'x' * 40}" for w in _WORDS[:8]]), Reason.FINEWEB_PUNCTUATION, 0),
        ("\n".join([GOOD, *(f"{w}." for w in ("one", "two", "three"))]), Reason.FINEWEB_SHORT_LINES, 0.75),
        ("\n".join([GOOD, "x" * 70 + ".", "y" * 70 + ".", "x" * 70 + "."]), Reason.FINEWEB_DUPLICATE_LINES, None),
    ],
)
def test_each_rule_drops_its_page(text: str, reason: Reason, value: float | None) -> None:
    got = first(text)
    assert got[0] == reason
    if value is not None:
        assert got[1] == pytest.approx(value)


def test_rules_for_one_kind_of_writing_are_asked_of_that_kind_only() -> None:
    chinese = "".join(chr(0x4E00 + 37 * i) + ("。" if i % 20 == 19 else "") for i in range(100))
    assert first(chinese, english=False) == (None, None)  # a hundred characters are a hundred words of no measured length
    without_stop_words = GOOD.replace("The ", "").replace("And ", "")
    assert first(without_stop_words, english=False) == (None, None)
    thai = "".join(chr(0x0E01 + 7 * i % 44) + (" " if i % 40 == 39 else "") for i in range(120))
    assert first(thai, english=False, rule_sets=("c4", "fineweb"))[0] != Reason.C4_FEW_SENTENCES
    korean = ". ".join(" ".join(chr(0xAC00 + 28 * (13 * i + j)) for j in range(13)) for i in range(5)) + "."
    assert first(korean, english=False, rule_sets=("c4", "gopher")) == (None, None)  # words of one syllable


def test_only_the_sets_that_are_named_are_asked() -> None:
    assert first("{ one", rule_sets=("gopher",))[0] == Reason.GOPHER_WORD_COUNT
    assert first("{ one", rule_sets=()) == (None, None)
    assert first("{ one", rule_sets=("gopher", "c4"))[0] == Reason.C4_CURLY_BRACKET  # the order is fixed


def test_every_set_has_thresholds_and_every_threshold_a_rule() -> None:
    every = RuleSets.model_validate(list(SETS))
    for name, rules in SETS.items():
        limit = [signs.LIMIT, signs.ENOUGH] if name == "signs" else []
        assert [*limit, *(rule.threshold for rule in rules)] == list(type(getattr(every, name)).model_fields), name


def test_a_threshold_that_is_changed_or_off_judges_so() -> None:
    measured = measure(pa.array(["Two words."]), pa.array(["en"]), STOP_WORDS, NONE)
    gopher = RuleSets.model_validate({"signs": False, "gopher": {"min_words": 2, "min_stop_words": False}})
    assert verdict.judge(measured, gopher.thresholds())[0].to_pylist() == [None]
    three = RuleSets.model_validate({"signs": False, "gopher": {"min_words": 3, "min_stop_words": False}})
    assert verdict.judge(measured, three.thresholds())[0].to_pylist() == [Reason.GOPHER_WORD_COUNT]


def test_thresholds_of_a_language_replace_the_others_for_its_texts() -> None:
    languages = pa.array(["de", "en", None, "de"])
    measured = measure(pa.array(["eins zwei", "one two", "x y", "eins"]), languages, NONE, NONE)
    base = RuleSets.model_validate({"signs": False, "gopher": {"min_words": 2, "min_word_length": 2}})
    german = base.thresholds(RuleSets.model_validate({"gopher": {"min_words": 3}}))
    found, values = verdict.judge_by_language(measured, languages, base.thresholds(), {"de": german, "fr": {}})
    assert found.to_pylist() == [Reason.GOPHER_WORD_COUNT, None, Reason.GOPHER_WORD_LENGTH, Reason.GOPHER_WORD_COUNT]
    assert values.to_pylist() == [2, None, 1, 1]


def test_a_text_that_was_not_measured_passes() -> None:
    column = pa.nulls(2, measure(pa.array([], pa.string()), pa.array([], pa.string()), NONE, NONE).type)
    assert verdict.judge(column, RuleSets().thresholds())[0].to_pylist() == [None, None]


def test_rows_are_judged_on_their_own() -> None:
    texts = [GOOD, "{", GOOD, "lorem ipsum"]
    rules, values = judge(pa.array(texts), [True] * 4, RULE_SETS)
    assert rules.to_pylist() == [None, "c4_curly_bracket", None, "c4_lorem_ipsum"]
    assert values.to_pylist() == [None, 1.0, None, 1.0]
    assert judge(pa.array([], pa.string()), [], RULE_SETS)[0].to_pylist() == []
