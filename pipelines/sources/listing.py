"""The files of a source, as units: one file, one unit, unless the source knows how to cut it."""

import fnmatch
import json
import re
from pathlib import Path

import pyarrow.fs as pafs

from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.fetching.cache import cache_folder
from pipelines.units.descriptor import Unit, unit_name


class SourceError(UserError):
    """An input that cannot be read at all; the message names the file, the place and the fix."""


def file_units(section: SourceSection) -> list[Unit]:
    """A unit for every file below the source's root that matches one of its patterns, sorted by name.

    Raises SourceError when the root is missing, a pattern matches nothing, or a file is empty.
    """
    found = _files_below(section)
    chosen: set[str] = set()
    for pattern in section.paths:
        matching = {path for path in found if matches(path, pattern)}
        if not matching:
            raise SourceError(
                f"source {section.name}: no file below {section.root} matches {pattern!r}; correct sources.paths in the config"
            )
        chosen |= matching
    units = [_file_unit(section, path) for path in sorted(chosen)]
    return sorted(units, key=lambda unit: unit.name)


def part_of(file: Unit, what: str, first: int, end: int, stored: int) -> Unit:
    """A unit of a part of a file's unit: the parameter `what` holds where it begins and ends; `stored` are its bytes."""
    name = file.name if stored == file.bytes else unit_name(f"{file.source}/{file.uri}", what, first)
    return file.model_copy(update={"name": name, "bytes": stored, "parameters": {what: [first, end]}})


def full_uri(unit: Unit) -> str:
    """Where this machine finds the unit's file."""
    return files.join(unit.root, unit.uri)


def _files_below(section: SourceSection) -> list[str]:
    if not files.exists(section.root):
        raise SourceError(f"source {section.name}: {section.root} does not exist; correct sources.root in the config")
    prefix = section.root.rstrip("/") + "/"
    return [path.removeprefix(prefix) for path in files.listing(section.root) if not Path(path).name.startswith(".")]


def matches(path: str, pattern: str) -> bool:
    """Glob in the usual sense: `*` stays inside a folder, `**/` is any number of folders, none included."""
    expression = "".join(
        "(?:.*/)?" if token == "**/" else ".*" if token == "**" else "[^/]*" if token == "*" else fnmatch_token(token)
        for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^]]*\]|[^*?\[]+|\[", pattern)
    )
    return re.fullmatch(expression, path) is not None


def fnmatch_token(token: str) -> str:
    """A piece of a glob pattern without stars, as a regular expression."""
    return fnmatch.translate(token).removeprefix("(?s:").removesuffix(")\\Z")


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
    """The content hash of a local file; size and the store's own modification stamp of an object."""
    if files.is_local(uri):
        return f"sha256:{_cached_sha256(files.local_path(uri))}"
    filesystem, path = pafs.FileSystem.from_uri(uri)
    info = filesystem.get_file_info(path)
    return f"object:{info.size}:{info.mtime_ns}"


def _cached_sha256(path: Path) -> str:
    """The sha256 of a file. It is remembered by path, size and time of change, so that a plan costs a look, not a read."""
    status = path.stat()
    note = cache_folder() / "sha256" / f"{unit_name(str(path.resolve()))}.json"
    stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
    try:
        known = json.loads(note.read_text())
        if known["stamp"] == stamp:
            return known["sha256"]
    except (OSError, ValueError, KeyError):
        known = None  # no note, or one that cannot be read: hash again
    digest = files.sha256(str(path))
    files.write_text(str(note), json.dumps({"stamp": stamp, "sha256": digest}))
    return digest
