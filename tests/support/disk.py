"""What a program forces to the disk, and when: fsync and rename, watched where Python calls the system."""

import os
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """The fsyncs and renames of this process, in order."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._calls: list[tuple[str, int, int]] = []  # call, inode, bytes that the system has of the file by then
        fsync, renames = os.fsync, {name: getattr(os, name) for name in ("rename", "replace")}

        def watched_fsync(descriptor: int) -> None:
            self._note("fsync", os.fstat(descriptor))
            fsync(descriptor)

        def watched_rename(original: Any) -> Any:
            def rename(source: Any, target: Any, **options: Any) -> None:
                self._note("rename", os.lstat(source))
                original(source, target, **options)

            return rename

        patch.setattr(os, "fsync", watched_fsync)
        for name, original in renames.items():
            patch.setattr(os, name, watched_rename(original))

    def _note(self, call: str, status: os.stat_result) -> None:
        self._calls.append((call, status.st_ino, status.st_size))

    def calls(self, *paths: Path) -> list[str]:
        """The calls that concern these files and folders, by their present names: "fsync model.pt", "rename model.pt".

        An fsync of a file that had not all of its bytes yet (some were still in a buffer of Python) says so.
        """
        known = {path.stat().st_ino: path for path in paths}
        return [f"{call} {_named(known[inode], size)}" for call, inode, size in self._calls if inode in known]


def _named(path: Path, size: int) -> str:
    missing = path.stat().st_size - size if path.is_file() else 0
    return f"{path.name}, {missing} bytes missing" if missing else path.name
