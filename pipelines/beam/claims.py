"""Progress files of local workers: the unit each one holds, how far it is, and its error.

The driver reads them to show progress and to notice a dead worker, for which Beam's own local runner would wait forever.
Results never travel this way; only the sidecar of a unit shows that it is finished.
"""

import contextlib
import json
import os
import time
import traceback
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.contract import files
from pipelines.contract.errors import UserError


@dataclass(slots=True)
class Claim:
    """A unit that a worker holds or held."""

    name: str
    pid: int
    documents: int = 0
    dropped: int = 0  # documents
    text_bytes: int = 0
    stored_bytes: int = 0  # of the unit, once it is done
    state: str = "working"  # working, done, failed, interrupted
    error: str = ""
    is_mistake: bool = False  # a UserError: its message names the file and the fix, and a retry does not help
    traceback: str = ""  # of an error that no user can mend: a bug


class Stopped(Exception):
    """Another unit failed or the user interrupted the run: this unit need not be finished."""


class Claims:
    """A picklable handle on a folder of claims. Without a folder (on a cluster) nothing is written.

    `in_threads`: the workers are threads of the driver. A unit that fails then stops the others, and the driver finds its
    claim and raises the error; Beam would print it with its traceback and leave the other threads running.
    """

    def __init__(self, folder: str | None, *, in_threads: bool = False) -> None:
        self.folder, self.in_threads = folder, in_threads

    def stop(self) -> None:
        """Let no further unit start, and end each running one after its current batch."""
        assert self.folder is not None
        (Path(self.folder) / "stop").touch()

    def is_stopped(self) -> bool:
        """Return whether `stop` was called."""
        return self.folder is not None and (Path(self.folder) / "stop").exists()

    @contextlib.contextmanager
    def guard(self) -> Generator[None]:
        """Wrap `hold`: in threads, an error ends the block and stops the other units; the driver raises it."""
        try:
            yield
        except Exception:
            if not self.in_threads:
                raise
            self.stop()

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until no worker holds a unit, but no longer than this."""
        deadline = time.monotonic() + seconds
        while any(claim.state == "working" for claim in self.all()) and time.monotonic() < deadline:
            time.sleep(0.05)

    @contextlib.contextmanager
    def hold(self, name: str, stored_bytes: int = 0) -> Generator[Claim]:
        """Claim a unit for the duration of the block; an exception is recorded as the unit's failure and raised again."""
        claim = Claim(name, os.getpid())
        self.note(claim)
        try:
            yield claim
        except BaseException as error:
            is_failure = isinstance(error, Exception) and not isinstance(error, Stopped)
            claim.state = "failed" if is_failure else "interrupted"
            claim.is_mistake = isinstance(error, UserError)
            claim.error = str(error) if claim.is_mistake else f"{type(error).__name__}: {error}"
            if is_failure and not isinstance(error, UserError | OSError):
                claim.traceback = "".join(traceback.format_exception(error))
            self.note(claim)
            raise
        claim.state, claim.stored_bytes = "done", stored_bytes
        self.note(claim)

    def note(self, claim: Claim) -> None:
        """Write the claim's current state."""
        if self.folder is None:
            return
        path = Path(self.folder) / f"{claim.name}.json"
        temporary = files.temporary_path(path)
        temporary.write_text(json.dumps(asdict(claim)), "utf-8")
        temporary.replace(path)

    def all(self) -> list[Claim]:
        """Return all claims so far, sorted by name."""
        if self.folder is None:
            return []
        return [Claim(**json.loads(path.read_text("utf-8"))) for path in sorted(Path(self.folder).glob("*.json"))]

    def orphans(self) -> list[Claim]:
        """Return the claims of units that a dead worker left unfinished."""
        return [claim for claim in self.all() if claim.state == "working" and not is_alive(claim.pid)]

    def failures(self) -> list[Claim]:
        """Return the claims of units that ended with an exception."""
        return [claim for claim in self.all() if claim.state == "failed"]

    def is_interrupted(self) -> bool:
        """Return whether a signal interrupted a unit."""
        return any(claim.state == "interrupted" for claim in self.all())


def is_alive(pid: int) -> bool:
    """Return whether this process is running on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return whether the process is dead but not yet reaped by its parent (Linux only)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (OSError, IndexError):
        return False
