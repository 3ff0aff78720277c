"""A run that is killed, stopped and resumed ends exactly as one that is not; a run that cannot be refuses to start."""

import copy
import fcntl
import itertools
import json
import math
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from places import ROOT

from flows.program import corpusmill
from pipelines.contract.manifest import DatasetError
from training.arguments import add_pretrain, parse
from training.checkpoints import store as checkpoint
from training.checkpoints import trained
from training.checkpoints.store import CheckpointError
from training.data.config import DataSection, RowsSection, may_change
from training.run import circumstances, trainer
from training.run.config import ModelSection, TrainSection
from training.run.distributed.processes import Learner
from training.run.feed import FeedError
from training.run.pretrain import Report, pretrain
from training.run.pretrain import run as run_command
from training.run.progress import Metrics, read_metrics
from training.run.remember.section import RememberSection
from training.run.state import Job, Learning, TrainingError
from training.run.updates.spikes import SpikeError

ROOT = ROOT
_DIVERGING = ("train.learning_rate=0.5", "train.warmup_steps=11")  # learns in the first steps, and is thrown about then
EXACT = ("step", "loss", "gradient_norm", "learning_rate", "tokens", "validation_loss")

# The program itself, slowed down (so that a signal finds it at work) or killed by itself at a place inside a save.
DRIVER = """
import os, signal, sys, time
from training.run import pretrain, trainer
from pipelines.contract import files

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, under which the tests may run, ignores it
sys.stdout = sys.stderr = open(log, "w", buffering=1)
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write = files.write_text
if place == "slow":
    update = trainer.update
    trainer.update = lambda *given, **named: (time.sleep(0.03), update(*given, **named))[1]
elif place:
    files.write_text = lambda uri, text: kill() if uri.endswith(place) and wording in text else write(uri, text)
pretrain.pretrain(config, overrides)
"""
_PROCESSES = multiprocessing.get_context("forkserver")  # its server imports torch once, and runs nothing itself
_PROCESSES.set_forkserver_preload(["training.run.pretrain", "torch.optim.adamw", "torch._dynamo"])


def run(config: Path, out: Path, *overrides: str) -> Report:
    return pretrain(config, (f"run.out={out}", *overrides))


def losses(out: Path) -> list[dict[str, Any]]:
    return [{name: line[name] for name in EXACT if name in line} for line in read_metrics(out / "metrics.jsonl")]


def weights(out: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.newest(out / "checkpoints", pytest.fail)
    assert found is not None
    return found.load("model")


def start(config: Path, out: Path, place: str, *overrides: str, wording: str = "") -> ForkServerProcess:
    """Train in a process of its own; what it prints goes to `<out>.log`. `wording` is of the file at whose place it is killed."""
    given = {"config": str(config), "overrides": (f"run.out={out}", *overrides), "log": f"{out}.log"}
    given |= {"place": place, "wording": wording}
    process = _PROCESSES.Process(target=exec, args=(DRIVER, given))
    process.start()
    return process


def wait_for_steps(out: Path, process: ForkServerProcess, more: int) -> None:
    wanted = len(read_metrics(out / "metrics.jsonl")) + more
    deadline = time.monotonic() + 300
    while len(read_metrics(out / "metrics.jsonl")) < wanted:
        assert process.is_alive() and time.monotonic() < deadline, Path(f"{out}.log").read_text()
        time.sleep(0.01)


def test_killed_anywhere_and_resumed_it_is_the_same_run(tiny_config: Path, tmp_path: Path) -> None:
    longer = ("train.steps=60", "train.save_every=10", "train.eval_every=30")
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    run(tiny_config, undisturbed, *longer)

    stops = ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGUSR1, 138), (signal.SIGKILL, -9))
    for number, code in stops:  # the first one before any save
        process = start(tiny_config, disturbed, "slow", *longer)
        wait_for_steps(disturbed, process, more=4)
        os.kill(process.pid or 0, number)
        process.join(300)
        said = Path(f"{disturbed}.log").read_text()
        assert process.exitcode == code, said
        if number != signal.SIGKILL:  # the step was finished and saved
            found = checkpoint.newest(disturbed / "checkpoints", pytest.fail)
            assert found is not None and found.step == losses(disturbed)[-1]["step"]
            assert f"stopped by {number.name} after step {found.step}; saved, run the same command to resume" in said
    for place in (".tmp/manifest.json", "LATEST"):
        process = start(tiny_config, disturbed, place, *longer)
        process.join(300)
        assert process.exitcode == -signal.SIGKILL, Path(f"{disturbed}.log").read_text()
    assert losses(disturbed)[-1]["step"] < 60  # there is something left to do

    run(tiny_config, disturbed, *longer)
    assert losses(disturbed) == losses(undisturbed)  # every step once, every number bit for bit
    assert [line["step"] for line in losses(disturbed)] == list(range(61))
    for name, value in weights(undisturbed).items():
        assert torch.equal(value, weights(disturbed)[name]), name


