"""A process that has imported what pipelines need, and forks a driver for each of them.

Beam and the stages take seconds to import, their kernels and models one more to load. Here that happens once a build, while the
build is planned, and not again with each pipeline and worker. The server has no thread of its own: its drivers fork, too.

Its standard input has a request a line (JSON), its standard output the answers: a driver's process number, later its exit status.
It ends, and its drivers with it, when its input does.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipelines.config import SourceSection
from pipelines.units.context import RunnerOptions

IN_PROCESS_BYTES = 32 * 2**20  # with less input, starting workers costs more than they save
_LOAD = "pipelines.corpus:load_for_workers"  # named, not imported: it is of a higher room
POLL_SECONDS = 0.02  # between two looks at drivers that may have ended
LOST = -9  # the status of a driver whose server was killed: drivers end with it


class DriverServer:
    """The process as its parent sees it."""

    def __init__(self) -> None:
        """Start it."""
        self._environment, self._owner = dict(os.environ), os.getpid()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as it lives; what it writes to stderr
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.beam.driver_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the build alone
            env=os.environ | {"PYTHONSAFEPATH": "1"},  # a user's folder pipelines/ must not shadow ours, here or in workers
        )
        self._changed = threading.Condition()
        self._pids: dict[str, int] = {}  # by specification
        self._statuses: dict[int, int] = {}
        self._has_ended = False
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def fork(self, specification: Path, log: Path) -> int:
        """Fork a driver; return its process number, which is also its group's. It writes to `log`."""
        assert self._process.stdin is not None
        request = {"specification": str(specification), "log": str(log), "folder": os.getcwd()}
        try:
            with self._changed:
                with contextlib.suppress(BrokenPipeError):
                    self._process.stdin.write(json.dumps(request) + "\n")
                    self._process.stdin.flush()
                self._changed.wait_for(lambda: str(specification) in self._pids or self._has_ended)
        except BaseException:
            self.close()  # a driver that nobody watches must not begin
            raise
        if str(specification) not in self._pids:
            raise RuntimeError(f"the process that starts workers has ended:\n{self._stderr()}")
        return self._pids.pop(str(specification))

    def status(self, pid: int) -> int | None:
        """Return the exit status of a driver, negative for a signal that killed it; None while it runs."""
        with self._changed:
            return self._statuses.get(pid, LOST if self._has_ended else None)

    def wait(self, pid: int) -> int:
        """Return the exit status of a driver when it has ended."""
        with self._changed:
            self._changed.wait_for(lambda: pid in self._statuses or self._has_ended)
            return self._statuses.get(pid, LOST)

    def is_usable(self) -> bool:
        """Return whether it is this process's, runs, and has the environment that this process has now."""
        return self._owner == os.getpid() and not self._has_ended and self._environment == dict(os.environ)

    def close(self) -> None:
        """End it and its drivers."""
        if self._owner != os.getpid():  # a fork of the process that started it
            return
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._changed:
                if "specification" in answer:
                    self._pids[answer["specification"]] = answer["pid"]
                else:
                    self._statuses[answer["pid"]] = answer["status"]
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _stderr(self) -> str:
        self._said.seek(0)
        return self._said.read().decode("utf-8", errors="replace")[-2000:]


_server: DriverServer | None = None


def start() -> DriverServer:
    """Return the server of this process; start it if there is none, or if the environment has changed since."""
    global _server
    if _server is None or not _server.is_usable():
        if _server is None:
            atexit.register(_close)
        else:
            _server.close()
        _server = DriverServer()
    return _server


def start_early(options: RunnerOptions, sources: Sequence[SourceSection]) -> None:
    """Start the server if a build of these sources will need it: it imports and loads while the build is planned."""
    if options.runner == "local" and options.workers > 1 and any(_is_large(source.root) for source in sources):
        start()


def _is_large(root: str) -> bool:
    """Return whether a folder holds at least IN_PROCESS_BYTES; one in a store counts as large."""
    if "://" in root:
        return True
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_size
            if total >= IN_PROCESS_BYTES:
                return True
    return False


def _close() -> None:
    if _server is not None:
        _server.close()


def _serve() -> None:
    """Fork a driver for each request, and report each one's end; return at the end of the requests. The server's main loop."""
    answers = os.dup(1)
    os.dup2(2, 1)  # nothing else may write between the answers
    _import_and_load()
    running: set[int] = set()
    with selectors.DefaultSelector() as selector:
        os.set_blocking(0, False)
        selector.register(0, selectors.EVENT_READ)
        waiting = b""
        while True:
            if selector.select(POLL_SECONDS if running else None):
                read = os.read(0, 65536)
                if not read:
                    return
                *lines, waiting = (waiting + read).split(b"\n")
                for line in lines:
                    request = json.loads(line)
                    pid = _fork(request, answers)
                    running.add(pid)
                    _say(answers, {"specification": request["specification"], "pid": pid})
            for pid, status in _ended(running):
                running.remove(pid)
                _say(answers, {"pid": pid, "status": status})


def _import_and_load() -> None:
    importlib.import_module("pipelines.beam.driver")
    module, function = _LOAD.split(":")
    getattr(importlib.import_module(module), function)()
    gc.freeze()  # drivers and workers share these objects: a collection would copy them


def _fork(request: Mapping[str, Any], answers: int) -> int:
    server, pid = os.getpid(), os.fork()
    if pid == 0:
        os.close(answers)
        _drive(request, server)
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)  # here, too: the group exists before the caller knows its number
    return pid


def _drive(request: Mapping[str, Any], server: int) -> NoReturn:
    from pipelines.beam.driver import drive

    try:
        os.setpgid(0, 0)
        os.chdir(request["folder"])
        nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        drive(Path(request["specification"]), server)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


def _ended(running: set[int]) -> list[tuple[int, int]]:
    """Return the drivers that have ended, with their exit statuses."""
    found = [os.waitpid(pid, os.WNOHANG) for pid in sorted(running)]
    return [(pid, os.waitstatus_to_exitcode(status)) for pid, status in found if pid]


def _say(answers: int, answer: Mapping[str, Any]) -> None:
    os.write(answers, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    _serve()
