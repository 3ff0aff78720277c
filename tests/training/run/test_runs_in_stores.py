"""A run whose tokens and whose folder are in an object store: killed on one machine, resumed on another, it is the local run."""

import json
from pathlib import Path

import pytest
import torch

from pipelines.contract import files
from pipelines.contract.storage.stores import StoreError
from pipelines.exports.tokenizer import export_huggingface
from training.checkpoints import remote, trained
from training.checkpoints import store as checkpoint
from training.convert.export import export
from training.run import state
from training.run.pretrain import Report, pretrain
from training.run.progress import read_metrics

EXACT = ("step", "loss", "gradient_norm", "learning_rate", "tokens", "bytes", "validation_loss")


class Killed(Exception):
    """The process ended here."""


def run(config: Path, out: str, *overrides: str) -> Report:
    report = pretrain(config, (f"run.out={json.dumps(out)}", "train.tensorboard=false", *overrides))
    assert report is not None
    return report


def lines(folder: Path) -> list[dict[str, float]]:
    return [{name: line[name] for name in EXACT if name in line} for line in read_metrics(folder / "metrics.jsonl")]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    found = trained.find(folder)
    moments = {f"{name}: {moment}": value[moment] for name, value in found.load("optimizer").items() for moment in ("exp_avg",)}
    return found.load("model") | moments


def test_a_run_is_resumed_on_another_machine(
    s3, tiny_config: Path, dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.make("training")
    for path in dataset_folder.rglob("*"):
        if path.is_file():
            files.copy(str(path), files.join(bucket, "my tokens", path.relative_to(dataset_folder).as_posix()))
    tokens, out = f"data.tokens={json.dumps(f'{bucket}/my tokens')}", f"{bucket}/runs/tiny #1"
    local = run(tiny_config, str(tmp_path / "local"))

    def push_and_die(out: str, _say: object) -> None:
        remote.push(out)
        raise Killed

    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "one"))
    with monkeypatch.context() as killing, pytest.raises(Killed):
        killing.setattr(state.remote, "push_later", push_and_die)
        run(tiny_config, out, tokens)
    halfway = trained.find(remote.folder_of(out)).step
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "two"))
    report = run(tiny_config, out, tokens)
    assert 0 < halfway < local.steps == report.steps
    assert (report.out, report.last_validation_loss) == (out, local.last_validation_loss)
    there = remote.here(out)
    assert lines(there) == lines(tmp_path / "local")
    ended = tensors(tmp_path / "local")
    assert all(torch.equal(value, ended[name]) for name, value in tensors(there).items())
    assert json.loads((there / "report.json").read_text())["out"] == out
    assert not Path("s3:").exists()

    other, given = f"{bucket}/runs/branch", f'"{out}@9"'
    with pytest.raises(checkpoint.CheckpointError, match=r"#1@999: there is no such checkpoint; .* keeps the steps \[9, 12\]$"):
        run(tiny_config, other, tokens, f"train.branch_from={json.dumps(f'{out}@999')}")
    run(tiny_config, other, tokens, f"train.branch_from={given}", f"train.steps={local.steps + 2}")
    assert trained.find(remote.here(other)).step == local.steps + 2
    exported = export(out, f"{bucket}/hf", export_huggingface)
    assert "model.safetensors" in exported.files
    assert {uri.rsplit("/", 1)[1] for uri in files.listing(f"{bucket}/hf")} == set(exported.files)


def test_a_store_that_refuses_does_so_before_the_first_step(
    s3, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StoreError, match=r"^s3://no-such-bucket/run/config\.json: there is no such bucket; create it"):
        run(tiny_config, "s3://no-such-bucket/run")
    assert not (remote.folder_of("s3://no-such-bucket/run") / "metrics.jsonl").exists()
