"""A program in a separate process of a flow run: its output is in the run's log, its exit status is the state of a task.

Training needs no Prefect, holds gigabytes and may be killed for them; the process of the flow stays small and outlives it. A
run that is cancelled in Prefect gets SIGTERM, and the flow waits for it: training saves and ends with 143.

Limits: Prefect's runner kills a cancelled flow run after 30 s. A program that takes longer to save finishes without it.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Crashed, Failed

from pipelines.contract.errors import UserError

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_STOPPED = {status for number in _SIGNALS for status in (128 + number, -number)}  # 143, 130, 129, 138: it ended in order


class ProcessError(UserError):
    """A program failed; the message is the last line of its output."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    status: int  # negative: the signal that killed it
    last_line: str  # the last one that is not empty


def process(name: str, command: Sequence[str]) -> "State[Any]":
    """Run the command as a task of the current flow; return its state, for the flow to return.

    The state is Completed, Failed with the last line of the output, Cancelled if the program was stopped in order (exit status
    143, 130, 129 or 138), or Crashed if another signal killed it.
    """

    @task(name=name, task_run_name=name, cache_policy=NO_CACHE)
    def run() -> "State[Any]":
        return as_state(run_logged(command, get_run_logger().info))

    ended = run(return_state=True)
    # If a flow returns the state of a task itself, Prefect replaces it by a count of states, without the message.
    data = ProcessError(ended.message or "") if ended.is_failed() else None
    return State(type=ended.type, name=ended.name, message=ended.message, data=data)


def run_logged(command: Sequence[str], log: Callable[[str], object]) -> Ended:
    """Run a command and `log` every line of its output. An exception meanwhile (Prefect's, for SIGTERM) terminates it first."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # Ctrl-C reaches the flow alone, which then terminates the program
    )
    assert child.stdout is not None
    with child.stdout:
        try:
            last = _log_lines(child, log, "")
            return Ended(child.wait(), last)
        except BaseException:
            child.terminate()
            _log_lines(child, log, "")
            child.wait()
            raise


def as_state(ended: Ended) -> "State[Any]":
    """Return the state of a task whose process ended so."""
    status, last = ended.status, ended.last_line
    if status == 0:
        return Completed(message=last)
    if status in _STOPPED:
        return Cancelled(message=f"stopped with exit status {status}: {last}")
    if status < 0:
        name = signal.Signals(-status).name
        why = "; perhaps the machine was out of memory" if -status == signal.SIGKILL else ""
        return Crashed(
            message=f"killed by {name}{why}; run it again, and it resumes from its last checkpoint. Its last line: {last}"
        )
    message = last or f"exit status {status}"
    return Failed(message=message, data=ProcessError(message))


def _log_lines(child: "subprocess.Popen[str]", log: Callable[[str], object], last: str) -> str:
    """Log all lines that are still to come; return the last one that is not empty, or `last`."""
    assert child.stdout is not None
    for line in child.stdout:
        if text := line.rstrip():
            log(text)
            last = text
    return last
