"""Two processes over gloo are one: the same gradients, losses and files; any number of them goes on with a run."""

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from training.checkpoints import store as checkpoint
from training.run.progress import read_metrics

# A process of a run, as torchrun starts it: the program itself, or one update whose gradients are kept.
DRIVER = """
import os, sys, time
os.environ.update(environment)
sys.stdout = sys.stderr = open(log, "w", buffering=1)
from training.run import pretrain, trainer
from training.run.config import load
from training.run.device import prepare
from training.run.distributed.processes import join

if patience is not None:
    from training.run.distributed import watch
    watch.NAMED_AFTER, watch.GRACE, watch._SILENT = patience, 3 * patience, patience / 2
if slow:
    update = trainer.update
    trainer.update = lambda *given, **named: (time.sleep(0.05), update(*given, **named))[1]
if gradients is None:
    try:
        pretrain.pretrain(config, overrides)
    except ValueError as error:
        sys.exit(str(error))
else:
    import torch
    from torch.distributed.tensor import DTensor
    from training.models.families import make

    class Kept(torch.optim.SGD):
        def zero_grad(self, set_to_none=True):
            pass

    chosen = load(config, overrides)
    device = prepare("cpu", "float32", 1)
    with join("cpu") as world:
        job = pretrain._prepared(chosen, device, world)
        size = job.course.last.dataset.tokenizer.size
        learning = trainer.start(job, make(chosen.model.shape(size, chosen.positions), 1), device, world)
        learning.optimizers = [Kept([{"params": list(learning.learner.model.parameters()), "peak": 0.0}], lr=0.0)]
        batches = job.course.batches(0, rank=world.rank, world=world.size, workers=0, micro_batches=chosen.train.accumulate)
        step, feed, examples = next(batches)
        trainer.update(job, learning, feed, device, world, step, examples)
        found = {name: weight.grad for name, weight in learning.learner.model.named_parameters() if weight.grad is not None}
        whole = {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in found.items()}
        if world.rank == 0:
            torch.save(whole, gradients)
        world.barrier()
"""
_PROCESSES = multiprocessing.get_context("forkserver")  # its server imports torch once, and runs nothing itself
_PROCESSES.set_forkserver_preload(["training.run.pretrain", "torch.optim.adamw", "torch._dynamo", "torch.nn.parallel"])
SPECIALS = {"gpt": "causal_lm", "bert": "masked_lm", "bart": "text_infilling", "t5": "span_corruption"}


# Shares of a small model, as Python itself ends them: a process that multiprocessing started is ended in another way.
ENDING = """
import sys, torch, weakref
from torch.distributed.fsdp import fully_shard
from training.run.distributed.processes import join

def work(world):
    layers = torch.nn.Sequential(*[torch.nn.Linear(64, 64) for _ in range(4)])
    for part in (*layers, layers):
        fully_shard(part)
    for _ in range(3):
        layers(torch.randn(4, 64)).sum().backward()
    for weight in layers.parameters():
        weight.full_tensor()
    world.barrier()
    return weakref.ref(layers)

torch.set_num_threads(1)
with join("cpu") as world:
    model = work(world)
if model() is not None:
    sys.exit("the model, and with it the group and its threads, lives until Python ends")
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def of_rank(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    told = {"WORLD_SIZE": size, "RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in told.items()}


def start(
    config: Path,
    out: Path,
    size: int,
    *overrides: str,
    slow: bool = False,
    gradients: Path | None = None,
    outs: Sequence[Path] = (),
    configs: Sequence[Path] = (),
    patience: float | None = None,
) -> list[ForkServerProcess]:
    """All processes of a run; what process r prints goes to `<out>.<r>.log`."""
    port, made = free_port(), list[ForkServerProcess]()
    for rank in range(size):
        given = {
            "environment": of_rank(rank, size, port),
            "config": str(configs[rank] if configs else config),
            "patience": patience,
            "overrides": (f"run.out={outs[rank] if outs else out}", "model.dropout=0.0", "train.tensorboard=false", *overrides),
            "log": f"{out}.{rank}.log",
            "slow": slow,
            "gradients": None if gradients is None else str(gradients),
        }
        made.append(_PROCESSES.Process(target=exec, args=(DRIVER, given)))
        made[-1].start()
    return made


def ended(processes: Sequence[ForkServerProcess]) -> list[int | None]:
    for process in processes:
        process.join(300)
    return [process.exitcode for process in processes]


def run(config: Path, out: Path, size: int, *overrides: str, gradients: Path | None = None) -> None:
    assert ended(start(config, out, size, *overrides, gradients=gradients)) == [0] * size, said(out, size)


def said(out: Path, size: int) -> str:
    return "\n".join(Path(f"{out}.{rank}.log").read_text() for rank in range(size))


def close(one: Path, other: Path) -> None:
    """Every step's numbers are the same to 1e-6 (the norm, summed in another order, to 1e-5)."""
    lines, others = (read_metrics(out / "metrics.jsonl") for out in (one, other))
    assert [line["step"] for line in lines] == [line["step"] for line in others]
    for a, b in zip(lines, others, strict=True):
        for name in ("loss", "validation_loss", "gradient_norm", "tokens", "bytes", "learning_rate"):
            limit = 1e-5 if name == "gradient_norm" else 1e-6
            assert b.get(name, 0) == pytest.approx(a.get(name, 0), rel=limit), (a["step"], name)


