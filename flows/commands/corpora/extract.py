"""`corpusmill extract`: the text of any file as JSON Lines, and pages that show what was kept of web pages."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from flows.commands.arguments import KINDS, Commands, positive
from pipelines.contract.errors import UserError, as_user_error

if TYPE_CHECKING:
    from flows.pages.explained import Shown
    from pipelines.contract.ledger import Ledger
    from pipelines.extract import Extraction, File
    from pipelines.sources.collector import Record
    from pipelines.stages.base import Model
    from pipelines.text.extraction.explained import Explained
    from pipelines.text.extraction.html import Page

_SECONDS_BETWEEN_LINES = 10


class TakenError(UserError):
    """A folder that is to be written holds something, or a file that is to be written is a folder."""


def add_commands(commands: Commands) -> None:
    """Add `extract`."""
    extract = commands.add_parser(
        "extract",
        help="the text of any file (HTML, WARC, ARC, WET, a dump, a book, records) as JSON Lines; nothing is filtered",
        description="Write a line of JSON for each document of the files, with its url, title, author, date, language and text; a"
        " document that cannot be used has no text, but a reason. Files are read as a build reads them.",
    )
    extract.add_argument("file", nargs="+", help="a file or URI, plain or compressed, or - for standard input")
    extract.add_argument("--kind", choices=KINDS, help="what the files are; by default, their first bytes and names say it")
    extract.add_argument("--out", metavar="FILE", help="where the lines go; by default, to standard output")
    extract.add_argument("--html", metavar="FOLDER", help="a new folder for pages that show what was kept of each web page")
    extract.add_argument("--limit", type=positive, metavar="N", help="the first N documents of each file")
    extract.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of a [[sources]] section, e.g. text_field=body"
    )
    extract.add_argument(
        "--language-model", metavar="FILE", help="a fastText model of languages; by default lid.176.ftz, where a build has put it"
    )
    extract.set_defaults(run=_extract)


def _extract(arguments: argparse.Namespace) -> int:
    from pipelines.extract import Extraction

    status = 0
    extraction = Extraction(language_model(arguments.language_model), arguments.set, arguments.limit)
    with ExitStack() as stack:
        pages = stack.enter_context(_pages(arguments.html)) if arguments.html else None
        if pages is not None:
            extraction.on_page = pages.show
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        out = stack.enter_context(_output(arguments.out))
        for path in arguments.file:
            try:
                _one(extraction, path, folder, arguments.kind, out, pages)
            except BrokenPipeError:
                raise
            except Exception as error:
                mistake = as_user_error(error)
                if mistake is None:
                    raise
                print(f"corpusmill: {mistake}", file=sys.stderr)
                status = 1
    return status


def _one(extraction: "Extraction", path: str, folder: str, kind: str | None, out: BinaryIO, pages: "_Pages | None") -> None:
    """Write the lines of one file, and a line about it on standard error."""
    from pipelines.extract import opened

    file = opened(path, folder, kind)
    progress, count = _Progress(file), 0
    for row in extraction.rows(file):
        out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        if pages is not None:
            pages.fate(row)
        progress.step(extraction.ledgers[file.name])
        count += 1
    if pages is not None:
        pages.next_file()
    limit = f"; only the first {count:,} of these are written" if count == extraction.limit else ""
    print(f"{file.name}: {file.kind}: {_counts(extraction.ledgers[file.name])}{limit}", file=sys.stderr)


def language_model(path: str | None) -> "Model | None":
    """Return the language model; without one, say so: languages are null then."""
    from pipelines.contract import files
    from pipelines.fetching.language_model import lid_model, lid_model_if_there
    from pipelines.stages.base import Model

    model = lid_model(path) if path else lid_model_if_there()
    if model is None:
        print(
            "no language model here, so languages are null: a build fetches it, or name it with --language-model", file=sys.stderr
        )
        return None
    return Model(str(model), files.sha256(str(model)))


@contextmanager
def _output(path: str | None) -> Generator[BinaryIO]:
    """Yield where the lines go: a file that appears when it is complete, or standard output, whose encoding is UTF-8 here."""
    from pipelines.contract import files

    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = files.plain(path)
    if files.is_local(target) and files.local_path(target).is_dir():  # before anything is read
        raise TakenError(f"{path}: is a folder; name a file with --out")
    with files.writing(target) as stream:
        yield stream  # pyright: ignore[reportReturnType]


class _Progress:
    """A line on standard error every few seconds for a file that takes longer."""

    def __init__(self, file: "File") -> None:
        self._file, self._last, self._documents = file, time.monotonic(), 0

    def step(self, ledger: "Ledger") -> None:
        """Count a document."""
        self._documents += 1
        now = time.monotonic()
        if now - self._last > _SECONDS_BETWEEN_LINES:
            self._last = now
            share = ledger.bytes_read / max(1, self._file.unit.bytes)
            print(f"{self._file.name}: {_documents(self._documents)}, {min(share, 1):.0%} of the file", file=sys.stderr)


def _counts(ledger: "Ledger") -> str:
    """Return what became of a file: documents, drops and skipped records."""
    parts = [f"{_documents(ledger.documents_out)}, {ledger.characters_out:,} characters"]
    for what, counts in (("dropped", ledger.dropped_by_reason), ("skipped", ledger.skipped)):
        if counts:
            parts.append(f"{what}: " + ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items())))
    return "; ".join(parts)


def _documents(count: int) -> str:
    return f"{count:,} document{'' if count == 1 else 's'}"


class _Pages:
    """The pages that show what was kept; they appear, with their index, when all files are read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shown: list[Shown] = []
        self._waiting: dict[str, Explained] = {}  # by their places in the current file: pages whose fate is not known yet
        self._others = 0

    def show(self, record: "Record", markup: str, page: "Page") -> None:
        """Explain a web page; its page is written when its fate is known."""
        from pipelines.text.extraction.explained import explained

        self._waiting[record.origin.rpartition("#")[2]] = explained(markup, page)

    def fate(self, row: dict[str, Any]) -> None:
        """Note what became of a document, and write its page."""
        from flows.pages.explained import Shown, page

        blocks = self._waiting.pop(row["origin"].rpartition("#")[2], None)
        if blocks is None:
            self._others += 1
            return
        shown = Shown(
            file=f"{len(self._shown) + 1:06}.html",
            url=row["url"] or row["origin"],
            title=row["title"] or "",
            fate=row.get("reason") or "kept",
            visible_characters=blocks.visible_characters,
            kept_characters=blocks.kept_characters,
        )
        self._shown.append(shown)
        (self._folder / shown.file).write_text(page(shown, blocks, row["text"] or ""), encoding="utf-8")

    def next_file(self) -> None:
        """Forget the places of this file: pages after the limit are not shown."""
        self._waiting.clear()

    def finish(self) -> None:
        """Write the index."""
        from flows.pages.explained import index

        (self._folder / "index.html").write_text(index(self._shown, self._others), encoding="utf-8")


@contextmanager
def _pages(out: str) -> Generator[_Pages]:
    from pipelines.contract import files
    from pipelines.contract.new_folder import is_taken, new_folder

    target = files.plain(out)
    if is_taken(target):
        raise TakenError(f"{out}: holds something already; name a new or empty folder with --html")
    with new_folder(target, "index.html") as folder:
        pages = _Pages(folder)
        yield pages
        pages.finish()
