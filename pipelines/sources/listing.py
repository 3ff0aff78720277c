"""List the files of a source as units: one file is one unit, unless the source cuts or groups files.

Every file that a pattern of the config names is a unit or is counted: those that the kind does not read stop the build, or are
counted as skipped, with the empty ones, in a unit of their own.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.cache import CacheError, cache_folder
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import SkipReason
from pipelines.contract.walk import Found
from pipelines.sources.collector import Collector
from pipelines.sources.names import Names
from pipelines.sources.patterns import PathError, chosen
from pipelines.units.descriptor import Unit, unit_name

NOT_READ = "not_read"  # the parameter of the unit that counts files: how many for which SkipReason
_NAMED_IN_ERRORS = 5


class SourceError(UserError):
    """An input that cannot be read; the message names the file, the place and the fix."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The files of a source that match its patterns, sorted by path."""

    read: list[Found]
    unread: list[Found]  # the kind reads no files of these names
    empty: list[Found]  # of no byte, which is nothing to read
    hidden: list[str]  # names that the kind would read but for the dot that they begin with


def inventory(section: SourceSection, names: Names) -> Inventory:
    """Return the files of a source apart.

    Raise SourceError if the root is missing, a pattern matches nothing, or a file is empty that cannot be, or cannot be opened;
    OSError if a folder cannot be listed.
    """
    if not files.exists(section.root):
        raise SourceError(f"source {section.name}: {section.root} does not exist; correct sources.root in the config")
    try:
        choice = chosen(section.root, section.paths)
    except PathError as error:
        raise SourceError(f"source {section.name}: {error}") from None
    for pattern, found in choice.by_pattern.items():
        if not found:
            raise SourceError(
                f"source {section.name}: no file below {section.root} matches {pattern!r}; correct sources.paths in the config"
            )
    sized = [file for file in choice.files if file.bytes]
    empty = [file for file in choice.files if not file.bytes]
    for file in empty:
        if not names.empty(file.path):
            uri = files.join(section.root, file.path)
            raise SourceError(f"source {section.name}: {uri} is empty; remove it or fetch it again")
    return Inventory(
        read=[file for file in sized if names.read(file.path)],
        unread=[file for file in sized if not names.read(file.path)],
        empty=empty,
        hidden=[path for path in choice.hidden if names.read(path)],
    )


def units(section: SourceSection, names: Names, cut: Callable[[list[Unit]], list[Unit]] = list) -> list[Unit]:
    """Return the units of a source, sorted by name, then the unit that counts the files that are not read, if there are any.

    `cut` turns the units of whole files, sorted by path, into those that are wanted. Raise SourceError as `inventory` does, and
    for a file that the kind does not read, unless the config says to skip these.
    """
    found = inventory(section, names)
    if found.unread and section.unread_files == "stop":
        raise SourceError(_unread_message(section, names, found))
    cuts = cut([_file_unit(section, file) for file in found.read])
    return [*sorted(cuts, key=lambda unit: unit.name), *_not_read(section, found)]


def counted(section: SourceSection, unit: Unit) -> Iterator[Batch]:
    """Yield what the unit of files that are not read holds: their number."""
    collector = Collector(section)
    for reason, count in unit.parameters[NOT_READ].items():
        collector.skip(SkipReason(reason), count)
    yield collector.rest()


def unread_message(section: SourceSection, names: Names, unread: int, files_in_all: int, examples: str) -> str:
    """Return the message for files that the kind does not read, which names those that it reads."""
    what = f"below {section.root} that match sources.paths"
    if unread == files_in_all:
        return (
            f"source {section.name}: none of the {unread:,} files {what} has a name that the kind {section.kind!r} reads"
            f" (e.g. {examples}); it reads {names.shown}: correct kind, paths or the files' names"
        )
    return (
        f"source {section.name}: {unread:,} of the {files_in_all:,} files {what} have names that the kind {section.kind!r} does"
        f" not read ({examples}); it reads {names.shown}: convert them, narrow sources.paths, or count them as skipped with"
        ' sources.unread_files = "skip"'
    )


def _unread_message(section: SourceSection, names: Names, found: Inventory) -> str:
    paths = [file.path for file in found.unread]
    examples = ", ".join([*paths[:_NAMED_IN_ERRORS], *(["…"] if len(paths) > _NAMED_IN_ERRORS else [])])
    hints = [hint for pattern, hint in names.hints if any(pattern.search(path.lower()) for path in paths)]
    return "; ".join([unread_message(section, names, len(paths), len(paths) + len(found.read), examples), *hints])


def _not_read(section: SourceSection, found: Inventory) -> list[Unit]:
    """Return the unit that counts what is not read. Its identity is that of the paths, because it holds nothing else."""
    apart = {SkipReason.FILE_TYPE.value: found.unread, SkipReason.EMPTY_FILE.value: found.empty}
    paths = [file.path for reason in apart for file in apart[reason]]
    if not paths:
        return []
    listed = json.dumps({reason: [file.path for file in found] for reason, found in apart.items()})
    return [
        Unit(
            name=unit_name(f"{section.name}/not-read"),
            source=section.name,
            uri=paths[0],
            root=section.root,
            bytes=0,
            identity=f"sha256:{hashlib.sha256(listed.encode()).hexdigest()}",
            parameters={NOT_READ: {reason: len(found) for reason, found in apart.items() if found}},
        )
    ]


def part_of(file: Unit, what: str, first: int, end: int, stored: int) -> Unit:
    """Return a unit for a part of a file: the parameter `what` holds its start and end, `stored` is its size in bytes."""
    name = file.name if stored == file.bytes else unit_name(f"{file.source}/{file.uri}", what, first)
    return file.model_copy(update={"name": name, "bytes": stored, "parameters": {what: [first, end]}})


def full_uri(unit: Unit) -> str:
    """Return where this machine finds the unit's file."""
    return files.join(unit.root, unit.uri)


def _file_unit(section: SourceSection, file: Found) -> Unit:
    return Unit(
        name=unit_name(f"{section.name}/{file.path}"),
        source=section.name,
        uri=file.path,
        root=section.root,
        bytes=file.bytes,
        identity=_identity(files.join(section.root, file.path), file),
    )


def _identity(uri: str, file: Found) -> str:
    """Return the content hash of a local file, or the size and the store's modification time of an object."""
    if files.is_local(uri):
        return f"sha256:{_cached_sha256(files.local_path(uri), file.stamp)}"
    return ":".join(["object", *map(str, file.stamp)])


def _cached_sha256(path: Path, stamp: tuple[int, ...]) -> str:
    """Return the sha256 of a file, cached by its path and stamp, so planning again reads no file."""
    note = _note(path)
    if note is None:
        return files.sha256(str(path))
    try:
        known = json.loads(note.read_text("utf-8"))
        if known["stamp"] == list(stamp):
            return known["sha256"]
    except (OSError, ValueError, KeyError):
        known = None  # there is no readable note: hash again
    digest = files.sha256(str(path))
    with suppress(OSError):  # it saves time only
        files.write_text(str(note), json.dumps({"stamp": stamp, "sha256": digest}))
    return digest


def _note(path: Path) -> Path | None:
    """Return where the sha256 of a file is noted; None on a machine without a place for a cache."""
    try:
        return cache_folder() / "sha256" / f"{unit_name(str(path.resolve()))}.json"
    except CacheError:
        return None
