"""Scores of extracted text; beside a checkout with the labelled pages, they are compared with the published scorers."""

import json
import runpy

import pytest
from places import SHARED

from pipelines.page_model.scores import Match, Summary, match, summarise
from pipelines.text.extraction import html


def test_words_are_bags_in_lower_case() -> None:
    score = match("The mill, the brook.", "the THE mill door")
    assert (score.precision, score.recall, score.f1) == (0.75, 0.75, 0.75)
    assert match("a b c d", "a").recall == 0.25


def test_runs_are_of_four_tokens_and_of_single_characters_where_words_have_no_spaces() -> None:
    score = match("one two three four five", "one two three four six")
    assert (score.run_precision, score.run_recall) == (0.5, 0.5)
    assert match("東京大阪京都", "東京大阪").run_recall == pytest.approx(1 / 3)
    assert match("Mill", "mill").run_recall == 0  # case counts
    assert match("two words", "two words").run_recall == 1


def test_nothing_found_and_nothing_wanted() -> None:
    assert summarise([("", match("a", ""))])["all"] == Summary(1, 0.0, 1.0, 0.0)
    assert match("", "a").recall == 1


def test_a_set_has_the_mean_of_word_f1_but_the_f1_of_mean_runs() -> None:
    found = summarise([("a", Match(1, 1, 1, 0.5)), ("b", Match(0, 0, 0, 0.5))])
    assert found == {"a": Summary(1, 1, 0, pytest.approx(2 / 3)), "b": Summary(1, 0, 1, 0), "all": Summary(2, 0.5, 0.5, 0.5)}


@pytest.mark.skipif(not (SHARED / "extraction").exists(), reason="there are no labelled pages beside the checkout")
def test_figures_are_those_of_the_published_scorers() -> None:
    words = runpy.run_path(str(SHARED.parent / "tools" / "score_words.py"))
    runs = runpy.run_path(str(SHARED.parent / "tools" / "score_extraction.py"))
    lines = (SHARED / "extraction" / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, lines[::25]):
        found = html.tidy(row["text"][::2] + row["text"][: len(row["text"]) // 2])
        score = match(row["text"], found)
        assert (score.precision, score.recall, score.f1) == pytest.approx(words["page"](row["text"], found))
        want, got = runs["shingles"](row["text"]), runs["shingles"](found)
        both = sum((want & got).values())
        assert (score.run_precision, score.run_recall) == pytest.approx((both / got.total(), both / want.total()))
