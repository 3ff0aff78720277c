"""Small models made of one fine-tuned BERT, in one table: fewer bits, fewer heads, fewer layers.

    make bench-small OPTIONS="--run build/finetune/trec_bert"
    make bench-small OPTIONS="--run build/finetune/trec_bert --threads 1 --epochs 20"

    int8, int8-weights, int4-weights    by `corpusmill compress --to`
    pruned                              without --prune of its heads, and trained on for --again epochs
    student                             its first and last layer (--layers), trained for --epochs

The run is the teacher of the last two. Accuracy is the task's metric on the run's test records (or --records). Sentences/s are
those of batches of --batch of these records, as they come. The models take turns; a ratio is the median over turns of that to
the whole model in the same turn. Models lie in --out; those that are there already are measured again, not made again.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from training.checkpoints import trained
from training.compression.prune import prune
from training.compression.quantize import WAYS, compress
from training.run.device import Device, prepare
from training.run.distributed.processes import World
from training.run.state import CONFIG
from training.tasks import finetune, job, tuned
from training.tasks.config import as_toml
from training.tasks.tuned import TunedModel

WHOLE = "whole"
GOALS = {  # figure -> goal of each model that has one: points of the metric lost, share of it, sentences/s, bytes
    "int8": {"lost": "<=.5", "speed": ">=1.5", "bytes": "<=.35"},
    "student": {"kept": ">=.95", "speed": ">=2.5"},
}


class Small(NamedTuple):
    """A loaded model and what was measured."""

    tuned: TunedModel
    metric: float
    bytes: int
    rates: list[float]  # sentences/s, turn by turn


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a fine-tuning of a BERT with classes")
    parser.add_argument("--records", help="labelled records to measure on; the run's test records by default")
    parser.add_argument("--out", type=Path, default=Path("build") / "bench-small")
    parser.add_argument("--prune", type=float, default=0.4, help="share of the heads")
    parser.add_argument("--again", type=float, default=1.0, help="epochs after pruning")
    parser.add_argument("--layers", type=int, default=2, help="of the student")
    parser.add_argument("--epochs", type=float, default=10.0, help="of the student")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for the training of small models"
    )
    given = parser.parse_args(arguments)
    device = prepare("cpu", "float32", given.threads)
    models = {name: measured(folder, given.run, given.records, device) for name, folder in made(given, device).items()}
    records = job.held_out(models[WHOLE].tuned, given.records).records
    for _ in range(given.turns):
        for model in models.values():
            model.rates.append(rate(model.tuned, records, given.batch, device))
    print("\n".join(table(models)))
    print("\n".join(results(models)))


def made(given: argparse.Namespace, device: Device) -> dict[str, Path]:
    """Return the folder of each model; make those that are not there."""
    folders = {WHOLE: given.run}
    for way in WAYS:
        folders[way] = given.out / way
        if not folders[way].exists():
            compress(given.run, way, folders[way])
    bare, folders["pruned"], folders["student"] = (given.out / name for name in ("pruned-bare", "pruned", "student"))
    if not bare.exists():
        prune(given.run, given.prune, bare, None, 1024, device)
    taught(given, bare, folders["pruned"], given.again, None)
    taught(given, given.run, folders["student"], given.epochs, given.layers)
    return folders


def taught(given: argparse.Namespace, base: Path, out: Path, epochs: float, layers: int | None) -> None:
    """Train a model with the run as its teacher, on its records and with its settings; resume or do nothing if it is there."""
    run = json.loads((given.run / CONFIG).read_text())
    train = {name: run["train"][name] for name in ("batch_rows", "learning_rate", "seed")}
    config: dict[str, Any] = {
        "task": {**run["task"]},
        "model": {"base": str(base), "layers": layers},
        "distill": {"teacher": str(given.run)},
        "train": {**train, "epochs": epochs, "device": "cpu", "threads": given.threads, "tensorboard": False},
        "run": {"out": str(out)},
    }
    path = out.with_suffix(".toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_toml(config), encoding="utf-8")
    finetune.finetune(path, tuple(given.set))


def measured(folder: Path, run: Path, records: str | None, device: Device) -> Small:
    """Load a model and measure its metric on the records of the run."""
    model = tuned.load(folder)
    split = job.held_out(tuned.load(run), records)
    found = job.figures(model, split, device, World(device=device.name))
    return Small(model, found[model.task.metric], (trained.find(folder).path / "model.pt").stat().st_size, [])


def rate(model: TunedModel, records: Any, batch: int, device: Device) -> float:
    """Return the sentences/s of one turn."""
    rows = model.task.rows(records)
    batches = [device.tensors(rows.batch(numbers)) for numbers in np.split(np.arange(len(rows)), range(batch, len(rows), batch))]
    with torch.inference_mode():
        model.task.outputs(model.model, batches[0])
        began = time.perf_counter()
        for examples in batches:
            model.task.outputs(model.model, examples)
        return len(rows) / (time.perf_counter() - began)


def speed(model: Small, whole: Small) -> float:
    """Return the median ratio of sentences/s over the turns."""
    return statistics.median(ours / theirs for ours, theirs in zip(model.rates, whole.rates, strict=True))


def table(models: Mapping[str, Small]) -> list[str]:
    """Return the table for people."""
    whole = models[WHOLE]
    lines = [f"{'':14}{whole.tuned.task.metric:>10}{'kept':>8}{'bytes':>14}{'':>6}{'sentences/s':>13}{'':>6}"]
    for name, model in models.items():
        shares = model.metric / whole.metric, model.bytes / whole.bytes, speed(model, whole)
        lines.append(
            f"{name:14}{model.metric:>10.4f}{shares[0]:>8.3f}{model.bytes:>14,}{shares[1]:>6.2f}"
            f"{statistics.median(model.rates):>13.1f}{shares[2]:>6.2f}"
        )
    return lines


def results(models: Mapping[str, Small]) -> list[str]:
    """Return the RESULT lines."""
    whole, lines = models[WHOLE], list[str]()
    for name, model in models.items():
        if name == WHOLE:
            lines.append(f"RESULT\tsmall_whole_metric\t{whole.metric:.4f}\t{whole.tuned.task.metric}\t-")
            continue
        figures = {
            "lost": (100 * (whole.metric - model.metric), "points"),
            "kept": (model.metric / whole.metric, "x"),
            "speed": (speed(model, whole), "x"),
            "bytes": (model.bytes / whole.bytes, "x"),
        }
        for figure, (found, unit) in figures.items():
            goal = GOALS.get(name, {}).get(figure, "-")
            lines.append(f"RESULT\tsmall_{name.replace('-', '_')}_{figure}\t{found:.3f}\t{unit}\t{goal}")
    return lines


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
