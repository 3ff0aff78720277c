"""What a program makes durable, and in which order: fsync and rename, watched where Python calls the system."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Call(NamedTuple):
    """A system call: fsync of what has this inode and size, or a rename of it."""

    name: str  # "fsync" or "rename"
    inode: int
    bytes: int  # as the system sees them: what still lies in a buffer of Python does not count
    target: str = ""  # of a rename: the new name


class Disk:
    """The calls of one process, in their order."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[Call] = []
        patch.setattr(os, "fsync", self._watched_fsync(os.fsync))
        for rename in ("rename", "replace"):
            patch.setattr(os, rename, self._watched_rename(getattr(os, rename)))

    def _watched_fsync(self, original: Any) -> Any:
        def fsync(descriptor: int) -> None:
            status = os.fstat(descriptor)
            self.calls.append(Call("fsync", status.st_ino, status.st_size))
            original(descriptor)

        return fsync

    def _watched_rename(self, original: Any) -> Any:
        def rename(source: Any, target: Any, **options: Any) -> None:
            status = os.lstat(source)
            self.calls.append(Call("rename", status.st_ino, status.st_size, Path(target).name))
            original(source, target, **options)

        return rename

    def of(self, path: Path) -> list[tuple[str, int]]:
        """Names of the calls that concern a file or folder, with its bytes then."""
        inode = path.stat().st_ino
        return [(call.name, call.bytes) for call in self.calls if call.inode == inode]

    def last_rename(self, name: str) -> int:
        """Number of the call that gave this name."""
        return max(number for number, call in enumerate(self.calls) if (call.name, call.target) == ("rename", name))

    def is_flushed_after(self, folder: Path, number: int) -> bool:
        """Whether a folder's names were forced to the disk after a call."""
        inode = folder.stat().st_ino
        return any((call.name, call.inode) == ("fsync", inode) for call in self.calls[number + 1 :])
