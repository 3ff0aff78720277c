"""Kill a training run without warning, again and again: `make bench-kill`.

A run of the demo's GPT (dropout, two micro-batches, a save every three steps) is trained once undisturbed and then again, in
a process that is ended by SIGKILL, started by the same command, killed again, and so on; the last start reaches the end.
The moments are random and spread over the run: some after a step, some while a checkpoint is being written, when its
temporary folder is seen, after a random part of the time that a save takes. The losses of all steps, the weights and the
optimiser's state must be those of the undisturbed run, bit for bit.

Needs the demo corpus (`make demo`).
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from flows.program import corpusmill
from training.checkpoints import store as checkpoint
from training.run.progress import read_metrics

ROOT = Path(__file__).resolve().parents[1]
OUT = Path("build") / "bench-kill"
CONFIG = ROOT / "configs" / "pretrain" / "gpt_demo.toml"
EXACT = ("step", "loss", "loss_z", "gradient_norm", "gradient_norm_z", "learning_rate", "tokens", "bytes", "validation_loss")
RESTART_S = 300  # longest that a start may take to come to a step
STEP_S, SAVE_S = 0.1, 0.03  # about what a step and a save take here
_LEFT = 10  # steps at the end in which nothing is killed, so that the last start has something to do


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of one run")
    parser.add_argument("--in-saves", type=int, default=8, help="of them aimed at a save")
    parser.add_argument("--steps", type=int, default=100, help="of the run")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="of both runs")
    given = parser.parse_args(arguments)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    finish(command("undisturbed", given.steps, given.set), "undisturbed")
    draw = random.Random(given.seed)
    aims = [True] * given.in_saves + [False] * (given.kills - given.in_saves)
    draw.shuffle(aims)
    targets = sorted(draw.sample(range(1, given.steps - _LEFT), given.kills))
    inside = 0
    for number, (target, in_save) in enumerate(zip(targets, aims, strict=True), start=1):
        was_inside, step = kill(command("killed", given.steps, given.set), target, in_save, draw)
        inside += was_inside
        print(f"kill {number:2} after step {step}{', inside a save' if was_inside else ''}", flush=True)
    finish(command("killed", given.steps, given.set), "killed")
    report(given.kills, inside, differences())


def command(name: str, steps: int, changed: Sequence[str]) -> list[str]:
    """Return the command line, the same for every start of a run."""
    fixed = {
        "run.out": f'"{OUT / name}"',
        "data.rows": f'"{OUT / "rows"}"',
        "model.dropout": "0.1",
        "train.accumulate": "2",
        "train.steps": str(steps),
        "train.save_every": "3",
        "train.eval_every": "100",
        "train.eval_rows": "32",
        "train.tensorboard": "false",
        "sample.tokens": "0",
    }
    sets = [f"{key}={value}" for key, value in fixed.items()] + list(changed)
    return corpusmill("pretrain", str(CONFIG), *(word for one in sets for word in ("--set", one)))


def start(run: Sequence[str], name: str) -> "subprocess.Popen[bytes]":
    """Start a process whose output goes to a log beside the runs."""
    with (OUT / f"{name}.log").open("ab") as log:
        return subprocess.Popen(run, stdout=log, stderr=log)


def finish(run: Sequence[str], name: str) -> None:
    """Run to the end."""
    if code := start(run, name).wait():
        sys.exit(f"{OUT / name}.log: the run ended with exit status {code}")


def kill(run: Sequence[str], target: int, in_save: bool, draw: random.Random) -> tuple[bool, int]:
    """Start the run and kill it after a step, or in the save that follows; return whether it was in a save, and the step."""
    process, folder = start(run, "killed"), OUT / "killed"
    target = max(target, steps(folder) + 1)  # a resumed run repeats the steps after its checkpoint
    deadline = time.monotonic() + RESTART_S
    while steps(folder) < target:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            sys.exit(f"{OUT}/killed.log: the run did not come to step {target}; look there, or raise --steps")
        time.sleep(0.002)
    while in_save and not saving(folder) and process.poll() is None:
        pass
    time.sleep(draw.random() * (SAVE_S if in_save else STEP_S))
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        sys.exit(f"{OUT}/killed.log: the run was finished before it could be killed; raise --steps")
    return saving(folder), steps(folder)


def saving(folder: Path) -> bool:
    """Return whether a checkpoint is being written, or was when the process ended."""
    return any(folder.glob("checkpoints/.step-*.tmp"))


def steps(folder: Path) -> int:
    """Return the last step in metrics.jsonl."""
    lines = read_metrics(folder / "metrics.jsonl")
    return lines[-1]["step"] if lines else 0


def differences() -> list[str]:
    """Return the parts of the killed run that differ from the undisturbed one."""
    different: list[str] = []
    one, other = (numbers(OUT / name) for name in ("undisturbed", "killed"))
    if one != other:
        different.append("metrics.jsonl")
    first, second = (checkpoint.newest(OUT / name / "checkpoints", different.append) for name in ("undisturbed", "killed"))
    assert first is not None and second is not None
    for part in ("model", "optimizer"):
        if not same(first.load(part), second.load(part)):
            different.append(part)
    return different


def numbers(folder: Path) -> list[str]:
    """Return the lines without speeds; JSON keeps every bit of a float."""
    return [json.dumps({name: line.get(name) for name in EXACT}) for line in read_metrics(folder / "metrics.jsonl")]


def same(one: Any, other: Any) -> bool:
    """Return whether both are equal, tensors bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def report(kills: int, inside: int, different: list[str]) -> None:
    """Print the results; exit with status 1 if a difference was different."""
    print(f"RESULT\tkills\t{kills}\tkills\t>=20")
    print(f"RESULT\tkills_inside_a_save\t{inside}\tkills\t>=5")
    print(f"RESULT\tequal_runs\t{int(not different)}\tof 1 run, bitwise\t>=1")
    if different:
        sys.exit(f"not as in the undisturbed run: {', '.join(different)}")


if __name__ == "__main__":
    main()
