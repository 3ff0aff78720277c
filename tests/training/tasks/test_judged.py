"""The hardest examples of each kind of task, by outputs that are written down here."""

import numpy as np
import pyarrow as pa

from training.tasks.encoders.named_entities import NamedEntities, NamedEntitiesSection
from training.tasks.encoders.similarity import Similarity, SimilaritySection
from training.tasks.input.records import Records
from training.tasks.input.rows import INPUTS, Rows, ragged
from training.tasks.judged import described, of_classes


def records(**columns: list[object]) -> Records:
    table = pa.table(columns)
    return Records("a.jsonl", table, 1, np.arange(table.num_rows))


def rows(count: int) -> Rows:
    return Rows({INPUTS: ragged([[1]] * count, 0)}, np.arange(count))


def test_a_sure_mistake_is_the_hardest_and_long_texts_are_cut() -> None:
    logits = np.array([[5.0, 0.0], [0.0, 9.0], [1.0, 0.0]], np.float32)
    judged = of_classes(("no", "yes"), logits, np.array([0, 0, 1]))
    made = described(judged, records(text=["a", "b" * 1000, "c"], label=["no", "no", "yes"]), ["text", "second"])
    assert made["items"] == 3 and made["confusion"] == {"labels": ["no", "yes"], "counts": [[1, 1], [1, 0]]}
    assert [one["place"] for one in made["hardest"]] == ["a.jsonl, line 2", "a.jsonl, line 3", "a.jsonl, line 1"]
    assert made["hardest"][0]["text"] == "b" * 400 + " … (600 more characters)"
    assert (made["hardest"][0]["wanted"], made["hardest"][0]["given"]) == ("no", "yes (1.000)")
    assert made["hardest"][0]["cost"] == 9.0001


def test_a_sentence_is_as_hard_as_its_hardest_word() -> None:
    task = NamedEntities(NamedEntitiesSection(), None, ("O", "B-x", "I-x"))  # pyright: ignore[reportArgumentType]
    given = records(words=[["in", "Rome"], ["so"]], labels=[["O", "B-x"], ["O"]])
    outputs = [np.array([[4.0, 0, 0], [3.0, 0, 0]], np.float32), np.array([[1.0, 0, 0]], np.float32)]
    judged = task.judged(outputs, rows(2), given)
    assert judged.costs.round(3).tolist() == [3.095, 0.551]
    assert judged.confusion is not None and judged.confusion.counts.tolist() == [[2, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert (judged.wanted(0), judged.given(0)) == ("Rome [x]", "")


def test_a_pair_is_as_hard_as_its_rank() -> None:
    first = np.eye(3, dtype=np.float32)
    second = np.array([[0, 1, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    judged = Similarity(SimilaritySection(), None, False).judged(  # pyright: ignore[reportArgumentType]
        list(np.stack([first, second], 1)), rows(3), records(first=["a", "b", "c"], second=["d", "e", "f"])
    )
    assert judged.costs.tolist() == [3, 2, 1] and judged.given(2) == "cosine 1.000"
