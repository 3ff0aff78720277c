"""A folder that appears when it is complete, on this machine or in an object store."""

import ctypes
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pipelines.contract import files
from pipelines.contract.storage.cache import cache_for


def is_taken(out: str) -> bool:
    """Return whether there is something at the URI other than an empty folder."""
    if not files.is_local(out):
        return bool(files.listing(out)) or files.exists(out)
    path = files.local_path(out)
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


@contextmanager
def new_folder(out: str, last: str | None = None) -> Generator[Path]:
    """Yield an empty folder of this machine; when the block completes, it becomes `out`, and if the block raises, it is removed.

    A local folder is renamed. To an object store its files are copied, `last` after all others: whoever finds it finds the rest.
    """
    is_local = files.is_local(out)
    target = files.local_path(out).absolute() if is_local else cache_for("exports") / "new"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = files.temporary_path(target)
    try:
        temporary.mkdir()
        yield temporary
        if is_local:
            temporary.replace(target)
        else:
            _copy_up(temporary, out, last)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replaced_folder(target: Path) -> Generator[Path]:
    """Yield an empty folder; when the block completes, it takes the place of `target`, whatever that was.

    A reader finds the old one or the new one, never a mixture. Where two names cannot be swapped in one step, there is none
    for a moment. If the block raises, the old one stays.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = files.temporary_path(target)
    try:
        temporary.mkdir()
        yield temporary
        _take_place(temporary, target)
    finally:
        files.remove(str(temporary))  # what was swapped out, or is unfinished


def _take_place(folder: Path, target: Path) -> None:
    if not os.path.lexists(target):
        folder.rename(target)
    elif not _swap(folder, target):
        aside = files.temporary_path(target)
        target.rename(aside)
        folder.rename(target)
        files.remove(str(aside))


def _swap(one: Path, other: Path) -> bool:
    """Swap two names in one step (renameat2 of Linux with RENAME_EXCHANGE); return whether that was possible."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError):
        return False
    return rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def _copy_up(folder: Path, out: str, last: str | None) -> None:
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    for name in sorted(names, key=lambda name: name == last):
        files.copy(str(folder / name), files.join(out, name))
