"""What a build kept and lost, and what other thresholds would keep: `report`."""

import argparse
from typing import TYPE_CHECKING

from flows.commands.arguments import Commands, output

if TYPE_CHECKING:
    from pipelines.units.context import Dataset


def add_commands(commands: Commands) -> None:
    """Add `report`."""
    report = commands.add_parser("report", help="write the page report.html of a finished build again")
    report.add_argument("out", help="an output folder")
    report.add_argument("--beside", metavar="FOLDER", help="another build to compare with")
    report.add_argument("--to", metavar="FILE", help="where the page goes; by default, report.html in the output folder")
    report.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    from flows.pages.corpus.made import build_facts
    from flows.pages.corpus.page import report_page
    from pipelines.contract import files
    from pipelines.release import PAGE, read_report

    out = output(arguments.out)
    built = published(out)
    target = output(arguments.to) if arguments.to else files.join(out, PAGE)
    other = output(arguments.beside) if arguments.beside else None
    beside = build_facts(other, read_report(other), published(other)) if other else None
    files.write_text(target, report_page(build_facts(out, read_report(out), built), other=beside))
    print(target)
    return 0


def published(out: str) -> "dict[str, Dataset]":
    """Return the datasets of a release that are still there, by name.

    Raises OutputError if nothing is published, or its corpus is gone.
    """
    from pipelines.contract import manifest
    from pipelines.release import OutputError, published_folders
    from pipelines.units.context import Dataset

    folders = published_folders(out)
    built = {name: Dataset(uri, manifest.read(uri)) for name, uri in folders.items() if manifest.is_complete(uri)}
    if "corpus" not in built:
        raise OutputError(f"{out}: the corpus of its release is gone; build it again")
    return built
