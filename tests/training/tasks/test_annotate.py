"""What the process of an annotator computes: windows, spans, and the same numbers as `corpusmill predict`."""

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tuning import SHAPES, labelled, write_config, write_records

from pipelines.contract.tokenizers.loading import Tokenizer
from training.models.families import make
from training.run.device import Device
from training.tasks import annotate, predict, tuned
from training.tasks.annotate import checkpoint_hash, in_bytes, starts, windows_of
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.input.reading import reader
from training.tasks.input.records import of_columns
from training.tasks.labels.classification import Classification

CPU = Device("cpu", "float32")
Judge = Callable[[str], str]


def test_scores_are_those_of_predict(judge: Judge) -> None:
    for name in ("waters", "educational"):
        model = tuned.load(judge(name))
        texts = [record["text"] for record in labelled(40, seed=3)]
        answers = predict.predict(model, of_columns({"text": texts}, "x"), CPU)
        wanted = [list(one["probabilities"].values()) if "probabilities" in one else [one["value"]] for one in answers]
        np.testing.assert_allclose(annotate.scored(model, texts, CPU), wanted, atol=1.01e-4)


def test_a_row_has_the_same_bits_whatever_is_read_with_it(judge: Judge) -> None:
    """Before they are rounded: read in one batch, some of these rows differ in their last bits."""
    model = tuned.load(judge("waters"))
    task = model.task
    assert isinstance(task, Classification)
    texts = [" ".join(record["text"] for record in labelled(n % 5 + 1, seed=n)) for n in range(200)]
    whole = np.stack(annotate.outputs(model, windows_of(task.reader, texts, 1), CPU))
    alone = [annotate.outputs(model, windows_of(task.reader, [text], 1), CPU)[0] for text in texts]
    assert np.array_equal(whole.view(np.int32), np.stack(alone).view(np.int32))


@pytest.mark.parametrize("length", [0, 1, 4, 5, 8, 9, 100])
@pytest.mark.parametrize("most", [1, 2, 3, 50])
def test_windows_are_full_and_reach_both_ends(length: int, most: int) -> None:
    found = starts(length, 4, most)
    assert found[0] == 0 and len(found) <= most and found == sorted(set(found))
    if len(found) > 1:
        assert found[-1] == length - 4
    if most * 4 >= length:
        assert all(two - one <= 4 for one, two in pairwise(found))


def test_rows_of_windows_have_the_special_pieces_and_segments(tokenizer: Tokenizer) -> None:
    words = reader(make(SHAPES["bert"](tokenizer.size), 1), tokenizer, 8)
    ids = tokenizer.encode("the river and the old town of many stories")
    rows = windows_of(words, ["the", "the river and the old town of many stories"], 2)
    assert rows.records.tolist() == [0, 1, 1]
    batch = rows.batch(np.array([1, 2]))
    special = tokenizer.special_ids
    assert batch["inputs"].tolist() == [
        [special["[CLS]"], *ids[:6], special["[SEP]"]],
        [special["[CLS]"], *ids[-6:], special["[SEP]"]],
    ]
    assert batch["segments"].tolist() == [[0] * 8] * 2


def test_places_in_bytes_and_lines() -> None:
    entities = [{"label": "a", "begin": 0, "end": 1}, {"label": "b", "begin": 2, "end": 8}, {"label": "a", "begin": 9, "end": 10}]
    text = "é 日 \n\n 本 z"
    found = [(one["label"], text.encode()[one["start"] : one["end"]].decode()) for one in in_bytes(text, entities)]
    assert found == [("a", "é"), ("b", "日"), ("b", "本"), ("a", "z")]


def test_the_hash_is_of_what_answers(judge: Judge, tmp_path: Path) -> None:
    folder = Path(tuned.load(judge("waters")).where)
    assert checkpoint_hash(folder) != checkpoint_hash(Path(tuned.load(judge("educational")).where))
    shutil.copytree(folder, tmp_path / "copy")
    listed = json.loads((folder / "manifest.json").read_text())
    for name, is_same in (("optimizer.pt", True), ("model.pt", False), ("state.json", False)):
        changed = {**listed, "files": {**listed["files"], name: {"bytes": 1, "sha256": "0" * 64}}}
        (tmp_path / "copy" / "manifest.json").write_text(json.dumps(changed))
        assert (checkpoint_hash(tmp_path / "copy") == checkpoint_hash(folder)) == is_same


def test_a_model_that_answers_in_words_and_labels_without_spans_are_refused(bases: dict[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", labelled(40))
    config = write_config(tmp_path, bases["t5"], "classification", train)
    finetune(config, ("train.epochs=1.0",))
    with pytest.raises(TaskError, match="is a t5 that answers in words; name the run of a fine-tuning with a head"):
        annotate.load(str(tmp_path / "run"), "classification")
    parts = [{"words": ["old", "river"], "labels": ["adjective", "noun"]}] * 20
    write_records(train, parts)
    (tmp_path / "plain").mkdir()
    finetune(write_config(tmp_path / "plain", bases["bert"], "named_entities", train), ("train.epochs=1.0",))
    with pytest.raises(TaskError, match="labels words, but no spans"):
        annotate.load(str(tmp_path / "plain" / "run"), "named_entities")
