"""C4's and RefinedWeb's line rules, from the config to the ledger."""

import pytest

from pipelines.config import LinesSection
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.schema import document_id
from pipelines.stages import cut_lines

PROSE = "It rained all day, and the river rose."
PAGE = f"Home\n{PROSE}\nEnable JavaScript to read on, please.\nWe use cookies on this site.\n3 likes\nBUY NOW\n2012\nIt was wet."


def batch(*texts: str) -> Batch:
    ids = [document_id("s", str(i)) for i in range(len(texts))]
    same = {"source": ["s"] * len(texts), "snapshot": ["1"] * len(texts), "origin": ["o"] * len(texts)}
    return born("read", documents_from({"id": ids, "work": ids, **same, "text": list(texts)}))


def kept(settings: dict[str, object], text: str = PAGE) -> list[str]:
    stage = cut_lines.stage(LinesSection.model_validate(settings), has_rules=True)
    return stage(batch(text)).documents["text"][0].as_py().split("\n")


@pytest.mark.parametrize(
    ("settings", "removed"),
    [
        ({"c4": {}}, {0, 2, 3, 4, 5, 6, 7}),
        ({"c4": {"min_words": False}}, {0, 2, 3, 4, 5, 6}),
        ({"c4": {"min_words": 3, "javascript": False, "policies": False}}, {0, 4, 5, 6}),
        ({"c4": {"min_words": False, "terminal_marks": False, "policies": False}}, {2}),
        ({"c4": {"min_words": False, "terminal_marks": False, "javascript": False}}, {3}),
        ({"refinedweb": {}}, {0, 4, 5, 6}),
        ({"refinedweb": {"capitals": False}}, {0, 4, 6}),
        ({"refinedweb": {"counters": False}}, {0, 5, 6}),
        ({"refinedweb": {"single_words": False}}, {4, 5, 6}),
        ({"refinedweb": {"numbers": False, "single_words": False}}, {4, 5}),
    ],
)
def test_each_rule_removes_its_lines(settings: dict[str, object], removed: set[int]) -> None:
    assert kept(settings) == [line for i, line in enumerate(PAGE.split("\n")) if i not in removed]


def test_what_is_cut_is_counted_and_a_page_without_a_line_is_dropped_whole() -> None:
    stage = cut_lines.stage(LinesSection.model_validate({"c4": {}}), has_rules=True)
    result = stage(batch(f"Home\n{PROSE}", "Menu\nLogin", PROSE))
    result.ledger.check()
    assert result.documents["text"].to_pylist() == [PROSE, PROSE]
    line = result.ledger.lines["cut_lines"]
    assert (line.characters_removed["line_rules"], line.documents_dropped["empty"]) == (5, 1)
    assert result.drops[0]["text"].to_pylist() == ["Menu\nLogin"]
    (cuts,) = result.removed
    assert cuts["text"].to_pylist() == ["Home\n", "Menu\nLogin"]
    assert cuts["id"].to_pylist() == [document_id("s", "0"), document_id("s", "1")]
    assert result.cut is None  # it is judged later


def test_it_runs_only_if_it_is_on_and_the_rules_judge_the_source() -> None:
    on = LinesSection.model_validate({"c4": {}})
    assert [cut_lines.stage(section, has_rules=rules).runs for section in (on, LinesSection()) for rules in (True, False)] == [
        True,
        *[False] * 3,
    ]
    off = LinesSection.model_validate(
        {"c4": dict.fromkeys(("terminal_marks", "min_words", "max_word_length", "javascript", "policies"), False)}
    )
    assert not cut_lines.stage(off, has_rules=True).runs
