"""Text that a page has twice."""

import numpy as np
import pytest

from pipelines.text.extraction.pages.blocks import blocks
from pipelines.text.extraction.pages.doubles import LEAST_WORDS, doubles
from pipelines.text.extraction.pages.features import Lexicon, features
from pipelines.text.extraction.pages.tree import parse

KEYS, ODDS = np.zeros(2, np.uint64), np.zeros(2, np.float32)
LONG, SHORT = " ".join(f"word{n}" for n in range(LEAST_WORDS)), " ".join(f"word{n}" for n in range(LEAST_WORDS - 1))
OTHER = LONG.replace("word0", "Other")


@pytest.mark.parametrize(
    ("markup", "doubled"),
    [
        (f"<div><p>{LONG}</p></div><section><p>{LONG.upper()}!</p></section>", [False, True]),
        (f"<div><p>{LONG}</p></div><section><p>{OTHER}</p></section>", [False, False]),
        (f"<div><p>{SHORT}</p></div><section><p>{SHORT}</p></section>", [False, False]),
        (f"<div><p>{LONG}</p><p>{OTHER}</p><p>{LONG}</p></div>", [False, False, False]),  # a chorus
        (f"<div><pre>{LONG}</pre></div><section><pre>{LONG}</pre></section>", [False, False]),
        (f"<div><table><tr><td>{LONG}</table></div><section><table><tr><td>{LONG}</table></section>", [False, False]),
    ],
)
def test_long_text_that_stands_in_two_elements_is_kept_once(markup: str, doubled: list[bool]) -> None:
    tree = parse(markup.encode())
    found = blocks(tree)
    places = features(tree, found, Lexicon(KEYS, ODDS, KEYS, ODDS, KEYS, ODDS))[1]
    assert doubles(tree, found, places, np.ones(len(doubled), np.bool_)).tolist() == doubled


def test_what_is_not_kept_does_not_count() -> None:
    tree = parse(f"<div><p>{LONG}</p></div><section><p>{LONG}</p></section>".encode())
    found = blocks(tree)
    places = features(tree, found, Lexicon(KEYS, ODDS, KEYS, ODDS, KEYS, ODDS))[1]
    assert doubles(tree, found, places, np.array([False, True])).tolist() == [False, False]
