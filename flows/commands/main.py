"""The command line: `corpusmill build | explain | verify | gc | export | import | pretrain | evaluate | runs | trace`.

Heavy packages are imported in the command that needs them: `corpusmill --help` answers at once.
"""

import argparse
import gc
import importlib.util
import os
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from training.arguments import add_evaluate, count

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; an error a user can mend is one line on stderr and exit code 1 (2 for a wrong command line).

    Ctrl-C and SIGTERM end it in order, with exit codes 130 and 143.
    """
    parsed = _parser().parse_args(arguments)
    with _stopping() as signals:
        try:
            return int(parsed.run(parsed))
        except (KeyboardInterrupt, ValueError, OSError, RuntimeError) as error:
            if os.environ.get("CORPUSMILL_TRACEBACK"):
                raise
            # Asked by the signal, not by the error: libraries wrap a KeyboardInterrupt in errors of their own.
            if signals or isinstance(error, KeyboardInterrupt):
                print("corpusmill: stopped; what is finished is kept, the same command goes on from there", file=sys.stderr)
                return 128 + (signals[0] if signals else signal.SIGINT)
            print(f"corpusmill: {error}", file=sys.stderr)
            return 1


@contextmanager
def _stopping() -> Generator[list[int]]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, so that workers and files are cleared away; yields those that came."""
    came: list[int] = []

    def stop(number: int, _frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="corpusmill",
        description="Build pretraining corpora and pretrain language models on them.",
        epilog="Set CORPUSMILL_TRACEBACK=1 to see where an error comes from.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_corpus_commands(commands)
    _add_training_commands(commands)
    return parser


def _add_corpus_commands(commands: Commands) -> None:
    """What makes a corpus, looks at it and keeps it in order."""
    build = commands.add_parser("build", help="build a corpus: sources to token shards")
    build.add_argument("config", help="a TOML file, e.g. configs/corpus/demo.toml")
    build.add_argument("--out", required=True, help="output folder or URI; finished datasets in it are not built again")
    build.add_argument("--runner", default="local", help="local, or a Beam runner: DataflowRunner, FlinkRunner, …")
    build.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, help="processes of the local runner")
    build.add_argument("--limit", type=_positive, metavar="N", help="a sample build: about N documents of each source")
    build.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    build.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change a value of the config")
    build.add_argument(
        "--beam", action="append", default=[], metavar="OPTION", help="an option for Beam, e.g. --beam=--project=my-project"
    )
    build.set_defaults(run=_build)

    explain = commands.add_parser("explain", help="why a document is in a built corpus or not; of a copy, what it is a copy of")
    explain.add_argument("out", help="an output folder")
    explain.add_argument("id", nargs="+", help="an id (6 hexadecimal digits or more), a URL or an origin")
    explain.add_argument(
        "--against", action="append", default=[], metavar="FOLDER", help="an earlier build, in which a copy's survivor may lie"
    )
    explain.add_argument("--json", action="store_true", help="a line of JSON for each id, with the whole texts")
    explain.set_defaults(run=_explain)

    verify = commands.add_parser("verify", help="re-hash every part and re-add every ledger of a dataset or a whole build")
    verify.add_argument("dataset", help="a dataset's folder, or an output folder: then everything that is published in it")
    verify.set_defaults(run=_verify)

    gc = commands.add_parser("gc", help="remove what the published release does not need")
    gc.add_argument("out", help="an output folder")
    gc.add_argument("--dry-run", action="store_true", help="list, and remove nothing")
    gc.set_defaults(run=_gc)


