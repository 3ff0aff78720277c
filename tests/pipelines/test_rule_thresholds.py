"""`[quality.rules]` in every form that a config can have."""

from pathlib import Path

import pytest

from pipelines.config import ConfigError, QualitySection, load
from pipelines.rule_thresholds import RuleSets

BASE = '[corpus]\nname = "t"\n[[sources]]\nname = "s"\nkind = "books"\nroot = "."\nsnapshot = "1"\n'


def rules(tmp_path: Path, text: str, *settings: str) -> RuleSets:
    return quality(tmp_path, text, *settings).rules


def quality(tmp_path: Path, text: str, *settings: str) -> QualitySection:
    (tmp_path / "c.toml").write_text(BASE + text)
    return load(tmp_path / "c.toml", settings).quality


def test_a_list_names_the_sets_that_are_on(tmp_path: Path) -> None:
    found = rules(tmp_path, '[quality]\nrules = ["fineweb", "c4"]').thresholds()
    assert list(found) == ["c4", "fineweb"]
    assert found["fineweb"]["max_short_lines"] == 0.67
    assert rules(tmp_path, "[quality]\nrules = []").thresholds() == {}


def test_a_table_changes_one_threshold_and_turns_rules_and_sets_off(tmp_path: Path) -> None:
    text = "[quality.rules]\nc4 = false\nrefinedweb = true\n[quality.rules.gopher]\nmin_words = 30\nmax_symbols = false"
    found = rules(tmp_path, text).thresholds()
    usual = RuleSets().thresholds()
    assert "c4" not in found
    assert found["refinedweb"] == {"max_flagged_words": 0.05}
    assert found["gopher"] == {
        name: value for name, value in {**usual["gopher"], "min_words": 30}.items() if name != "max_symbols"
    }
    assert found["gopher_repetition"] == usual["gopher_repetition"]  # as by default


def test_a_setting_of_the_command_line_changes_one_threshold(tmp_path: Path) -> None:
    assert rules(tmp_path, "", "quality.rules.gopher.min_words=7").thresholds()["gopher"]["min_words"] == 7


def test_a_language_changes_some_thresholds(tmp_path: Path) -> None:
    text = "[quality.rules_by_language.de]\nc4 = false\n[quality.rules_by_language.de.gopher]\nmax_word_length = 14\n"
    section = quality(tmp_path, text + "[quality.rules_by_language.de.fineweb]\nmax_newlines = false")
    german, usual = section.rules.thresholds(section.rules_by_language["de"]), section.rules.thresholds()
    assert "c4" not in german
    assert german["gopher"] == {**usual["gopher"], "max_word_length": 14}
    assert set(german["fineweb"]) == {"min_punctuated_lines", "max_short_lines", "max_duplicate_line_characters"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[quality.rules.gopher]\nmin_word = 3", r"quality.rules.gopher.min_word: unknown key; did you mean 'min_words'\?"),
        ("[quality.rules.gofer]\nmin_words = 3", r"quality.rules.gofer: unknown key; did you mean 'gopher'\?"),
        ('[quality]\nrules = ["gopher", "finweb"]', r"there is no set of rules 'finweb'; did you mean 'fineweb'\?"),
        (
            "[quality.rules_by_language.de.gopher]\nmax_word_len = 9",
            r"de.gopher.max_word_len: unknown key; did you mean 'max_word",
        ),
        ("[quality.rules.gopher]\nmin_words = true", "give the threshold as a number, or false"),
        ('[quality.rules.gopher]\nmin_words = "many"', "quality.rules.gopher.min_words: "),
        ("[quality.rules.gopher]\nmin_words = -1", "quality.rules.gopher.min_words: .*greater than or equal to 0"),
        (
            "[quality.rules.gopher]\nmin_letter_words = 80",
            "min_letter_words: is a share, from 0 to 1; write 0.8 for 80 %",
        ),
        (
            "[quality.rules.gopher]\nmin_words = 200000",
            "gopher.min_words = 200000 is above max_words = 100000: no text is",
        ),
        (
            "[quality.rules_by_language.de.gopher]\nmin_word_length = 12",
            "rules_by_language.de: gopher.min_word_length = 12 is above max_word_length = 10",
        ),
        ("[lines.c4]\nmin_words = -3", "lines.c4.min_words: .*greater than or equal to 1"),
        ("[quality]\nmeasure = false", "leaves the rules nothing to judge by"),
    ],
)
def test_what_is_unknown_is_an_error_with_the_nearest_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        quality(tmp_path, text)


def test_the_recorded_form_can_be_read_again(tmp_path: Path) -> None:
    text = "[quality.rules]\nc4 = false\n[quality.rules.gopher]\nmin_words = false\n"
    text += "[quality.rules_by_language.de]\nsigns = false\n[quality.rules_by_language.de.gopher]\nmax_symbols = false"
    section = quality(tmp_path, text)
    dumped = section.model_dump(mode="json")
    assert dumped["rules_by_language"] == {"de": {"gopher": {"max_symbols": False}, "signs": False}}
    assert (dumped["rules"]["c4"], dumped["rules"]["gopher"]["min_words"]) == (False, False)
    again = QualitySection.model_validate(dumped)
    assert again == section
    assert again.rules.thresholds(again.rules_by_language["de"]) == section.rules.thresholds(section.rules_by_language["de"])
