"""Prose scores above menus, whatever the length; what cannot be measured counts as average."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest
from places import FIXTURES, SHARED

from pipelines.config import QualitySection
from pipelines.text.judgement import prose
from pipelines.text.judgement.classifier import area_under_curve
from pipelines.text.judgement.measures import Measures, measure
from pipelines.text.judgement.words import WordLists

LABELLED = SHARED / "quality" / "web-documents-labelled.jsonl"
STORY = re.sub(r"(?<!\n)\n(?!\n)", " ", (FIXTURES / "tiny" / "books" / "orchard.txt").read_text())  # lines joined
MENU = "\n".join(["HOME", "News 24", "Login", "Cart (0)", "© 2024 ALL RIGHTS RESERVED", "Terms | Privacy"] * 8)


def log_odds(texts: list[str], language: str = "en") -> np.ndarray:
    lists = WordLists.of(QualitySection().stop_words)
    column = measure(pa.array(texts), pa.array([language] * len(texts)), lists, WordLists.of({}))
    return prose.log_odds(Measures(column), np.full(len(texts), language == "en"))


@pytest.mark.parametrize("language", ["en", "de"])
def test_prose_is_above_menus_whatever_the_length(language: str) -> None:
    paragraphs = STORY.split("\n\n")
    short, whole, menu, long_menu = log_odds(["\n\n".join(paragraphs[1:3]), STORY, MENU, MENU * 20], language)
    assert min(short, whole) > max(menu, long_menu) + 0.5
    assert abs(short - whole) < 1


@pytest.mark.parametrize("text", ["", "a", "1 2 3", "😀" * 50, "word " * 100_000, "東京は日本の首都である。" * 30])
def test_any_text_has_finite_odds(text: str) -> None:
    values = [*log_odds([text]), *log_odds([text], "ja")]
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 10


@pytest.mark.skipif(not LABELLED.exists(), reason="../shared/data is not here")
def test_it_agrees_with_people_and_not_for_the_length() -> None:
    rows = [json.loads(line) for line in LABELLED.read_text().splitlines()]
    better = np.array([bool(row["label"]) for row in rows])
    whole = log_odds([row["text"] for row in rows])
    half = log_odds([row["text"][: len(row["text"]) // 2] for row in rows])
    assert area_under_curve(whole, better) > 0.83
    assert area_under_curve(half, better) > 0.8