@pytest.fixture
def config_of(make_dataset: Callable[..., Path], documents: Any, tiny_config: Path) -> Callable[[str], Path]:
    """A tiny config of a family; 7 rows a step, so that no process has as many as the other."""

    def made(family: str) -> Path:
        tokens = make_dataset(tiny_config.parent / f"{family}_tokens", documents, families=(family,), sentence_tokens=8)
        text = tiny_config.read_text().replace("batch_rows = 8", "batch_rows = 7")
        text = text.replace('family = "gpt"', f'family = "{family}"').replace(
            "[model]", f'[objective]\nname = "{SPECIALS[family]}"\n[model]'
        )
        if family in ("bart", "t5"):
            text = text.replace("layers = 2\n", "encoder_layers = 1\ndecoder_layers = 1\n")
        if family == "t5":
            text = text.replace("heads = 2\n", "heads = 2\nhead_width = 8\n")
        lines = [line for line in text.splitlines() if not line.startswith('tokens = "/')]
        lines.insert(lines.index("[data]") + 1, f'tokens = "{tokens}"')
        path = tiny_config.parent / f"{family}.toml"
        path.write_text("\n".join(lines).replace("length = 16", "length = 32") + "\n")
        return path

    return made


@pytest.mark.parametrize("family", list(SPECIALS))
def test_gradients_of_two_processes_are_those_of_one(config_of: Callable[[str], Path], tmp_path: Path, family: str) -> None:
    config, rows = config_of(family), f"data.rows={tmp_path / 'rows'}"
    fixed = (rows, "train.clip=1e9", "train.accumulate=2")
    run(config, tmp_path / "one", 1, rows, "train.clip=1e9", "train.accumulate=1", gradients=tmp_path / "one.pt")
    expected = torch.load(tmp_path / "one.pt")
    for strategy in ("ddp", "fsdp"):
        kept = tmp_path / f"{strategy}.pt"
        run(config, tmp_path / strategy, 2, *fixed, f'train.strategy="{strategy}"', gradients=kept)
        found = torch.load(kept)
        assert set(found) >= set(expected)
        for name, gradient in expected.items():
            assert float((found[name] - gradient).abs().max()) < 1e-6, (strategy, name)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_twenty_steps_of_two_processes_are_those_of_one(tiny_config: Path, tmp_path: Path, strategy: str) -> None:
    longer = ("train.steps=20", "train.epsilon=1e-6", "train.sample_every=10")
    run(tiny_config, tmp_path / "one", 1, *longer)
    run(tiny_config, tmp_path / "two", 2, *longer, f'train.strategy="{strategy}"')
    close(tmp_path / "one", tmp_path / "two")
    weights, others = (
        checkpoint.read(tmp_path / name / "checkpoints" / "step-00000020").load("model") for name in ("one", "two")
    )
    assert list(weights) == list(others)
    for name, value in weights.items():
        assert float((others[name] - value).abs().max()) < 1e-5, name
    samples, other_samples = (read_metrics(tmp_path / name / "samples.jsonl") for name in ("one", "two"))
    assert [line["step"] for line in samples] == [10, 20] == [line["step"] for line in other_samples]


def test_muon_moves_shared_matrices_as_whole_ones(tiny_config: Path, tmp_path: Path) -> None:
    given = ('train.optimizer="muon"', "train.steps=4", 'train.strategy="fsdp"', "sample.tokens=0")
    run(tiny_config, tmp_path / "one", 1, *given)
    run(tiny_config, tmp_path / "two", 2, *given)
    weights, others = (
        checkpoint.read(tmp_path / name / "checkpoints" / "step-00000004").load("model") for name in ("one", "two")
    )
    for name, value in weights.items():  # the sums of Muon's products are in bfloat16
        assert float((others[name] - value).abs().max()) < 2e-3, name


