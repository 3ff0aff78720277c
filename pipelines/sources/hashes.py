"""The sha256 of files, noted in the cache beside what would change with their content, so that planning again reads no file.

One note holds all files below a folder: a note of its own for each takes longer than to hash a small file.
"""

import json
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pipelines.contract import files
from pipelines.contract.storage.cache import CacheError, cache_folder
from pipelines.contract.storage.walk import Found
from pipelines.units.descriptor import unit_name

_SECONDS_BETWEEN_NOTES = 60  # so that a killed process loses little


class Hashes:
    """The hashes of the files below a local folder; a context manager that notes the new ones."""

    def __init__(self, root: str) -> None:
        self._root, self._path = root, _note(root)
        self._known = _read(self._path)  # stamp and sha256 by path
        self._fresh: dict[str, tuple[list[int], str]] = {}
        self._noted = time.monotonic()

    def __enter__(self) -> "Hashes":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._write()

    def sha256(self, file: Found) -> str:
        """Return the sha256 of a file as hex."""
        stamp, digest = self._known.get(file.path, ([], ""))
        if stamp == list(file.stamp):
            return digest
        digest = files.sha256(files.join(self._root, file.path))
        self._known[file.path] = self._fresh[file.path] = (list(file.stamp), digest)
        if time.monotonic() - self._noted > _SECONDS_BETWEEN_NOTES:
            self._write()
        return digest

    def _write(self) -> None:
        if self._path is None or not self._fresh:
            return
        self._noted = time.monotonic()
        both = _read(self._path) | self._fresh  # another process may have noted other files
        with suppress(OSError), files.replacing(str(self._path), fsync=False) as stream:  # it saves time only
            stream.write(json.dumps(both).encode())
        self._fresh = {}


def _note(root: str) -> Path | None:
    """Return where the hashes are noted; None on a machine without a place for a cache."""
    try:
        return cache_folder() / "sha256" / f"{unit_name(str(files.local_path(root).resolve()), 'folder')}.json"
    except CacheError:
        return None


def _read(note: Path | None) -> dict[str, tuple[list[int], str]]:
    """Return the noted hashes; none if there is no readable note."""
    try:
        return {path: (stamp, digest) for path, (stamp, digest) in json.loads(note.read_bytes()).items()} if note else {}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
