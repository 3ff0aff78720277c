"""`corpusmill sample`: fetch the demo's input."""

import argparse

from flows.commands.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Add `sample`."""
    sample = commands.add_parser("sample", help="fetch the demo's input: 19 MiB of Wikipedia, a book and crawled pages")
    sample.add_argument("folder", help="a folder, e.g. build/sample; a sample that is already there is kept")
    sample.set_defaults(run=_sample)


def _sample(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from pipelines.fetching.demo_sample import ARCHIVES, content, prepare

    columns = (TextColumn("{task.description:<22}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {archive.file: progress.add_task(archive.file, total=archive.size) for archive in ARCHIVES}
        folder = prepare(arguments.folder, lambda archive, here: progress.update(tasks[archive.file], completed=here))
        for archive in ARCHIVES:
            progress.update(tasks[archive.file], completed=archive.size)
    paths = content(folder)
    print(f"{folder}: {len(paths)} files, {sum(path.stat().st_size for path in paths) / 2**20:.1f} MiB")
    return 0
