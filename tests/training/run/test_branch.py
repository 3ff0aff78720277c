"""A branch goes on from any checkpoint of another run, with other settings; unchanged, it is that run, bit for bit."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from training.arguments import add_pretrain, parse
from training.checkpoints import store as checkpoint
from training.checkpoints.store import CheckpointError
from training.evaluation.trace import TraceError, trace
from training.run.config import load
from training.run.phases import open_course
from training.run.pretrain import Report, pretrain
from training.run.pretrain import run as run_command
from training.run.progress import read_metrics
from training.run.updates.optimizers import share

EXACT = ("step", "loss", "gradient_norm", "learning_rate", "tokens", "bytes", "validation_loss")
KEPT = ("train.keep=9", "train.tensorboard=false")


def run(config: Path, out: Path, *overrides: str) -> Report | None:
    return pretrain(config, (f"run.out={out}", *KEPT, *overrides))


def branch(parent: str) -> str:
    return f"train.branch_from={json.dumps(parent)}"


def lines(out: Path) -> list[dict[str, Any]]:
    return [{name: line[name] for name in EXACT if name in line} for line in read_metrics(out / "metrics.jsonl")]


def last_weights(out: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.newest(out / "checkpoints", pytest.fail)
    assert found is not None
    return found.load("model") | {f"moments of {n}": v["exp_avg"] for n, v in found.load("optimizer").items()}


@pytest.fixture
def parent(tiny_config: Path, tmp_path: Path) -> Path:
    run(tiny_config, tmp_path / "parent")
    return tmp_path / "parent"


def test_an_unchanged_branch_is_its_parent(
    tiny_config: Path, parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, given = tmp_path / "branch", branch(f"{parent}@6")
    capsys.readouterr()
    run(tiny_config, out, given)
    assert lines(out)[1:] == [line for line in lines(parent) if line["step"] > 6]
    assert lines(out)[0]["step"] == 6 and lines(out)[0]["tokens"] == 6 * 128
    ended = last_weights(parent)
    assert all(torch.equal(value, ended[name]) for name, value in last_weights(out).items())
    said = capsys.readouterr().err
    assert "takes its weights, optimiser, spike history and place in the data (48 rows drawn)" in said
    assert "its losses and weights are the parent's, bit for bit" in said and "not bit-equal" not in said

    sha = hashlib.sha256((parent / "checkpoints" / "step-00000006" / "manifest.json").read_bytes()).hexdigest()
    record = json.loads((out / "branch.json").read_text())
    assert (record["parent"]["step"], record["parent"]["checkpoint"], record["offset_rows"]) == (6, sha, 0)
    state = json.loads((out / "checkpoints" / "step-00000012" / "state.json").read_text())
    assert state["branch"] == {"parent": record["parent"], "offset_rows": 0}

    parent.rename(tmp_path / "elsewhere")  # a branch that has begun needs no parent
    for step in (9, 12):
        shutil.rmtree(out / "checkpoints" / f"step-{step:08}")
    expected = lines(out)
    run(tiny_config, out)  # nor its argument
    assert lines(out) == expected
    run(tiny_config, tmp_path / "again", branch(f"{tmp_path / 'elsewhere'}@6"))  # the identity of the parent knows no path
    assert json.loads((tmp_path / "again" / "branch.json").read_text())["parent"] == record["parent"]


def test_another_batch_begins_where_the_parents_ended(
    tiny_config: Path, parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "branch"
    given = (branch(f"{parent}@6"), "data.batch_rows=4", "train.steps=16", "train.clip=0.5", 'train.dtype="bfloat16"')
    sets = [word for one in (f"run.out={out}", *KEPT, *given) for word in ("--set", one)]
    capsys.readouterr()
    run_command(parse(add_pretrain, [str(tiny_config), "--dry-run", *sets]))
    planned = capsys.readouterr().out
    assert not (out / "checkpoints").exists()
    for text in (
        "train   16 steps: 1,408 tokens at most",  # 6 * 8 and 10 * 4 rows of 16
        "data.batch_rows: 8 -> 4",
        "batches begin with row 48 of the order, where the parent's ended, and have other rows",
        "learning rates differ from step 7 on; that of step 7 is 0.00628 -> 0.00806",
        "train.clip, train.dtype change losses from step 7 on",
    ):
        assert text in planned, planned
    run(tiny_config, out, *given)
    resolved = load(tiny_config, (f"run.out={out}", "data.batch_rows=4", "train.steps=16", "data.offset_rows=24"))
    ours = open_course(resolved, parent / "rows").last
    theirs = open_course(load(tiny_config), parent / "rows").last
    assert json.loads((out / "branch.json").read_text())["offset_rows"] == 6 * 8 - 6 * 4
    assert [*ours.rows(6), *ours.rows(7)] == theirs.rows(6).tolist()
    assert [line["tokens"] for line in lines(out)] == [6 * 128 + 64 * n for n in range(11)]
    shutil.rmtree(out / "checkpoints" / "step-00000016")
    expected = lines(out)
    run(tiny_config, out, *given)
    assert lines(out) == expected


def test_a_larger_batch_has_no_rows_for_the_parents_steps(tiny_config: Path, parent: Path, tmp_path: Path) -> None:
    out, given = tmp_path / "branch", (branch(f"{parent}@3"), "data.batch_rows=20", "train.steps=4")
    run(tiny_config, out, *given)
    theirs = open_course(load(tiny_config), parent / "rows").last
    rows = [row.number for row in trace(out, 3).rows]
    assert rows == theirs.sampler.rows(3 * 8, 20).tolist()
    with pytest.raises(
        TraceError, match=r"branch: is a branch, which began after step 3; trace step 2 in its parent, .*parent@3"
    ):
        trace(out, 2)


def test_phases_that_stay_or_change_are_told(tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phases, other = ("train.phases=[{until_step=4,length=8}]", "train.phases=[{until_step=5,length=8}]")
    run(tiny_config, tmp_path / "parent", phases, "train.steps=6")

    def told(*given: str) -> str:
        capsys.readouterr()
        config = (f"run.out={tmp_path / 'branch'}", *KEPT, branch(f"{tmp_path / 'parent'}@3"), "train.steps=6", *given)
        pretrain(tiny_config, config, dry_run=True)
        return capsys.readouterr().out.partition("takes its weights, optimiser, spike history and ")[2]

    assert told(phases).startswith(
        "place in the data (step 3 of its phases)\n        its losses and weights are the parent's, bit"
    )
    seed = told(phases, "data.seed=2")
    assert "the order of rows is another (row index, seed): 3 steps count as done, some may come again" in seed
    for given in ((other,), ()):
        said = told(*given)
        assert "the phases are others, so the rows of its steps are, too" in said and "order of rows" not in said


def test_a_stable_checkpoint_cools_down(tiny_config: Path, tmp_path: Path) -> None:
    stable = ('train.schedule="constant"', "train.steps=10")
    run(tiny_config, tmp_path / "stable", *stable)
    assert [line["learning_rate"] for line in lines(tmp_path / "stable")[1:]] == [0.005] + [0.01] * 9
    for end in (8, 10):  # from step 6, with another number of steps each
        given = (branch(f"{tmp_path / 'stable'}@6"), 'train.schedule="wsd"', f"train.steps={end}", "train.min_share=0")
        run(tiny_config, tmp_path / str(end), *given, f"train.cooldown_steps={end - 6}")
        rates = [line["learning_rate"] for line in lines(tmp_path / str(end))[1:]]
        assert rates == pytest.approx([0.01 * (1 - n / (end - 6)) for n in range(1, end - 5)])
    longer = tmp_path / "longer"
    run(tiny_config, longer, branch(str(tmp_path / "stable")), 'train.schedule="constant"', "train.steps=12")
    undisturbed = tmp_path / "undisturbed"
    run(tiny_config, undisturbed, 'train.schedule="constant"', "train.steps=12")
    same = [{name: value for name, value in line.items() if name != "validation_loss"} for line in lines(undisturbed)[11:]]
    assert [{name: v for name, v in line.items() if name != "validation_loss"} for line in lines(longer)[1:]] == same


def test_t5_as_published(tiny_config: Path) -> None:
    """1 / sqrt(max(step, 10^4)) (arXiv 1910.10683, 3.1.2), then 0.001."""
    given = ("train.learning_rate=0.01", "train.warmup_steps=10000", 'train.warmup="constant"', "train.min_share=0")
    settings = load(tiny_config, (*given, 'train.schedule="inverse_sqrt"', "train.steps=524288")).train
    for step in (0, 9_999, 10_000, 40_000, 524_287):
        assert 0.01 * share(step, settings) == pytest.approx(1 / max(step, 10_000) ** 0.5, rel=1e-12)
    tuned = load(tiny_config, ("train.learning_rate=0.001", "train.warmup_steps=0", 'train.schedule="constant"')).train
    assert {share(step, tuned) for step in range(12)} == {1.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("model.width=32",), r"step-00000006: the weight \S+ has the shape .*; it is another model's checkpoint"),
        (
            ('train.optimizer="muon"',),
            r"step-00000006: has the state of adamw, not of muon \(train\.optimizer\); start a new one",
        ),
        (("train.steps=6",), r"step-00000006: is of step 6; raise train\.steps \(6\), which counts the parent's steps too"),
        (
            ("data.batch_rows=4", "train.phases=[{until_step=8,length=8}]"),
            r"data\.batch_rows: cannot change in a branch with train\.phases or data\.stages",
        ),
        (("train.init_from='other'",), r"train\.init_from and a branch exclude each other; remove one"),
    ],
)
def test_what_cannot_be_branched_is_refused(
    tiny_config: Path, parent: Path, tmp_path: Path, given: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        run(tiny_config, tmp_path / "branch", branch(f"{parent}@6"), *given)
    assert not (tmp_path / "branch" / "checkpoints").exists()


def test_a_branch_needs_its_own_folder_and_a_checkpoint(
    tiny_config: Path, parent: Path, tmp_path: Path, make_dataset: Callable[..., Path], documents: Any
) -> None:
    with pytest.raises(CheckpointError, match=r"@7: there is no such checkpoint; .*parent keeps the steps \[3, 6, 9, 12\]"):
        run(tiny_config, tmp_path / "branch", branch(f"{parent}@7"))
    with pytest.raises(CheckpointError, match=r"parent: has a run that is no branch of .*; name another run"):
        run(tiny_config, parent, branch(f"{parent}@6"))
    run(tiny_config, tmp_path / "branch", branch(f"{parent}@6"), "train.steps=7")
    with pytest.raises(CheckpointError, match=r"branch: began as a branch of \S+@6, not of \S+@9; name another run\.out"):
        run(tiny_config, tmp_path / "branch", branch(f"{parent}@9"), "train.steps=7")
    other = make_dataset(tmp_path / "other", documents, vocabulary=290)
    with pytest.raises(CheckpointError, match="was trained with another tokenizer than data"):
        run(tiny_config, tmp_path / "tokens", branch(f"{parent}@6"), f"data.tokens={other}")


def test_a_branch_that_lost_its_checkpoints_does_not_begin_again(tiny_config: Path, parent: Path, tmp_path: Path) -> None:
    out = tmp_path / "branch"
    run(tiny_config, out, branch(f"{parent}@6"), "train.steps=7")
    shutil.rmtree(out / "checkpoints")
    before = (out / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=r"branch: has 7 steps in metrics.* but no checkpoints/ any more; .* at step 6$"):
        run(tiny_config, out, branch(f"{parent}@6"), "train.steps=7")
    assert (out / "metrics.jsonl").read_bytes() == before


def test_a_changed_setting_names_the_command_that_branches(tiny_config: Path, parent: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        run(tiny_config, parent, "train.steps=14")
    command = str(caught.value).partition("in a branch: corpusmill pretrain ")[2].split()
    assert command[-4:] == ["--branch-from", f"{parent}@12", "--set", f"run.out={parent}-branch"]
    run_command(parse(add_pretrain, command))
    assert lines(Path(f"{parent}-branch"))[-1]["step"] == 14


def test_a_checkpoint_from_before_a_setting_existed_resumes(tiny_config: Path, parent: Path) -> None:
    found = checkpoint.read(parent / "checkpoints" / "step-00000009")
    state = {name: value for name, value in found.state.items() if name != "step"}
    for section, name in (("data", "offset_rows"), ("train", "warmup"), ("train", "branch_from")):
        del state["config"][section][name]
    shutil.rmtree(parent / "checkpoints" / "step-00000012")
    files = {"tokenizer.model": found.content("tokenizer.model")}
    tensors = {name: found.load(name) for name in ("model", "optimizer")}
    checkpoint.save(parent / "checkpoints", 9, checkpoint.Content(tensors, state, files), 9)
    expected = lines(parent)
    run(tiny_config, parent)
    assert lines(parent) == expected
