"""The scores of make bench-extract; beside a checkout with the labelled pages, they are compared with the published scorers."""

import json
import runpy
from types import SimpleNamespace

import pytest
from places import ROOT, SHARED

from pipelines.text.extraction import html

SCORES = SimpleNamespace(**runpy.run_path(str(ROOT / "benchmarks" / "extract_scores.py")))


def test_words_are_bags_in_lower_case() -> None:
    score = SCORES.page_score("The mill, the brook.", "the THE mill door")
    assert (score.word_precision, score.word_recall, score.word_f1) == (0.75, 0.75, 0.75)
    assert SCORES.page_score("a b c d", "a").word_recall == 0.25


def test_runs_are_of_four_tokens_and_of_single_characters_where_words_have_no_spaces() -> None:
    score = SCORES.page_score("one two three four five", "one two three four six")
    assert (score.run_precision, score.run_recall) == (0.5, 0.5)
    assert SCORES.page_score("東京大阪京都", "東京大阪").run_recall == pytest.approx(1 / 3)
    assert SCORES.page_score("Mill", "mill").run_recall == 0  # case counts
    assert SCORES.page_score("two words", "two words").run_recall == 1


def test_nothing_found_and_nothing_wanted() -> None:
    assert (SCORES.page_score("a", "").word_f1, SCORES.page_score("a", "").is_lost) == (0, True)
    assert (SCORES.page_score("", "a").word_recall, SCORES.page_score("", "a").is_lost) == (1, False)


def test_a_set_has_the_mean_of_word_f1_but_the_f1_of_mean_runs() -> None:
    pages = [SCORES.PageScore(1, 1, 1, 0.5), SCORES.PageScore(0, 0, 0, 0.5)]
    assert SCORES.set_score(pages) == SCORES.SetScore(2, 0.5, 0.5, 0.5)


@pytest.mark.skipif(not (SHARED / "extraction").exists(), reason="there are no labelled pages beside the checkout")
def test_figures_are_those_of_the_published_scorers() -> None:
    words = runpy.run_path(str(SHARED.parent / "tools" / "score_words.py"))
    runs = runpy.run_path(str(SHARED.parent / "tools" / "score_extraction.py"))
    lines = (SHARED / "extraction" / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, lines[::25]):
        found = html.tidy(row["text"][::2] + row["text"][: len(row["text"]) // 2])
        score = SCORES.page_score(row["text"], found)
        assert (score.word_precision, score.word_recall, score.word_f1) == pytest.approx(words["page"](row["text"], found))
        want, got = runs["shingles"](row["text"]), runs["shingles"](found)
        both = sum((want & got).values())
        assert (score.run_precision, score.run_recall) == pytest.approx((both / got.total(), both / want.total()))
