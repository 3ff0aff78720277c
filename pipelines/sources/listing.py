"""List the files of a source as units: one file is one unit, unless the source cuts large files or there are many small ones.

Every file that a pattern of the config names is a unit or is counted: those that the kind does not read stop the build, or are
counted as skipped, with the empty ones, in a unit of their own.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import SkipReason
from pipelines.contract.storage.walk import Found
from pipelines.sources.collector import Collector
from pipelines.sources.hashes import Hashes
from pipelines.sources.names import Names
from pipelines.sources.patterns import PathError, chosen
from pipelines.units.descriptor import Unit, ends_group, unit_name

BYTES_PER_GROUP = 16 * 10**6  # as stored: a unit of small files
FILES_PER_GROUP = 1000
SEPARATE_FILES = 32  # no more small files than these are a unit each: a unit costs 24 ms, but units run side by side
SIZES = "sizes"  # the parameter of a group: the bytes of its files
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
    outputs: list[str]  # folders of builds and exports, with "/" at the end


def inventory(section: SourceSection, names: Names) -> Inventory:
    """Return the files of a source apart.

    Raise SourceError if the root is missing, a pattern matches nothing, or a file is empty that cannot be, or cannot be opened;
    OSError if a folder cannot be listed.
    """
    if not files.exists(section.root):
        raise SourceError(f"source {section.name}: {section.root} does not exist; correct sources.root in the config")
    if files.is_local(section.root) and files.local_path(section.root).is_file():
        raise SourceError(
            f"source {section.name}: {section.root} is a file; name its folder in sources.root and the file in sources.paths"
        )
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
        outputs=choice.outputs,
    )


def units(section: SourceSection, names: Names, cut: Callable[[list[Unit]], list[Unit]] = list) -> list[Unit]:
    """Return the units of a source, sorted by name, then the unit that counts the files that are not read, if there are any.

    `cut` turns the units of whole files, sorted by path, into those that are wanted. Raise SourceError as `inventory` does, and
    for a file that the kind does not read, unless the config says to skip these.
    """
    found = inventory(section, names)
    if found.unread and section.unread_files == "stop":
        raise SourceError(_unread_message(section, names, found))
    cuts = _small_ones_grouped(cut(_file_units(section, found.read)))
    return [*sorted(cuts, key=lambda unit: unit.name), *_not_read(section, found)]


def members(unit: Unit) -> list[Unit]:
    """Return a unit for each file of a group in the order of the paths, and any other unit as it is."""
    if not unit.paths:
        return [unit]
    own: dict[str, Any] = {"paths": (), "parameters": {}}
    sizes = unit.parameters[SIZES]
    return [unit.model_copy(update={"uri": p, "bytes": size, **own}) for p, size in zip(unit.paths, sizes, strict=True)]


def grouped(found: list[Unit], bytes_per_unit: int, files_per_unit: int | None = None) -> list[Unit]:
    """Return units of neighbouring files, of no more bytes and files unless a single file has more.

    Some end before they are full, where the name of a file says so: a file more or less changes few units, not all after it.
    """
    groups: list[list[Unit]] = []
    room, is_open = 0, False
    for file in found:
        if not is_open or room < file.bytes or len(groups[-1]) == files_per_unit:
            groups.append([])
            room = bytes_per_unit
        groups[-1].append(file)
        room -= file.bytes
        is_open = not ends_group(file.uri, max(file.bytes / bytes_per_unit, 1 / (files_per_unit or bytes_per_unit)))
    return list(map(_group, groups))


def _group(group: list[Unit]) -> Unit:
    """Return the unit of some files; with one file, it has that file's name."""
    paths = tuple(file.uri for file in group)
    listed = "\n".join(f"{file.uri}\0{file.identity}" for file in group)
    return group[0].model_copy(
        update={
            "name": unit_name(f"{group[0].source}/{paths[0]}", *paths[1:]),
            "bytes": sum(file.bytes for file in group),
            "identity": f"sha256:{hashlib.sha256(listed.encode()).hexdigest()}",
            "paths": paths,
            "parameters": {SIZES: [file.bytes for file in group]},
        }
    )


def _small_ones_grouped(cuts: list[Unit]) -> list[Unit]:
    """Return the units with the small whole files among them in groups, if there are many; ranges and groups as they are."""

    def is_small(unit: Unit) -> bool:
        return not unit.parameters and not unit.paths and unit.bytes <= BYTES_PER_GROUP

    if sum(map(is_small, cuts)) <= SEPARATE_FILES:
        return cuts
    runs = [(small, list(run)) for small, run in groupby(cuts, is_small)]
    return [unit for small, run in runs for unit in (grouped(run, BYTES_PER_GROUP, FILES_PER_GROUP) if small else run)]


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


def _file_units(section: SourceSection, found: list[Found]) -> list[Unit]:
    """Return a unit for each file, identified by its content, or by the size and time that an object store says."""
    if not files.is_local(section.root):
        return [_file_unit(section, file, ":".join(["object", *map(str, file.stamp)])) for file in found]
    with Hashes(section.root) as hashes:
        return [_file_unit(section, file, f"sha256:{hashes.sha256(file)}") for file in found]


def _file_unit(section: SourceSection, file: Found, identity: str) -> Unit:
    return Unit(
        name=unit_name(f"{section.name}/{file.path}"),
        source=section.name,
        uri=file.path,
        root=section.root,
        bytes=file.bytes,
        identity=identity,
    )
