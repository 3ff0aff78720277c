"""Commands over a built corpus: `explain`, `verify`, `gc`."""

import argparse
import sys

from flows.commands.arguments import Commands, output


def add_commands(commands: Commands) -> None:
    """Add `explain`, `verify` and `gc`."""
    explain = commands.add_parser(
        "explain", help="why a document is in a built corpus or not; a copy is shown beside its survivor"
    )
    explain.add_argument("out", help="an output folder")
    explain.add_argument("id", nargs="+", help="an id (6 hexadecimal digits or more), a URL or an origin")
    explain.add_argument(
        "--against", action="append", default=[], metavar="FOLDER", help="an earlier build that may hold a copy's survivor"
    )
    explain.add_argument("--json", action="store_true", help="one line of JSON for each id, with the whole texts")
    explain.set_defaults(run=_explain)

    verify = commands.add_parser("verify", help="re-hash every part and re-add every ledger of a dataset or a whole build")
    verify.add_argument("dataset", help="a dataset's folder, or an output folder: every dataset of its release is verified")
    verify.set_defaults(run=_verify)

    gc = commands.add_parser("gc", help="remove what the published release does not need")
    gc.add_argument("out", help="an output folder")
    gc.add_argument("--dry-run", action="store_true", help="list it, and remove nothing")
    gc.set_defaults(run=_gc)


def _explain(arguments: argparse.Namespace) -> int:
    import json

    from flows.commands.corpora.explain import explain_console, show, unknown
    from pipelines.contract import files
    from pipelines.lookup.explanation import as_json, explain
    from pipelines.lookup.find import Build

    out = files.plain(arguments.out)
    against = [Build(files.plain(folder)) for folder in arguments.against]
    console = explain_console()
    shown = status = 0
    for answer in explain(Build(out), arguments.id, against):
        if not answer.count:
            print(f"corpusmill: {unknown(answer, out)}", file=sys.stderr)
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
    from pipelines.contract import files, manifest
    from pipelines.contract.verify import verify
    from pipelines.release import published_folders

    uri = files.plain(arguments.dataset).rstrip("/")
    folders = [uri] if manifest.is_complete(uri) or uri.endswith(".json") else list(published_folders(uri).values())
    all_sound = True
    for folder in folders:
        checked = verify(folder)
        all_sound = all_sound and checked.is_sound
        counts = f"{checked.parts:>6,} parts {checked.rows:>10,} rows {checked.bytes / 1e6:>10,.1f} MB"
        print(f"{checked.dataset:<24} {counts}  {'sound' if checked.is_sound else 'NOT SOUND'}")
        for problem in checked.problems:
            print(f"  {problem}", file=sys.stderr)
    return 0 if all_sound else 1


def _gc(arguments: argparse.Namespace) -> int:
    from flows.lock import locked
    from pipelines.contract import files
    from pipelines.release import garbage, read_release, retire

    out = output(arguments.out)
    retain = read_release(out)["retain"]
    with locked(out):  # unfinished datasets of a running build look like garbage
        paths = garbage(out, retain)
        if not arguments.dry_run:
            retire(out, retain)
        for path in paths:
            print(f"{'would remove' if arguments.dry_run else 'removed'} {path}")
            if not arguments.dry_run:
                files.remove(path)
    print(f"{len(paths)} files and folders that the release does not need")
    return 0
