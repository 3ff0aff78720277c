"""Choose files below a folder by glob patterns."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

from wcmatch import glob

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import MARK
from pipelines.contract.storage.walk import Found

_GLOB = glob.GLOBSTAR | glob.DOTGLOB | glob.CASE | glob.FORCEUNIX


class PathError(UserError):
    """A path that a pattern names and that cannot be read; the message names it and the fix."""


def matching(paths: Iterable[str], pattern: str) -> list[str]:
    """Return the paths that match a glob pattern.

    `*`, `?` and `[…]` never match "/"; `**` as a whole name is any number of folders, including none; a leading dot and the
    case of letters are ordinary characters; a backslash makes the next character literal.

    >>> matching(["a.txt", "x/a.txt", "x/y/a.txt"], "**/?.txt")
    ['a.txt', 'x/a.txt', 'x/y/a.txt']
    """
    matcher = glob.compile(pattern, flags=_GLOB)
    return [path for path in paths if matcher.match(path)]


def may_hold(folder: str, pattern: str) -> bool:
    """Return whether a file below the folder can match the pattern.

    >>> [may_hold("x/y", pattern) for pattern in ("**/*.txt", "x/*/*.txt", "x/*", "z/y/*")]
    [True, True, False, False]
    """
    names, wanted = folder.split("/"), pattern.split("/")
    for place, name in enumerate(names):
        if place < len(wanted) and wanted[place] == "**":
            return True
        if place >= len(wanted) - 1 or not matching([name], wanted[place]):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Choice:
    """The files that patterns choose."""

    by_pattern: dict[str, list[Found]]  # sorted by path
    hidden: list[str]  # names that would match but for the dot that they begin with
    outputs: list[str]  # folders of builds and exports with files that would match

    @property
    def files(self) -> list[Found]:
        """All files, each once, sorted by path."""
        by_path = {file.path: file for found in self.by_pattern.values() for file in found}
        return [by_path[path] for path in sorted(by_path)]


def chosen(root: str, patterns: Sequence[str]) -> Choice:
    """Return the files below a folder or URI that match the patterns.

    A file whose name begins with a dot (rests of other programs) must be named by a pattern with that dot, and the folder of a
    build or an export by a pattern that begins with its path: no build reads what it wrote itself.

    Raise PathError for a path that matches and cannot be opened or is not UTF-8, or that may hold such files if it is a link to
    nothing; OSError for a folder that may hold some and cannot be listed.
    """

    @cache
    def enters(folder: str) -> bool:
        return any(may_hold(folder, pattern) for pattern in patterns)

    by_path = {found.path: found for found in files.walk(root, enters)}
    written = [path.removesuffix(MARK) for path in by_path if path.endswith(f"/{MARK}")]
    outputs: set[str] = set()
    matched: dict[str, list[str]] = {}
    for pattern in patterns:
        unnamed = tuple(folder for folder in written if not pattern.startswith(folder))
        found = sorted(matching(by_path, pattern))
        outputs |= {folder for path in found if path.startswith(unnamed) for folder in unnamed if path.startswith(folder)}
        matched[pattern] = [path for path in found if not path.startswith(unnamed)]
    by_pattern = {
        pattern: [path for path in paths if is_hidden(pattern) or not is_hidden(path)] for pattern, paths in matched.items()
    }
    wanted = set(chain.from_iterable(by_pattern.values()))
    for path, found in sorted(by_path.items()):
        if found.problem is not None and (path in wanted or (found.may_be_folder and not is_hidden(path) and enters(path))):
            raise PathError(f"{_shown(files.join(root, path))}: {found.problem}")
    for path in sorted(wanted):
        if not _is_utf8(path):
            raise PathError(
                f"{_shown(files.join(root, path))}: its name is not UTF-8 (a byte of it is shown as \\x…), so no id can name it;"
                " rename it, or leave it out of the patterns"
            )
    hidden = sorted(set(chain.from_iterable(matched.values())) - wanted)
    return Choice({pattern: [by_path[path] for path in paths] for pattern, paths in by_pattern.items()}, hidden, sorted(outputs))


def is_hidden(path: str) -> bool:
    """Return whether the last name of a path or pattern begins with a dot."""
    return path.rsplit("/", 1)[-1].startswith(".")


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(path: str) -> str:
    r"""Return the path with each byte that is not UTF-8 as \xNN."""
    return os.fsencode(path).decode(errors="backslashreplace")
