"""List the files of a source as units: one file is one unit, unless the source can cut it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.fs as pafs
from wcmatch import glob

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.fetching.cache import cache_folder
from pipelines.units.descriptor import Unit, unit_name

_GLOB = glob.GLOBSTAR | glob.DOTGLOB | glob.CASE | glob.FORCEUNIX


class SourceError(UserError):
    """An input that cannot be read; the message names the file, the place and the fix."""


def file_units(section: SourceSection) -> list[Unit]:
    """Return a unit for every file below the source's root that matches one of its patterns, sorted by name.

    Raise SourceError if the root is missing, a pattern matches nothing, or a file is empty.
    """
    paths = _files_below(section)
    chosen: set[str] = set()
    for pattern in section.paths:
        matched = matching(paths, pattern)
        if not matched:
            raise SourceError(
                f"source {section.name}: no file below {section.root} matches {pattern!r}; correct sources.paths in the config"
            )
        chosen.update(matched)
    units = [_file_unit(section, path) for path in sorted(chosen)]
    return sorted(units, key=lambda unit: unit.name)


def part_of(file: Unit, what: str, first: int, end: int, stored: int) -> Unit:
    """Return a unit for a part of a file: the parameter `what` holds its start and end, `stored` is its size in bytes."""
    name = file.name if stored == file.bytes else unit_name(f"{file.source}/{file.uri}", what, first)
    return file.model_copy(update={"name": name, "bytes": stored, "parameters": {what: [first, end]}})


def full_uri(unit: Unit) -> str:
    """Return where this machine finds the unit's file."""
    return files.join(unit.root, unit.uri)


def _files_below(section: SourceSection) -> list[str]:
    if not files.exists(section.root):
        raise SourceError(f"source {section.name}: {section.root} does not exist; correct sources.root in the config")
    prefix = section.root.rstrip("/") + "/"
    return [path.removeprefix(prefix) for path in files.listing(section.root) if not Path(path).name.startswith(".")]


def matching(paths: Sequence[str], pattern: str) -> list[str]:
    """Return the paths that match a glob pattern.

    `*`, `?` and `[…]` never match "/"; `**` as a whole name is any number of folders, including none; a leading dot and the
    case of letters are ordinary characters; a backslash makes the next character literal.

    >>> matching(["a.txt", "x/a.txt", "x/y/a.txt"], "**/?.txt")
    ['a.txt', 'x/a.txt', 'x/y/a.txt']
    """
    matcher = glob.compile(pattern, flags=_GLOB)
    return [path for path in paths if matcher.match(path)]


def _file_unit(section: SourceSection, path: str) -> Unit:
    uri = files.join(section.root, path)
    stored = files.size(uri)
    if stored == 0:
        raise SourceError(f"source {section.name}: {uri} is empty; remove it or fetch it again")
    return Unit(
        name=unit_name(f"{section.name}/{path}"),
        source=section.name,
        uri=path,
        root=section.root,
        bytes=stored,
        identity=_identity(uri),
    )


def _identity(uri: str) -> str:
    """Return the content hash of a local file, or the size and the store's modification time of an object."""
    if files.is_local(uri):
        return f"sha256:{_cached_sha256(files.local_path(uri))}"
    filesystem, path = pafs.FileSystem.from_uri(uri)
    info = filesystem.get_file_info(path)
    return f"object:{info.size}:{info.mtime_ns}"


def _cached_sha256(path: Path) -> str:
    """Return the sha256 of a file, cached by path, size, modification time and inode, so planning again reads no file."""
    status = path.stat()
    note = cache_folder() / "sha256" / f"{unit_name(str(path.resolve()))}.json"
    stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
    try:
        known = json.loads(note.read_text())
        if known["stamp"] == stamp:
            return known["sha256"]
    except (OSError, ValueError, KeyError):
        known = None  # there is no readable note: hash again
    digest = files.sha256(str(path))
    files.write_text(str(note), json.dumps({"stamp": stamp, "sha256": digest}))
    return digest