def test_it_learns_more_than_frequencies(tiny_config: Path, tmp_path: Path) -> None:
    report = run(tiny_config, tmp_path / "run", "train.steps=60", "model.dropout=0.0", "train.eval_every=60")
    assert 5.3 < report.first_validation_loss < 6.0  # ln 300 = 5.70
    assert report.last_validation_loss < report.unigram_entropy - 0.5
    assert report.last_bits_per_byte < report.first_bits_per_byte
    assert report.sample.startswith("the old")
    assert json.loads((tmp_path / "run" / "report.json").read_text())["steps"] == 60


def test_a_finished_run_only_reports(tiny_config: Path, tmp_path: Path) -> None:
    first = run(tiny_config, tmp_path / "run")
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert run(tiny_config, tmp_path / "run") == first
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


def test_micro_batches_add_up_to_the_whole_batch(tiny_config: Path, tmp_path: Path) -> None:
    for accumulate in (1, 4):
        run(tiny_config, tmp_path / str(accumulate), "model.dropout=0.0", "train.steps=6", f"train.accumulate={accumulate}")
    one, four = losses(tmp_path / "1"), losses(tmp_path / "4")
    for a, b in zip(one, four, strict=True):
        assert b.get("loss", 0) == pytest.approx(a.get("loss", 0), rel=1e-6)
        assert b.get("gradient_norm", 0) == pytest.approx(a.get("gradient_norm", 0), rel=1e-5)


