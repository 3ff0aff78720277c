"""The worth of each block: trains every config of configs/pretrain/ablations on one corpus.

    make bench-ablations
    make bench-ablations OPTIONS="--steps 480 --seeds 3"
    make bench-ablations OPTIONS="--only rotary,llama --set train.threads=1"

All configs have the data, row order, learning rate and steps of configs/pretrain/gpt_demo.toml; their first lines say how they
differ from the baseline. The loss is computed on the same validation rows after the last step. With --seeds, each config is
trained that many times with other initial weights: the table shows the mean, and `noise` is the standard deviation. A
difference from the baseline (lower is better) matters from about twice the noise.

Speed is measured separately: whole steps (forward, backward, clip, AdamW) on one batch. The configs take turns and the best turn
of each counts, so that other load on the machine slows all of them. Runs are written to build/bench-ablations, which is
cleared first.
"""

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from training.data.shards import open_dataset
from training.models.families import make, parameters
from training.run.config import PretrainConfig, load
from training.run.device import prepare
from training.run.distributed.processes import World
from training.run.pretrain import prepare_job, pretrain
from training.run.trainer import start, update
from training.run.updates.spikes import SpikeError

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs" / "pretrain" / "ablations"
OUT = Path("build") / "bench-ablations"
BASELINE = "baseline"
ROUNDS, STEPS_PER_ROUND = 9, 3


@dataclass(frozen=True, slots=True)
class Ablation:
    """The result of one config; losses by seed, in nats per token."""

    name: str
    parameters: int
    losses: tuple[float, ...]  # of the seeds that did not diverge
    bits_per_byte: float  # mean of those
    diverged: tuple[str, ...]  # the trainer's messages for the others


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="of each run")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each config, with different initial weights")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each config in which its speed is measured")
    parser.add_argument("--only", help="names of configs with commas between them; the baseline is always there")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for all configs")
    given = parser.parse_args(arguments)
    paths = chosen(given.only)
    changed = (*given.set, f'data.rows="{OUT / "rows"}"')  # rows are indexed once for all
    need_corpus(load(paths[0], changed))
    shutil.rmtree(OUT, ignore_errors=True)
    done = [ablation(path, given.steps, given.seeds, changed) for path in paths]
    report(done, speeds(paths, changed, given.rounds), given.steps)


def chosen(only: str | None) -> list[Path]:
    """Return the configs, the baseline first. Raise ValueError for an unknown name."""
    known = {path.stem: path for path in sorted(CONFIGS.glob("*.toml"))}
    wanted = list(known) if only is None else only.split(",")
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"--only: there is no {unknown[0]} in {CONFIGS.relative_to(ROOT)}, but {', '.join(known)}")
    return [known[name] for name in (BASELINE, *(name for name in wanted if name != BASELINE))]


def need_corpus(config: PretrainConfig) -> None:
    """Raise ValueError with the command that builds the corpus if it is missing."""
    if not Path(config.data.tokens).exists():
        raise ValueError(f"{config.data.tokens} is not there; `make demo` makes it (some minutes)")


def overrides(name: str, steps: int, seed: int) -> tuple[str, ...]:
    """Return overrides for one evaluation and one save, at the end."""
    run = {"steps": steps, "eval_every": steps, "save_every": steps, "keep": 1, "seed": seed}
    return (*(f"train.{key}={value}" for key, value in run.items()), f'run.out="{OUT / f"{name}-{seed}"}"')


def ablation(path: Path, steps: int, seeds: int, changed: tuple[str, ...]) -> Ablation:
    """Train a config with every seed; the trainer's output goes to train.log beside the runs."""
    losses: list[float] = []
    bits: list[float] = []
    diverged: list[str] = []
    for seed in range(1, seeds + 1):
        began = time.monotonic()
        try:
            with logged():
                run = pretrain(path, (*overrides(path.stem, steps, seed), *changed))
        except SpikeError as error:  # divergence is a result here
            diverged.append(str(error))
            outcome = f"diverged: {error}"
        else:
            assert run is not None, "it is one process, and no dry run"
            assert run.last_bits_per_byte is not None, "causal_lm predicts every token"
            losses.append(run.last_validation_loss)
            bits.append(run.last_bits_per_byte)
            outcome = f"validation loss {run.last_validation_loss:.4f}"
        print(f"{path.stem}, seed {seed}: {outcome} ({time.monotonic() - began:.0f} s)", flush=True)
    config = load(path, changed)
    count = parameters(make(config.model.shape(vocabulary(config), config.positions), 1))
    return Ablation(path.stem, count, tuple(losses), fmean(bits) if bits else float("nan"), tuple(diverged))


def vocabulary(config: PretrainConfig) -> int:
    """Return the number of pieces of the corpus's tokenizer."""
    return open_dataset(config.data.tokens, config.data.name).tokenizer.size


@contextlib.contextmanager
def logged() -> Generator[None]:
    """Redirect what is printed to a file."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "train.log").open("a") as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield


def speeds(paths: Sequence[Path], changed: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Return tokens per second of whole training steps: the configs take turns, and the best turn of each counts."""
    steps = {path.stem: stepper(path, changed) for path in paths}
    best: dict[str, float] = {}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            began, tokens = time.perf_counter(), sum(step() for _ in range(STEPS_PER_ROUND))
            if turn:  # the first warms up
                best[name] = max(best.get(name, 0.0), tokens / (time.perf_counter() - began))
    return best


def stepper(path: Path, changed: tuple[str, ...]) -> Callable[[], int]:
    """Return a function that trains a new model by one step on one batch and returns the number of tokens."""
    config = load(path, changed)
    settings = config.train
    device = prepare(settings.device, settings.dtype, settings.threads)
    job = prepare_job(config, device, World())
    feed = job.course.last
    learning = start(job, make(config.model.shape(feed.dataset.tokenizer.size, config.positions), settings.seed), device, World())
    batch = feed.batch(0)
    return lambda: update(job, learning, feed, device, World(), 0, [batch]).tokens


def report(done: Sequence[Ablation], rates: dict[str, float], steps: int) -> None:
    """Print a table, the best first, and the results."""
    base = next(one for one in done if one.name == BASELINE)
    ground = mean(base)
    print(
        f"\n{'':22}{'loss':>8}{'- baseline':>12}{'noise':>8}{'bits/byte':>11}{'parameters':>12}{'speed':>8}   after {steps} steps"
    )
    for one in sorted(done, key=lambda one: (not one.losses, mean(one))):
        noise = f"{stdev(one.losses):.4f}" if len(one.losses) > 1 else "-"
        ended = f"   {len(one.diverged)} diverged" if one.diverged else ""
        print(
            f"{one.name:22}{mean(one):8.4f}{mean(one) - ground:+12.4f}{noise:>8}{one.bits_per_byte:11.4f}{one.parameters:12,}"
            f"{rates[one.name] / rates[BASELINE]:7.2f}x{ended}"
        )
    for one in done:
        print(f"RESULT\tablation_{one.name}_loss\t{mean(one):.4f}\tnats/token\t-")
        if one is not base:
            print(f"RESULT\tablation_{one.name}_speed\t{rates[one.name] / rates[BASELINE]:.2f}\tx baseline\t-")


def mean(ablation: Ablation) -> float:
    """Return the mean loss of the seeds that did not diverge, or NaN if all did."""
    return fmean(ablation.losses) if ablation.losses else float("nan")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