def test_any_number_of_processes_goes_on(tiny_config: Path, tmp_path: Path) -> None:
    given = ("train.epsilon=1e-6", "train.save_every=4", "train.keep=9", "train.accumulate=1")
    run(tiny_config, tmp_path / "one", 1, *given)
    for size, end, strategy in ((2, 4, "fsdp"), (1, 8, "ddp"), (4, 12, "ddp")):
        run(tiny_config, tmp_path / "more", size, *given, f'train.strategy="{strategy}"')
        for path in (tmp_path / "more" / "checkpoints").glob("step-*"):
            if int(path.name.removeprefix("step-")) > end:
                shutil.rmtree(path)
    assert "was made with processes 1, this is 4: losses may differ in their last bits" in said(tmp_path / "more", 1)
    close(tmp_path / "one", tmp_path / "more")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_lost_process_ends_the_run_and_loses_nothing(tiny_config: Path, tmp_path: Path, strategy: str) -> None:
    out, given = tmp_path / "run", ("train.steps=40", "train.epsilon=1e-6", f'train.strategy="{strategy}"')
    processes = start(tiny_config, out, 2, *given, slow=True)
    wait_for_steps(out, 5, processes)
    os.kill(processes[1].pid or 0, signal.SIGKILL)
    assert ended(processes) == [1, -signal.SIGKILL]
    assert "one of them was lost; run the same command to resume from the last checkpoint" in said(out, 1)
    run(tiny_config, out, 2, *given)
    assert "resumed from" in said(out, 1)
    run(tiny_config, tmp_path / "undisturbed", 2, *given)
    close(tmp_path / "undisturbed", out)


