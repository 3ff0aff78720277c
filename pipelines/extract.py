"""The text of any file as a build would read it, without a config: the kinds' readers, then normalize, lines and the language.

Nothing is filtered by its content. What a reader drops, and what normalisation leaves nothing of, comes with its reason.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.config import LanguageSection, LinesSection, NormalizeSection, QualitySection, SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.errors import UserError
from pipelines.contract.ledger import Ledger, add
from pipelines.contract.settings import override, validated
from pipelines.sources import any_file
from pipelines.sources.collector import Collector, Record
from pipelines.sources.listing import full_uri
from pipelines.stages import lines, normalize
from pipelines.stages.base import BatchFunction, Model, Stages
from pipelines.stages.judgement import judge
from pipelines.text.extraction import extractors
from pipelines.text.extraction.html import Page
from pipelines.units.descriptor import Unit

NAME = "extract"  # of the source, in ids
STDIN = "-"
# Columns of a document that mean nothing without a build, or that nothing has filled yet.
_OF_A_BUILD = frozenset({"id", "work", "source", "snapshot", "measures", "rule", "rule_value", "quality_score"})
_UNMEASURED = QualitySection.model_validate({"rules": [], "measure": False})
_BYTES_PER_BATCH = 2**20  # of web pages' text: small, so that lines come soon
_FIRST = ("url", "title", "author", "date", "language", "language_score", "languages")
_LAST = ("text", "stage", "reason", "detail")

OnPage = Callable[[Record, str, Page], None]  # a page's record, its markup and what was extracted


class MissingFileError(UserError):
    """A file that is not there, or is a folder."""


@dataclass(slots=True)
class _Watching(Collector):
    """A collector that shows each web page to a function."""

    on_page: OnPage | None = None

    def watch(self, record: Record, markup: str, page: Page) -> None:
        """Show a page."""
        if self.on_page is not None:
            self.on_page(record, markup, page)


@dataclass(frozen=True, slots=True)
class File:
    """A file to extract from: what it is called, its kind, and where the kind's reader finds it."""

    name: str
    kind: str  # of any_file.KINDS
    unit: Unit


@dataclass(slots=True)
class Extraction:
    """The way from files to rows; `model` is that of the languages, None leaves them null."""

    model: Model | None = None
    settings: Sequence[str] = ()  # of a source of the build's config, as key=value
    limit: int | None = None  # documents of a file, dropped ones included
    on_page: OnPage | None = None
    ledgers: dict[str, Ledger] = field(default_factory=dict[str, Ledger])  # by file, of what was read so far
    _stages: dict[str, BatchFunction] = field(default_factory=dict[str, BatchFunction])

    def rows(self, file: File) -> Iterator[dict[str, Any]]:
        """Yield a row for each document of a file: the columns of the schema, or those of a drop.

        Raise UserError if the file is not of its kind, ConfigError if a setting is unknown, MissingExtractorError or ModelError
        if web pages cannot be extracted.
        """
        try:
            yield from self._rows(file)
        except UserError as error:  # that knows the path of a link or of a copy of standard input
            raise UserError(str(error).replace(full_uri(file.unit), file.name)) from None

    def _rows(self, file: File) -> Iterator[dict[str, Any]]:
        kind, remaining = any_file.KINDS[file.kind], self.limit
        section = self._section(kind.source, file.unit)
        if kind.source == "common_crawl":
            extractors.versions(section.extractor)
        run = self._run(kind.source, section)
        for batch in self._batches(section, file):
            done = run(batch)
            self.ledgers[file.name] = add([self.ledgers.get(file.name, Ledger()), done.ledger])
            for row in _in_order(done):
                yield _named(row, file)
                remaining = None if remaining is None else remaining - 1
                if remaining == 0:
                    return

    def _batches(self, section: SourceSection, file: File) -> Iterator[Batch]:
        kind = any_file.KINDS[file.kind]
        if kind.source != "common_crawl":
            return kind.reader(section, file.unit)
        return kind.reader(section, file.unit, _Watching(section, _BYTES_PER_BATCH, on_page=self.on_page))

    def _section(self, kind: str, unit: Unit) -> SourceSection:
        data: dict[str, Any] = {"name": NAME, "kind": kind, "root": unit.root, "paths": [unit.uri], "snapshot": ""}
        for setting in self.settings:
            override(data, setting)
        return validated(SourceSection, data, "--set")

    def _run(self, kind: str, section: SourceSection) -> BatchFunction:
        """Return the stages between the reader and the first filter, with the settings that a config has by default."""
        if kind not in self._stages:
            stages = (
                normalize.stage(NormalizeSection(), kind),
                lines.stage_of_source(LinesSection(), section),
                judge.stage(LanguageSection(), _UNMEASURED, (self.model,) if self.model else ()),
            )
            self._stages[kind] = Stages(stages).open()(NAME, NAME)
        return self._stages[kind]


