"""Tasks fine-tuned as their configs say, on the data of ../shared/data/downstream.

    make bench-tasks
    make bench-tasks OPTIONS="--only multi30k --seeds 3"
    make bench-tasks OPTIONS="--base t5=build/t5_demo --base gpt=build/gpt_demo --set train.epochs=2"

A task whose config names a base needs one of its family: a run of `corpusmill pretrain` or an import, given by --base. It is left
out without one. Figures are those of the test records, of the checkpoint with the best validation metric: with several seeds the
mean. Runs lie in build/bench-tasks; a benchmark that was stopped resumes, and a finished one only prints its figures; remove the
folder to start again.

With --peer bert=FOLDER, the same base as a folder of transformers, its own Trainer is run after ours (tasks_peer.py): the same
data, epochs, rate and seeds. The RESULT lines have the difference of the metric, and how many times as fast ours is:
    make bench-tasks OPTIONS="--only trec wnut17 --base bert=build/minilm --peer bert=FOLDER --seeds 3"
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tasks_peer import KINDS, Splits
from tasks_peer import finetune as peer

from training.tasks import tuned as tuning
from training.tasks.config import load
from training.tasks.finetune import finetune
from training.tasks.job import held_out_of

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs" / "finetune"
DATA = ROOT.parent / "shared" / "data" / "downstream"


class Bench(NamedTuple):
    """A task of the benchmark."""

    config: str  # in configs/finetune
    base: str | None  # the family of the model that it starts from; None: a new one
    folder: str  # of the data
    train: Any  # files in the folder: one, or one for each field
    validation: Any
    test: Any
    figures: Mapping[str, str]  # figures to print, and the goal of each ("-" for none)


def _multi30k(name: str) -> dict[str, str]:
    return {"source": f"{name}.en.gz", "target": f"{name}.de.gz"}


ROUGE = ("rouge1", "rouge2", "rougeL")
TASKS: Mapping[str, Bench] = {
    "sst2": Bench("sst2_bert.toml", "bert", "sst2", "train.tsv.gz", "dev.tsv", "test.tsv", {"accuracy": ">.90"}),
    "trec": Bench("trec_bert.toml", "bert", "trec", "train", None, "test", {"accuracy": ">=.95", "macro_f1": "-"}),
    "wnut17": Bench(
        "wnut17_bert.toml",
        "bert",
        "wnut17",
        "wnut17train.conll",
        "emerging.dev.conll",
        "emerging.test.annotated",
        {"f1": ">.42", "precision": "-", "recall": "-"},
    ),
    "semeval2010": Bench(
        "semeval2010_bert.toml", "bert", "relations", "train.tsv", None, "test.tsv", {"macro_f1": ">.82", "accuracy": "-"}
    ),
    "squad": Bench(
        "squad_bert.toml", "bert", "squad", "train.json.gz", None, "validation.json.gz", {"f1": ">.70", "exact_match": "-"}
    ),
    "multi30k": Bench(
        "multi30k_t5.toml",
        None,
        "translation",
        _multi30k("train"),
        _multi30k("val"),
        _multi30k("test_2016_flickr"),
        {"bleu": ">30", "chrf": "-"},
    ),
    "bbc": Bench(
        "bbc_t5.toml",
        "t5",
        "summarization",
        "bbc-train.jsonl.gz",
        None,
        "bbc-test.jsonl.gz",
        {**{name: f">{{lead3_{name}}}" for name in ROUGE}, **{f"lead3_{name}": "-" for name in ROUGE}},
    ),
    "dailydialog": Bench(
        "dialogue_gpt.toml",
        "gpt",
        "dialogue",
        "dialogues_validation.txt",
        None,
        "dialogues_test.txt",
        {"perplexity": "-", "f1": "-", "distinct_1": "-", "distinct_2": "-"},
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(TASKS), choices=list(TASKS), metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--base", action="append", default=[], metavar="FAMILY=RUN", help="what tasks of a family start from")
    parser.add_argument("--peer", action="append", default=[], metavar="FAMILY=FOLDER", help="run transformers' Trainer, too")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("build") / "bench-tasks")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for the configs of all tasks")
    given = parser.parse_args(arguments)
    bases, peers = (dict(one.split("=", 1) for one in each) for each in (given.base, given.peer))
    for name in given.only:
        bench = TASKS[name]
        if not (given.data / bench.folder).is_dir():
            print(f"{name} is left out: {given.data / bench.folder} is not there; --data names the folder")
        elif bench.base is not None and bench.base not in bases:
            print(f"{name} is left out: it starts from a trained {bench.base}; give --base {bench.base}=RUN")
        else:
            changes = (
                *changed(bench, given.data / bench.folder, bases),
                f"train.threads={given.threads}",
                f"run.seeds={given.seeds}",
                f"run.out={json.dumps(str(given.out / name))}",
                *given.set,
            )
            report = finetune(CONFIGS / bench.config, changes)
            print("\n".join(results(name, bench, report)), flush=True)
            if bench.base in peers and load(CONFIGS / bench.config, changes).task.kind in KINDS:
                print("\n".join(beside(name, report, changes, bench, Path(peers[bench.base]))), flush=True)


def changed(bench: Bench, folder: Path, bases: Mapping[str, str]) -> list[str]:
    """Return the changes of a task's config: its files and its base."""
    named = {"train": bench.train, "validation": bench.validation, "test": bench.test}
    out = [f"task.{split}={_toml(folder, files)}" for split, files in named.items() if files is not None]
    return out if bench.base is None else [*out, f"model.base={json.dumps(bases[bench.base])}"]


