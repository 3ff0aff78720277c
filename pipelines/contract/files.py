"""Files by URI: a local path, or an object of a store that pyarrow knows (gs://, s3://, abfs://).

Local files are written under a temporary name and renamed, so that a name that exists is complete. Object stores show
an object only when its upload is finished: there the object is written directly.
"""

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.fs as pafs

from pipelines.contract.errors import UserError

TEMPORARY = ".tmp"  # how names end that a killed process may leave; what ends so may be removed

_CHUNK_BYTES = 2**20


def is_local(uri: str) -> bool:
    """Whether the URI names a file of this machine."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The path of a local URI."""
    return Path(uri.removeprefix("file://"))


def join(uri: str, *names: str) -> str:
    """A URI below a folder's URI; works on Windows paths and object stores alike."""
    return "/".join([uri.rstrip("/"), *names])


def _remote(uri: str) -> tuple[pafs.FileSystem, str]:
    try:
        return cast(tuple[pafs.FileSystem, str], pafs.FileSystem.from_uri(uri))
    except pa.ArrowInvalid as error:
        raise UserError(f"{uri}: {error}; name a local path, or an object of gs://, s3:// or abfs://") from None


def exists(uri: str) -> bool:
    """Whether a file or folder of this name exists."""
    if is_local(uri):
        return local_path(uri).exists()
    filesystem, path = _remote(uri)
    return filesystem.get_file_info(path).type != pafs.FileType.NotFound


def size(uri: str) -> int:
    """Bytes of the file."""
    if is_local(uri):
        return local_path(uri).stat().st_size
    filesystem, path = _remote(uri)
    return int(filesystem.get_file_info(path).size)


def listing(uri: str, suffix: str = "") -> list[str]:
    """URIs of the files below a folder (recursively) whose names end in `suffix`, sorted; none if it does not exist."""
    if is_local(uri):
        root = local_path(uri)
        return sorted(str(p) for p in root.rglob("*") if p.is_file() and p.name.endswith(suffix))
    filesystem, path = _remote(uri)
    scheme = uri.split("://", 1)[0]
    found = filesystem.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
    return sorted(f"{scheme}://{f.path}" for f in found if f.type == pafs.FileType.File and f.path.endswith(suffix))


@contextmanager
def reading(uri: str) -> Generator[BinaryIO]:
    """Open a file to read its bytes as they are stored."""
    if is_local(uri):
        with local_path(uri).open("rb") as stream:
            yield stream
    else:
        filesystem, path = _remote(uri)
        with filesystem.open_input_file(path) as stream:
            yield cast(BinaryIO, stream)


@contextmanager
def writing(uri: str) -> Generator["HashingWriter"]:
    """Open a file to write and hash; it appears under its name when the block ends well, and not if it raises."""
    with replacing(uri, fsync=True) as stream:
        yield HashingWriter(stream)


@contextmanager
def replacing(uri: str, *, fsync: bool) -> Generator[BinaryIO]:
    """Open a file to write, as `writing` does, but without a hash; without `fsync` a power cut may leave it empty."""
    if not is_local(uri):
        filesystem, path = _remote(uri)
        with filesystem.open_output_stream(path) as stream:
            yield cast(BinaryIO, stream)
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
    """Return a new hidden name beside a local file or folder, under which it is made and then renamed.

    No other process and no other call gets the same name.
    """
    return target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}{suffix}")


def flush_folder(path: Path) -> None:
    """Have the disk keep a local folder's names (a rename is durable only then)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class HashingWriter:
    """A binary stream that knows the size and the sha256 of what went through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.bytes_written = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        """Write and count."""
        view = memoryview(data)
        self._hash.update(view)
        self.bytes_written += view.nbytes
        self._stream.write(view)
        return view.nbytes

    def flush(self) -> None:
        """Flush the stream below."""
        self._stream.flush()

    def tell(self) -> int:
        """Bytes written so far."""
        return self.bytes_written

    def close(self) -> None:
        """Mark as closed; the block that opened the file closes it."""
        self.closed = True

    def readable(self) -> bool:
        """False: for pyarrow."""
        return False

    def writable(self) -> bool:
        """True: for pyarrow."""
        return True

    def seekable(self) -> bool:
        """False: for pyarrow."""
        return False

    @property
    def sha256(self) -> str:
        """Hex digest of everything written so far."""
        return self._hash.hexdigest()


def write_text(uri: str, text: str) -> None:
    """Write a whole small file at once."""
    with writing(uri) as stream:
        stream.write(text.encode())


def read_text(uri: str) -> str:
    """Read a whole small file."""
    with reading(uri) as stream:
        return stream.read().decode()


def sha256(uri: str) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with reading(uri) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def copy(source: str, target: str) -> None:
    """Copy a file."""
    with reading(source) as incoming, writing(target) as outgoing:
        while chunk := incoming.read(_CHUNK_BYTES):
            outgoing.write(chunk)


def local_copy(uri: str, expected_sha256: str) -> str:
    """A path on this machine that holds this file: the file itself when it is local, else a copy in the temporary folder.

    Raises ValueError when the content is not the expected one.
    """
    if is_local(uri):
        path = str(local_path(uri))
    else:
        path = str(Path(tempfile.gettempdir()) / "corpusmill" / expected_sha256)
        if not exists(path):
            copy(uri, path)
    if sha256(path) != expected_sha256:
        raise UserError(f"{uri}: its content has changed since it was recorded (sha256 {expected_sha256}); restore it")
    return path


def remove(uri: str) -> None:
    """Remove a file or a folder and all that is in it; nothing happens if it does not exist."""
    if is_local(uri):
        path = local_path(uri)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    filesystem, path = _remote(uri)
    kind = filesystem.get_file_info(path).type
    if kind == pafs.FileType.Directory:
        filesystem.delete_dir(path)
    elif kind == pafs.FileType.File:
        filesystem.delete_file(path)
