"""`corpusmill build`: build a corpus, or show what a build would read."""

import argparse
import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from flows.commands.arguments import Commands, need, output, positive

if TYPE_CHECKING:
    from flows.commands.corpora.listeners import Listener
    from pipelines.config import SourceSection
    from pipelines.sources.listing import Inventory
    from pipelines.units.context import Context
    from pipelines.units.descriptor import Unit

_NOT_READ_SHOWN = 20  # files of a source in a dry run


def add_commands(commands: Commands) -> None:
    """Add `build`."""
    build = commands.add_parser("build", help="build a corpus: sources to token shards")
    build.add_argument("config", help="a TOML file, e.g. configs/corpus/demo.toml")
    build.add_argument("--out", required=True, help="output folder or URI; finished datasets in it are not built again")
    build.add_argument("--runner", default="local", help="local, or a Beam runner: DataflowRunner, FlinkRunner, …")
    build.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes of the local runner")
    build.add_argument("--limit", type=positive, metavar="N", help="a sample build: about N documents of each source")
    shown = build.add_mutually_exclusive_group()
    shown.add_argument(
        "--dry-run", action="store_true", help="print the plan (sources, units, bytes, files that are not read) and build nothing"
    )
    shown.add_argument("--quiet", action="store_true", help="print only errors, and one line at the end")
    shown.add_argument(
        "--json", action="store_true", help="print events as JSON Lines: datasets, units, progress, gates, the report"
    )
    build.add_argument("--log", metavar="FILE", help="append what happens to a file, with times, versions and tracebacks")
    build.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change a value of the config")
    build.add_argument(
        "--beam", action="append", default=[], metavar="OPTION", help="an option for Beam, e.g. --beam=--project=my-project"
    )
    build.set_defaults(run=_build)


def _build(arguments: argparse.Namespace) -> int:
    need("great_expectations", "flows", "a build needs Great Expectations for its gates")
    from pipelines import config
    from pipelines.beam import driver_server
    from pipelines.units.context import Context, RunnerOptions

    settings = config.load(arguments.config, tuple(arguments.set))
    out = output(arguments.out)
    runner = RunnerOptions(arguments.runner, arguments.workers, tuple(arguments.beam))
    if not arguments.dry_run:
        driver_server.start_early(runner, settings.sources)  # beside the imports that follow

    from flows import drive
    from flows.commands.corpora.listeners import all_of

    gc.freeze()  # modules are never freed: no collection has to walk through them, the one at exit (0.7 s) included
    if arguments.dry_run:
        return _dry_run(Context(settings, out, runner, arguments.limit))
    with ExitStack() as stack:
        listeners = [stack.enter_context(listener) for listener in _listeners(arguments, out)]
        published = drive.build(Context(settings, out, runner, arguments.limit, all_of(listeners)))
    for listener in listeners:
        listener.on_closing(published, out)
    return 0


def _listeners(arguments: argparse.Namespace, out: str) -> "list[Listener]":
    from flows.commands.corpora.listeners import BuildConsole, JsonLines, LogFile, Quiet

    log = [LogFile(arguments.log, out)] if arguments.log else []
    return [Quiet() if arguments.quiet else JsonLines() if arguments.json else BuildConsole(), *log]


def _dry_run(context: "Context") -> int:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from flows.commands.corpora.console import plain_console
    from pipelines.corpus import plan
    from pipelines.datasets.documents import limited
    from pipelines.sources.kinds import KINDS
    from pipelines.sources.listing import NOT_READ, inventory

    plan(context)  # first: it refuses what cannot be built
    table = Table(title=f"{context.config.corpus.name}: what would be read", title_justify="left", box=SIMPLE_HEAD)
    for name in ("source", "kind", "units", "MB stored", "largest unit", "not read"):
        table.add_column(name, justify="left" if name in ("source", "kind", "largest unit") else "right")
    not_read: list[str] = []
    for source in context.config.sources:
        kind = KINDS[source.kind]
        planned = kind.units(source.model_copy(update={"unread_files": "skip"}))
        units = [unit for unit in limited(planned, context.limit)[0] if NOT_READ not in unit.parameters]
        largest = max(units, key=lambda unit: unit.bytes, default=None)
        lines = list(_not_read(source, inventory(source, kind.names)))
        table.add_row(
            source.name,
            source.kind,
            f"{len(units):,}",
            f"{sum(unit.bytes for unit in units) / 1e6:,.1f}",
            f"{_files_of(largest)} ({largest.bytes / 1e6:,.1f} MB)" if largest else "",
            f"{len(lines):,}",
        )
        not_read += lines[:_NOT_READ_SHOWN]
        if len(lines) > _NOT_READ_SHOWN:
            not_read.append(f"{source.name}: {len(lines) - _NOT_READ_SHOWN:,} more")
    console = plain_console()
    console.print(table)
    if not_read:
        console.print("not read:", *not_read, sep="\n  ", markup=False, highlight=False, soft_wrap=True)
    console.print("datasets, in order: " + " → ".join(step.name for step in plan(context)))
    console.print(f"into {context.out}, runner {context.runner.runner}, {context.runner.workers} workers; nothing was done")
    return 0


def _files_of(unit: "Unit") -> str:
    return unit.uri if len(unit.paths) < 2 else f"{unit.uri} and {len(unit.paths) - 1:,} more"


def _not_read(source: "SourceSection", found: "Inventory") -> Iterator[str]:
    """Yield a line for each file that matches the source's patterns and is not read."""
    fate = "the build stops" if source.unread_files == "stop" else "skipped"
    for file in found.unread:
        yield f"{source.name}: {file.path} ({file.bytes / 1e6:,.1f} MB): {source.kind} reads no file of this name; {fate}"
    for file in found.empty:
        yield f"{source.name}: {file.path}: empty"
    for path in found.hidden:
        yield f"{source.name}: {path}: its name begins with a dot"
    for folder in found.outputs:
        yield f"{source.name}: {folder}: written by a build or an export"
