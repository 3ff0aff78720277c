"""The files below a folder of this machine or of an object store.

Links are followed: a linked folder or file belongs to the folder that holds the link. A folder within itself is not entered
again. Nothing is passed over in silence: a folder that cannot be listed raises OSError, and a name that cannot be opened as a
file (a link to nothing, a pipe) is yielded with its problem, for the caller to judge whether it matters.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow.fs as pafs

_Identity = tuple[int, int]  # device and inode of a folder


@dataclass(frozen=True, slots=True)
class Found:
    """A name below a folder that is not a folder."""

    path: str  # relative to the folder, with "/"
    bytes: int = 0
    stamp: tuple[int, ...] = ()  # differs if the content may have changed: size and times, and the inode of a local file
    problem: str | None = None  # why it cannot be read, and what to do; None for a file
    may_be_folder: bool = False  # a link to nothing, which may have led to a folder


def _every(_folder: str) -> bool:
    return True


def local(root: str, enters: Callable[[str], bool] = _every, *, links: bool = True) -> Iterator[Found]:
    """Yield what is below a folder of this machine, in no particular order.

    Only folders for whose relative path `enters` returns True are listed, and linked ones only with `links`. Raise OSError,
    which names the path, if one of these cannot be listed.
    """
    folders: list[tuple[str, frozenset[_Identity]]] = [("", frozenset())]
    while folders:
        prefix, above = folders.pop()
        place = os.path.join(root, prefix)
        status = os.stat(place)
        inside = above | {(status.st_dev, status.st_ino)}
        with os.scandir(place) as entries:
            for entry in entries:
                path = prefix + entry.name
                try:
                    status = entry.stat()
                except OSError as error:
                    if entry.is_symlink() or not isinstance(error, FileNotFoundError):  # else: removed since it was listed
                        yield Found(path, problem=_problem(entry, error), may_be_folder=True)
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    yield _found(path, status)
                elif (links or not entry.is_symlink()) and (status.st_dev, status.st_ino) not in inside and enters(path):
                    folders.append((f"{path}/", inside))


def _found(path: str, status: os.stat_result) -> Found:
    if not stat.S_ISREG(status.st_mode):
        return Found(path, problem="is neither a file nor a folder; remove it, or leave it out")
    # A change in place may keep size and modification time (`cp -p`, rsync, `touch -r`), but not the time of the change.
    return Found(path, status.st_size, (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))


def _problem(entry: "os.DirEntry[str]", error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"is a link to {os.readlink(entry.path)}, which does not exist; restore that file or folder, or remove the link"
    return f"{str(error.strerror or error).lower()}; correct its link or its permissions, or remove it"


def store(filesystem: pafs.FileSystem, root: str, enters: Callable[[str], bool] = _every) -> Iterator[Found]:
    """Yield the objects below a folder of an object store, in no particular order; keys are as stored, nothing is decoded."""
    prefix = root.rstrip("/") + "/"
    for info in filesystem.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True)):
        path = info.path.removeprefix(prefix)
        if info.type == pafs.FileType.File and _all_entered(path, enters):
            yield Found(path, info.size, (info.size, info.mtime_ns or 0))


def _all_entered(path: str, enters: Callable[[str], bool]) -> bool:
    """Return whether a walk would come to the path."""
    return all(enters(path[:place]) for place, letter in enumerate(path) if letter == "/")
