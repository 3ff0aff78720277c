"""A lock, so that only one build at a time writes into an output folder."""

import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

try:
    import fcntl
except ImportError:  # Windows has no flock
    fcntl = None

from pipelines.contract import files
from pipelines.contract.errors import UserError

LOCK = ".lock"


class LockedError(UserError):
    """Another build writes into the output folder."""


@contextmanager
def locked(out: str) -> Generator[None]:
    """Hold the output folder during the block; raise LockedError at once if another process holds it.

    The lock is the operating system's (flock on `<out>/.lock`). It ends with the process that holds it, so no lock is ever
    stale. The file names the holder; it is not removed.

    Limits: object stores and Windows have no such lock. Two builds of the same output are not detected there; they write the
    same bytes, but do the work twice.
    """
    if fcntl is None or not files.is_local(out):
        yield
        return
    path = files.local_path(out) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"{out}: {_holder(stream)} is building there; wait for it, or name another folder") from None
        stream.truncate(0)
        stream.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}) + "\n")
        stream.flush()
        yield


def _holder(stream: IO[str]) -> str:
    """Return a description of the holder; the file is empty until the holder has written it."""
    stream.seek(0)
    text = stream.read()
    if not text:
        return "another process"
    known = json.loads(text)
    return f"process {known['pid']} on {known['host']}"
