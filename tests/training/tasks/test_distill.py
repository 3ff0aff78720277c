"""Distillation: what a student begins as, what it learns from, and by how much."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from tuning import SHAPES, labelled, write_config, write_records

from training.checkpoints import trained
from training.models.families import make
from training.tasks import tuned
from training.tasks.config import load
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.tuning import distill


def test_a_student_takes_layers_of_the_base_evenly(bases: Mapping[str, Path]) -> None:
    assert [distill.chosen(6, n) for n in (1, 2, 3, 6)] == [[0], [0, 5], [0, 2, 5], [0, 1, 2, 3, 4, 5]]
    for shape in (SHAPES["gpt"](300), SHAPES["t5"](300)):
        model = make(shape, 1)
        small = distill.fewer_layers(model, 1)
        theirs, ours = model.state_dict(), small.state_dict()
        assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    model = make(SHAPES["bert"](300), 1)
    last = distill.fewer_layers(model, 2)
    assert torch.equal(last.layers[1].feed_forward.inner.weight, model.layers[1].feed_forward.inner.weight)  # type: ignore[union-attr]
    with pytest.raises(TaskError, match=r"model.layers: 3 are more than the base's 2"):
        distill.fewer_layers(model, 3)


def test_the_divergence_is_that_of_the_softened_distributions() -> None:
    student, teacher = torch.randn(5, 3), torch.randn(5, 3)
    p, q = ((logits / 4).softmax(-1).double() for logits in (teacher, student))
    expected = 16 * float((p * (p / q).log()).sum(-1).mean())
    assert float(distill.divergence(student, teacher, 4.0)) == pytest.approx(expected, rel=1e-5)
    assert float(distill.divergence(teacher, teacher, 4.0)) == pytest.approx(0, abs=1e-7)
    assert float(distill.divergence(student[:, :1], student[:, :1] + 2, 1.0)) == pytest.approx(2)


def test_hidden_states_are_compared_at_real_tokens_of_the_layers_that_they_stand_for() -> None:
    teacher = [torch.full((2, 3, 4), float(n)) for n in range(6)]
    student = [torch.full((2, 3, 4), 2.0), torch.full((2, 3, 4), 4.0)]
    student[0][1, 1:] = 100.0  # padding
    assert float(distill.distance(student, teacher, torch.tensor([3, 1]))) == pytest.approx(0.5)  # layers 2 and 5


def test_a_student_of_one_layer_learns_from_its_teacher(bases: Mapping[str, Path], tmp_path: Path) -> None:
    rows = write_records(tmp_path / "train.jsonl", labelled(320))
    path = write_config(tmp_path, bases["bert"], "classification", rows)
    teacher = finetune(path, (f"run.out={tmp_path}/teacher", "train.epochs=4"))
    more = (f"model.base={tmp_path}/teacher", "model.layers=1", f"distill.teacher={tmp_path}/teacher", "train.epochs=1")
    config = load(path, more)
    student, records = tuned.begin(config, 1)
    theirs = tuned.load(tmp_path / "teacher")
    assert student.model.head is not None and theirs.model.head is not None
    assert torch.equal(student.model.head.output.weight, theirs.model.head.output.weight)  # type: ignore[union-attr]
    assert not any("teacher" in name for name in student.model.state_dict())
    for one in (student.model.head.dropout, theirs.model.head.dropout):  # type: ignore[union-attr]
        one.p = 0.0
    batch = {name: torch.from_numpy(values) for name, values in student.task.rows(records).batch(np.arange(8)).items()}
    hard = float(student.task.losses(student.model, batch)["labels"].detach())
    assert float(student.model.eval().losses(batch)["labels"].detach()) == pytest.approx(hard)
    with distill.watched(theirs.model) as wanted, distill.watched(student.model) as found, torch.no_grad():
        student.task.losses(theirs.model, batch)
        student.task.losses(student.model, batch)
    soft = 8 * float(
        distill.divergence(found.logits, wanted.logits, 2.0) + distill.distance(found.hidden, wanted.hidden, batch["lengths"])
    )
    assert float(student.model.train().losses(batch)["labels"].detach()) == pytest.approx(0.5 * hard + 0.5 * soft, rel=1e-5)
    report = finetune(path, (*more, "train.epochs=3"))
    assert report["validation"]["accuracy"] >= 0.9 * teacher["validation"]["accuracy"] > 0.8
    assert len(next(m for m in trained.load(tmp_path / "run").model.modules() if isinstance(m, nn.ModuleList))) == 1


def test_what_cannot_be_distilled_is_refused(bases: Mapping[str, Path], tmp_path: Path) -> None:
    rows = write_records(tmp_path / "train.jsonl", labelled(64))
    path = write_config(tmp_path, bases["bert"], "classification", rows)
    finetune(path, (f"run.out={tmp_path}/teacher", "train.epochs=0.5"))
    more = (f"distill.teacher={tmp_path}/teacher",)
    write_records(rows, [{**one, "label": one["label"] + "s"} for one in labelled(64)])
    with pytest.raises(TaskError, match="another task, or for other labels"):
        finetune(path, more)
    write_records(rows, labelled(64))
    with pytest.raises(TaskError, match=r"distill.hidden_share: .*set it to 0.0"):
        finetune(path, (*more, f"model.base={bases['gpt']}"))
