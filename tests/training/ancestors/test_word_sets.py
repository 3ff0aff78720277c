"""Similarity and analogies on vectors whose answers are known."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from training.ancestors.vectors import WordVectors
from training.ancestors.word_sets import Score, analogies, read_pairs, read_questions, similarity, spearman
from training.ancestors.words import AncestorError

ROYAL = WordVectors(
    ["man", "woman", "king", "queen", "prince"],
    np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0], [1, 0, 1, 0.2]], np.float32),
)


def test_spearman_is_scipys_with_ties():
    random = np.random.default_rng(1)
    left, right = random.integers(0, 8, 50).astype(float), random.integers(0, 8, 50).astype(float)
    assert spearman(left, right) == pytest.approx(spearmanr(left, right).statistic)


def test_similarity_is_over_the_known_pairs():
    pairs = [("man", "woman", 6.0), ("king", "prince", 9.0), ("man", "queen", 1.0), ("man", "sea", 5.0)]
    assert similarity(ROYAL, pairs) == Score(pytest.approx(1.0), 3, 4)
    assert similarity(ROYAL, [(a, b, -rating) for a, b, rating in pairs]).value == pytest.approx(-1.0)
    assert np.isnan(similarity(ROYAL, pairs[-2:]).value)


def test_analogies_are_3cosadd_without_the_given_words():
    questions = [("man", "woman", "king", "queen"), ("man", "king", "woman", "man"), ("man", "woman", "king", "sea")]
    assert analogies(ROYAL, questions) == Score(0.5, 2, 3)  # the second wants a given word
    assert np.isnan(analogies(ROYAL, questions[2:]).value)


def test_many_questions_are_cut_into_blocks():
    assert analogies(ROYAL, [("man", "woman", "king", "queen")] * 1100) == Score(1.0, 1100, 1100)


def test_sets_are_read(tmp_path: Path):
    (tmp_path / "pairs").write_text("# source\nTiger\tcat\t7.35\n\nold new 1.58\n")
    assert read_pairs(tmp_path / "pairs") == [("tiger", "cat", 7.35), ("old", "new", 1.58)]
    (tmp_path / "questions").write_text(": capitals\nAthens Greece Oslo Norway\n")
    assert read_questions(tmp_path / "questions") == [("athens", "greece", "oslo", "norway")]


def test_a_wrong_line_is_named(tmp_path: Path):
    (tmp_path / "set").write_text("tiger\tcat\t7.35\ntiger\tcat\n")
    with pytest.raises(AncestorError, match="set: line 2 is not two words and a number"):
        read_pairs(tmp_path / "set")
    with pytest.raises(AncestorError, match="set: line 1 has 3 words, not four"):
        read_questions(tmp_path / "set")
