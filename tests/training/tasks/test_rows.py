"""Records, their encoding for each family, their batches, and the order of a training."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuning import SHAPES, labelled, write_records

from pipelines.contract.tokenizers.loading import Tokenizer
from training.models.families import make
from training.tasks.course import Epochs
from training.tasks.errors import TaskError
from training.tasks.input.reading import _longest_first, reader  # pyright: ignore[reportPrivateUsage]
from training.tasks.input.records import records
from training.tasks.input.rows import Rows, ragged


def test_records_of_every_format(tmp_path: Path) -> None:
    rows = [{"sentence": 'say "yes"', "label": 1}, {"sentence": "no", "label": 0}]
    write_records(tmp_path / "a.jsonl", rows)
    (tmp_path / "a.csv").write_text('sentence,label\n"say ""yes""",1\nno,0\n')
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b'sentence\tlabel\nsay "yes"\t1\nno\t0\n'))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.csv", "a.tsv.gz", "a.parquet"):
        read = records(tmp_path / name, {"text": "sentence", "label": "label"})
        assert (read.texts("text"), read.texts("label")) == (['say "yes"', "no"], ["1", "0"]), name
    assert read.place(1).endswith("a.parquet, row 2")
    assert records(tmp_path / "a.csv", {"text": "sentence"}).place(0).endswith("a.csv, line 2")
    with pytest.raises(TaskError, match=r"a.csv: has no field 'text', but 'sentence', 'label'; set task.fields.text"):
        records(tmp_path / "a.csv", {"text": "text"})
    with pytest.raises(TaskError, match="no such file"):
        records(tmp_path / "b.csv", {"text": "text"})
    (tmp_path / "bad.jsonl").write_text('{"a": ')
    with pytest.raises(TaskError, match=r"bad.jsonl: cannot be read"):
        records(tmp_path / "bad.jsonl", {"text": "text"})


@pytest.mark.parametrize(
    ("family", "one", "two"),
    [
        ("bert", "[CLS] a [SEP]", "[CLS] a [SEP] b [SEP]"),
        ("gpt", "a <|endoftext|>", "a <|endoftext|> b <|endoftext|>"),
        ("bart", "<s> a </s>", "<s> a </s> </s> b </s>"),
        ("t5", "a </s>", "a </s> b </s>"),
    ],
)
def test_rows_of_each_family(family: str, one: str, two: str, tokenizer: Tokenizer) -> None:
    read = reader(make(SHAPES[family](tokenizer.size), 1), tokenizer, 16)
    ids = {"a": tokenizer.encode("old"), "b": tokenizer.encode("town")}

    def spelled(row: str) -> list[int]:
        return [i for name in row.split() for i in ids.get(name) or [tokenizer.special_ids[name]]]

    single, pair = read.read(["old"]), read.read(["old"], ["town"])
    assert single.inputs.row(0).tolist() == spelled(one)
    assert pair.inputs.row(0).tolist() == spelled(two)
    assert (pair.segments is not None) == (family == "bert")
    if pair.segments is not None:
        first = len(spelled("[CLS] a [SEP]"))
        assert pair.segments.row(0).tolist() == [0] * first + [1] * (len(spelled(two)) - first)
    long = read.read(["old house " * 30], ["town"])
    assert (long.inputs.lengths[0], long.cropped) == (16, 1)
    assert long.inputs.row(0)[-len(spelled("b")) - 1 : -1].tolist() == spelled("b"), "the shorter text is kept"


@given(a=st.integers(0, 30), b=st.integers(0, 30), room=st.integers(0, 40))
def test_the_longer_text_is_cropped_first(a: int, b: int, room: int) -> None:
    one, two = list(range(a)), list(range(b))
    wanted = (one.copy(), two.copy())
    while sum(map(len, wanted)) > room:
        (wanted[0] if len(wanted[0]) > len(wanted[1]) else wanted[1]).pop()
    assert _longest_first(one, two, room) == (*wanted, a + b > room)


def test_batches_are_as_wide_as_their_longest_row() -> None:
    rows = Rows({"inputs": ragged([[5, 6, 7], [8], list(range(9))], pad=0), "labels": np.array([1, 0, 1])}, np.arange(3))
    batch = rows.batch(np.array([1, 0]))
    assert batch["inputs"].tolist() == [[8, 0, 0, 0, 0, 0, 0, 0], [5, 6, 7, 0, 0, 0, 0, 0]]
    assert (batch["lengths"].tolist(), batch["labels"].tolist()) == ([1, 3], [0, 1])
    assert rows.batch(np.array([2]))["inputs"].shape == (1, 16)


@given(count=st.integers(1, 90), batch=st.integers(1, 7), steps=st.integers(1, 150))
def test_every_row_is_read_once_in_each_epoch(count: int, batch: int, steps: int) -> None:
    lengths = np.random.default_rng(count).integers(1, 9, count)
    rows = Rows({"inputs": ragged([[1] * n for n in lengths], pad=0)}, np.arange(count))
    course = Epochs(None, rows, batch, steps, seed=3, text_bytes=0)  # pyright: ignore[reportArgumentType]
    drawn = np.concatenate([course.numbers(step) for step in range(steps)])
    assert len(drawn) == steps * batch
    most, least = -(-len(drawn) // count), len(drawn) // count
    counts = np.bincount(drawn, minlength=count)
    assert counts.max() <= most and counts.min() >= least


def test_a_batch_has_rows_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 65, 4096)
    rows = Rows({"inputs": ragged([[1] * n for n in lengths], pad=0)}, np.arange(4096))
    course = Epochs(None, rows, 16, 256, seed=1, text_bytes=0)  # pyright: ignore[reportArgumentType]
    widths = sum(16 * lengths[course.numbers(step)].max() for step in range(256))
    assert widths < 1.1 * lengths.sum(), "a random order would take 1.8 times"
    assert lengths[course.numbers(0)].mean() != lengths[course.numbers(1)].mean()


def test_labelled_texts_are_of_both_kinds() -> None:
    assert {one["label"] for one in labelled(4)} == {"river", "town"}
