"""`corpusmill benchmarks`: fetch the texts of common benchmarks, to keep them out of a corpus."""

import argparse

from flows.commands.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Add `benchmarks`."""
    benchmarks = commands.add_parser(
        "benchmarks",
        help="fetch the questions of common benchmarks, and print the section of the config that keeps them out of a corpus",
    )
    benchmarks.add_argument("folder", nargs="?", help="a folder for the files; without it, the list is printed")
    benchmarks.add_argument("name", nargs="*", help="benchmarks of the list; all without a name")
    benchmarks.set_defaults(run=_benchmarks)


def _benchmarks(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    import tomli_w

    from pipelines.fetching.benchmarks import BENCHMARKS, fetch_benchmarks, section

    if arguments.folder is None:
        for name, known in BENCHMARKS.items():
            print(f"{name:<16}{known.what:<48}{known.url}")
        return 0
    fetched = fetch_benchmarks(Path(arguments.folder).absolute(), arguments.name)
    print(tomli_w.dumps({"decontaminate": section(fetched)}), end="")
    return 0
