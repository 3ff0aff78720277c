"""Files by URI: local paths, and objects of the stores that pyarrow knows (gs://, s3://, abfs://).

A local file is written under a temporary name and then renamed; an object is written on this machine and then copied to its
store (`stores.py`). So what exists under its own name is complete.
"""

import hashlib
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote

import pyarrow.fs as pafs

from pipelines.contract.errors import UserError
from pipelines.contract.storage import stores
from pipelines.contract.storage.cache import cache_for
from pipelines.contract.storage.ranges import Ranges
from pipelines.contract.storage.walk import Found
from pipelines.contract.storage.walk import local as local_walk
from pipelines.contract.storage.walk import store as store_walk

TEMPORARY = ".tmp"  # suffix of unfinished files; a killed process may leave some, and they may be removed

_CHUNK_BYTES = 2**20


def is_local(uri: str) -> bool:
    """Return whether the URI names a file on this machine."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """Return the path of a local URI. Raise UserError if it names another machine."""
    return Path(plain(uri))


def on_this_machine(uri: str | Path, what: str) -> Path:
    """Return the path of a URI, for what works on this machine's disk only (a Path takes "s3://data" for a folder "s3:").

    Raise UserError, which says `what` it was to be, for an object store.
    """
    if not is_local(str(uri)):
        raise UserError(f"{uri}: {what} cannot be in an object store; name a folder or file of this machine")
    return local_path(str(uri))


def plain(uri: str) -> str:
    """Return a file:// URI as the path that it names (its %20 is a space), any other URI and a path as they are.

    Raise UserError if it names another machine.

    >>> [plain(uri) for uri in ("file:///my%20data", "/my%20data", "s3://my%20data")]
    ['/my data', '/my%20data', 's3://my%20data']
    """
    if not uri.startswith("file://"):
        return uri
    host, slash, path = uri.removeprefix("file://").partition("/")
    if host not in ("", "localhost") or not slash:
        raise UserError(f"{uri}: names a file of the machine {host!r}; write file:///, then the whole path, or a plain path")
    return f"/{unquote(path)}"


def join(uri: str, *names: str) -> str:
    """Append names to a folder's URI, local or in an object store; the names are not encoded."""
    return "/".join([plain(uri).rstrip("/"), *names])


def exists(uri: str) -> bool:
    """Return whether a file or folder exists at the URI."""
    if is_local(uri):
        return local_path(uri).exists()
    return _information(uri).type != pafs.FileType.NotFound


def _information(uri: str) -> pafs.FileInfo:
    filesystem, path = stores.locate(uri)
    with stores.explained(uri):
        return filesystem.get_file_info(path)


def size(uri: str) -> int:
    """Return the size of a file in bytes."""
    if is_local(uri):
        return local_path(uri).stat().st_size
    return int(_information(uri).size)


def listing(uri: str, suffix: str = "", *, links: bool = True) -> list[str]:
    """Return the sorted URIs of all files below a folder whose names end in `suffix`; none if the folder does not exist.

    Linked folders count only with `links`. Raise UserError for such a name that cannot be opened as a file, OSError for a folder
    that cannot be listed.
    """
    if is_local(uri) and not exists(uri):
        return []
    found = [entry for entry in walk(uri, links=links) if entry.path.endswith(suffix)]
    for entry in found:
        if entry.problem is not None:
            raise UserError(f"{join(uri, entry.path)}: {entry.problem}")
    return sorted(join(uri, entry.path) for entry in found)


def walk(uri: str, enters: Callable[[str], bool] = lambda _folder: True, *, links: bool = True) -> Iterator[Found]:
    """Yield what is below a folder; `pipelines/contract/storage/walk.py` says how."""
    if is_local(uri):
        yield from local_walk(str(local_path(uri)), enters, links=links)
        return
    filesystem, path = stores.locate(uri)
    with stores.explained(uri):
        yield from store_walk(filesystem, path, enters)


@contextmanager
def reading(uri: str) -> Generator[BinaryIO]:
    """Open a file to read its bytes as stored, without decompression."""
    if is_local(uri):
        with local_path(uri).open("rb") as stream:
            yield stream
    else:
        filesystem, path = stores.locate(uri)
        with stores.explained(uri), io.BufferedReader(Ranges(filesystem.open_input_file(path))) as stream:
            yield cast(BinaryIO, stream)


