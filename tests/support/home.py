"""A home of the tests' own, and a guard before the user's: no test may write to the user's cache or settings.

The environment names the tests' home, so the processes that a test starts have it, too. The guard sees this process only.
"""

import os
import shutil
import site
import sys
import tempfile
from pathlib import Path
from typing import Any

from places import ROOT

from pipelines.contract.storage.cache import cache_folder

_REAL, _OWN = "CORPUSMILL_TESTS_REAL_HOME", "CORPUSMILL_TESTS_HOME"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# Events of the file system whose first argument (and, of a rename, the second) is a path that changes.
_CHANGES = {"os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2, "os.truncate": 1}
_refused: list[str] = []


class HomeWriteError(Exception):
    """A test wrote below the user's home."""


def enter() -> None:
    """Give this process and those that it starts a new home; workers of pytest-xdist share that of their controller."""
    if _OWN not in os.environ:
        os.environ[_REAL] = os.path.realpath(Path.home())
        os.environ[_OWN] = tempfile.mkdtemp(prefix="corpusmill-tests-home-")
        _copy_models(cache_folder(), Path(os.environ[_OWN], ".cache", "corpusmill"))
    own = os.environ[_OWN]
    os.environ |= {"HOME": own, "XDG_CACHE_HOME": f"{own}/.cache", "XDG_CONFIG_HOME": f"{own}/.config"}
    os.environ["PREFECT_HOME"] = f"{own}/.prefect"
    os.environ.pop("CORPUSMILL_CACHE", None)
    sys.addaudithook(_guard)


def _copy_models(users: Path, own: Path) -> None:
    """Take over the language model that the user has, which tests would otherwise download."""
    if (users / "models").is_dir():
        shutil.copytree(users / "models", own / "models")


def leave() -> None:
    """Remove the tests' home."""
    shutil.rmtree(os.environ.pop(_OWN), ignore_errors=True)


def real() -> Path:
    """Return the user's home."""
    return Path(os.environ[_REAL])


def refused_writes() -> list[str]:
    """Return the paths of refused writes, and forget them."""
    paths = _refused.copy()
    _refused.clear()
    return paths


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, mode, flags = arguments
        changed = (path,) if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & _WRITES else ()
    else:
        changed = arguments[: _CHANGES.get(event, 0)]
    for path in changed:
        if isinstance(path, str | bytes | os.PathLike) and _is_the_users(os.path.realpath(os.fsdecode(path))):
            _refused.append(os.fsdecode(path))
            raise HomeWriteError(f"{os.fsdecode(path)}: a test may not write below the user's home")


def _is_the_users(path: str) -> bool:
    return _below(path, os.environ[_REAL]) and not any(_below(path, allowed) for allowed in _ALLOWED)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


# A checkout, its environment and the folder for temporary files may lie below the home.
_ALLOWED = {
    os.path.realpath(folder)
    for folder in (ROOT, ROOT.parent, sys.prefix, sys.base_prefix, tempfile.gettempdir(), site.getuserbase(), os.devnull)
}