def test_sigterm_saves_and_ends_all(tiny_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    processes = start(tiny_config, out, 2, "train.steps=60", slow=True)
    wait_for_steps(out, 4, processes)
    for process in processes:
        os.kill(process.pid or 0, signal.SIGTERM)
    assert ended(processes) == [143, 143], said(out, 2)
    found = checkpoint.newest(out / "checkpoints", pytest.fail)
    assert found is not None and found.step == read_metrics(out / "metrics.jsonl")[-1]["step"]


def test_a_warning_to_one_process_saves_and_ends_all(tiny_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    processes = start(tiny_config, out, 2, "train.steps=60", slow=True)
    wait_for_steps(out, 4, processes)
    os.kill(processes[1].pid or 0, signal.SIGUSR1)
    assert ended(processes) == [138, 138], said(out, 2)
    found = checkpoint.newest(out / "checkpoints", pytest.fail)
    assert found is not None and found.step == read_metrics(out / "metrics.jsonl")[-1]["step"]
    assert f"stopped by SIGUSR1 after step {found.step}" in said(out, 1)


def test_more_processes_than_rows_are_refused(tiny_config: Path, tmp_path: Path) -> None:
    assert ended(start(tiny_config, tmp_path / "run", 2, "data.batch_rows=3")) == [1, 1]
    assert "data.batch_rows: 3 rows are too few for 2 processes with 2 micro-batches each; raise it" in said(tmp_path / "run", 1)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_machines_without_a_shared_disk_go_on_from_the_first_ones_checkpoint(
    tiny_config: Path, tmp_path: Path, strategy: str
) -> None:
    """The second machine has no checkpoint, then an older one; the first process sends its own."""
    outs = [tmp_path / "a", tmp_path / "b"]
    given = ("train.epsilon=1e-6", "train.keep=9", f'train.strategy="{strategy}"')
    run(tiny_config, outs[0], 2, *given)
    expected = read_metrics(outs[0] / "metrics.jsonl")
    shutil.copytree(outs[0] / "checkpoints" / "step-00000003", outs[1] / "checkpoints" / "step-00000003")
    for step in (9, 12):
        shutil.rmtree(outs[0] / "checkpoints" / f"step-{step:08}")
    log = tmp_path / "log"
    assert ended(start(tiny_config, log, 2, *given, outs=outs)) == [0, 0], said(log, 2)
    assert "step-00000006 (step 6) is not on the disk of every process (process 1 on " in said(log, 2)
    assert f"on {socket.gethostname()} has step-00000003): process 0 on {socket.gethostname()} sends it" in said(log, 2)
    names = ("step", "loss", "gradient_norm", "validation_loss")
    lines, others = (
        [{n: line.get(n) for n in names} for line in kept] for kept in (read_metrics(outs[0] / "metrics.jsonl"), expected)
    )
    assert lines == others  # bit for bit
    shutil.rmtree(outs[1])
    branch = (f'train.branch_from="{outs[0]}@6"', "train.steps=8")
    outs = [tmp_path / "c", tmp_path / "d"]
    assert ended(start(tiny_config, log, 2, *given, *branch, outs=outs)) == [0, 0], said(log, 2)
    assert read_metrics(outs[0] / "metrics.jsonl")[-1]["step"] == 8


def test_what_the_first_process_cannot_read_ends_all(tiny_config: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "a", tmp_path / "b"]
    run(tiny_config, outs[0], 1, "train.keep=1")
    shutil.copytree(outs[0] / "checkpoints", outs[1] / "checkpoints")
    (outs[0] / "checkpoints" / "step-00000012" / "model.pt").write_bytes(b"")
    log = tmp_path / "log"
    assert ended(start(tiny_config, log, 2, outs=outs)) == [1, 1], said(log, 2)
    for rank in range(2):
        assert "a/checkpoints: none of the 1 checkpoints can be read" in Path(f"{log}.{rank}.log").read_text()


def test_other_settings_on_another_machine_are_refused(tiny_config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(tiny_config.read_text().replace("learning_rate = 1e-2", "learning_rate = 2e-2"))
    processes = start(tiny_config, tmp_path / "run", 2, configs=(tiny_config, other))
    assert ended(processes) == [1, 1], said(tmp_path / "run", 2)
    host = socket.gethostname()
    message = f"train.learning_rate: differs between process 0 on {host} and process 1 on {host}; start all with the same"
    assert all(message in Path(f"{tmp_path / 'run'}.{rank}.log").read_text() for rank in range(2))


def test_a_process_that_hangs_is_named_and_sigterm_ends_those_that_wait(tiny_config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    processes = start(tiny_config, out, 2, "train.steps=5000", slow=True, patience=5.0)
    wait_for_steps(out, 4, processes)
    os.kill(processes[1].pid or 0, signal.SIGSTOP)
    try:
        wait_for(lambda: "has waited" in said(out, 1), said=lambda: said(out, 2))
        text = said(out, 1)
        assert f"process 0 of 2 on {socket.gethostname()} has waited " in text
        assert f"for process 1 on {socket.gethostname()}, which does not answer; it was at " in text
        os.kill(processes[0].pid or 0, signal.SIGTERM)
        processes[0].join(60)
        assert processes[0].exitcode == 143, said(out, 2)
        assert "ends by SIGTERM without a save, as it waits for process 1 on " in said(out, 1)
    finally:
        processes[1].kill()
        processes[1].join(60)
    found = checkpoint.newest(out / "checkpoints", pytest.fail)
    assert found is not None and found.step % 3 == 0


def wait_for(state: Callable[[], bool], said: Callable[[], str]) -> None:
    deadline = time.monotonic() + 120
    while not state():
        assert time.monotonic() < deadline, said()
        time.sleep(0.05)


def test_adafactor_is_refused_on_shares(tiny_config: Path, tmp_path: Path) -> None:
    given = ('train.strategy="fsdp"', 'train.optimizer="adafactor"')
    assert ended(start(tiny_config, tmp_path / "run", 2, *given)) == [1, 1]
    assert 'use train.strategy="ddp"' in said(tmp_path / "run", 2)


def test_two_processes_begin_with_given_weights(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "first", 1)
    given = (f'train.init_from="{tmp_path / "first"}"', "train.epsilon=1e-6")
    run(tiny_config, tmp_path / "one", 1, *given)
    run(tiny_config, tmp_path / "two", 2, *given, 'train.strategy="fsdp"')
    close(tmp_path / "one", tmp_path / "two")
    first, last = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("two", "first"))
    assert first[0]["validation_loss"] == pytest.approx(last[-1]["validation_loss"], rel=1e-6)


def test_processes_that_shared_weights_end_well() -> None:
    """Where the group's threads lived until Python ended, one process in ten crashed there (torch 2.13)."""
    port = free_port()
    made = [
        subprocess.Popen([sys.executable, "-c", ENDING], env=os.environ | of_rank(rank, 2, port), stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=300)[1].decode() for process in made]
    assert [process.returncode for process in made] == [0, 0], errors


def test_only_the_first_process_writes(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, tmp_path / "run", 2)
    assert "done    12 steps" in Path(f"{tmp_path / 'run'}.0.log").read_text()
    assert "done" not in Path(f"{tmp_path / 'run'}.1.log").read_text()
    assert json.loads((tmp_path / "run" / "report.json").read_text())["steps"] == 12
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


def wait_for_steps(out: Path, steps: int, processes: Sequence[ForkServerProcess]) -> None:
    deadline = time.monotonic() + 300
    while len(read_metrics(out / "metrics.jsonl")) <= steps:
        assert all(process.is_alive() for process in processes) and time.monotonic() < deadline, said(out, len(processes))
        time.sleep(0.01)