def _add_training_commands(commands: Commands) -> None:
    """What takes a corpus' tokens further."""
    export = commands.add_parser("export", help="write a model, tokens or a tokenizer in another project's format")
    export.add_argument(
        "folder",
        help="of a pretraining run or a checkpoint: the model; of a build or a tokens dataset: the tokens "
        "(of a tokenizer: of a vocabulary too)",
    )
    formats = ["hf", "huggingface", "megatron", "mds", "nanogpt", "tokenizer"]
    export.add_argument(
        "--to",
        required=True,
        choices=formats,
        help="hf (or huggingface): a model for AutoModel, tokens for `datasets`; megatron, mds, nanogpt: tokens; "
        "tokenizer: for AutoTokenizer",
    )
    export.add_argument("--out", required=True, help="a new or empty folder")
    export.add_argument("--name", help="which vocabulary's tokens, where the build has several")
    export.add_argument("--split", action="append", metavar="SPLIT", help="train or validation; all by default")
    export.add_argument(
        "--family", choices=["bert", "gpt", "bart", "t5"], help="of a tokenizer: whose special pieces it puts around a text"
    )
    export.set_defaults(run=_export)

    importing = commands.add_parser("import", help="make a checkpoint of a model that others published")
    importing.add_argument(
        "source", help="a folder of Hugging Face, of Google's BERT, of OpenAI's GPT-2, or of fairseq's BART (or its .pt)"
    )
    importing.add_argument("--out", required=True, help="a new or empty folder, to be exported, generated with or trained on")
    importing.add_argument("--tokenizer", metavar="PATH", help="its tokenizer, where it does not lie beside the weights")
    importing.set_defaults(run=_import)

    pretrain = commands.add_parser("pretrain", help="pretrain a model on token shards")
    pretrain.add_argument("config", help="a TOML file, e.g. configs/pretrain/gpt_demo.toml")
    pretrain.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change a value of the config")
    pretrain.add_argument("--dry-run", action="store_true", help="say what it would take: memory, steps, epochs; train nothing")
    pretrain.set_defaults(run=_pretrain)

    evaluate = commands.add_parser(
        "evaluate", help="held-out loss and bits per byte by source, and BLiMP, of a trained or imported model"
    )
    add_evaluate(evaluate)
    evaluate.set_defaults(run=_evaluate)

    runs = commands.add_parser("runs", help="a page that compares pretraining runs: curves, numbers, samples, configs, data")
    runs.add_argument("folder", metavar="run", nargs="+", help="folder of a pretraining run; it may still go on")
    runs.add_argument("--out", default="runs.html", help="the page, runs.html by default; it needs no network and no server")
    runs.set_defaults(run=_runs)

    trace = commands.add_parser("trace", help="the documents behind the rows of a training step")
    trace.add_argument(
        "config", metavar="run", help="the folder of a pretraining run, or a TOML file with [data], [rows] and [objective]"
    )
    trace.add_argument("--step", type=count, required=True, help="from 0")
    trace.add_argument("--row", type=count, help="its place in the global batch, from 0; all rows by default")
    trace.add_argument("--json", action="store_true", help="as JSON")
    trace.set_defaults(run=_trace)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _build(arguments: argparse.Namespace) -> int:
    from flows import drive
    from flows.commands.console import BuildConsole, closing_tables
    from pipelines import config
    from pipelines.units.context import Context, RunnerOptions

    gc.freeze()  # modules stay: no collection, nor the one when the process ends (.7 s), has to walk through them
    settings = config.load(arguments.config, tuple(arguments.set))
    out = arguments.out if "://" in arguments.out else os.path.abspath(arguments.out)
    runner = RunnerOptions(arguments.runner, arguments.workers, tuple(arguments.beam))
    with BuildConsole() as console:
        context = Context(settings, out, runner, arguments.limit, console.on_event)
        if arguments.dry_run:
            return _dry_run(context)
        published = drive.build(context)
    for table in closing_tables(published.report, console.seconds, out):
        console.console.print(table)
    return 0


def _dry_run(context: object) -> int:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from flows.commands.console import plain_console
    from pipelines.corpus import plan
    from pipelines.datasets.documents import limited
    from pipelines.sources.kinds import KINDS
    from pipelines.units.context import Context

    assert isinstance(context, Context)
    table = Table(title=f"{context.config.corpus.name}: what would be read", title_justify="left", box=SIMPLE_HEAD)
    for name in ("source", "kind", "units", "MB stored", "largest unit"):
        table.add_column(name, justify="left" if name in ("source", "kind", "largest unit") else "right")
    for source in context.config.sources:
        units, _ = limited(KINDS[source.kind].units(source), context.limit)
        largest = max(units, key=lambda unit: unit.bytes)
        stored = sum(unit.bytes for unit in units) / 1e6
        table.add_row(
            source.name, source.kind, f"{len(units):,}", f"{stored:,.1f}", f"{largest.uri} ({largest.bytes / 1e6:,.1f} MB)"
        )
    console = plain_console()
    console.print(table)
    console.print("datasets, in order: " + " → ".join(step.name for step in plan(context)))
    console.print(f"into {context.out}, runner {context.runner.runner}, {context.runner.workers} workers; nothing was done")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    import json

    from flows.commands.explain import explain_console, show, unknown
    from pipelines.lookup.explanation import as_json, explain
    from pipelines.lookup.find import Build

    against = [Build(folder) for folder in arguments.against]
    console = explain_console()
    shown = status = 0
    for answer in explain(Build(arguments.out), arguments.id, against):
        if not answer.count:
            print(f"corpusmill: {unknown(answer, arguments.out)}", file=sys.stderr)
            status = 1
        if arguments.json:
            print(json.dumps(as_json(answer)))
        elif answer.count:
            if shown:
                console.rule()
            show(console, answer)
            shown += 1
    return status


