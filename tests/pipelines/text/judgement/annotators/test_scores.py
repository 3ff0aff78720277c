"""Scores by our models: values of labels, regressions, beginnings and windows."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from pipelines.text.judgement.annotators.process import Annotator, AnnotatorError
from pipelines.text.judgement.annotators.scores import check_labels, scorer

Opened = Callable[..., Annotator]


def test_a_regression_scores_by_its_value(annotator: Opened) -> None:
    score = scorer(annotator("educational"), {})
    found = score(pa.array(["the proof of a lemma", "cheap sale near the house"]))
    assert found.type == pa.float32()
    assert found.to_pylist() == pytest.approx([1, 0], abs=0.3)
    assert [round(value, 4) for value in found.to_pylist()] == pytest.approx(found.to_pylist(), abs=1e-7)
    assert score(pa.array([], pa.string())).to_pylist() == []


def test_labels_are_weighed_by_their_values(annotator: Opened) -> None:
    model, texts = annotator("waters"), pa.array(["old river people", "old town people", "river town"])
    river, town, both = (scorer(model, values)(texts) for values in ({"river": 1.0}, {"town": 1.0}, {"river": 2.0, "town": -1.0}))
    assert river[0].as_py() > 0.9 > 0.1 > river[1].as_py()
    expected = [2 * one - two for one, two in zip(river.to_pylist(), town.to_pylist(), strict=True)]
    assert both.to_pylist() == pytest.approx(expected, abs=1e-6)
    assert [one + two for one, two in zip(river.to_pylist(), town.to_pylist(), strict=True)] == pytest.approx([1] * 3, abs=2e-4)


def test_the_beginning_or_windows_over_the_whole(annotator: Opened) -> None:
    text = pa.array(["theorem proof lemma " * 60 + "sale cheap click " * 60])
    beginning, windows = (
        scorer(annotator("educational"), {})(text)[0].as_py(),
        scorer(annotator("educational", 64), {})(text)[0].as_py(),
    )
    ends = scorer(annotator("educational", 2), {})(text)[0].as_py()
    assert beginning > 0.8
    assert windows == pytest.approx(0.5, abs=0.2) and ends == pytest.approx(0.5, abs=0.2)
    first = scorer(annotator("educational"), {}, characters=7)
    assert first(text).to_pylist() == first(pa.array(["theorem"])).to_pylist()


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("educational", {"river": 1.0}, "is a regression, whose value is the score; remove labels"),
        ("waters", {}, "classifies; give the values of its labels, such as labels = { 'town' = 1 }"),
        ("waters", {"River": 1.0}, "has no label 'River'; did you mean 'river'?"),
    ],
)
def test_labels_that_do_not_fit(annotator: Opened, name: str, values: dict[str, float], said: str) -> None:
    with pytest.raises(AnnotatorError) as caught:
        check_labels(annotator(name), values)
    assert said in str(caught.value)
