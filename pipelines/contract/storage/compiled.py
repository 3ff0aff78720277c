"""What compiled code was made from: a source file and those that it imports.

Numba compiles the constants and the inlined kernels of other modules into a kernel, and compiles it anew only if the kernel's own
file has changed.
"""

import functools
import hashlib
import re
from pathlib import Path
from typing import Any

_IMPORT = re.compile(r"^(?:from\s+([\w.]+)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+([\w.]+))", re.MULTILINE)
_NAME = re.compile(r"\w+")


def stamp_with_imports(locator_class: Any) -> None:
    """Let numba's locator of source files (a class) stamp compiled code with the digest of its source and imports."""
    locator_class.get_source_stamp = lambda self: digest(self._py_file)


def digest(path: str) -> str:
    """Return a digest of a source file and of all files of its own packages that it imports, directly or not."""
    files = sorted(_reached(Path(path)))
    return hashlib.sha256(b"".join(_content(file) for file in files)).hexdigest()


@functools.cache
def _content(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


@functools.cache
def _reached(path: Path) -> frozenset[Path]:
    seen, waiting = {path}, [path]
    while waiting:
        for imported in _imported(waiting.pop()) - seen:
            seen.add(imported)
            waiting.append(imported)
    return frozenset(seen)


@functools.cache
def _imported(path: Path) -> frozenset[Path]:
    """Return the files below the same root that a file imports."""
    root = path.parent
    while (root / "__init__.py").exists():
        root = root.parent
    found: set[Path] = set()
    for module, names, plain in _IMPORT.findall(path.read_text(encoding="utf-8")):
        base = root.joinpath(*(module or plain).split("."))
        for place in (base, *(base / name for name in _NAME.findall(names))):
            found |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}
    return frozenset(found)
