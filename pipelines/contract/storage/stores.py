"""Object stores by URI: s3://BUCKET/KEY, gs://BUCKET/KEY, and others that pyarrow knows (abfs://CONTAINER@ACCOUNT…/KEY).

A key is written as it is stored: nothing in it is encoded, so a space, "%", "#" or "?" is itself. Where a store is and who we
are comes from the environment, as for other programs: AWS_REGION, AWS_ENDPOINT_URL (another server than Amazon's), AWS_PROFILE
and the other variables and files of AWS; GOOGLE_APPLICATION_CREDENTIALS and STORAGE_EMULATOR_HOST of Google's. `anonymous@`
before the bucket reads a public one without credentials.

An object is whole or absent: it is written on this machine first and then copied, since a stream into a store publishes what
has been written when it is dropped. A process that is killed meanwhile leaves parts of an upload, which no listing shows; a
lifecycle rule of the bucket (AbortIncompleteMultipartUpload) removes them.

Limits: a request is tried eight times, over half a minute at most; a file needs its size in the folder for temporary files
while it is written.
"""

import errno
import mmap
import os
import re
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.fs as pafs

from pipelines.contract.errors import UserError

ATTEMPTS = 8  # of a request: a store answers 503 (slow down) to many clients at once
_CHUNK_BYTES = 2**26  # of an upload, in parts that travel side by side
_RANGES, _RANGE_BYTES = 8, 2**23  # of a download, at the same time
_CONNECT_SECONDS, _REQUEST_SECONDS = 5.0, 60.0
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")

# What the libraries of the stores say, the cause, and what to do. The first that is found counts.
_CAUSES = (
    (
        r"NO_SUCH_BUCKET|Bucket '[^']*' not found|bucket (does not exist|was not found)",
        "there is no such bucket",
        "create it, or correct the name",
    ),
    (
        r"ACCESS_DENIED|HTTP status 40[13]|INVALID_ACCESS_KEY|SIGNATURE|TOKEN|CREDENTIALS|PERMISSION_DENIED|UNAUTHENTICATED",
        "access is denied",
        "check the credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; GOOGLE_APPLICATION_CREDENTIALS), "
        "and what they may do there",
    ),
    (
        r"HTTP status 30[17]|AuthorizationHeaderMalformed|PermanentRedirect",
        "the bucket is in another region",
        "set AWS_REGION to that of the bucket",
    ),
    (
        r"curlCode|NETWORK_CONNECTION|[Cc]ould ?n.t (resolve|connect)",
        "the store does not answer",
        "check the network, and AWS_ENDPOINT_URL or STORAGE_EMULATOR_HOST if it is set",
    ),
    (
        r"SLOW_DOWN|HTTP status 5\d\d|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|UNAVAILABLE|THROTTLING|REQUEST_TIMEOUT",
        f"the store is overloaded or out of order ({ATTEMPTS} attempts failed)",
        "run the command again later; what is finished is kept",
    ),
)
_FROM_A_STORE = re.compile(r"AWS Error|google::cloud|GCS|Azure|curlCode|[Bb]ucket")


class StoreError(UserError):
    """An object store refused or failed; the message names the URI, the cause and the fix."""


