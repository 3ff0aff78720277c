import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.tokenizers.families import Specials
from training.data.config import TaskSection
from training.data.rows.batch import IGNORE, RowBatch
from training.data.shards import open_dataset
from training.data.tasks import TaskBatch, open_tasks
from training.objectives.span_corruption import SpanCorruption
from training.objectives.text_to_text import TextToText

T5 = Specials(pad=0, begin=None, end=1, mask=None, decoder_start=0, sentinels=tuple(range(900, 1000)))


def ragged(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return np.array([i for row in rows for i in row], dtype=np.int32), offsets


def test_the_example_of_the_docstring() -> None:
    objective = TextToText(5, 4, T5)
    found = objective(TaskBatch(*ragged([[5, 6, 7]]), *ragged([[8, 9]])))
    assert found["inputs"].tolist() == [[5, 6, 7, 1, 0]]
    assert found["lengths"].tolist() == [4]
    assert found["decoder_inputs"].tolist() == [[0, 8, 9, 0]]
    assert found["targets"].tolist() == [[8, 9, 1, IGNORE]]
    assert objective.counts(found) == {"tokens": 3}


RAGGED = st.lists(st.tuples(st.lists(st.integers(2, 800), max_size=12), st.lists(st.integers(2, 800), min_size=1, max_size=12)))


@given(RAGGED, st.integers(1, 14), st.integers(2, 14))
def test_exact_arrays(examples: list[tuple[list[int], list[int]]], length: int, target_length: int) -> None:
    found = TextToText(length, target_length, T5)(
        TaskBatch(*ragged([inputs for inputs, _ in examples]), *ragged([targets for _, targets in examples]))
    )
    assert found["inputs"].shape == (len(examples), length) and found["targets"].shape == (len(examples), target_length)
    for n, (inputs, targets) in enumerate(examples):
        inputs, targets = [*inputs[: length - 1], 1], [*targets[: target_length - 1], 1]
        assert found["lengths"][n] == len(inputs)
        assert found["inputs"][n].tolist() == inputs + [0] * (length - len(inputs))
        assert found["targets"][n].tolist() == targets + [IGNORE] * (target_length - len(targets))
        assert found["decoder_inputs"][n].tolist() == [0, *targets[:-1]] + [0] * (target_length - len(targets))


def test_it_stands_in_one_batch_with_span_corruption() -> None:
    text = SpanCorruption(64, T5)
    task = TextToText(text.length, text.target_length, T5)
    rows = RowBatch(
        np.arange(2, 72, dtype=np.int32), np.array([0, 70]), np.array([0, 70]), np.array([0, 1]), np.empty(0, np.int64)
    )
    both = text(rows, np.array([1], np.uint64)), task(TaskBatch(*ragged([[5]]), *ragged([[6]])))
    assert [name for name in both[0]] == [name for name in both[1]]
    for name in both[0]:
        assert both[0][name].shape == both[1][name].shape and both[0][name].dtype == both[1][name].dtype


def test_cropped_examples_are_counted(dataset_folder: Path, tmp_path: Path) -> None:
    tokenizer = open_dataset(str(dataset_folder)).tokenizer
    examples = [("the", "the"), ("the " * 9, "the"), ("the", "the " * 9), ("the " * 9, "the " * 9)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"inputs": i, "targets": t}) + "\n" for i, t in examples))
    index = open_tasks([TaskSection(name="a", path=str(path)), TaskSection(name="b", path=str(path))], tokenizer, tmp_path)
    longest = len(tokenizer.encode("the " * 9))
    assert TextToText(longest + 1, longest + 1, T5).cropped(index) == {"task:a": 0, "task:b": 0}
    assert TextToText(longest, longest + 1, T5).cropped(index) == {"task:a": 2, "task:b": 2}
    assert TextToText(longest, longest, T5).cropped(index) == {"task:a": 3, "task:b": 3}


def test_numbers_out_of_their_range_are_refused() -> None:
    TextToText(1, 2, T5)
    for length, target_length, specials in ((0, 2, T5), (1, 1, T5), (1, 2, replace(T5, decoder_start=None))):
        with pytest.raises(AssertionError):
            TextToText(length, target_length, specials)
