"""Labels of words: files, rows, windows, decoding, figures, answers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuning import SHAPES, sentences, write_config, write_records

from pipelines.contract.tokenizers.loading import Tokenizer
from training.data.rows.batch import IGNORE
from training.models.families import make
from training.run.device import Device
from training.tasks import tuned
from training.tasks.encoders import named_entities
from training.tasks.encoders.named_entities import NamedEntities, NamedEntitiesSection, Window, may_follow, span_scores, windows
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.input.reading import reader
from training.tasks.input.records import Records
from training.tasks.predict import predict

WNUT = Path(__file__).parents[5] / "shared/data/downstream/wnut17"
SECTION = NamedEntitiesSection()


def task_of(tokenizer: Tokenizer, train: Records, length: int = 32) -> NamedEntities:
    return NamedEntities.begin(SECTION, reader(make(SHAPES["bert"](tokenizer.size), 1), tokenizer, length), train)


def read(path: Path) -> Records:
    return tuned.read(NamedEntities, SECTION, str(path))


def test_a_bert_learns_entities_and_finds_them_in_plain_text(bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", sentences(400))
    write_records(tmp_path / "test.jsonl", sentences(40, seed=1))
    more = f'test = "{tmp_path}/test.jsonl"'
    report = finetune(write_config(tmp_path, bases["bert"], "named_entities", train, more))
    assert report["metric"] == "f1" and report["test"]["f1"] > 0.9
    model = tuned.load(tmp_path / "run")
    write_records(tmp_path / "plain.jsonl", [{"text": "old people told"}, {"text": "  "}, {"text": "told the  river"}])
    found = predict(model, model.read(str(tmp_path / "plain.jsonl"), labelled=False), Device("cpu", "float32"))
    spans = [[(one["text"], one["label"], one["begin"], one["end"]) for one in answer["entities"]] for answer in found]
    assert spans == [[("people", "group", 4, 10)], [], [("the  river", "place", 5, 15)]]
    assert all(0.3 < one["score"] <= 1 for answer in found for one in answer["entities"])


def test_the_first_piece_of_a_word_carries_its_label(tokenizer: Tokenizer, tmp_path: Path) -> None:
    words, labels = ["unheard", "river"], ["O", "B-x"]
    records = read(write_records(tmp_path / "a.jsonl", [{"words": words, "labels": labels}, {"words": [], "labels": []}]))
    task = task_of(tokenizer, records)
    assert task.labels == ("O", "B-x", "I-x")
    rows = task.rows(records)
    pieces = [tokenizer.encode(word) for word in words]
    special = tokenizer.special_ids
    batch = rows.batch(np.array([0]))
    assert len(pieces[0]) > 1 and rows.records.tolist() == [0]
    assert batch["inputs"][0].tolist()[: batch["lengths"][0]] == [special["[CLS]"], *pieces[0], *pieces[1], special["[SEP]"]]
    assert batch["firsts"][0].tolist() == [1, 1 + len(pieces[0]), 0, 0, 0, 0, 0, 0]
    assert batch["targets"][0].tolist() == [0, 1, *[IGNORE] * 6]
    assert task.counts(batch) == {"words": 2}


@given(sizes=st.lists(st.integers(1, 9), max_size=60), room=st.integers(2, 12))
def test_windows_label_each_word_once_and_fit(sizes: list[int], room: int) -> None:
    cut = windows(sizes, room)
    assert [word for one in cut for word in range(one.own, one.own_end)] == list(range(len(sizes)))
    assert all(one.first <= one.own <= one.own_end <= one.end for one in cut)
    assert all(sum(sizes[one.first : one.end]) <= room or one.end == one.first + 1 for one in cut)


def test_a_long_sentence_has_the_labels_of_its_windows_in_order(tokenizer: Tokenizer, tmp_path: Path) -> None:
    words = ["river", "old"] * 30
    path = write_records(tmp_path / "a.jsonl", [{"words": words, "labels": ["B-x", "O"] * 30}])
    records = read(path)
    task = task_of(tokenizer, records, length=16)
    rows = task.rows(records)
    assert len(rows) > 3 and rows.lengths.max() <= 16
    targets = rows.columns["targets"]
    assert not isinstance(targets, np.ndarray)
    assert targets.values.tolist() == [1, 0] * 30
    perfect = [np.eye(3, dtype=np.float32)[targets.row(n)] * 9 for n in range(len(rows))]
    assert task.figures(perfect, rows, records) == {"f1": 1.0, "precision": 1.0, "recall": 1.0}
    assert windows([1, 1, 1], 2) == [Window(0, 2, 0, 1), Window(1, 3, 1, 3)]


def test_decoded_labels_are_the_likeliest_that_are_spans(tokenizer: Tokenizer, tmp_path: Path) -> None:
    records = read(write_records(tmp_path / "a.jsonl", [{"words": ["a", "b"], "labels": ["B-x", "B-y"]}]))
    task = task_of(tokenizer, records)
    draws = np.random.default_rng(1)
    for _ in range(20):
        logits = draws.normal(size=(3, 5)).astype(np.float32)
        allowed = [
            path
            for path in np.ndindex(5, 5, 5)
            if all(may_follow(task.labels[a], task.labels[b]) for a, b in zip((0, *path), path, strict=False))
        ]
        best = max(allowed, key=lambda path: sum(logits[at, label] for at, label in enumerate(path)))
        assert task.decoded(logits) == list(best)


def test_spans_are_counted_as_seqeval_does() -> None:
    wanted = [["B-a", "I-a", "O", "B-b", "B-b"], ["O", "I-a"]]
    predicted = [["B-a", "O", "O", "B-b", "B-a"], ["O", "B-a"]]
    # right: b at 3, and a in the second sentence, whose I- after O begins a span; of 4 wanted and 4 predicted
    assert span_scores(wanted, predicted) == {"f1": 0.5, "precision": 0.5, "recall": 0.5}
    assert span_scores([["O"]], [["O"]]) == {"f1": 0.0, "precision": 0.0, "recall": 0.0}


def test_plain_labels_are_measured_by_word(tokenizer: Tokenizer, tmp_path: Path) -> None:
    records = read(write_records(tmp_path / "a.jsonl", [{"words": ["old", "house"], "labels": ["adjective", "noun"]}]))
    task = task_of(tokenizer, records)
    assert (task.labels, task.metric) == (("adjective", "noun"), "accuracy")
    outputs, rows = [np.array([[1, 2], [1, 2]], np.float32)], task.rows(records)
    assert task.figures(outputs, rows, records) == {"accuracy": 0.5}
    assert task.answers(outputs, rows, records) == [{"words": ["old", "house"], "labels": ["noun", "noun"]}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tO\nb\n", r"a.conll, line 2: 'b' is not a word and its label"),
        ("a\tO\n\n\tB-x\n", r"a.conll, line 3: .* is not a word and its label"),
        ("\n\n", "has no sentences"),
        ("a\tO\nb\tO\n", "every word has the label 'O'"),
        ("a\tB-x\nb\tnoun\n", "'noun' has no B- or I-"),
    ],
)
def test_broken_conll_is_refused(text: str, message: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text(text)
    with pytest.raises(TaskError, match=message):
        task_of(tokenizer, read(tmp_path / "a.conll"))


def test_labels_that_do_not_fit_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("-DOCSTART- -X- O\n\nParis NNP B-place\nshines VBZ O\n")
    train = read(tmp_path / "a.conll")
    task = task_of(tokenizer, train)
    assert named_entities.sentences_of(train)[0].words == ["Paris", "shines"]
    (tmp_path / "b.conll").write_text("a\tO\n\nb\tO\nc\tB-person\n")
    with pytest.raises(TaskError, match=r"b.conll, line 3: the label 'B-person' is not one of training's \('O', 'B-place'"):
        task.rows(read(tmp_path / "b.conll"))
    with pytest.raises(TaskError, match=r"c.jsonl, line 1: has 1 labels for 2 words"):
        task.rows(read(write_records(tmp_path / "c.jsonl", [{"words": ["a", "b"], "labels": ["O"]}])))
    with pytest.raises(TaskError, match=r"d.jsonl, line 1: the field 'words' must hold a list of texts"):
        task.rows(read(write_records(tmp_path / "d.jsonl", [{"words": "a b", "labels": ["O"]}])))
    with pytest.raises(TaskError, match=r"has no field 'words'"):
        task.rows(read(write_records(tmp_path / "e.jsonl", [{"text": "a b", "labels": ["O"]}])))


@pytest.mark.parametrize("family", ["gpt", "t5"])
def test_a_model_that_is_no_encoder_is_refused(family: str, bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", sentences(30))
    with pytest.raises(TaskError, match="need an encoder"):
        finetune(write_config(tmp_path, bases[family], "named_entities", train))


@pytest.mark.skipif(not WNUT.exists(), reason="the data of WNUT 2017 are not beside the checkout")
def test_wnut17_is_read() -> None:
    counts = [len(read(WNUT / name)) for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")]
    assert counts == [3394, 1009, 1287]
