"""Worker processes that are forked from the driver once everything is imported.

Beam starts each worker as a new Python program, which imports Beam and the job's modules once more. A fork has them at once. It
must happen before the driver starts gRPC, whose threads a fork would lose: so workers are forked first, each waits for the
environment with the driver's addresses, and Beam is given them where it would start a program.
"""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from apache_beam.runners.portability import local_job_service
from apache_beam.runners.worker import sdk_worker_main


class ForkedWorker:
    """One worker process: the part of a Popen that Beam's SubprocessSdkWorker uses."""

    def __init__(self, inherited: list[int]) -> None:
        """Fork a process that waits; it closes the `inherited` ends of the other workers' pipes."""
        read_end, self.write_end = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _wait_and_work(read_end, [self.write_end, *inherited])
        os.close(read_end)

    def start(self, environment: dict[str, str]) -> None:
        """Send the environment of Beam's worker: it begins to work."""
        with os.fdopen(self.write_end, "w") as pipe:
            json.dump(environment, pipe)

    def wait(self) -> int:
        """Return the exit status when the process has ended."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit status; None while the process runs, or while `wait` has not seen its end."""
        return self.returncode

    def kill(self) -> None:
        """End the process."""
        os.kill(self.pid, 9)


def fork(count: int) -> Sequence[ForkedWorker]:
    """Fork this many workers, and let Beam take them instead of starting programs. Call it before any thread is started."""
    workers: list[ForkedWorker] = []
    for _ in range(count):
        workers.append(ForkedWorker([worker.write_end for worker in workers]))

    def popen(_command: str, *, shell: bool, env: dict[str, str]) -> ForkedWorker:
        assert shell, "Beam names its worker's command line in another form"
        worker = workers.pop()
        worker.start(env)
        return worker

    beam: Any = local_job_service
    beam.subprocess = SimpleNamespace(Popen=popen)
    return tuple(workers)


def _wait_and_work(read_end: int, others: list[int]) -> None:
    """Wait for the environment, then be a Beam worker; never returns. Without an environment, the driver has ended."""
    status = 1
    try:
        for end in others:
            os.close(end)
        with os.fdopen(read_end) as pipe:
            environment = pipe.read()
        if environment:
            os.environ.update(json.loads(environment))
            sdk_worker_main.main([])
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
