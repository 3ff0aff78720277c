"""A sweep by Optuna: the same trials whether it was stopped or not, early ends, the best config, what is refused."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from tuning import labelled, write_config, write_records

from pipelines.contract.settings import ConfigError
from training.run.updates.spikes import SpikeError
from training.tasks import finetune as command
from training.tasks.config import as_toml
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.sweep import SweepSection

pytest.importorskip("optuna", reason="optuna is not installed (the extra sweep)")

SWEEP = """
[sweep]
trials = 4
startup_trials = 2
[sweep.ranges.train]
learning_rate = { low = 1e-6, high = 1e-2, log = true }
batch_rows = [8, 16]
epochs = { low = 1, high = 2 }
"""


def write_swept(folder: Path, base: Path) -> Path:
    folder.mkdir()
    train = write_records(folder.parent / "train.jsonl", labelled(60))
    path = write_config(folder, base, "classification", train)
    path.write_text(path.read_text() + SWEEP)
    return path


def trials_of(report: Mapping[str, object]) -> list[dict[str, object]]:
    return [{name: value for name, value in one.items() if name != "seconds"} for one in report["trials"]]  # pyright: ignore


def test_a_sweep_that_was_stopped_has_the_same_trials(
    bases: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finetune(write_swept(tmp_path / "whole", bases["bert"]))
    assert len(whole["trials"]) == 4 and whole["metric"] == "accuracy"
    complete = [one for one in whole["trials"] if one["state"] == "complete"]
    assert whole["best"] == max(complete, key=lambda one: one["value"])["number"]

    path, train, calls = write_swept(tmp_path / "halted", bases["bert"]), command.train, list[int]()

    def stopped_once(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(command, "train", stopped_once)
    with pytest.raises(KeyboardInterrupt):
        finetune(path)
    again = finetune(path)
    assert trials_of(again) == trials_of(whole) and len(calls) == 5
    assert trials_of(finetune(path)) == trials_of(whole) and len(calls) == 5, "a finished sweep is only printed"
    more = finetune(path, ("sweep.trials=5",))
    assert trials_of(more)[:4] == trials_of(whole) and len(calls) == 6

    kept = sorted(folder.parent.name for folder in (tmp_path / "whole/run").glob("trial-*/checkpoints"))
    assert kept == [f"trial-{whole['best']:03}"]
    with pytest.raises(TaskError, match="has the sweep of another config or of other ranges"):
        finetune(path, ("sweep.seed=2",))
    with pytest.raises(TaskError, match="has the sweep of another config"):
        finetune(path, ("train.weight_decay=0.5",))


def test_the_best_config_is_a_config(bases: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_swept(tmp_path / "one", bases["bert"])
    report = finetune(path, ("sweep.trials=2",))
    shown = capsys.readouterr().out
    assert "trial  state" in shown and "learning_rate" in shown and f"best    trial {report['best']}" in shown
    best = finetune(tmp_path / "one/run/best.toml")
    assert best["out"] == str(tmp_path / "one/run/best")
    trial = report["trials"][report["best"]]
    assert best["validation"]["accuracy"] == trial["value"] and best["steps"] == trial["steps"]
    assert json.loads((tmp_path / "one/run/report.json").read_text()) == report


def test_trials_below_the_median_end_early(bases: Mapping[str, Path], tmp_path: Path) -> None:
    path = write_swept(tmp_path / "one", bases["bert"])
    path.write_text(path.read_text().split("[sweep]")[0])
    other = tmp_path / "sweep.toml"
    ranges = '[sweep.ranges]\n"train.learning_rate" = [5e-3, 0.5]\n'
    other.write_text(f'[sweep]\ntrials = 5\nstartup_trials = 2\nmetric = "loss"\n{ranges}')
    report = finetune(path, ("train.epochs=4", "train.eval_every=3"), str(other))
    pruned = [one for one in report["trials"] if one["state"] == "pruned"]
    values = [one["value"] for one in report["trials"] if one["state"] == "complete"]
    assert pruned and all(len(one["evaluations"]) < 4 and one["steps"] is None for one in pruned)
    assert report["trials"][report["best"]]["values"] == {"train.learning_rate": 5e-3}
    assert report["trials"][report["best"]]["value"] == min(values)


def test_a_trial_that_fails_is_passed_over(bases: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, train, calls = write_swept(tmp_path / "one", bases["bert"]), command.train, list[int]()

    def failing(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise SpikeError("3 updates in a row were skipped")
        return train(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(command, "train", failing)
    report = finetune(path, ("sweep.trials=2",))
    assert [one["state"] for one in report["trials"]] == ["fail", "complete"] and report["best"] == 1


def test_what_cannot_be_swept_is_refused(bases: Mapping[str, Path], tmp_path: Path) -> None:
    path = write_swept(tmp_path / "one", bases["bert"])
    with pytest.raises(ConfigError, match=r"train.rate: unknown key"):
        finetune(path, ("sweep.ranges.train.rate=[1, 2]",))
    with pytest.raises(ConfigError, match="low must be below high"):
        finetune(path, ("sweep.ranges.train.learning_rate={low = 1.0, high = 0.1}",))
    with pytest.raises(TaskError, match=r"sweep.metric: there is no figure 'bleu'; there are accuracy, f1, loss"):
        finetune(path, ('sweep.metric="bleu"',))


def test_ranges_may_stand_in_tables_or_by_dotted_names() -> None:
    made = SweepSection.model_validate({"ranges": {"train": {"batch_rows": [8, 16]}, "model.dropout": {"low": 0.0, "high": 0.3}}})
    assert sorted(made.ranges) == ["model.dropout", "train.batch_rows"] and made.ranges["train.batch_rows"] == (8, 16)
    config = {"tasks": [{"kind": "a"}, {"kind": "b", "fields": {"text": "x y"}}], "run": {"out": "é\n", "rate": 2.5e-05}}
    written = as_toml({**config, "model": {"base": None, "layers": 2}})
    assert tomllib.loads(written) == {**config, "model": {"layers": 2}}, "None is absent"
