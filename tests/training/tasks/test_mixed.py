"""Several tasks of one T5: the shares of T5's rules, exact quotas, figures of each task, exact resume, models by task."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from tuning import WORDS, labelled, write_records

from flows.pages.runs.page import write_runs
from pipelines.contract.settings import ConfigError
from training.checkpoints.store import CheckpointError
from training.run.device import Device
from training.run.progress import read_metrics
from training.tasks import tuned
from training.tasks.config import MixingSection, load_any
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.input.rows import INPUTS, TARGETS, Ragged, Rows, ragged
from training.tasks.mixed import Mixture, Together, joined, rates
from training.tasks.predict import predict

ROWS = {"large": 9000, "small": 1000}
NONE = dict.fromkeys(ROWS)


def test_shares_are_those_of_t5() -> None:
    assert rates(MixingSection(limit=None), ROWS, NONE) == {"large": 0.9, "small": 0.1}
    assert rates(MixingSection(limit=1000), ROWS, NONE) == {"large": 0.5, "small": 0.5}
    scaled = rates(MixingSection(rule="temperature", temperature=2.0), ROWS, NONE)
    assert scaled == pytest.approx({"large": 0.75, "small": 0.25})  # sqrt of 9 : 1
    assert rates(MixingSection(rule="equal"), ROWS, NONE) == {"large": 0.5, "small": 0.5}
    assert rates(MixingSection(rule="given"), ROWS, {"large": 1.0, "small": 3.0}) == {"large": 0.25, "small": 0.75}
    with pytest.raises(TaskError, match="the rate of 'small': give each task one"):
        rates(MixingSection(rule="given"), ROWS, {"large": 1.0, "small": None})
    with pytest.raises(TaskError, match=r"the rate of 'large': with mixing.rule = \"equal\" leave it out"):
        rates(MixingSection(rule="equal"), ROWS, {"large": 1.0, "small": None})


def rows(count: int, first: int) -> Rows:
    written = [[first + n] for n in range(count)]
    columns = {name: ragged(written, 0) for name in (INPUTS, "decoder_inputs", TARGETS)}
    return Rows({**columns, "labels": np.zeros(count)}, np.arange(count))


def test_each_block_has_the_exact_quota_of_each_task_and_each_task_its_own_epochs() -> None:
    both = joined([rows(100, 0), rows(40, 1000)])
    inputs = both.columns[INPUTS]
    assert (
        isinstance(inputs, Ragged)
        and inputs.row(100).tolist() == [1000]
        and set(both.columns) == {INPUTS, "decoder_inputs", TARGETS}
    )
    course = Mixture(Together(0.0), both, 16, 128, 3, 1000, {"a": 0.75, "b": 0.25}, (100, 40))
    drawn = np.concatenate([course.numbers(step) for step in range(64)])
    assert np.sum(drawn < 100) == 768 and np.sum(drawn >= 100) == 256  # of 1,024
    times = np.bincount(drawn, minlength=140)
    assert set(times[:100]) == {7, 8} and set(times[100:]) == {6, 7}
    assert course.numbers(70).tolist() == course.numbers(70).tolist() != course.numbers(71).tolist()
    assert course.identity()["mixture"] == {"a": 0.75, "b": 0.25}


CONFIG = """
[[tasks]]
kind = "classification"
name = "places"
train = "{0}/places.jsonl"
test = "{0}/places.jsonl"
prefix = "old "
[[tasks]]
kind = "text_to_text"
name = "next"
train = "{0}/next.jsonl"
prefix = "the "
target_length = 8
[mixing]
rule = "equal"
[model]
base = "{1}"
[train]
epochs = 6.0
batch_rows = 16
learning_rate = 5e-3
threads = 1
device = "cpu"
tensorboard = false
[run]
out = "{0}/run"
"""


def write_mixed(folder: Path, base: Path, count: int = 120) -> Path:
    folder.mkdir(exist_ok=True)
    write_records(folder / "places.jsonl", labelled(count))
    drawn = np.random.default_rng(0).integers(0, 8, count).tolist()
    write_records(folder / "next.jsonl", [{"inputs": WORDS[n], "targets": WORDS[n + 1]} for n in drawn])
    (folder / "mixed.toml").write_text(CONFIG.format(folder, base))
    return folder / "mixed.toml"


def test_a_t5_learns_both_and_each_is_used_by_its_name(bases: Mapping[str, Path], tmp_path: Path) -> None:
    report = finetune(write_mixed(tmp_path, bases["t5"], 300), ("train.epochs=10",))
    found = report["validation"]
    assert report["metric"] == "mean" and report["rates"] == {"places": 0.5, "next": 0.5}
    assert found["mean"] == pytest.approx((found["accuracy/places"] + found["f1/next"]) / 2)
    assert found["accuracy/places"] > 0.8 and found["f1/next"] > 0.6
    assert report["test"].keys() == {
        "loss",
        "mean",
        *(f"{name}/places" for name in ("loss", "accuracy", "macro_f1", "f1", "matthews")),
    }
    last = read_metrics(tmp_path / "run/metrics.jsonl")[-1]
    assert {"validation_mean", "validation_accuracy/places", "validation_f1/next"} <= set(last)
    assert json.loads((tmp_path / "run/judged.json").read_text())["validation"].keys() == {"places", "next"}
    assert (tmp_path / "run/validation.next.answers.jsonl").exists()

    model = tuned.load(f"{tmp_path}/run@next")
    records = model.read(str(tmp_path / "next.jsonl"), labelled=False).first(50)
    answers = [answer["answer"] for answer in predict(model, records, Device("cpu", "float32"))]
    assert (
        np.mean(
            [one == two for one, two in zip(answers, model.read(str(tmp_path / "next.jsonl")).texts("targets"), strict=False)]
        )
        > 0.5
    )
    with pytest.raises(CheckpointError, match=r"was tuned for places, next; name one, e.g. .*run@places"):
        tuned.load(tmp_path / "run")
    page = write_runs([tmp_path / "run"], tmp_path / "runs.html").read_text()
    assert "places + next" in page and "validation, accuracy of places" in page and "Accuracy, places" in page


def test_a_mixture_that_was_stopped_ends_with_the_same_weights(bases: Mapping[str, Path], tmp_path: Path) -> None:
    more = ("train.epochs=1", "train.save_every=3", "train.keep=9", "train.eval_every=7", "model.dropout=0.1")
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    finetune(write_mixed(whole, bases["t5"]), more)
    shutil.copytree(whole, halted)
    checkpoints = sorted(path.name for path in (halted / "run/checkpoints").glob("step-*"))
    for name in checkpoints[1:]:
        shutil.rmtree(halted / "run/checkpoints" / name)
    (halted / "run/checkpoints/BEST").unlink(missing_ok=True)
    finetune(whole / "mixed.toml", (*more, f"run.out={halted}/run"))
    one, two = (torch.load(folder / "run/checkpoints" / checkpoints[-1] / "model.pt") for folder in (whole, halted))
    assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(CheckpointError, match=r"mixing.rule was 'equal', and is 'proportional' here"):
        finetune(whole / "mixed.toml", (*more, "mixing.rule=proportional"))


def test_what_cannot_be_mixed_is_refused(bases: Mapping[str, Path], tmp_path: Path) -> None:
    path = write_mixed(tmp_path, bases["bert"])
    with pytest.raises(TaskError, match=r"a mixture is for a T5.*bert is none"):
        finetune(path)
    text = path.read_text()
    for was, becomes, message in (
        ('prefix = "the "', 'prefix = "old "', "two have the prefix 'old '"),
        ('name = "next"', 'name = "places"', "two have the name 'places'"),
        ("target_length = 8", "label_smoothing = 0.1", "'next' sets label_smoothing; set mixing.label_smoothing"),
    ):
        path.write_text(text.replace(was, becomes))
        with pytest.raises(ConfigError, match=message):
            load_any(path)


def test_the_config_that_is_shipped_is_read() -> None:
    config = load_any(Path(__file__).parents[3] / "configs/finetune/mixed_t5.toml")
    assert [task.kind for task in config.tasks] == ["classification", "classification", "translation"]  # pyright: ignore
