"""What local workers say of themselves, in small files: which unit each holds, how far it is, what went wrong.

The driver reads them to show progress and to notice a worker that died: Beam's own local runner would wait for it for
ever. Results never travel this way; the sidecar of a unit is the only sign that it is finished.
"""

import contextlib
import json
import os
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(slots=True)
class Claim:
    """One unit in one worker's hands."""

    name: str
    pid: int
    documents: int = 0
    text_bytes: int = 0
    stored_bytes: int = 0  # of the unit, once it is done
    state: str = "working"  # working, done, failed, interrupted
    error: str = ""
    is_mistake: bool = False  # one of our own ValueErrors: it names the file and the fix, and another try does not help


class Stopped(Exception):
    """Another unit failed, or a signal came: this one need not be finished."""


class Claims:
    """A folder of claims; a picklable handle. Without a folder (a cluster) nothing is written.

    `in_threads`: the workers are threads of the driver. Then a unit that fails stops the others, and the driver, which finds
    its claim, raises the error: Beam would print it, with its traceback, and leave the other threads at work.
    """

    def __init__(self, folder: str | None, *, in_threads: bool = False) -> None:
        self.folder, self.in_threads = folder, in_threads

    def stop(self) -> None:
        """Let no unit begin, and none go on after its next batch."""
        assert self.folder is not None
        (Path(self.folder) / "stop").touch()

    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self.folder is not None and (Path(self.folder) / "stop").exists()

    @contextlib.contextmanager
    def guard(self) -> Generator[None]:
        """Around `hold`, in threads: an error ends the block, stops the others and is raised by the driver."""
        try:
            yield
        except Exception:
            if not self.in_threads:
                raise
            self.stop()

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until no unit is in hand."""
        deadline = time.monotonic() + seconds
        while any(claim.state == "working" for claim in self.all()) and time.monotonic() < deadline:
            time.sleep(0.05)

    @contextlib.contextmanager
    def hold(self, name: str, stored_bytes: int = 0) -> Generator[Claim]:
        """Claim a unit for the time of the block; an exception in it is noted as the unit's failure and goes on."""
        claim = Claim(name, os.getpid())
        self.note(claim)
        try:
            yield claim
        except BaseException as error:
            is_failure = isinstance(error, Exception) and not isinstance(error, Stopped)
            claim.state = "failed" if is_failure else "interrupted"
            claim.is_mistake = isinstance(error, ValueError) and type(error).__module__.startswith("pipelines.")
            claim.error = str(error) if claim.is_mistake else f"{type(error).__name__}: {error}"
            self.note(claim)
            raise
        claim.state, claim.stored_bytes = "done", stored_bytes
        self.note(claim)

    def note(self, claim: Claim) -> None:
        """Write the claim as it stands now."""
        if self.folder is None:
            return
        path = Path(self.folder) / f"{claim.name}.json"
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(asdict(claim)))
        temporary.replace(path)

    def all(self) -> list[Claim]:
        """Every claim so far, by name."""
        if self.folder is None:
            return []
        return [Claim(**json.loads(path.read_text())) for path in sorted(Path(self.folder).glob("*.json"))]

    def orphans(self) -> list[Claim]:
        """Units whose worker is gone without having finished them."""
        return [claim for claim in self.all() if claim.state == "working" and not is_alive(claim.pid)]

    def failures(self) -> list[Claim]:
        """Units that ended with an exception."""
        return [claim for claim in self.all() if claim.state == "failed"]

    def is_interrupted(self) -> bool:
        """Whether a signal to stop came while a unit was being done."""
        return any(claim.state == "interrupted" for claim in self.all())


def is_alive(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Dead, but not yet collected by its parent (Linux; elsewhere parents collect at once)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (OSError, IndexError):
        return False
