"""Fine-tuning: every family learns a small task; runs resume bit for bit, end early, freeze what they should."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from tuning import labelled, write_config, write_records

from training.checkpoints import trained
from training.run.device import Device
from training.run.distributed.processes import World
from training.run.progress import read_metrics
from training.run.updates.optimizers import optimizers
from training.tasks import features, tuned
from training.tasks.config import load
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.job import held_out, layer_shares, measured
from training.tasks.predict import predict

CPU = Device("cpu", "float32")


def config(folder: Path, base: Path, *, count: int = 96, more: str = "") -> Path:
    train = write_records(folder / "train.jsonl", labelled(count))
    write_records(folder / "test.jsonl", labelled(40, seed=1))
    return write_config(folder, base, "classification", train, f'test = "{folder}/test.jsonl"\n{more}')


@pytest.mark.parametrize("family", ["bert", "gpt", "bart", "t5"])
def test_each_family_learns_which_word_a_text_has(family: str, bases: Mapping[str, Path], tmp_path: Path) -> None:
    report = finetune(config(tmp_path, bases[family], count=400), ("train.epochs=8",))
    assert report["test"]["accuracy"] > 0.9
    model = tuned.load(tmp_path / "run")
    records = model.read(str(tmp_path / "test.jsonl"), labelled=False)
    answers = predict(model, records, CPU)
    right = [answer["label"] == one["label"] for answer, one in zip(answers, labelled(40, seed=1), strict=True)]
    assert np.mean(right) == pytest.approx(report["test"]["accuracy"])
    written = [json.loads(line) for line in (tmp_path / "run/test.answers.jsonl").read_text().splitlines()]
    assert written == answers
    body = trained.load(tmp_path / "run")
    assert body.family == family and torch.equal(next(body.model.parameters()), next(model.model.body.parameters()))


def test_a_run_leaves_what_it_mixes_up_and_its_hardest_examples(bases: Mapping[str, Path], tmp_path: Path) -> None:
    report = finetune(config(tmp_path, bases["bert"]), ("train.epochs=1",))
    (judged,) = json.loads((tmp_path / "run/judged.json").read_text())["test"].values()
    counts = np.array(judged["confusion"]["counts"])
    assert judged["confusion"]["labels"] == ["river", "town"] and counts.sum() == judged["items"] == 40
    assert np.trace(counts) / 40 == pytest.approx(report["test"]["accuracy"])
    costs = [one["cost"] for one in judged["hardest"]]
    assert len(costs) == 20 and costs == sorted(costs, reverse=True)
    answers = [json.loads(line) for line in (tmp_path / "run/test.answers.jsonl").read_text().splitlines()]
    chances = [answer["probabilities"][one["label"]] for answer, one in zip(answers, labelled(40, seed=1), strict=True)]
    first, number = judged["hardest"][0], int(np.argmin(chances))
    assert first["place"].endswith(f"test.jsonl, line {number + 1}") and first["text"] == labelled(40, seed=1)[number]["text"]
    assert first["cost"] == pytest.approx(-np.log(chances[number]), abs=1e-3)


def test_an_evaluation_reads_each_batch_once(bases: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = finetune(config(tmp_path, bases["bert"]), ("train.epochs=1",))
    model = tuned.load(tmp_path / "run")
    split = held_out(model)
    batches, calls = len(list(tuned.batches(split.rows))), list[int]()
    compute = features._tokens
    monkeypatch.setattr(features, "_tokens", lambda body, examples: (calls.append(1), compute(body, examples))[1])
    found, outputs = measured(model, split, CPU, World())
    assert len(calls) == batches and found == pytest.approx(report["test"])
    apart = tuned.in_order(tuned.outputs(model, split.rows, CPU))
    assert len(calls) == 2 * batches and np.array_equal(np.stack(outputs), np.stack(apart))


def test_a_run_that_was_stopped_ends_with_the_same_weights(bases: Mapping[str, Path], tmp_path: Path) -> None:
    more = ("train.epochs=2", "train.save_every=3", "train.keep=9", "train.eval_every=4", "model.dropout=0.1")
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    whole.mkdir()
    finetune(config(whole, bases["bert"]), more)
    shutil.copytree(whole, halted)
    checkpoints = sorted(path.name for path in (halted / "run/checkpoints").glob("step-*"))
    for name in checkpoints[2:]:
        shutil.rmtree(halted / "run/checkpoints" / name)
    (halted / "run/checkpoints/BEST").unlink()
    path = Path(shutil.copy(whole / "finetune.toml", halted))
    finetune(path, (*more, f"run.out={halted}/run"))
    assert [sorted(path.name for path in (folder / "run/checkpoints").glob("step-*"))[-1] for folder in (whole, halted)] == (
        [checkpoints[-1]] * 2
    )
    one, two = (torch.load(folder / "run/checkpoints" / checkpoints[-1] / "model.pt") for folder in (whole, halted))
    assert all(torch.equal(one[name], two[name]) for name in one)
    lines = [
        [line["loss"] for line in read_metrics(folder / "run/metrics.jsonl") if "loss" in line] for folder in (whole, halted)
    ]
    assert lines[0] == lines[1] and len(lines[0]) == 11


def test_training_ends_when_the_metric_no_longer_improves(bases: Mapping[str, Path], tmp_path: Path) -> None:
    report = finetune(
        config(tmp_path, bases["bert"]), ("train.epochs=50", "train.eval_every=2", "train.patience=3", "train.learning_rate=1e-9")
    )
    assert report["steps"] == report["best_step"] + 6 < 50
    again = finetune(
        tmp_path / "finetune.toml",
        ("train.epochs=50", "train.eval_every=2", "train.patience=3", "train.learning_rate=1e-9"),
    )
    assert again["steps"] == report["steps"]


@pytest.mark.parametrize("tuning", ["lora", "head"])
def test_a_frozen_body_keeps_its_weights(tuning: str, bases: Mapping[str, Path], tmp_path: Path) -> None:
    report = finetune(config(tmp_path, bases["bert"]), (f"model.tuning={tuning}", "train.epochs=1", "train.warmup_share=0.0"))
    model = tuned.load(tmp_path / "run")
    base = trained.load(bases["bert"]).model.state_dict()
    after = model.model.body.state_dict()
    assert all(torch.equal(base[name], after[name]) for name in base)
    assert any("adapter_in" in name for name in after) == (tuning == "lora")
    assert report["validation"].keys() == {"loss", "accuracy", "macro_f1", "f1", "matthews"}


def test_adapters_are_added_to_the_weights_of_the_body(bases: Mapping[str, Path], tmp_path: Path) -> None:
    finetune(config(tmp_path, bases["gpt"]), ("model.tuning=lora", "train.epochs=2"))
    model, plain = tuned.load(tmp_path / "run").model.body, trained.load(tmp_path / "run").model
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        merged, beside = plain(ids), model(ids)
        before = trained.load(bases["gpt"]).model(ids)
    torch.testing.assert_close(merged, beside, rtol=1e-5, atol=1e-5)
    assert (merged - before).abs().max() > 1e-3


def test_several_seeds_have_a_mean_and_a_deviation(bases: Mapping[str, Path], tmp_path: Path) -> None:
    report = finetune(config(tmp_path, bases["bert"]), ("run.seeds=2", "train.epochs=1"))
    values = [one["test"]["loss"] for one in report["runs"]]
    assert values[0] != values[1]
    assert report["test"]["loss"] == pytest.approx({"mean": np.mean(values), "deviation": np.std(values, ddof=1)})
    assert (tmp_path / "run/seed-2/report.json").exists()


def test_numbers_are_predicted_by_the_squared_error(bases: Mapping[str, Path], tmp_path: Path) -> None:
    rows = [{"text": one["text"], "label": 1.5 if one["label"] == "river" else -1.5} for one in labelled(400)]
    train = write_records(tmp_path / "train.jsonl", rows)
    report = finetune(write_config(tmp_path, bases["bert"], "classification", train, "regression = true"))
    assert report["validation"]["pearson"] > 0.8


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a", "label": "x"}] * 9, "needs at least two"),
        ([{"text": "a", "label": "x"}, {"text": "a", "label": "y"}], "too few to hold some out"),
        ([{"text": "a"}], "has no field 'label'"),
        ([{"text": "a", "label": "x"}, {"text": None, "label": "y"}] * 20, "train.jsonl, line 2: the field 'text' is missing"),
        ([], "train.jsonl"),
    ],
)
def test_records_that_cannot_be_used_are_refused(
    rows: list[dict[str, str]], message: str, bases: Mapping[str, Path], tmp_path: Path
) -> None:
    train = write_records(tmp_path / "train.jsonl", rows)
    with pytest.raises(TaskError, match=message):
        finetune(write_config(tmp_path, bases["bert"], "classification", train))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_label_that_training_lacks_is_named_before_training(split: str, bases: Mapping[str, Path], tmp_path: Path) -> None:
    path = config(tmp_path, bases["bert"])
    write_records(tmp_path / "other.jsonl", [{"text": "a", "label": "river"}, {"text": "b", "label": "lake"}])
    with pytest.raises(TaskError, match=r"other.jsonl, line 2: the label 'lake'.*'river', 'town'"):
        finetune(path, (f"task.{split}={str(tmp_path / 'other.jsonl')!r}",))
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_lower_layers_learn_at_lower_rates(bases: Mapping[str, Path], tmp_path: Path) -> None:
    tuned_model, _ = tuned.begin(load(config(tmp_path, bases["bert"])), 1)
    shares = layer_shares(tuned_model.model, 0.5)
    assert {round(shares[name], 6) for name in shares if "embeddings" in name} == {0.125}
    assert shares["body.layers.0.attention.output.weight"] == 0.25 and shares["body.layers.1.attention.output.weight"] == 0.5
    assert shares["head.output.weight"] == shares["body.pooler.weight"] == 1
    section = load(tmp_path / "finetune.toml").train
    (optimizer,) = optimizers(tuned_model.model, section, 8, shares)
    peaks = {id(weight): group["peak"] for group in optimizer.param_groups for weight in group["params"]}
    assert {name: peaks[id(weight)] for name, weight in tuned_model.model.named_parameters()} == pytest.approx(
        {name: 5e-3 * share for name, share in shares.items()}
    )
    assert layer_shares(tuned_model.model, 1.0) == {}
    finetune(tmp_path / "finetune.toml", ("model.layer_decay=0.5", "train.epochs=1", "train.learning_rate=1e-3"))
