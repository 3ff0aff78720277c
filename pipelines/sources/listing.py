"""List the files of a source as units: one file is one unit, unless the source can cut it."""

import json
from pathlib import Path

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.walk import Found
from pipelines.fetching.cache import cache_folder
from pipelines.sources.patterns import PathError, chosen
from pipelines.units.descriptor import Unit, unit_name


class SourceError(UserError):
    """An input that cannot be read; the message names the file, the place and the fix."""


def file_units(section: SourceSection) -> list[Unit]:
    """Return a unit for every file below the source's root that matches one of its patterns, sorted by name.

    Raise SourceError if the root is missing, a pattern matches nothing, or a file is empty or cannot be opened; OSError if a
    folder cannot be listed.
    """
    found = {file.path: file for files_of_pattern in _matches(section).values() for file in files_of_pattern}
    return sorted((_file_unit(section, file) for file in found.values()), key=lambda unit: unit.name)


def part_of(file: Unit, what: str, first: int, end: int, stored: int) -> Unit:
    """Return a unit for a part of a file: the parameter `what` holds its start and end, `stored` is its size in bytes."""
    name = file.name if stored == file.bytes else unit_name(f"{file.source}/{file.uri}", what, first)
    return file.model_copy(update={"name": name, "bytes": stored, "parameters": {what: [first, end]}})


def full_uri(unit: Unit) -> str:
    """Return where this machine finds the unit's file."""
    return files.join(unit.root, unit.uri)


def _matches(section: SourceSection) -> dict[str, list[Found]]:
    if not files.exists(section.root):
        raise SourceError(f"source {section.name}: {section.root} does not exist; correct sources.root in the config")
    try:
        matches = chosen(section.root, section.paths)
    except PathError as error:
        raise SourceError(f"source {section.name}: {error}") from None
    for pattern, found in matches.items():
        if not found:
            raise SourceError(
                f"source {section.name}: no file below {section.root} matches {pattern!r}; correct sources.paths in the config"
            )
    return matches


def _file_unit(section: SourceSection, file: Found) -> Unit:
    uri = files.join(section.root, file.path)
    if file.bytes == 0:
        raise SourceError(f"source {section.name}: {uri} is empty; remove it or fetch it again")
    return Unit(
        name=unit_name(f"{section.name}/{file.path}"),
        source=section.name,
        uri=file.path,
        root=section.root,
        bytes=file.bytes,
        identity=_identity(uri, file),
    )


def _identity(uri: str, file: Found) -> str:
    """Return the content hash of a local file, or the size and the store's modification time of an object."""
    if files.is_local(uri):
        return f"sha256:{_cached_sha256(files.local_path(uri), file.stamp)}"
    return ":".join(["object", *map(str, file.stamp)])


def _cached_sha256(path: Path, stamp: tuple[int, ...]) -> str:
    """Return the sha256 of a file, cached by its path and stamp, so planning again reads no file."""
    note = cache_folder() / "sha256" / f"{unit_name(str(path.resolve()))}.json"
    try:
        known = json.loads(note.read_text())
        if known["stamp"] == list(stamp):
            return known["sha256"]
    except (OSError, ValueError, KeyError):
        known = None  # there is no readable note: hash again
    digest = files.sha256(str(path))
    files.write_text(str(note), json.dumps({"stamp": stamp, "sha256": digest}))
    return digest