def _verify(arguments: argparse.Namespace) -> int:
    from pipelines.contract import manifest
    from pipelines.contract.verify import verify
    from pipelines.release import published_folders

    uri = arguments.dataset.rstrip("/")
    folders = [uri] if manifest.is_complete(uri) or uri.endswith(".json") else list(published_folders(uri).values())
    sound = True
    for folder in folders:
        found = verify(folder)
        sound = sound and found.is_sound
        verdict = "sound" if found.is_sound else "NOT SOUND"
        print(f"{found.dataset:<24} {found.parts:>6,} parts {found.rows:>10,} rows {found.bytes / 1e6:>10,.1f} MB  {verdict}")
        for problem in found.problems:
            print(f"  {problem}", file=sys.stderr)
    return 0 if sound else 1


def _gc(arguments: argparse.Namespace) -> int:
    from flows.lock import locked
    from pipelines.contract import files
    from pipelines.release import garbage, read_release, retire

    out = arguments.out if "://" in arguments.out else os.path.abspath(arguments.out)
    retain = read_release(out)["retain"]
    with locked(out):  # what a running build has not finished looks like garbage
        found = garbage(out, retain)
        if not arguments.dry_run:
            retire(out, retain)
        for path in found:
            print(f"{'would remove' if arguments.dry_run else 'removed'} {path}")
            if not arguments.dry_run:
                files.remove(path)
    print(f"{len(found)} things that the release does not need")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from pipelines.contract import shards
    from pipelines.contract.tokenizers import loading
    from pipelines.exports.export import export
    from pipelines.exports.tokenizer import export_huggingface

    if _is_model(arguments.folder):
        return _export_model(arguments)
    if arguments.to == "tokenizer":
        tokenizer = loading.load(shards.find(arguments.folder, arguments.name))
        export_huggingface(tokenizer, arguments.out, arguments.family)
        print(f"{arguments.out}: {tokenizer.size:,} pieces; AutoTokenizer.from_pretrained({arguments.out!r}) loads them")
        return 0
    to = "huggingface" if arguments.to == "hf" else arguments.to
    report = export(arguments.folder, arguments.name, to, arguments.out, arguments.split)
    for split, counts in report.splits.items():
        print(f"{split:<12} {counts['rows']:>12,} documents {counts['tokens']:>15,} tokens")
    print(f"{arguments.out}: {len(report.files):,} files, {report.bytes / 1e6:,.1f} MB, as {to} reads them")
    return 0


def _is_model(folder: str) -> bool:
    """Whether it is a pretraining run's or a checkpoint's."""
    return os.path.isdir(os.path.join(folder, "checkpoints")) or os.path.exists(os.path.join(folder, "model.pt"))


def _export_model(arguments: argparse.Namespace) -> int:
    _need_torch()
    from pipelines.exports.tokenizer import export_huggingface
    from training.convert.export import export

    if arguments.to not in ("hf", "huggingface"):
        raise ValueError(f"{arguments.folder}: is a model, which can be exported --to hf only; {arguments.to} is of tokens")
    if arguments.name or arguments.split or arguments.family:
        raise ValueError(f"{arguments.folder}: is a model; --name, --split and --family are of tokens and tokenizers")
    report = export(arguments.folder, arguments.out, export_huggingface)
    print(f"{report.checkpoint}: {report.family}, {report.parameters:,} parameters, {report.vocabulary:,} pieces")
    print(f"{report.out}: {report.architecture} in {len(report.files)} files, {report.bytes / 1e6:,.1f} MB")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    _need_torch()
    from training.convert.importing import import_model

    report = import_model(arguments.source, arguments.out, arguments.tokenizer)
    print(f"{report.source}: {report.kind}, {report.parameters:,} parameters, {report.vocabulary:,} pieces")
    for line in report.remarks:
        print(f"  {line}")
    print(f"{report.checkpoint}: python -m training.generation.answers {arguments.out} --prompt …")
    return 0


def _need_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise ValueError("models need PyTorch: install corpusmill with its extra `train`")


def _pretrain(arguments: argparse.Namespace) -> int:
    _need_torch()
    from training.run.pretrain import pretrain

    pretrain(arguments.config, tuple(arguments.set), dry_run=arguments.dry_run)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    _need_torch()
    from training.evaluation.summary import run

    return run(arguments)


def _runs(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from flows.pages.runs.page import write_runs

    print(write_runs([Path(folder) for folder in arguments.folder], Path(arguments.out)))
    return 0


def _trace(arguments: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from training.evaluation.trace import show, trace

    found = trace(arguments.config, arguments.step, arguments.row)
    print(json.dumps(asdict(found), ensure_ascii=False) if arguments.json else show(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
