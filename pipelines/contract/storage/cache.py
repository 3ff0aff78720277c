"""The folder in which downloads, copies and compiled code are kept from one command to the next.

A machine may have no place for it: no HOME and no entry in the list of users (a container with a number as its user), a HOME
that does not exist or cannot be written. Whatever needs the folder then ends with a CacheError, which names the variable to
set; whatever can do without it does.
"""

import os
import tempfile
from pathlib import Path

from pipelines.contract.errors import UserError

VARIABLE = "CORPUSMILL_CACHE"
_NO_HOME = os.devnull  # HOME of a user without one
_FIX = f"set {VARIABLE} to a folder that can be written"


class CacheError(UserError):
    """There is no cache folder that can be written; the message says why and names the variable to set."""


def cache_folder() -> Path:
    """Return the cache folder: $CORPUSMILL_CACHE, else $XDG_CACHE_HOME/corpusmill, else ~/.cache/corpusmill.

    It may not exist yet. Raise CacheError if no variable names it and the user has no home.
    """
    own, shared = os.environ.get(VARIABLE), os.environ.get("XDG_CACHE_HOME")
    if not own and shared and Path(shared).is_absolute():  # a relative one is to be ignored (XDG Base Directory 0.8)
        return Path(shared) / "corpusmill"
    folder = os.path.expanduser(own or "~/.cache/corpusmill")
    if folder.startswith(("~", _NO_HOME)):  # neither HOME nor an entry in the list of users
        raise CacheError(f"{own or '~/.cache/corpusmill'}: this user has no home folder; {_FIX}")
    return Path(folder)


def cache_for(*names: str) -> Path:
    """Return a folder in the cache folder, made and proved to be writable. Raise CacheError if it is not."""
    folder = cache_folder().joinpath(*names)
    if (why := _obstacle(folder)) is not None:
        raise CacheError(f"{folder}: {why}; {_FIX}")
    return folder


def compiled_folder(package: Path) -> str | None:
    """Return the folder in which numba is to keep the machine code of a package's kernels; None for its own choice.

    Numba keeps it in `__pycache__` beside the source. Where that cannot be written (a checkout or an environment of another
    user, a read-only image), it would look in a home, and fail without one. The user's NUMBA_CACHE_DIR takes precedence.
    Raise CacheError if neither `__pycache__` nor the cache folder can be written.
    """
    if os.environ.get("NUMBA_CACHE_DIR") or _obstacle(package / "__pycache__") is None:
        return None
    return str(cache_for("compiled"))


def lend_home() -> None:
    """Let other libraries keep their files below the cache folder if this user has no home, or none that can be written.

    Some of them look for a home when they are imported. A home that exists stays HOME, since it may hold credentials; only
    caches go elsewhere. Without a cache folder, a user without a home gets one that holds nothing: what only asks for its path
    goes on, and what needs a place says so.
    """
    home = os.path.expanduser("~")  # "~" itself without HOME and entry
    try:
        cache = cache_for()
    except CacheError:
        if home == "~":
            os.environ["HOME"] = _NO_HOME
        return
    shared = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home != "~" else None)
    if shared is None or _obstacle(Path(shared)) is not None:
        os.environ["XDG_CACHE_HOME"] = str(cache)
    if not os.path.isdir(home):
        os.environ["HOME"] = str(cache / "home")
        Path(os.environ["HOME"]).mkdir(exist_ok=True)


def _obstacle(folder: Path) -> str | None:
    """Return why no file can be written in the folder, which is made if it is missing; None if one can be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # what access() says is not true of every network disk
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None
