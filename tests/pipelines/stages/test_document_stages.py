"""The stages of the documents dataset, and the two of the corpus that read their verdicts."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from broken_rules import broken_rules
from examples import few
from hypothesis import given
from hypothesis import strategies as st
from places import SHARED

from pipelines.config import ExcludeSection, LanguageSection, LinesSection, NormalizeSection, QualitySection
from pipelines.contract import schema
from pipelines.contract.batch import Batch, born, documents_from, with_columns
from pipelines.contract.errors import UserError
from pipelines.contract.schema import document_id
from pipelines.stages import lines, normalize, split
from pipelines.stages.base import Model
from pipelines.stages.exclusion import exclude
from pipelines.stages.judgement import judge, language, quality, rules
from pipelines.stages.judgement.rules import Judgement
from pipelines.text.judgement.languages.groups import LID_176_FTZ_SHA256

MODEL = SHARED / "langid" / "lid.176.ftz"


def batch(*texts: str, **columns: Any) -> Batch:
    ids = [document_id("s", str(i)) for i in range(len(texts))]
    defaults = {"source": ["s"] * len(texts), "snapshot": ["1"] * len(texts), "origin": [f"f#{i}" for i in range(len(texts))]}
    return born("read", documents_from({"id": ids, "work": ids, **defaults, "text": list(texts), **columns}))


def dropped(result: Batch) -> list[tuple[str, str, str | None]]:
    result.ledger.check()
    return [(row["text"], row["reason"], row["detail"]) for drops in result.drops for row in drops.to_pylist()]


def texts(result: Batch) -> list[str]:
    result.ledger.check()
    return result.documents["text"].to_pylist()


def test_exclude_by_id_work_address_and_host() -> None:
    urls = [
        None,
        None,
        "https://a.org/x",
        "http://u:p@EXAMPLE.com:80/",
        "https://news.example.com./y",
        "https://notexample.com/?q=example.com",
        "//example.com",
        "example.com/page",
    ]
    given = batch(*"01234567", url=urls, work=[document_id("s", "book")] + [document_id("s", str(i)) for i in range(1, 8)])
    ids = (document_id("s", "book").hex(), document_id("s", "1").hex().upper())
    result = exclude.stage(ExcludeSection(ids=ids, urls=("https://a.org/x",), hosts=("example.com",)))(given)
    assert texts(result) == ["5"]
    assert [detail for _, _, detail in dropped(result)] == [
        f"id {document_id('s', 'book').hex()}",
        f"id {document_id('s', '1').hex()}",
        "url a.org/x",
        *(["host example.com"] * 4),
    ]
    assert {reason for _, reason, _ in dropped(result)} == {"excluded"}


def test_exclude_nothing_keeps_everything() -> None:
    assert texts(exclude.stage(ExcludeSection())(batch("a", "b"))) == ["a", "b"]


@pytest.mark.parametrize("wrong", ["xyz", "ab", "00" * 17])
def test_exclude_names_an_id_that_is_none(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"exclude\.ids"):
        exclude.stage(ExcludeSection(ids=(wrong,)))(batch("a"))


def test_normalize_counts_by_change_and_drops_what_is_left_empty_or_garbled() -> None:
    result = normalize.stage(NormalizeSection(garbled_share_limit=0.25), "books")(
        batch("a\r\nb", "\u200b \n", "\ufffd\ufffdab", "\ufffdabc", "e\u0301\x00")
    )
    assert texts(result) == ["a\nb", "\ufffdabc", "é"]
    assert dropped(result) == [("", "empty", None), ("\ufffd\ufffdab", "garbled", "0.5")]
    line = result.ledger.lines["normalize"]
    assert dict(line.characters_removed) == {"control": 2, "whitespace": 3, "composition": 1}


@few
@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"])), min_size=1, max_size=5))
def test_normalize_and_split_conserve(given: list[str]) -> None:
    result = split.stage(limit=7)(normalize.stage(NormalizeSection(), "books")(batch(*given)))
    result.ledger.check()
    assert all(0 < len(text) <= 7 for text in result.documents["text"].to_pylist())


def test_split_numbers_the_pieces_of_a_work() -> None:
    given = batch("short", "One two. Three four.\n\nFive six.", "last", title=["a", "b", "c"])
    result = split.stage(limit=24)(given)
    assert texts(result) == ["short", "One two. Three four.\n\n", "Five six.", "last"]
    assert result.documents["title"].to_pylist() == ["a", "b", "b", "c"]
    before, works, ids = (
        given.documents["id"].to_pylist(),
        result.documents["work"].to_pylist(),
        result.documents["id"].to_pylist(),
    )
    assert works == [before[0], before[1], before[1], before[2]]
    assert ids == [before[0], split.piece_id(before[1], 0), split.piece_id(before[1], 1), before[2]]
    assert result.ledger.lines["split"].documents_split == 1


def test_split_leaves_short_texts_as_they_are() -> None:
    given = batch("a", "b")
    result = split.stage()(given)
    assert result.documents.equals(given.documents)
    assert result.ledger.lines["split"].documents_out == 2


@pytest.mark.skipif(not MODEL.exists(), reason="../shared/data/langid/lid.176.ftz is not here")
def test_judge_fills_columns_and_drops_nothing() -> None:
    given = batch("This is an English text {", "Это русский текст о погоде.")
    models = [Model(str(MODEL), LID_176_FTZ_SHA256)]
    result = judge.stage(LanguageSection(), QualitySection(), models)(given)
    assert result.documents["language"].to_pylist() == ["en", "ru"]
    measures = result.documents["measures"].to_pylist()
    assert [(m["words"], m["curly_brackets"], m["stop_words"]) for m in measures] == [(5, 1, 0), (5, 0, None)]
    assert result.documents["rule"].null_count == 2
    assert result.documents.num_rows == 2 and not result.drops
    judged = rules.stage(Judgement(LanguageSection(), QualitySection(), frozenset()))(result)
    assert judged.documents["rule"].to_pylist() == ["gopher_word_count", "gopher_word_count"]
    assert judged.documents["rule_value"].to_pylist() == [5.0, 5.0]
    unmeasured = judge.stage(LanguageSection(), QualitySection(rules=(), measure=False), models)(given)
    assert unmeasured.documents["measures"].null_count == 2


def test_judge_without_a_model_leaves_the_language_open() -> None:
    result = judge.stage(LanguageSection(enabled=False), QualitySection(), ())(batch("The {"))
    assert result.documents["language"].to_pylist() == [None]
    assert result.documents["measures"][0].as_py()["stop_words"] is None


def test_lists_of_bad_words_are_counted_and_identified_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "en").write_text("damn\n\nvery bad\n")
    section = QualitySection(bad_words={"en": str(tmp_path / "en")})
    stage = judge.stage(LanguageSection(enabled=False), section, ())
    result = stage(batch("Damn, very bad!", "x", language=["en", "de"]))
    assert [m["bad_words"] for m in result.documents["measures"].to_pylist()] == [2, None]
    (tmp_path / "en").write_text("damn\n")
    assert judge.stage(LanguageSection(enabled=False), section, ()).settings != stage.settings
    for content, message in ((b"", "has no words"), (b"\xff", "cannot be read")):
        (tmp_path / "en").write_bytes(content)
        with pytest.raises(UserError, match=f"quality.bad_words.en: .*{message}"):
            judge.stage(LanguageSection(enabled=False), section, ())


def test_rules_judge_the_crawl_or_all_sources() -> None:
    given = batch("good", "bad", measures=broken_rules([False, True]))
    for rules_for, curated, broken in (("crawl", False, True), ("crawl", True, False), ("all", True, True)):
        judgement = Judgement(LanguageSection(), QualitySection(rules_for=rules_for), frozenset({"s"} if curated else ()))
        result = rules.stage(judgement).open()("s", "u")(given)
        assert result.documents["rule"].to_pylist() == [None, "gopher_word_count" if broken else None]


def test_what_passes_is_what_language_and_rules_would_keep() -> None:
    found = batch(
        *"abcdef",
        language=pa.array(["en", "en", "de", None, "en", "en"]),
        language_score=pa.array([0.9, 0.5, 0.9, None, None, 0.9], pa.float32()),
        measures=broken_rules([0, 0, 0, 0, 0, 1]),
    ).documents
    wanted = [
        (LanguageSection(), [True, False, True, False, False, False]),
        (LanguageSection(keep=("en",)), [True, False, False, False, False, False]),
        (LanguageSection(enabled=False, keep=("en",)), [True, True, True, True, True, False]),
    ]
    for section, passes in wanted:
        assert Judgement(section, QualitySection(), frozenset()).passes(found, "s").to_pylist() == passes
    unnamed = batch("t", language_score=pa.array([0.9], pa.float32())).documents
    assert Judgement(LanguageSection(keep=("en",)), QualitySection(), frozenset()).passes(unnamed, "s").to_pylist() == [False]


def test_language_drops_the_unwanted_and_the_uncertain() -> None:
    given = batch("a", "b", "c", "d", language=["en", "de", "en", None], language_score=[0.9, 0.9, 0.5, 0.0])
    result = language.stage(LanguageSection(keep=("en",)))(given)
    assert texts(result) == ["a"]
    assert dropped(result) == [
        ("b", "language_unwanted", "de 0.9"),
        ("c", "language_uncertain", "en 0.5"),
        ("d", "language_unwanted", "? 0"),
    ]
    assert texts(language.stage(LanguageSection())(given)) == ["a", "b"]


def test_limits_are_by_language_and_a_mixed_document_may_be_dropped() -> None:
    shares = [{"language": "sl", "share": 0.7}, {"language": "en", "share": 0.25}]
    given = batch(
        *"abcde",
        language=["sl", "sl", "zxx", "und", "en"],
        language_score=[0.5, 0.4, 0.95, 0.0, 0.6],
        languages=pa.array([shares, None, None, None, None], schema.LANGUAGES),
    )
    assert texts(language.stage(LanguageSection())(given)) == ["a", "c"]
    assert texts(language.stage(LanguageSection(score_limit=0.0))(given)) == list("abcde")
    limits = LanguageSection(score_limits={"sl": 0.3, "en+de": 0.6})
    assert texts(language.stage(limits)(given)) == ["a", "b", "c", "e"]
    assert texts(language.stage(LanguageSection(keep=("en+sl",), score_limit=0.0))(given)) == ["a", "b", "e"]
    mixed = language.stage(LanguageSection(mixed="drop", score_limit=0.45))(given)
    assert dropped(mixed) == [
        ("a", "language_mixed", "sl 0.70, en 0.25"),
        ("b", "language_uncertain", "sl 0.4"),
        ("d", "language_uncertain", "und 0"),
    ]


@pytest.mark.skipif(not MODEL.exists(), reason="../shared/data/langid/lid.176.ftz is not here")
def test_judge_cuts_the_other_languages_before_it_measures() -> None:
    german = "Der alte Mann ging langsam durch den Regen nach Hause, und niemand kannte ihn mehr. " * 12
    russian = "Старик медленно шёл домой под дождём, и никто на улице больше не узнавал его. " * 6
    models = [Model(str(MODEL), LID_176_FTZ_SHA256)]
    given = batch(f"{german}\n\n{russian}", german)
    kept = judge.stage(LanguageSection(), QualitySection(), models)(given)
    assert kept.documents["text"] == given.documents["text"]
    assert [one["language"] for one in kept.documents["languages"][0].as_py()] == ["de", "ru"]
    assert "judge" not in kept.ledger.lines
    cut = judge.stage(LanguageSection(mixed="cut"), QualitySection(), models)(given)
    assert cut.documents["text"].to_pylist() == [german, german]
    assert cut.documents["languages"].null_count == 1  # what it was
    words = [row["words"] for row in cut.documents["measures"].to_pylist()]
    assert words[0] == words[1]
    line = cut.ledger.lines["judge"]
    assert line.characters_removed == {"other_languages": len(russian) + 2}
    assert cut.cut is None


def test_language_refuses_what_was_not_judged() -> None:
    with pytest.raises(ValueError, match="were not judged"):
        language.stage(LanguageSection())(batch("a"))


@dataclass(frozen=True)
class ByWord:
    """A classifier: 0.75 for "good", 0.25 for everything else."""

    languages: frozenset[str]
    threshold: float = 0.5

    def score(self, documents: pa.RecordBatch) -> pa.Array:
        return pa.array([0.75 if text == "good" else 0.25 for text in documents["text"].to_pylist()], pa.float32())


def with_language(given: Batch, language: str) -> Batch:
    rows = given.documents.num_rows
    return replace(given, documents=with_columns(given.documents, language=pa.repeat(language, rows)))


def test_quality_drops_by_rule_then_by_classifier() -> None:
    given = batch("good", "bad", "poor", rule=[None, "gopher_symbols", None], rule_value=[None, 0.25, None])
    assert texts(quality.filtering(None)(given)) == ["good", "poor"]
    result = quality.filtering(ByWord(frozenset({"en"})))(with_language(given, "en"))
    assert texts(result) == ["good"]
    assert result.documents["quality_score"].to_pylist() == [0.75]
    assert dropped(result) == [("bad", "gopher_symbols", "0.25"), ("poor", "low_quality", "0.25")]


def test_a_document_at_the_threshold_stays() -> None:
    given = with_language(batch("good", "poor"), "en")
    assert texts(quality.filtering(ByWord(frozenset({"en"}), threshold=0.75))(given)) == ["good"]
    assert texts(quality.filtering(ByWord(frozenset({"en"}), threshold=0.25))(given)) == ["good", "poor"]


def test_a_language_that_the_classifier_has_not_learned_is_not_scored() -> None:
    result = quality.filtering(ByWord(frozenset({"de"})))(with_language(batch("good", "poor"), "en"))
    assert texts(result) == ["good", "poor"]
    assert result.documents["quality_score"].to_pylist() == [None, None]


def test_stages_take_an_empty_batch() -> None:
    result = batch()
    for stage in (
        exclude.stage(ExcludeSection(hosts=("a.org",))),
        normalize.stage(NormalizeSection(), "books"),
        split.stage(),
        judge.stage(LanguageSection(), QualitySection(), ()),
        language.stage(LanguageSection()),
        quality.filtering(None),
    ):
        result = stage(result)
    assert result.documents.num_rows == 0
    result.ledger.check()


def test_lines_are_cut_and_counted() -> None:
    prose = "The old bridge over the river was closed on Monday for repairs that take a year."
    given = batch(f"Home\nBridge closed\n{prose}\nShare", "short", title=["Bridge closed", None])
    result = lines.stage(LinesSection())(given)
    assert texts(result) == [f"Bridge closed\n{prose}", "short"]
    assert result.ledger.lines["lines"].characters_removed == {"lines": len("Home\n\nShare")}
    untouched = lines.stage(LinesSection())(batch("short"))
    assert texts(untouched) == ["short"]
    assert untouched.ledger.lines["lines"].documents_in == 1  # the stage is in the ledger of every batch


@pytest.mark.parametrize("origins", [["a.warc.gz#0", "b.warc.wet.gz#7"], ["a.warc.gz#0", "wet.warc#7"]])
def test_only_lines_of_wet_files_are_cut_after_the_page_model(origins: list[str]) -> None:
    prose = "The old bridge over the river was closed on Monday for repairs that take a year."
    whole = f"Home\n{prose}\nShare"
    result = lines.stage(LinesSection(), only_wet=True)(batch(whole, whole, origin=origins))
    assert texts(result) == [whole, prose if ".wet" in origins[1] else whole]
    assert result.ledger.lines["lines"].characters_removed["lines"] == (len("Home\n\nShare") if ".wet" in origins[1] else 0)
