"""One build at a time writes into an output folder."""

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
    """Hold the output folder for the time of the block; raise LockedError at once when another process holds it.

    The lock is the operating system's (flock on `<out>/.lock`): it ends with the process that holds it, however that
    ends, so that no lock is ever stale. The file says who holds it; it stays behind, unlocked.

    Limits: object stores and Windows have no such lock; there two builds of the same output are not noticed (they
    write the same bytes, but the work is done twice).
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
    """Who holds the lock, in words; the moment before it says so, the file is empty."""
    stream.seek(0)
    text = stream.read()
    if not text:
        return "another process"
    known = json.loads(text)
    return f"process {known['pid']} on {known['host']}"
