"""The folder of a row index: flat .npy files and index.json, put there whole or not at all.

runs.npy         one line a run: counts (maps.RUN)
rows.npy         row n has the spans rows[n] .. rows[n + 1] - 1     } not of concatenate,
spans.npy        what a document gives to a row (SPAN)              } where both are arithmetic
random_next.npy  of pairs: whether the second span is of a random document
index.json       what the index is made of, its streams, the length of each file
"""

import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pipelines.contract import files
from pipelines.contract.manifest import DatasetError
from training.data.maps import RUN

INDEX = "index.json"
SPAN = np.dtype(
    [
        ("document", "<u8"),  # number of the document, over all streams
        ("first", "<u4"),  # its first token
        ("tokens", "<u4"),  # the separator behind the document included
    ]
)
DTYPES = {"runs": RUN, "rows": np.dtype("<i8"), "spans": SPAN, "random_next": np.dtype("?")}


class Appender:
    """A .npy file that grows: (N,) of one dtype, N known when it is closed."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._stream = path.open("wb")
        self.length = 0
        self._header()

    def append(self, values: NDArray[Any]) -> None:
        """Write these behind the others."""
        assert values.dtype == self._dtype and values.ndim == 1
        self._stream.write(np.ascontiguousarray(values).data)
        self.length += len(values)

    def __enter__(self) -> "Appender":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._stream.seek(0)
            self._header()  # NumPy leaves room for a longer length: the header keeps its size
            self._stream.flush()
            os.fsync(self._stream.fileno())
        self._stream.close()

    def _header(self) -> None:
        described = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self.length,)}
        npy.write_array_header_1_0(self._stream, described)


@contextmanager
def creating(target: Path) -> Generator[Path]:
    """A temporary folder that gets the name `target` when the block ends well; if another process was first, its folder stays."""
    temporary = files.temporary_path(target)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        files.flush_folder(temporary)
        try:
            temporary.rename(target)
        except OSError:
            if not (target / INDEX).exists():  # else another process was first, with the same rows
                raise
        files.flush_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(folder: Path, content: dict[str, Any]) -> None:
    """Write index.json, the last file of a folder."""
    with (folder / INDEX).open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(content, indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def read_json(folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The content of index.json. Raises DatasetError when it is missing, damaged, or of another index."""
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        found = content["identity"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, f"{INDEX} cannot be read ({error!r})") from None
    if found != identity:
        names = [name for name in identity if found.get(name) != identity[name]]
        raise damaged(folder, f"it was made of another {', '.join(names) or 'thing'}")
    return content


def read_array(folder: Path, name: str, length: int) -> NDArray[Any]:
    """A file of the index as a map, (length,) of its dtype. Raises DatasetError when it is anything else."""
    path = folder / f"{name}.npy"
    try:
        found = np.load(path, mmap_mode="r") if length else np.load(path)
    except (OSError, ValueError) as error:
        raise damaged(folder, f"{path.name} cannot be read ({error})") from None
    if found.dtype != DTYPES[name] or found.shape != (length,):
        raise damaged(folder, f"{path.name} holds {found.shape} of {found.dtype}, not {length:,} of {DTYPES[name]}")
    return found.view(np.ndarray)


def damaged(folder: Path, why: str) -> DatasetError:
    """The error of an index that cannot be used."""
    return DatasetError(f"{folder}: is no usable index: {why}; remove this folder, it is made again")