def locate(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return the store of a URI, opened once in a process, and the path in it. Raise StoreError if there is no such store."""
    scheme, _, rest = uri.partition("://")
    authority, _, key = rest.partition("/")
    if not authority:
        raise StoreError(f"{uri}: names no bucket; write {scheme}://BUCKET/FOLDER")
    try:
        with explained(uri):
            filesystem, base = _opened(scheme, authority, tuple(os.environ.get(name) for name in _SETTINGS))
    except pa.ArrowInvalid as error:
        raise StoreError(f"{uri}: {error}; name a local path, or an object of gs://, s3:// or abfs://") from None
    return filesystem, f"{base}/{key}".strip("/")


_SETTINGS = (
    *_ENDPOINTS,
    *_REGIONS,
    "STORAGE_EMULATOR_HOST",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "GOOGLE_APPLICATION_CREDENTIALS",
)


@lru_cache(maxsize=64)
def _opened(scheme: str, authority: str, _settings: tuple[str | None, ...]) -> tuple[pafs.FileSystem, str]:
    """Return a store and the path of its root; the settings are those of the environment, of which some are read at once."""
    user, at, bucket = authority.rpartition("@")
    if scheme in ("s3", "gs") and at and user != "anonymous":
        raise StoreError(f"{scheme}://{bucket}: credentials in an address would be recorded; set them in the environment")
    if scheme == "s3":
        return _s3(bucket, anonymous=bool(at)), bucket
    if scheme == "gs":
        return _gs(anonymous=bool(at)), bucket
    return cast(tuple[pafs.FileSystem, str], pafs.FileSystem.from_uri(f"{scheme}://{authority}"))


def _first(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(os.environ.get, names)), None)


def _s3(bucket: str, *, anonymous: bool) -> pafs.FileSystem:
    endpoint = _first(_ENDPOINTS)
    region = _first(_REGIONS) or ("us-east-1" if endpoint else pafs.resolve_s3_region(bucket))
    scheme, _, host = (endpoint or "").rpartition("://")
    return pafs.S3FileSystem(
        region=region,
        scheme=scheme or "https",
        endpoint_override=host.rstrip("/") or None,
        anonymous=anonymous,
        allow_delayed_open=True,  # one request for a small object instead of three
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def _gs(*, anonymous: bool) -> pafs.FileSystem:
    scheme, _, host = (os.environ.get("STORAGE_EMULATOR_HOST") or "").rpartition("://")
    given: dict[str, Any] = {"scheme": scheme or "http", "endpoint_override": host.rstrip("/")} if host else {}
    return pafs.GcsFileSystem(anonymous=anonymous, retry_time_limit=timedelta(seconds=30), **given)


@contextmanager
def explained(uri: str) -> Generator[None]:
    """Raise the errors of a store as StoreError, and a missing object as FileNotFoundError; both name the URI.

    Other errors of the block pass as they are.
    """
    try:
        yield
    except FileNotFoundError as error:
        if error.filename is not None:  # of this machine
            raise
        raise FileNotFoundError(errno.ENOENT, "no such object", uri) from None
    except ValueError as error:
        if type(error).__module__.partition(".")[0] != "huggingface_hub":  # which pyarrow asks for hf://
            raise
        raise StoreError(f"{uri}: {_short(str(error))}; name hf://datasets/OWNER/NAME/PATH") from None
    except OSError as error:
        if error.errno is not None or not _FROM_A_STORE.search(str(error)):
            raise
        raise StoreError(_explanation(uri, str(error))) from error


def _explanation(uri: str, text: str) -> str:
    for pattern, cause, fix in _CAUSES:
        if re.search(pattern, text):
            return f"{uri}: {cause}; {fix} ({_short(text)})"
    return f"{uri}: {_short(text)}; check the address, the credentials and the store"


def _short(text: str) -> str:
    """Return what the library says, without its request's number, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"\s*\(Request ID: [^)]*\)", "", text)).strip().rstrip(".")[:300]


def upload(source: Path, uri: str) -> None:
    """Copy a file of this machine to an object, which then is whole.

    pyarrow's copy_files is not for this: it loses the error of the last request, which makes the object.
    """
    filesystem, path = locate(uri)
    try:
        with explained(uri), ThreadPoolExecutor(1) as thread:  # where no signal raises an exception between two lines
            thread.submit(_put, source, filesystem, path).result()
    except FileNotFoundError as error:
        if error.filename != uri:
            raise
        raise StoreError(f"{uri}: there is no such bucket; create it, or correct the name") from None


def _put(source: Path, filesystem: pafs.FileSystem, path: str) -> None:
    with source.open("rb") as file, _mapped(file) as content:
        stream = filesystem.open_output_stream(path)
        try:
            for start in range(0, len(content), _CHUNK_BYTES):
                if start:
                    stream.flush()  # else the store's client copies the whole file into memory
                stream.write(content[start : start + _CHUNK_BYTES])
            stream.close()
        except BaseException:
            with suppress(OSError):  # once a part has failed, the object is not made
                stream.close()
            raise


def download(uri: str, out: BinaryIO) -> None:
    """Write an object's bytes to a stream; several ranges travel side by side."""
    filesystem, path = locate(uri)
    with explained(uri), filesystem.open_input_file(path) as stream, ThreadPoolExecutor(_RANGES) as threads:
        starts = range(0, stream.size(), _RANGE_BYTES)
        for first in range(0, len(starts), _RANGES):  # no more of them are in memory
            for content in threads.map(lambda start: stream.read_at(_RANGE_BYTES, start), starts[first : first + _RANGES]):
                out.write(content)


@contextmanager
def _mapped(file: BinaryIO) -> Generator[memoryview]:
    """Map a file, so that no error can occur while it is read; an empty file cannot be mapped."""
    if os.fstat(file.fileno()).st_size == 0:
        yield memoryview(b"")
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as content:
        yield content
