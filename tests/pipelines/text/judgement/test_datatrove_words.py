"""Measures by datatrove's words: which replace ours, and what Gopher's rules make of them."""

import sys
from importlib import metadata
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pipelines.config import QualitySection
from pipelines.contract.errors import UserError
from pipelines.rule_thresholds import RuleSets
from pipelines.stages.judgement import judge
from pipelines.text.judgement import datatrove_words
from pipelines.text.judgement.measures import measure
from pipelines.text.judgement.rules import verdict
from pipelines.text.judgement.words import WordLists

NO_LISTS = WordLists.of({})


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that splits at spaces; datatrove is in no environment of the tests."""
    module = SimpleNamespace(split_into_words=lambda text, _language: text.split(), PUNCTUATION_SET=set(",.!"))
    monkeypatch.setitem(sys.modules, "datatrove.utils.text", module)


def measures(text: str, *, by_datatrove: bool) -> dict[str, int]:
    column = pa.array([text])
    found = measure(column, pa.array(["ru"]), NO_LISTS, NO_LISTS)
    return (datatrove_words.replaced(found, column, ("the", "and")) if by_datatrove else found)[0].as_py()


def test_tokens_words_and_stop_words_are_datatroves_and_all_else_is_ours() -> None:
    text = "the 7th , and the €5 !! мир."
    ours, theirs = measures(text, by_datatrove=False), measures(text, by_datatrove=True)
    assert {name: theirs[name] for name in datatrove_words.FIELDS} == {
        "tokens": 8,
        "words": 6,
        "letter_words": 5,
        "measured_words": 6,
        "measured_characters": 3 + 3 + 3 + 3 + 2 + 4,
        "stop_words": 3,
        "distinct_stop_words": 2,  # in Russian, too
    }
    assert ours["stop_words"] is None
    others = ours.keys() - set(datatrove_words.FIELDS)
    assert {name: ours[name] for name in others} == {name: theirs[name] for name in others}


def test_a_share_of_tokens_counts_commas() -> None:
    text = "the cat , and , the , dog , and"
    found = pa.array([measures(text, by_datatrove=True)], measure(pa.array([""]), pa.array(["en"]), NO_LISTS, NO_LISTS).type)
    for rule, wanted in (("min_letter_words", None), ("min_letter_tokens", "gopher_alphabetic")):
        gopher = {"min_letter_words": False, "min_words": False, rule: 0.8}
        sets = RuleSets.model_validate({"gopher": gopher, "gopher_repetition": False, "signs": False})
        assert verdict.judge(found, sets.thresholds())[0].to_pylist() == [wanted]


def test_without_datatrove_a_build_ends_at_once_and_with_it_its_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    section = QualitySection(tokens="datatrove")
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "version", lambda _name: "1")
        made = judge.made_from(section, {})
        assert made is not None
        assert made["tokens"] == {"datatrove_words": datatrove_words.VERSION, "datatrove": "1", "spacy": "1"}

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(UserError, match=r"needs the package datatrove: pip install 'corpusmill\[datatrove\]'"):
        judge.made_from(section, {})
    assert "tokens" not in (judge.made_from(QualitySection(), {}) or {})
