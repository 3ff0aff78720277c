"""Question answering: places of answers, windows, best spans, no answer, SQuAD's figures."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tuning import SHAPES, WORDS, write_config, write_records

from pipelines.contract.tokenizers.loading import Tokenizer
from training.data.rows.batch import IGNORE
from training.models.families import make
from training.run.device import Device
from training.tasks import tuned
from training.tasks.encoders.question_answering import (
    NOT_FOUND,
    QuestionAnswering,
    QuestionAnsweringSection,
    best_spans,
    f1_of,
    place_of,
    with_characters,
)
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.input.reading import reader
from training.tasks.input.records import Records
from training.tasks.input.rows import Ragged
from training.tasks.predict import predict

SQUAD = Path(__file__).parents[5] / "shared/data/downstream/squad"
SECTION = QuestionAnsweringSection(stride=6)


def task_of(tokenizer: Tokenizer, train: Records, length: int = 32, section: Any = SECTION) -> QuestionAnswering:
    return QuestionAnswering.begin(section, reader(make(SHAPES["bert"](tokenizer.size), 1), tokenizer, length), train)


def read(path: Path) -> Records:
    return tuned.read(QuestionAnswering, SECTION, str(path))


def questions(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """The answer is "river" or "town", whichever the context has; a third of the contexts have neither."""
    draws = np.random.default_rng(seed)
    plain = [word for word in WORDS if word not in ("river", "town") and len(word) < 6]
    out: list[dict[str, Any]] = []
    for number in range(count):
        words = [str(word) for word in draws.choice(plain, 3)]
        answer = ("river", "town", "")[number % 3]
        if answer:
            words.insert(int(draws.integers(0, 4)), answer)
        out.append({"question": "near", "context": " ".join(words), "answers": [answer] if answer else []})
    return out


def test_a_bert_learns_to_answer_and_not_to(bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", questions(400))
    write_records(tmp_path / "test.jsonl", questions(45, seed=1))
    report = finetune(
        write_config(tmp_path, bases["bert"], "question_answering", train, f'test = "{tmp_path}/test.jsonl"'),
        ("train.epochs=6", "train.eval_every=999"),
    )
    assert report["test"]["f1"] > 0.9 and report["test"]["f1_answered"] > 0.85
    model = tuned.load(tmp_path / "run")
    write_records(
        tmp_path / "new.jsonl", [{"question": "near", "context": text} for text in ("old  town near", "old old near", "")]
    )
    answers = predict(model, model.read(str(tmp_path / "new.jsonl"), labelled=False), Device("cpu", "float32"))
    assert [(one["answer"], one["begin"], one["end"]) for one in answers] == [("town", 5, 9), ("", None, None), ("", None, None)]
    assert answers[0]["margin"] > 0 > answers[1]["margin"] and answers[2]["margin"] is None


def test_tokens_know_their_characters(tokenizer: Tokenizer) -> None:
    text = "é 日本 river\nold"
    encoded = with_characters(tokenizer, text)
    assert encoded.ends[-1] == len(text) and (encoded.begins <= encoded.ends).all()
    town = next(n for n, (b, e) in enumerate(zip(encoded.begins, encoded.ends, strict=True)) if b <= text.index("river") < e)
    assert text[encoded.begins[town] : encoded.ends[town]].strip() in "river"


def test_rows_mark_the_answer_in_the_windows_that_have_it(tokenizer: Tokenizer, tmp_path: Path) -> None:
    words = ["old"] * 12 + ["river"] + ["near"] * 12
    context = " ".join(words)
    records = read(write_records(tmp_path / "a.jsonl", [{"question": "the", "context": context, "answers": ["river"]}]))
    rows = task_of(tokenizer, records, length=24).rows(records)
    assert len(rows) > 2 and rows.lengths.max() <= 24 and not rows.records.any()
    first, last, begins, ends, inputs = (rows.columns[name] for name in ("first", "last", "begins", "ends", "inputs"))
    assert isinstance(begins, Ragged) and isinstance(ends, Ragged) and isinstance(inputs, Ragged)
    assert isinstance(first, np.ndarray) and isinstance(last, np.ndarray)
    with_answer = np.flatnonzero(first)
    assert 0 < len(with_answer) < len(rows)
    for number in with_answer:
        assert context[begins.row(number)[first[number]] : ends.row(number)[last[number]]].strip() == "river"
    covered = {place for n in range(len(rows)) for b, e in zip(begins.row(n), ends.row(n), strict=True) for place in range(b, e)}
    assert covered == set(range(len(context)))
    batch = rows.batch(np.arange(len(rows)))
    assert (batch["segments"] == 1)[batch["ends"] > 0].all() and not batch["ends"][:, 0].any()


@pytest.mark.parametrize("seed", range(5))
def test_the_best_span_is_that_of_all_spans(seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    first, last = torch.randn(4, 9, generator=draws), torch.randn(4, 9, generator=draws)
    context = torch.arange(9).expand(4, 9) >= torch.tensor([[2], [3], [0], [5]])
    score, begin, end = best_spans(first, last, context, 3)
    for row in range(4):
        spans = [(i, j) for i in range(9) for j in range(i, min(9, i + 3)) if context[row, i]]
        best = max(spans, key=lambda span: float(first[row, span[0]] + last[row, span[1]]))
        assert (int(begin[row]), int(end[row])) == best
        assert float(score[row]) == pytest.approx(float(first[row, best[0]] + last[row, best[1]]))


def test_windows_of_a_record_are_compared_and_no_answer_has_a_threshold(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = [{"question": "the", "context": "old river near town", "answers": ["river", "the river"]}]
    records = read(write_records(tmp_path / "a.jsonl", rows))
    task = task_of(tokenizer, records)
    made = replace(task.rows(records), records=np.array([0, 0]))
    # score, that of no answer, normaliser, begin, end: two windows of one record
    outputs = [np.array([5.0, 4.0, 6.0, 3, 9]), np.array([4.0, 3.0, 5.0, 15, 19])]
    [answer] = task.answers(outputs, made, records)
    assert answer == {"answer": "river", "begin": 4, "end": 9, "probability": pytest.approx(0.3679), "margin": 2.0}
    assert task.figures(outputs, made, records) == {"f1": 1.0, "exact_match": 1.0}
    strict = replace(task, no_answer=True, section=SECTION.model_copy(update={"threshold": 2.0}))
    assert strict.answers(outputs, made, records)[0]["answer"] == ""
    assert strict.figures(outputs, made, records) == {"f1": 0.0, "exact_match": 0.0}


def test_answers_are_compared_as_squad_compares_them() -> None:
    assert f1_of("The Denver Broncos!", "denver broncos") == 1.0
    assert f1_of("Denver", "denver broncos") == pytest.approx(2 / 3)
    assert f1_of("cat cat", "cat") == pytest.approx(2 / 3), "a word counts as often as both have it"
    assert (f1_of("", ""), f1_of("the", ""), f1_of("", "cat")) == (1.0, 1.0, 0.0)
    assert place_of("a cat and a cat", [("cat", 2)]) == (2, 5)
    assert place_of("a dog", [("cat", 2)]) is None and place_of("a dog", []) is None


def test_answers_not_in_their_context_are_counted_and_not_trained(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = [
        {"question": "a", "context": "old river", "answers": [{"text": "lake", "answer_start": 0}]},
        {"question": "b", "context": "old river", "answers": [{"text": "river", "answer_start": 1}]},
    ]
    records = read(write_records(tmp_path / "a.jsonl", rows))
    task = task_of(tokenizer, records)
    made = task.rows(records)
    assert made.notes == {NOT_FOUND: 1}
    batch = made.batch(np.array([0, 1]))
    assert batch["first"][0] == IGNORE and task.counts(batch) == {"answers": 1}
    with pytest.raises(TaskError, match="no record has an answer that is in its context"):
        task_of(tokenizer, records.part(0, 1))
    rows[0]["answers"] = [{"text": " ", "answer_start": 0}]
    with pytest.raises(TaskError, match=r"b.jsonl, line 1: an answer is empty"):
        task_of(tokenizer, read(write_records(tmp_path / "b.jsonl", rows)))


def test_files_of_squad_and_of_hugging_face(tokenizer: Tokenizer, tmp_path: Path) -> None:
    paragraph = {
        "context": "old river",
        "qas": [
            {"id": "1", "question": "a", "answers": [{"text": "river", "answer_start": 4}]},
            {"id": "2", "question": "b", "is_impossible": True, "answers": []},
        ],
    }
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps({"data": [{"paragraphs": [paragraph]}]}).encode()))
    records = read(tmp_path / "a.json.gz")
    assert task_of(tokenizer, records).no_answer
    assert records.place(1).endswith("a.json.gz, row 2")
    both = {"text": ["river"], "answer_start": [4]}
    flat = read(write_records(tmp_path / "b.jsonl", [{"question": "a", "context": "old river", "answers": both}]))
    one, two = (
        task_of(tokenizer, flat).rows(flat).batch(np.array([0])),
        task_of(tokenizer, records).rows(records).batch(np.array([0])),
    )
    assert all(np.array_equal(one[name], two[name]) for name in one)
    (tmp_path / "c.json").write_text('{"data": [{"paragraphs": [{"qas": []}]}, {"title": "x"}]}')
    with pytest.raises(TaskError, match="is not SQuAD's JSON: 'paragraphs' is missing"):
        read(tmp_path / "c.json")


@pytest.mark.skipif(not SQUAD.exists(), reason="the part of SQuAD is not beside the checkout")
def test_squad_is_read() -> None:
    counts = [len(read(SQUAD / f"{name}.json.gz")) for name in ("train", "validation")]
    assert counts == [6853, 1378]