def opened(path: str, folder: str, kind: str | None = None) -> File:
    """Return a file to extract from; `folder` is a temporary one, for links to files whose names the readers do not know.

    `path` is a path, a URI or STDIN. Raise MissingFileError, UnknownFileError or OSError.
    """
    uri = _spooled(folder) if path == STDIN else _existing(path)
    name = "stdin" if path == STDIN else path
    try:
        kind = kind or any_file.kind_of(uri)
        ending = any_file.ending_of(kind, uri)
    except any_file.UnknownFileError as error:
        raise any_file.UnknownFileError(str(error).replace(uri, name, 1)) from None
    if ending:
        link = Path(tempfile.mkdtemp(dir=folder)) / (uri.rsplit("/", 1)[-1] + ending)
        link.symlink_to(files.on_this_machine(uri, "a file with a name of no kind"))
        uri = str(link)
    root, _, last = uri.rpartition("/")
    size = files.size(uri)
    unit = Unit(name=NAME, source=NAME, uri=last, root=root or "/", bytes=size, identity="")
    if kind == "books":
        unit = unit.model_copy(update={"paths": (last,), "parameters": {"sizes": [size]}})
    return File(name, kind, unit)


def _existing(path: str) -> str:
    uri = files.plain(path)
    if not files.is_local(uri):
        return uri
    local = files.local_path(uri)
    if local.is_dir():
        raise MissingFileError(f"{path}: is a folder; name its files, e.g. {path.rstrip('/')}/*.warc.gz")
    if not local.exists():
        raise MissingFileError(f"{path}: no such file")
    return os.path.abspath(local)


def _spooled(folder: str) -> str:
    """Write standard input into a file, because readers go back and forth in theirs."""
    import shutil
    import sys

    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - the shell has closed it
        raise MissingFileError("-: standard input is closed; name a file, or pipe one into the command")
    path = Path(tempfile.mkdtemp(dir=folder)) / "stdin"
    with path.open("wb") as stream:
        shutil.copyfileobj(sys.stdin.buffer, stream)
    return str(path)


def _in_order(batch: Batch) -> list[dict[str, Any]]:
    """Return documents and drops of a batch as rows, in the order of their places in the file if these are numbers."""
    tables: list[pa.RecordBatch] = [batch.documents, *batch.drops]
    rows = [row for table in tables for row in table.to_pylist()]
    places = [row["origin"].rpartition("#")[2] for row in rows]
    if not all(place.isdecimal() for place in places):
        return rows
    return [row for _, row in sorted(zip(map(int, places), rows, strict=True), key=lambda pair: pair[0])]


def _named(row: dict[str, Any], file: File) -> dict[str, Any]:
    """Return the row as it is written: without what is of a build, the text last, and no text if it was dropped."""
    between = [name for name in row if name not in _OF_A_BUILD and name not in _FIRST and name not in _LAST]
    named = {name: row[name] for name in (*_FIRST, *between)}
    named["language_score"] = None if row["language_score"] is None else round(row["language_score"], 4)
    for one in named["languages"] or ():
        one["share"] = round(one["share"], 4)
    named["origin"] = file.name + row["origin"].removeprefix(file.unit.uri)
    if file.kind == "page":
        named["url"] = row["url"] or row.get("canonical_url") or file.name
    if "reason" not in row:
        return {**named, "text": row["text"]}
    return {**named, "text": None, **{name: row[name] for name in _LAST[1:]}}
