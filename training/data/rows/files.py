"""The folder of a row index: flat .npy files and index.json; it appears complete or not at all.

runs.npy         one line per run: counts (maps.RUN)
rows.npy         row n has the spans rows[n] .. rows[n + 1] - 1     } not with concatenate,
spans.npy        the piece of a document in a row (SPAN)            } where both are computed
random_next.npy  pairs only: whether the second span is of a random document
index.json       identity, figures of the streams, length and sha256 of each file
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
        ("tokens", "<u4"),  # including the separator after the document
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
        """Write these values after the earlier ones."""
        assert values.dtype == self._dtype and values.ndim == 1
        self._stream.write(np.ascontiguousarray(values).data)
        self.length += len(values)

    def __enter__(self) -> "Appender":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._stream.seek(0)
            self._header()  # NumPy reserves room for a longer length, so the header keeps its size
            self._stream.flush()
            os.fsync(self._stream.fileno())
        self._stream.close()

    def _header(self) -> None:
        described = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self.length,)}
        npy.write_array_header_1_0(self._stream, described)


@contextmanager
def creating(target: Path) -> Generator[Path]:
    """Yield a temporary folder, renamed to `target` if the block succeeds; if another process was first, its folder stays."""
    temporary = files.temporary_path(target)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        files.flush_folder(temporary)
        try:
            temporary.rename(target)
        except OSError:
            if not (target / INDEX).exists():  # otherwise another process was first, with the same rows
                raise
        files.flush_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(folder: Path, content: dict[str, Any]) -> None:
    """Write index.json, the last file of a folder, with the sha256 of the arrays beside it."""
    content = {**content, "sha256": {path.name: files.sha256(str(path)) for path in sorted(folder.glob("*.npy"))}}
    with (folder / INDEX).open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(content, indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def read_json(folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Return the content of index.json. Raises DatasetError if it is missing, damaged, or of another index."""
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        stored = content["identity"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, f"{INDEX} cannot be read ({error!r})") from None
    if stored != identity:
        names = [name for name in identity if stored.get(name) != identity[name]]
        raise damaged(folder, f"it was made from another {', '.join(names) or 'thing'}")
    return content


def verify_arrays(folder: Path, content: dict[str, Any]) -> None:
    """Raise DatasetError for an array whose sha256 is not that of index.json; earlier releases wrote none."""
    for name, expected in content.get("sha256", {}).items():
        if files.sha256(str(folder / name)) != expected:
            raise damaged(folder, f"{name} has changed since it was written (its sha256 is another)")


def read_array(folder: Path, name: str, length: int) -> NDArray[Any]:
    """Map a file of the index: (length,) of its dtype. Raises DatasetError if it is anything else."""
    path = folder / f"{name}.npy"
    try:
        array = np.load(path, mmap_mode="r") if length else np.load(path)
    except (OSError, ValueError) as error:
        raise damaged(folder, f"{path.name} cannot be read ({error})") from None
    if array.dtype != DTYPES[name] or array.shape != (length,):
        raise damaged(folder, f"{path.name} holds {array.shape} of {array.dtype}, not {length:,} of {DTYPES[name]}")
    return array.view(np.ndarray)


def damaged(folder: Path, why: str) -> DatasetError:
    """Return the error for an index that cannot be used."""
    return DatasetError(f"{folder}: is not a usable index: {why}; remove this folder, and it is built again")
