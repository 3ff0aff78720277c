"""`corpusmill sample`: texts of a build, kept and dropped; in a folder without a build, the demo's input is fetched there."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from flows.commands.arguments import Commands, output, positive

if TYPE_CHECKING:
    from pipelines.review.draw import Drawn

_CHARACTERS = 600  # of a text


def add_commands(commands: Commands) -> None:
    """Add `sample`."""
    sample = commands.add_parser(
        "sample",
        help="print some texts of a build, kept or dropped; or fetch the demo's input (19 MiB) into a folder without a build",
        description='Print documents of a build, the same ones each time: `corpusmill sample build/mine --where "language =='
        " 'de' and words > 50\" -n 20`. In a folder without a build, and without options: fetch the demo's input, 19 MiB of"
        " Wikipedia, a book and crawled pages; a sample that is already there is kept.",
    )
    sample.add_argument("folder", help="an output folder, e.g. build/mine; or where the demo's input goes, e.g. build/sample")
    sample.add_argument(
        "--where",
        metavar="EXPRESSION",
        help="over columns (language, source, url, license, rule, reason, fate, …), measures (words, lines, …) and scores:"
        " \"language in ['de', 'fr'] and stop_words / words < 0.1\", \"reason == 'poor_signs'\"",
    )
    sample.add_argument("-n", type=positive, metavar="N", help="documents (10)")
    sample.add_argument(
        "--dropped", action="store_true", help="dropped documents, too; so it is if --where names a rule, reason, stage or fate"
    )
    sample.add_argument("--full", action="store_true", help=f"whole texts instead of their first {_CHARACTERS} characters")
    sample.add_argument("--json", action="store_true", help="a line of JSON for each document, with its whole text")
    sample.set_defaults(run=_sample)


def _sample(arguments: argparse.Namespace) -> int:
    from pipelines.contract import files
    from pipelines.contract.manifest import MARK, RELEASE

    out = output(arguments.folder)
    options = (arguments.where, arguments.n, arguments.dropped, arguments.full, arguments.json)
    if any(options) or (files.is_local(out) and any(files.exists(files.join(out, name)) for name in (RELEASE, MARK))):
        return _print_documents(arguments, out)
    return _fetch(arguments.folder)


def _print_documents(arguments: argparse.Namespace, out: str) -> int:
    from flows.commands.corpora.review import published
    from pipelines.review.draw import draw

    most = None if arguments.json or arguments.full else _CHARACTERS
    corpus = published(out)["corpus"]
    drawn = draw(corpus, arguments.where, arguments.n or 10, dropped=arguments.dropped, most_characters=most)
    if arguments.json:
        for document in drawn.documents:
            print(json.dumps(document, ensure_ascii=False))
        return 0
    for document in drawn.documents:
        _show(document)
    print(_summary(drawn))
    return 0


def _show(document: dict[str, Any]) -> None:
    from flows.pages.shown import visible

    print(f"{document['id']}  {visible(document['source'])}  {visible(document['language'] or '-')}  {_fate(document)}")
    named = [visible(document[name], 200) for name in ("title", "url") if document[name]]
    print("  " + (" · ".join(named) or visible(document["origin"], 200)))
    left = document["characters"] - len(document["text"])
    for line in document["text"].split("\n"):
        print(f"  {visible(line)}".rstrip())
    print(f"  … ({left:,} more characters)\n" if left > 0 else "")


def _fate(document: dict[str, Any]) -> str:
    from flows.pages.shown import visible

    rule = f"rule {visible(document['rule'])}" if document["rule"] else ""
    measured = "" if not rule or document["rule_value"] is None else f" (measured {document['rule_value']:.4g})"
    if document["stage"] is None:
        return "kept" + (f", against the {rule}{measured}" if rule else "")
    detail = f": {visible(document['detail'], 200)}" if document["detail"] else ""
    return f"dropped at {document['stage']}, {document['reason']}{detail}" + (f"; {rule}{measured}" if rule else "")


def _summary(drawn: "Drawn") -> str:
    shown = len(drawn.documents)
    hidden = f"; {drawn.hidden:,} are not shown: taken down, blocked or full of private data" if drawn.hidden else ""
    return f"{shown:,} of {drawn.matched:,} documents{hidden}"


def _fetch(into: str) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from pipelines.fetching.demo_sample import ARCHIVES, content, prepare

    columns = (TextColumn("{task.description:<22}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {archive.file: progress.add_task(archive.file, total=archive.size) for archive in ARCHIVES}
        folder = prepare(into, lambda archive, here: progress.update(tasks[archive.file], completed=here))
        for archive in ARCHIVES:
            progress.update(tasks[archive.file], completed=archive.size)
    paths = content(folder)
    print(f"{folder}: {len(paths)} files, {sum(path.stat().st_size for path in paths) / 2**20:.1f} MiB")
    return 0
