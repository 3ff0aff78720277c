"""Large objects of a store on this machine's disk, for readers that map files into memory.

$CORPUSMILL_CACHE/copies/<sha256>        the whole content, named by it; removed by nobody but the user
"""

import fcntl
from pathlib import Path
from typing import BinaryIO, cast

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.storage import stores
from pipelines.contract.storage.cache import cache_for


def mirrored(uri: str, size: int, sha256: str) -> Path:
    """Return a path on this machine with the content of a file: the file itself, or a copy of an object.

    An object is copied once, whatever number of processes asks for it, and compared with its sha256 then; later, only the size
    of the copy is compared. Raise UserError if the object is not what is expected, FileNotFoundError if it is missing.
    """
    if files.is_local(uri):
        return files.local_path(uri)
    path = cache_for("copies") / sha256
    if _is_copied(path, size):
        return path
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        if not _is_copied(path, size):
            _copy(uri, path, size, sha256)
    lock.unlink(missing_ok=True)  # a process that holds or awaits it goes on; at worst the object is copied twice
    return path


def _is_copied(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def _copy(uri: str, path: Path, size: int, sha256: str) -> None:
    with files.writing(str(path)) as out:
        stores.download(uri, cast(BinaryIO, out))
        if out.bytes_written != size:
            raise UserError(
                f"{uri}: has {out.bytes_written:,} bytes, the manifest says {size:,}; it is truncated or another file"
            )
        if out.sha256 != sha256:
            raise UserError(f"{uri}: its sha256 is not the manifest's; the content changed after it was built; build it again")
