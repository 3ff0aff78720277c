"""Trafilatura in a process of its own, so that no page can take the memory, the time or the life of a build's worker.

A page that needs more than MEMORY_BYTES of address space, more than CPU_SECONDS of user CPU time, or that ends the process, is
refused (ExtractionError), and the next page gets a new process.

Limits: the CPU limit is no wall-clock time, so load on the machine does not matter, but the speed of its cores does. The slowest
of 2,184 pages took 0.8 s on one core; a page near the limit may be a text on one machine and a drop on another. If the system
kills the process (SIGKILL: out of memory), that is no result of the page but an error of the unit.
"""

import signal
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Self

from pipelines.text.extraction.pages.extract import ExtractionError
from pipelines.text.extraction.trafilatura import worker
from pipelines.text.extraction.trafilatura.worker import DONE, receive, send

MEMORY_BYTES = 2 * 2**30  # of address space; a page has 16 MiB at most
CPU_SECONDS = 60.0


class Worker:
    """Trafilatura's process; it starts with the first page, and again after a page that ended it. Close it with `with`."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES, cpu_seconds: float = CPU_SECONDS) -> None:
        self._limits = (memory_bytes, cpu_seconds)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def extract(self, markup: str) -> str:
        """Return the text of a page.

        Raise ExtractionError if the page exceeds a limit or makes trafilatura fail, RuntimeError if trafilatura cannot start
        or the system kills it.
        """
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            send(process.stdin, markup.encode("utf-8", "surrogatepass"))
            answer = receive(process.stdout)
        except BrokenPipeError:
            answer = None
        if answer is None:
            raise self._why_ended()
        if not answer.startswith(DONE):
            self._end()  # after an error, its memory may be in any state
            raise ExtractionError(f"trafilatura: {answer[1:].decode('utf-8', 'replace')}")
        return answer[1:].decode("utf-8", "surrogatepass")

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", worker.__file__, *map(str, self._limits)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._process = process
        assert process.stdout is not None
        greeting = receive(process.stdout)
        if greeting != DONE:
            self._end()
            raise RuntimeError(
                f"trafilatura does not start: {(greeting or b'- its process ended')[1:].decode('utf-8', 'replace')}"
            )
        return process

    def _why_ended(self) -> Exception:
        """Return what the end of the process says of the page that it had."""
        assert self._process is not None
        self._process.wait()
        status = self._end()
        if status == -signal.SIGKILL:
            return RuntimeError("the system killed trafilatura's process (out of memory?); use fewer workers")
        if status == -signal.SIGVTALRM:
            return ExtractionError(f"trafilatura: more than {self._limits[1]:g} s of CPU time")
        return ExtractionError(f"trafilatura: its process ended with {_named(status)}")

    def _end(self) -> int:
        """End the process if there is one; return its exit status (negative: killed by a signal)."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()  # it may be at work on a page that nobody waits for any more
        with suppress(BrokenPipeError), process:  # closes the pipes, and a page may be in one of them; waits
            pass
        return process.returncode


def _named(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
