"""What a cut leaves is judged once more, by the rules of its source and by its language; what was not cut is left alone."""

import pyarrow as pa
import pytest

from pipelines.config import LanguageSection, QualitySection
from pipelines.contract import files
from pipelines.contract.batch import Batch, born, documents_from, rewrite, sift, with_columns
from pipelines.contract.reasons import Change
from pipelines.contract.schema import document_id
from pipelines.stages.base import Model
from pipelines.stages.judgement import rejudge
from pipelines.stages.judgement.rules import Judgement

ENGLISH = "The miller walked past the old house, and he thought of the river that was his home. "
GERMAN = "Der Müller ging am alten Haus vorbei und dachte an den Fluss, der seine Heimat war, als er noch ein Kind war. "
NO_LANGUAGE = LanguageSection(enabled=False)
GOPHER = QualitySection(rules=("gopher",))


def batch(*texts: str, rules: tuple[str | None, ...] = ()) -> Batch:
    ids = [document_id("s", str(i)) for i in range(len(texts))]
    same = {"source": ["s"] * len(texts), "snapshot": ["1"] * len(texts), "origin": ["o"] * len(texts)}
    rule = pa.array(rules or [None] * len(texts), pa.string())
    return born("read", documents_from({"id": ids, "work": ids, **same, "text": list(texts), "rule": rule}))


def judged(cut: Batch, language=NO_LANGUAGE, quality=GOPHER, models=(), curated=frozenset[str]()) -> Batch:
    after = rejudge.stage(Judgement(language, quality, curated), quality, models).open()("s", "u")(cut)
    after.ledger.check()
    return after


def details(after: Batch) -> list[tuple[str, str, str, str]]:
    names = ("stage", "reason", "detail", "text")
    return [tuple(row[name] for name in names) for drops in after.drops for row in drops.to_pylist()]


def test_a_stump_is_dropped_with_the_rule_that_it_breaks_and_its_value() -> None:
    whole, stump = ENGLISH * 4, ENGLISH.strip()
    before = batch(whole, whole, "Three short words.")  # the last one was not cut, so its first verdict stays
    cut = rewrite(before, "repeats", Change.REPEATED_SUBSTRINGS, pa.array([stump, whole, "Three short words."]))
    assert cut.cut.to_pylist() == [True, False, False]
    after = judged(cut)
    assert details(after) == [("rejudge", "unfit_after_cut", "gopher_word_count 17", stump)]
    assert after.documents["text"].to_pylist() == [whole, "Three short words."]
    assert after.drops[0].to_pylist()[0]["rule"] == "gopher_word_count"
    assert after.drops[0].to_pylist()[0]["rule_value"] == 17
    line = after.ledger.lines["rejudge"]
    assert (line.documents_in, line.documents_out, line.characters_dropped) == (3, 2, {"unfit_after_cut": len(stump)})
    assert after.cut is None


@pytest.mark.parametrize("change", [Change.REPEATED_LINES, Change.REPEATED_PARAGRAPHS, Change.CONTAMINATION])
def test_every_kind_of_cut_counts_and_the_rows_dropped_between_them_do_not(change: Change) -> None:
    whole = ENGLISH * 4
    cut = rewrite(batch(whole, whole, whole), "a", Change.REPEATED_SUBSTRINGS, pa.array([whole, "x y", "Stump."]))
    cut = sift(cut, "a", pa.array([None, "empty", None]))
    cut = rewrite(cut, "b", change, pa.array([whole.strip(), "Stump."]))
    assert cut.cut.to_pylist() == [True, True]
    assert [row[1:] for row in details(judged(cut))[1:]] == [("unfit_after_cut", "gopher_word_count 1", "Stump.")]


def test_what_is_not_a_cut_of_a_judged_text_leaves_no_mark() -> None:
    assert rewrite(batch("a b"), "lines", Change.LINES, pa.array(["a"])).cut is None


def test_a_document_that_broke_a_rule_before_keeps_its_first_reason() -> None:
    cut = rewrite(batch("a b c", rules=("c4_few_sentences",)), "repeats", Change.REPEATED_LINES, pa.array(["a"]))
    after = judged(cut)
    assert after.documents["rule"].to_pylist() == ["c4_few_sentences"]
    assert after.drops == ()


@pytest.mark.parametrize(
    ("quality", "dropped"),
    [(GOPHER, False), (QualitySection(rules=("gopher",), rules_for="all"), True), (QualitySection(rules=()), False)],
)
def test_only_the_rules_of_the_source_judge(quality: QualitySection, dropped: bool) -> None:
    cut = rewrite(batch(ENGLISH * 4), "repeats", Change.REPEATED_LINES, pa.array(["A stump."]))
    after = judged(cut, quality=quality, curated=frozenset({"s"}))
    assert [row[2] for row in details(after)] == (["gopher_word_count 2"] if dropped else [])


def test_what_is_left_has_its_own_language(language_model: str) -> None:
    section = LanguageSection(keep=("en", "de"))
    mixed = ENGLISH * 8 + GERMAN * 3
    before = batch(mixed, mixed, mixed)
    known = with_columns(before.documents, language=pa.array(["en"] * 3), language_score=pa.array([0.9] * 3))
    before = Batch(known, before.ledger)
    cut = rewrite(before, "repeats", Change.REPEATED_LINES, pa.array([GERMAN * 3, ENGLISH * 8, mixed]))
    models = [Model(language_model, files.sha256(language_model))]
    after = judged(cut, section, models=models)
    assert after.documents["language"].to_pylist() == ["de", "en", "en"]
    scores = after.documents["language_score"].to_pylist()
    assert min(scores[:2]) > 0.9
    assert scores[2] == pytest.approx(0.9)  # as it was: nothing was cut
    after = judged(cut, LanguageSection(keep=("en",)), models=models)
    ((_, reason, detail, text),) = details(after)
    assert (reason, text) == ("unfit_after_cut", GERMAN * 3)
    assert detail == f"language_unwanted de {scores[0]:.3f}".rstrip("0")


def test_the_ledger_has_its_line_if_nothing_was_cut_or_nothing_came() -> None:
    for given in (batch("a"), batch()):
        after = judged(given)
        assert after.ledger.lines["rejudge"].documents_out == given.documents.num_rows
        assert after.drops == ()