@contextmanager
def writing(uri: str) -> Generator["HashingWriter"]:
    """Open a file to write and hash; it appears under its name when the block completes, but not if the block raises."""
    with replacing(uri, fsync=True) as stream:
        yield HashingWriter(stream)


@contextmanager
def replacing(uri: str, *, fsync: bool) -> Generator[BinaryIO]:
    """Open a file as `writing` does, without a hash; without `fsync`, a power failure may leave the file empty."""
    if not is_local(uri):
        with tempfile.TemporaryDirectory(prefix="corpusmill-upload-") as folder:
            whole = Path(folder) / "object"
            with whole.open("wb") as stream:
                yield stream
            stores.upload(whole, uri)
        return
    target = local_path(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(target)
    try:
        with temporary.open("wb") as stream:
            yield stream
            if fsync:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_path(target: Path, suffix: str = TEMPORARY) -> Path:
    """Return a hidden path beside a local file or folder, unique to this call; write there, then rename to the target."""
    return target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}{suffix}")


def flush_folder(path: Path) -> None:
    """Flush a local folder's entries to the disk; a rename in it is durable only after that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class HashingWriter:
    """A binary stream that counts and hashes the bytes written to it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.bytes_written = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        """Write, count and hash; return the number of bytes."""
        view = memoryview(data)
        self._hash.update(view)
        self.bytes_written += view.nbytes
        self._stream.write(view)
        return view.nbytes

    def flush(self) -> None:
        """Flush the underlying stream."""
        self._stream.flush()

    def tell(self) -> int:
        """Return the number of bytes written so far."""
        return self.bytes_written

    def close(self) -> None:
        """Mark the stream as closed; the block that opened the file closes the file."""
        self.closed = True

    def readable(self) -> bool:
        """Return False; pyarrow asks."""
        return False

    def writable(self) -> bool:
        """Return True; pyarrow asks."""
        return True

    def seekable(self) -> bool:
        """Return False; pyarrow asks."""
        return False

    @property
    def sha256(self) -> str:
        """The hex digest of the bytes written so far."""
        return self._hash.hexdigest()


def write_text(uri: str, text: str) -> None:
    """Write a small text file in one call."""
    with writing(uri) as stream:
        stream.write(text.encode())


def read_text(uri: str) -> str:
    """Read a small text file in one call."""
    with reading(uri) as stream:
        return stream.read().decode()


def sha256(uri: str) -> str:
    """Return the sha256 of a file as hex."""
    digest = hashlib.sha256()
    with reading(uri) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def copy(source: str, target: str) -> None:
    """Copy a file."""
    if is_local(source) and not is_local(target):
        stores.upload(local_path(source), target)
        return
    if not is_local(source):
        with writing(target) as outgoing:
            stores.download(source, cast(BinaryIO, outgoing))
        return
    with reading(source) as incoming, writing(target) as outgoing:
        while chunk := incoming.read(_CHUNK_BYTES):
            outgoing.write(chunk)


def link(source: str, target: str) -> None:
    """Give a file that will never change a second name; copy it where the file system has no links."""
    if is_local(source) and is_local(target):
        path = local_path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        try:
            os.link(local_path(source), path)
        except FileNotFoundError:
            raise
        except OSError:  # another file system, one without links, or too many
            copy(source, target)
        return
    copy(source, target)


def local_copy(uri: str, expected_sha256: str) -> str:
    """Return a path on this machine with the content of a file: the file itself, or a copy of a remote one.

    Copies are kept in the cache folder, named by their sha256. Raise UserError if the content has changed.
    """
    if is_local(uri):
        path = str(local_path(uri))
    else:
        path = str(cache_for("copies") / expected_sha256)
        if not exists(path):
            copy(uri, path)
    if sha256(path) != expected_sha256:
        raise UserError(f"{uri}: its content has changed since it was recorded (sha256 {expected_sha256}); restore it")
    return path


def remove(uri: str) -> None:
    """Remove a file, a link, or a folder with its contents; do nothing if it does not exist."""
    if is_local(uri):
        path = local_path(uri)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    filesystem, path = stores.locate(uri)
    kind = _information(uri).type
    with stores.explained(uri):
        if kind == pafs.FileType.Directory:
            with suppress(FileNotFoundError):  # Google's store: when all objects of a folder are gone, so is the folder
                filesystem.delete_dir(path)
        elif kind == pafs.FileType.File:
            filesystem.delete_file(path)