def test_an_injected_nan_is_survived_and_logged(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Learner.losses

    def poisoned(learner: Learner, examples: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        sums = plain(learner, examples)
        return sums if next(calls) != 10 else {term: value * math.nan for term, value in sums.items()}

    calls = itertools.count()  # evaluations call it twice, a step in each of its two micro-batches
    monkeypatch.setattr(Learner, "losses", poisoned)
    run(tiny_config, tmp_path / "run")
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    (skipped,) = [line for line in lines if "skipped" in line]
    assert skipped["skipped"] == "loss nan" and math.isnan(skipped["loss"]) and math.isnan(skipped["gradient_norm"])
    assert skipped["step"] < 12 and lines[-1]["step"] == 12
    assert all(math.isfinite(line["loss"]) for line in lines[1:] if line is not skipped)
    assert all(bool(value.isfinite().all()) for value in weights(tmp_path / "run").values())
    assert json.loads((tmp_path / "run" / "report.json").read_text())["skipped"] == 1


def test_the_best_checkpoint_stays(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "run", "train.keep_best=true", "train.eval_every=1", "train.keep=1", *_DIVERGING)
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    lowest = min((line for line in lines if line["step"]), key=lambda line: line["validation_loss"])
    best = checkpoint.best(tmp_path / "run" / "checkpoints")
    assert best is not None and best.step == lowest["step"] < 12
    assert best.state["best_validation_loss"] == lowest["validation_loss"]
    assert sorted(path.name for path in best.path.parent.glob("step-*")) == [best.path.name, "step-00000012"]


def test_the_best_checkpoint_stays_when_it_was_written_and_not_yet_named(tiny_config: Path, tmp_path: Path) -> None:
    given = ("train.keep_best=true", "train.eval_every=1", "train.keep=1", *_DIVERGING)
    run(tiny_config, tmp_path / "undisturbed", *given)
    expected = checkpoint.best(tmp_path / "undisturbed" / "checkpoints")
    assert expected is not None and expected.step < 12
    process = start(tiny_config, tmp_path / "run", "BEST", *given, wording=expected.path.name)
    process.join(300)
    assert process.exitcode == -signal.SIGKILL, Path(f"{tmp_path / 'run'}.log").read_text()
    found = checkpoint.newest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert found is not None and found.step == expected.step
    assert (found.path.parent / "BEST").read_text().strip() != found.path.name
    run(tiny_config, tmp_path / "run", *given)
    again = checkpoint.best(tmp_path / "run" / "checkpoints")
    assert again is not None and again.step == expected.step
    assert all(torch.equal(value, again.load("model")[name]) for name, value in expected.load("model").items())


def test_a_resumed_run_knows_its_best_and_what_it_skipped(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a checkpoint holds beside weights is what the run had: skipped updates in a row, tokens, the best and its step."""
    seen: list[Learning] = []
    load = trainer.resume

    def resume(job: Job, learning: Learning, *others: Any) -> None:
        load(job, learning, *others)
        seen.append(copy.copy(learning))

    monkeypatch.setattr(trainer, "resume", resume)
    given = ("train.keep_best=true", "train.eval_every=1", "train.save_every=1", "train.keep=12", *_DIVERGING)
    run(tiny_config, tmp_path / "run", *given)
    folder = tmp_path / "run" / "checkpoints"
    state = json.loads((folder / "step-00000012" / "state.json").read_text())
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")[1:]
    lowest = min(lines, key=lambda line: line["validation_loss"])
    assert (state["best_validation_loss"], state["best_step"]) == (lowest["validation_loss"], lowest["step"])
    assert state["tokens"] == lines[-1]["tokens"] == 12 * 128

    found = checkpoint.read(folder / "step-00000012")
    kept = {name: value for name, value in found.state.items() if name != "step"} | {"best_step": 7, "best_validation_loss": 1.5}
    kept["spikes"] = {"losses": [5.0] * 12, "norms": [1.0] * 12, "skipped": 2}
    tokenizer = {"tokenizer.model": found.content("tokenizer.model")}
    checkpoint.save(folder, 12, checkpoint.Content({n: found.load(n) for n in ("model", "optimizer")}, kept, tokenizer), 12)
    run(tiny_config, tmp_path / "run", *given)
    resumed = seen[-1]
    assert (resumed.step, resumed.tokens, resumed.best, resumed.best_step) == (12, 12 * 128, 1.5, 7)
    assert resumed.spikes.state() == kept["spikes"]
    assert (folder / "BEST").read_text() == "step-00000007\n"


def test_fields_that_may_change_on_resume_are_these() -> None:
    """A field that changes losses must not be one of them."""
    train = "accumulate activation_checkpointing compile device eval_every eval_rows keep keep_best log_every max_skipped "
    train += "branch_from peak_tflops sample_every save_every strategy tensorboard threads workers"
    kinds = (TrainSection, ModelSection, DataSection, RowsSection, RememberSection)
    fields = {kind.__name__: may_change(kind.model_construct()) for kind in kinds}
    assert fields == {
        "TrainSection": set(train.split()),
        "DataSection": {"tokens", "name", "replay", "replay_name", "rows", "verify"},
        "RememberSection": {"tokens", "name"},
        "ModelSection": set(),
        "RowsSection": set(),
    }


def test_samples_are_kept_as_it_goes(tiny_config: Path, tmp_path: Path) -> None:
    report = run(tiny_config, tmp_path / "run", "train.sample_every=5")
    samples = read_metrics(tmp_path / "run" / "samples.jsonl")
    assert [line["step"] for line in samples] == [5, 10, 12]
    assert all(line["prompt"] == "the old" and line["text"].startswith("the old") for line in samples)
    assert samples[-1]["text"] == report.sample


def test_recomputed_layers_give_the_same_losses(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "kept")
    run(tiny_config, tmp_path / "twice", "train.activation_checkpointing=true")
    assert losses(tmp_path / "twice") == losses(tmp_path / "kept")  # dropout draws the same again


def test_a_run_starts_from_the_weights_of_another(tiny_config: Path, tmp_path: Path) -> None:
    first = run(tiny_config, tmp_path / "first")
    given = f'train.init_from="{tmp_path / "first"}"'
    second = run(tiny_config, tmp_path / "second", given)
    assert second.first_validation_loss == first.last_validation_loss
    assert losses(tmp_path / "second")[1]["learning_rate"] == losses(tmp_path / "first")[1]["learning_rate"]  # a new warm-up
    for how in ((), ("--dry-run",)):
        sets = [word for one in (f"run.out={tmp_path / 'third'}", given, "model.width=32") for word in ("--set", one)]
        with pytest.raises(CheckpointError, match="it is another model's checkpoint"):
            run_command(parse(add_pretrain, [str(tiny_config), *sets, *how]))
    expected = losses(tmp_path / "second")
    shutil.rmtree(tmp_path / "second" / "checkpoints" / "step-00000012")
    (tmp_path / "first").rename(tmp_path / "elsewhere")  # a run that has a checkpoint does not need it any more
    run(tiny_config, tmp_path / "second", given)
    assert losses(tmp_path / "second") == expected


def test_a_budget_of_bytes_becomes_steps(tiny_config: Path, tmp_path: Path) -> None:
    text = tiny_config.read_text().replace("steps = 12\n", "bytes = 5000\n")
    tiny_config.write_text(text)
    report = run(tiny_config, tmp_path / "run")
    assert 5000 <= report.bytes < 5000 + report.bytes / report.steps
    assert json.loads((tmp_path / "run" / "config.json").read_text())["train"]["steps"] == report.steps
    tiny_config.write_text(text.replace("bytes = 5000\n", "bytes = 9\n"))
    with pytest.raises(FeedError, match=r"train\.bytes: 9 bytes are 1 steps here, too few for train\.warmup_steps"):
        run(tiny_config, tmp_path / "short")


def test_rows_of_another_length_come_first(tiny_config: Path, tmp_path: Path) -> None:
    phases = "train.phases=[{until_step=5,length=8,batch_rows=16}]"
    run(tiny_config, tmp_path / "run", phases)
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["batch_tokens"] for line in lines[1:]] == [128] * 12  # 16 rows of 8 tokens, then 8 of 16
    assert len(list((tmp_path / "run" / "rows").glob("*"))) == 3  # of 8 and 16 tokens, and of the validation split
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000012")
    run(tiny_config, tmp_path / "run", phases)
    assert losses(tmp_path / "run") == [{n: line[n] for n in EXACT if n in line} for line in lines]
    with pytest.raises(CheckpointError, match=r"train\.phases was"):
        run(tiny_config, tmp_path / "run")


@pytest.mark.parametrize("optimizer", ["google_adam", "adafactor", "rms_adamw", "muon"])
def test_every_optimizer_goes_on_where_it_was(tiny_config: Path, tmp_path: Path, optimizer: str) -> None:
    given = (f'train.optimizer="{optimizer}"', "train.tensorboard=false")
    run(tiny_config, tmp_path / "run", *given)
    expected, ended = losses(tmp_path / "run"), weights(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000012")
    run(tiny_config, tmp_path / "run", *given)
    assert losses(tmp_path / "run") == expected
    assert all(torch.equal(value, ended[name]) for name, value in weights(tmp_path / "run").items())


def test_a_dry_run_writes_no_checkpoint(tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(parse(add_pretrain, [str(tiny_config), "--dry-run"]))
    said = capsys.readouterr().out
    assert not (tmp_path / "run" / "checkpoints").exists()
    for part in (
        "data ",
        "books: 256 rows",
        "epochs",
        "model   gpt, 11,648 parameters",
        "train   12 steps: 1,536 tokens",
        "memory  ",
        "disk ",
    ):
        assert part in said


def test_dropout_and_seed_matter(tiny_config: Path, tmp_path: Path) -> None:
    seen = set()
    for number, override in enumerate(("train.seed=1", "train.seed=2", "model.dropout=0.0")):
        run(tiny_config, tmp_path / str(number), "train.steps=3", override)
        seen.add(losses(tmp_path / str(number))[-1]["loss"])
    assert len(seen) == 3


def test_a_mixture_chooses_sources(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "a", "train.steps=3")
    run(tiny_config, tmp_path / "b", "train.steps=3", "data.mixture={books=1.0}")
    assert losses(tmp_path / "a")[1]["loss"] != losses(tmp_path / "b")[1]["loss"]


def test_a_broken_checkpoint_is_passed_over(tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tiny_config, tmp_path / "run")
    expected = losses(tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "step-00000012" / "model.pt"
    path.write_bytes(path.read_bytes()[:-5])
    run(tiny_config, tmp_path / "run")
    assert "model.pt: has" in (errors := capsys.readouterr().err) and "it is truncated; it is kept; taking" in errors
    assert "resumed from" in errors and "(step 9)" in errors
    assert "step-00000012: cannot be read; it is now step-00000012.unread" in errors and errors.count("it is kept") == 1
    assert losses(tmp_path / "run") == expected


def test_a_run_whose_checkpoints_cannot_be_read_does_not_begin_again(tiny_config: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "run", tmp_path / "run" / "checkpoints"
    run(tiny_config, out)
    for name in ("step-00000009", "step-00000012"):
        (folder / name / "model.pt").write_bytes(b"")
    (out / "report.json").unlink()

    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    before = content()
    with pytest.raises(CheckpointError, match=r"none of the 2 checkpoints can be read \(.*step-00000012/model\.pt: has 0 bytes"):
        run(tiny_config, out)
    assert content() == before
    folder.rename(tmp_path / "away")
    with pytest.raises(CheckpointError, match=r"run: has 12 steps in metrics\.jsonl, but no checkpoints/ any more; put it back"):
        run(tiny_config, out)
    (tmp_path / "away").rename(folder)
    assert content() == before


def test_a_config_that_is_refused_or_only_planned_leaves_that_of_the_run(tiny_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(tiny_config, out, "train.steps=3")
    before = (out / "config.json").read_bytes()
    pretrain(tiny_config, (f"run.out={out}", "train.steps=3", "train.learning_rate=0.5"), dry_run=True)
    assert (out / "config.json").read_bytes() == before
    with pytest.raises(CheckpointError, match=r"train\.learning_rate was"):
        run(tiny_config, out, "train.steps=3", "train.learning_rate=0.5")
    assert (out / "config.json").read_bytes() == before
    run(tiny_config, out, "train.steps=3", "train.eval_rows=8")  # may change
    assert json.loads((out / "config.json").read_text())["train"]["eval_rows"] == 8


def test_a_state_without_what_a_run_needs_is_refused(tiny_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(tiny_config, out, "train.steps=3")
    found = checkpoint.read(out / "checkpoints" / "step-00000003")
    tensors = {name: found.load(name) for name in ("model", "optimizer")}
    files = {"tokenizer.model": found.content("tokenizer.model")}

    def save_without(*names: str) -> None:
        state = {name: value for name, value in found.state.items() if name not in names}
        checkpoint.save(out / "checkpoints", 3, checkpoint.Content(tensors, state, files), 1)

    for name in ("circumstances", "spikes", "tokens", "best_step", "best_validation_loss", "identity", "config"):
        save_without(name)
        with pytest.raises(
            CheckpointError, match=rf"step-00000003/state\.json: has no '{name}', which this release .* needs; go"
        ):
            run(tiny_config, out, "train.steps=3")
    for name in ("model", "tokenizer"):
        save_without(name)
        with pytest.raises(CheckpointError, match=rf"state\.json: has no '{name}'"):
            trained.load(out)
    save_without("config", "identity", "spikes")  # as an import
    with pytest.raises(
        CheckpointError, match=r"is an import, with weights alone; start .* train\.init_from, and name another run"
    ):
        run(tiny_config, out, "train.steps=3")


def test_an_unreadable_checkpoint_outlives_the_steps_after_it(tiny_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(tiny_config, out, "train.save_every=1", "train.keep=4", "train.steps=8")
    expected = losses(out)
    for step in (6, 8):
        (out / "checkpoints" / f"step-{step:08}" / "model.pt").write_bytes(b"torn")
    run(tiny_config, out, "train.save_every=1", "train.keep=1", "train.steps=8")
    assert losses(out) == expected
    left = sorted(path.name for path in (out / "checkpoints").glob("step-*"))
    assert left == ["step-00000006", "step-00000008", "step-00000008.unread"]
    assert (out / "checkpoints" / "step-00000008.unread" / "model.pt").read_bytes() == b"torn"


def test_a_finished_run_without_its_metrics_says_so(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    first = run(tiny_config, out)
    metrics = out / "metrics.jsonl"
    text = metrics.read_text()
    lines = text.splitlines(keepends=True)

    metrics.write_text("".join([*lines[:6], lines[6][:20] + "\n", *lines[7:]]))  # a torn line, and whole ones after it
    assert run(tiny_config, out) == first
    assert "metrics.jsonl: line 7 is damaged (1 in all); a copy is metrics.jsonl.damaged" in capsys.readouterr().err
    assert [line["step"] for line in read_metrics(metrics)] == [*range(6), *range(7, 13)]
    assert lines[6][:20] in (out / "metrics.jsonl.damaged").read_text()

    odd = [
        '{"step": true}',
        '{"step": 3, "loss": null}',
        '{"step": 4, "validation_loss": null}',
        '{"step": 5, "tokens": "9"}',
        "[3]",
    ]
    metrics.write_text("".join([*lines[:3], *(f"{line}\n" for line in odd), *lines[8:]]))
    assert run(tiny_config, out).last_validation_loss == first.last_validation_loss
    assert "metrics.jsonl: line 4 is damaged (5 in all)" in capsys.readouterr().err
    metrics.write_text("".join([lines[0].replace(str(first.first_validation_loss), "NaN"), *lines[1:]]))
    report = run(tiny_config, out)
    assert math.isnan(report.first_validation_loss) and report.best_validation_loss == first.best_validation_loss

    metrics.write_text("".join(lines[3:]))
    assert run(tiny_config, out).first_validation_loss == json.loads(lines[4])["validation_loss"]
    assert "metrics.jsonl: begins at step 4, from which the first losses are" in capsys.readouterr().err

    for content in (None, "", "".join(lines[:9]), lines[0][:30]):
        metrics.unlink() if content is None else metrics.write_text(content)
        with pytest.raises(TrainingError, match=r"metrics\.jsonl: has no validation loss of step 12, so there is no report; "):
            run(tiny_config, out)
    metrics.write_text(text)
    assert run(tiny_config, out) == first


def test_an_unfinished_run_says_which_metrics_are_lost(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    run(tiny_config, out)
    lines = (out / "metrics.jsonl").read_text().splitlines(keepends=True)
    for content, said in (("".join(lines[:10]), None), ("".join(lines[:6]) + lines[6][:9], "6 to 9"), ("", "0 to 9")):
        shutil.rmtree(out / "checkpoints" / "step-00000012")
        (out / "metrics.jsonl").write_text(content)
        capsys.readouterr()
        run(tiny_config, out)
        told = [line for line in capsys.readouterr().err.splitlines() if "metrics are lost" in line]
        assert told == (
            [] if said is None else [f"{out}/metrics.jsonl: has no lines of the steps {said}; their metrics are lost"]
        )
        assert [line["step"] for line in read_metrics(out / "metrics.jsonl")][-3:] == [10, 11, 12]


def test_other_circumstances_warn(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tiny_config, tmp_path / "run")
    run(tiny_config, tmp_path / "run")
    assert "the checkpoint was made with" not in capsys.readouterr().err
    monkeypatch.setattr(torch, "__version__", "99.0")
    monkeypatch.setattr(circumstances, "code", lambda: "f" * 64)
    monkeypatch.setattr(circumstances, "machine", lambda _device: "a slide rule")
    run(tiny_config, tmp_path / "run", "train.accumulate=4", "train.activation_checkpointing=true")
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("the checkpoint was made with")]
    assert [line.split()[5] for line in told] == ["code", "torch", "machine", "accumulate", "activation_checkpointing"]
    assert all(line.endswith("losses may differ in their last bits") for line in told)
    assert "(ffffffffffff)" in told[0] and "this is 99.0" in told[1] and "this is a slide rule" in told[2]


def test_the_code_is_known_by_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("training/loop.py", "a = 1"), ("pipelines/contract/parts.py", "b = 2"), ("pipelines/other.py", "c = 3")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(circumstances, "_ROOT", tmp_path)
    found = []
    for name, text in (("README", ""), ("pipelines/other.py", "c = 4"), ("training/loop.py", "a = 2"), ("training/new.py", "")):
        (tmp_path / name).write_text(text)
        circumstances.code.cache_clear()
        found.append(circumstances.code())
    circumstances.code.cache_clear()
    assert found[0] == found[1] and len(set(found)) == 3  # what no training runs does not count


FULL_DISK = """
mount -t tmpfs -o size=600k none "$disk" || exit 77
"$python" -P -m flows.commands.main pretrain "$config" "$@"; echo $? > "$kept/code"
(cd "$disk/run/checkpoints" && ls -A) > "$kept/listing"
mount -o remount,size=8m "$disk"
"$python" -P -m flows.commands.main pretrain "$config" "$@" && cp -r "$disk/run" "$kept"
"""


def test_a_disk_that_is_full_loses_nothing(tiny_config: Path, tmp_path: Path) -> None:
    """On a real one of 600 kB, in a namespace of its own: a few saves fit, and then one does not."""
    given = ("train.save_every=2", "train.keep=9", "train.tensorboard=false")
    run(tiny_config, tmp_path / "undisturbed", *given)
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    places = {"disk": disk, "kept": kept, "config": tiny_config, "python": sys.executable}
    sets = [word for one in (f"run.out={disk / 'run'}", *given) for word in ("--set", one)]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh", *sets],
        cwd=ROOT,
        env={**os.environ, **{name: str(path) for name, path in places.items()}},
        capture_output=True,
        text=True,
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"this machine lets nobody mount a small disk: {done.stderr.strip()}")
    assert (kept / "code").read_text() == "1\n", done.stderr
    assert re.search(r"cannot write the checkpoint \(.*\); earlier ones are untouched; free some space", done.stderr)
    *saved, latest = sorted((kept / "listing").read_text().split(), key=lambda name: name == "LATEST")
    assert latest == "LATEST" and 1 <= len(saved) < 6 and saved == [f"step-{2 * n:08}" for n in range(1, len(saved) + 1)]
    assert f"(step {2 * len(saved)})" in done.stderr and done.returncode == 0, done.stderr
    assert losses(kept / "run") == losses(tmp_path / "undisturbed")
    assert all(torch.equal(value, weights(kept / "run")[name]) for name, value in weights(tmp_path / "undisturbed").items())


def test_a_disk_that_is_full_between_saves_is_told(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Metrics, "write", lambda *_: os.write(os.open("/dev/full", os.O_WRONLY), b"a line"))
    with pytest.raises(TrainingError, match=r"run: cannot write \(.*No space left on device\); what is saved is whole"):
        run(tiny_config, tmp_path / "run")


def test_bfloat16_learns_as_float32_does(tiny_config: Path, tmp_path: Path) -> None:
    given = ("train.steps=40", "train.eval_every=40", "model.dropout=0.0", "train.tensorboard=false")
    exact = run(tiny_config, tmp_path / "float32", *given)
    rough = run(tiny_config, tmp_path / "bfloat16", *given, 'train.dtype="bfloat16"')
    assert rough.last_validation_loss != exact.last_validation_loss
    assert rough.last_validation_loss == pytest.approx(exact.last_validation_loss, abs=0.02)
    assert {value.dtype for value in weights(tmp_path / "bfloat16").values()} == {torch.float32}
    with pytest.raises(CheckpointError, match=r"train\.dtype was 'bfloat16', and is 'float32' here"):
        run(tiny_config, tmp_path / "bfloat16", *given)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself
def test_compiled_layers_learn_the_same(tiny_config: Path, tmp_path: Path) -> None:
    given = ("train.steps=4", "model.layers=1", "model.dropout=0.0", "train.tensorboard=false", "train.save_every=2")
    run(tiny_config, tmp_path / "eager", *given)
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    run(tiny_config, tmp_path / "compiled", *given, "train.compile=true")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > compiled
    for one, other in zip(losses(tmp_path / "eager"), losses(tmp_path / "compiled"), strict=True):
        for name in ("loss", "validation_loss"):
            assert other.get(name, 0) == pytest.approx(one.get(name, 0), rel=1e-5)
    assert weights(tmp_path / "eager").keys() == weights(tmp_path / "compiled").keys()  # a checkpoint does not tell
    shutil.rmtree(tmp_path / "compiled" / "checkpoints" / "step-00000004")
    run(tiny_config, tmp_path / "compiled", *given)  # and goes on without


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("model.width=32", r"model\.width was 16, and is 32 here"),
        ("train.learning_rate=0.5", r"train\.learning_rate was 0\.01, and is 0\.5 here"),
        ("train.steps=14", r"train\.steps was 12, and is 14 here"),
        ("data.mixture={books=1}", r"data\.mixture was \{\}, and is \{'books': 1\.0\} here"),
    ],
)
def test_a_checkpoint_of_another_config_is_refused(tiny_config: Path, tmp_path: Path, override: str, field: str) -> None:
    run(tiny_config, tmp_path / "run", "train.save_every=12")
    with pytest.raises(CheckpointError, match=rf"step-00000012: {field}; set it back, or name another folder in run\.out"):
        run(tiny_config, tmp_path / "run", override)
    run(tiny_config, tmp_path / "run", "train.eval_every=5", "train.keep=7")  # these change nothing


def test_a_checkpoint_of_other_tokens_is_refused(tiny_config: Path, tmp_path: Path, own_dataset: Path) -> None:
    run(tiny_config, tmp_path / "run")
    path = own_dataset / "manifest.json"
    made = json.loads(path.read_text())
    path.write_text(json.dumps(made | {"fingerprint": "0" * 64}))
    with pytest.raises(CheckpointError, match="was trained on another tokens dataset"):
        run(tiny_config, tmp_path / "run", f"data.tokens={own_dataset}")


def test_too_little_data_is_refused(tiny_config: Path, tmp_path: Path, own_dataset: Path) -> None:
    with pytest.raises(FeedError, match=r"rows of 16 tokens, fewer than one batch of 100,000; lower data\.batch_rows"):
        run(tiny_config, tmp_path / "run", "data.batch_rows=100000")
    path = own_dataset / "manifest.json"
    made = json.loads(path.read_text())
    made["parts"] = [part for part in made["parts"] if "validation" not in part["table"]]
    path.write_text(json.dumps(made))
    with pytest.raises(DatasetError, match=r"the split 'validation' is empty; the dataset has \['train'\]"):
        run(tiny_config, tmp_path / "run", f"data.tokens={own_dataset}")


def test_a_second_run_in_the_folder_is_refused(tiny_config: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(TrainingError, match="another run is writing here"):
            run(tiny_config, tmp_path / "run")


def test_a_model_that_computes_no_numbers_any_more_ends_the_run(tiny_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(tiny_config, out, "train.steps=3", "train.clip=1.0")
    found = checkpoint.read(out / "checkpoints" / "step-00000003")
    broken = found.load("model") | {"norm.weight": torch.full((16,), float("nan"))}
    state = {name: value for name, value in found.state.items() if name != "step"}
    state["spikes"] = {"losses": [], "norms": [], "skipped": 0}
    content = checkpoint.Content({"model": broken, "optimizer": found.load("optimizer")}, state)
    shutil.rmtree(out / "checkpoints" / "step-00000003")
    checkpoint.save(out / "checkpoints", 2, content, keep=2)
    with pytest.raises(
        SpikeError, match=r"1 updates in a row were skipped \(train\.max_skipped\), the last one for its loss nan; train on"
    ):
        run(tiny_config, out, "train.steps=3", "train.clip=1.0", "train.max_skipped=1")
    assert [path.name for path in (out / "checkpoints").glob("step-*")] == ["step-00000002"]


def test_the_command_says_one_line_and_exits_1(tmp_path: Path) -> None:
    command = corpusmill("pretrain", str(tmp_path / "none.toml"))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "error"})
    assert done.returncode == 1
    assert (
        done.stderr == f"corpusmill: {tmp_path}/none.toml: no such file; the configs that come with corpusmill lie in configs/\n"
    )


def test_the_command_takes_overrides(tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(parse(add_pretrain, [str(tiny_config), "--set", "train.steps=3", "--set", f"run.out={tmp_path / 'other'}"]))
    printed = capsys.readouterr()
    assert "unigram entropy of the same targets" in printed.out
    assert "step  3/3" in printed.err.replace("step 3/3", "step  3/3")
    assert (tmp_path / "other" / "checkpoints" / "step-00000003").is_dir()