def _toml(folder: Path, files: str | Mapping[str, str]) -> str:
    """Return paths in a folder as a TOML value."""
    if isinstance(files, str):
        return json.dumps(str(folder / files))
    return "{ " + ", ".join(f"{field} = {json.dumps(str(folder / file))}" for field, file in files.items()) + " }"


def results(name: str, bench: Bench, report: Mapping[str, Any]) -> list[str]:
    """Return a RESULT line for each figure, and for the seconds of a run."""
    runs = report.get("runs", [report])
    means = {figure: value["mean"] if isinstance(value, dict) else value for figure, value in report["test"].items()}
    deviations = {figure: value["deviation"] for figure, value in report["test"].items() if isinstance(value, dict)}
    lines = [f"{name} {figure}: {means[figure]:.4f} ± {value:.4f}" for figure, value in deviations.items()]
    for figure, goal in bench.figures.items():
        lines.append(f"RESULT\ttasks_{name}_{figure}\t{means[figure]:.4f}\t{figure}\t{goal.format(**means)}")
    seconds = sum(run["seconds"] for run in runs) / len(runs)
    return [*lines, f"RESULT\ttasks_{name}_seconds\t{seconds:.1f}\ts\t-"]


def beside(name: str, report: Mapping[str, Any], changes: Sequence[str], bench: Bench, base: Path) -> list[str]:
    """Run transformers' Trainer with the same seeds and return RESULT lines of ours beside it."""
    config = load(CONFIGS / bench.config, tuple(changes))
    tuned, records = tuning.begin(config, config.train.seed)
    held = tuned.read(config.task.validation) if config.task.validation else None
    if held is None:
        records, held = held_out_of(records, config.task.validation_share)
    assert config.task.test is not None
    splits = Splits(records, held, tuned.read(config.task.test), getattr(tuned.task, "labels", ()))
    runs = report.get("runs", [report])
    metric = tuned.task.metric
    lines: list[str] = []
    ratios: list[float] = []
    differences: list[float] = []
    for number, run in enumerate(runs):
        out = Path(str(report["out"])) / f"peer-{number + 1}"
        theirs, seconds = peer(base, config, splits, config.train.seed + number, out)
        lines.append(f"{name} by transformers, seed {number + 1}: {theirs}, {seconds:.1f} s; ours {run['seconds']} s")
        differences.append(run["test"][metric] - theirs[metric])
        ratios.append(seconds / max(run["seconds"], 0.1))  # it is rounded to tenths
    lines.append(f"RESULT\ttasks_{name}_{metric}_above_transformers\t{np.mean(differences):.4f}\t{metric}\t>=-.005")
    lines.append(f"RESULT\ttasks_{name}_speed_vs_transformers\t{np.mean(ratios):.2f}\tx\t>=1.3")
    return lines


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
