"""Commands that look at models and runs: `evaluate`, `ancestors`, `judge`, `harness`, `look`, `runs`, `trace`."""

import argparse

from flows.commands.arguments import Command, Commands, add_all, need_torch
from training.arguments import add_ancestors, add_evaluate, add_harness, add_judge, add_look, count


def add_commands(commands: Commands) -> None:
    """Add `evaluate`, `ancestors`, `judge`, `harness`, `look`, `runs` and `trace`."""
    add_all(commands, _COMMANDS)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="run", nargs="+", help="folder of a pretraining or a fine-tuning, finished or not")
    parser.add_argument("--out", default="runs.html", help="the page, runs.html by default; it needs no network and no server")


def _add_trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", metavar="run", help="the folder of a pretraining run, or a TOML file with [data], [rows] and [objective]"
    )
    parser.add_argument("--step", type=count, required=True, help="number of the step, from 0")
    parser.add_argument("--row", type=count, help="number of the row in the global batch, from 0; all rows by default")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _ancestors(arguments: argparse.Namespace) -> int:
    need_torch()
    import sys
    from pathlib import Path

    from pipelines.fetching.download import FetchError
    from pipelines.fetching.word_sets import word_sets
    from training.ancestors.history import run

    try:
        sets = Path(arguments.word_sets) if arguments.word_sets else word_sets()
    except FetchError as error:
        print(f"similarity and analogies are left out (--word-sets names a folder of them): {error}", file=sys.stderr)
        sets = None
    return run(arguments, sets)


def _look(arguments: argparse.Namespace) -> int:
    need_torch()
    from flows.pages.looked import look_page
    from pipelines.contract import files
    from training.looking.look import look

    looked = look(arguments.folder, arguments.text, arguments.second, arguments.records, sharp=arguments.sharpness)
    files.write_text(arguments.out, look_page(looked))
    print(arguments.out)
    return 0


def _runs(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from flows.pages.runs.page import write_runs
    from pipelines.contract import files

    def folder_of(run: str) -> Path:
        if files.is_local(run):
            return files.local_path(run)
        need_torch()
        from training.checkpoints.remote import here

        return here(run, weights=False)

    print(write_runs([folder_of(run) for run in arguments.folder], files.on_this_machine(arguments.out, "the page")))
    return 0


def _trace(arguments: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from training.evaluation.trace import show, trace

    traced = trace(arguments.config, arguments.step, arguments.row)
    print(json.dumps(asdict(traced), ensure_ascii=False) if arguments.json else show(traced))
    return 0


_COMMANDS = (
    Command(
        "evaluate",
        "held-out loss and bits per byte by source, and BLiMP, of a trained or imported model",
        add_evaluate,
        "training.evaluation.summary",
    ),
    Command(
        "ancestors",
        "train n-grams, word2vec, GloVe and ELMo on a corpus, and compare them with GPT and BERT in one table",
        add_ancestors,
        _ancestors,
    ),
    Command(
        "judge",
        "compare two models of a family on the same held-out rows, e.g. before one replaces the other",
        add_judge,
        "training.evaluation.judge",
    ),
    Command("harness", "run tasks of EleutherAI's lm-evaluation-harness on a model", add_harness, "training.evaluation.harness"),
    Command("look", "write a page of what a model sees in a text: attention, attributions, calibration", add_look, _look),
    Command(
        "runs",
        "write a page that compares runs: curves, numbers, samples, configs, data; of tasks figures and errors",
        _add_runs,
        _runs,
    ),
    Command("trace", "show the documents from which the rows of a training step were made", _add_trace, _trace),
)
