"""A program as a process of its own inside a flow run: its output is in the run's log, its exit status is the task's state.

Training needs no Prefect, holds gigabytes and may be killed for them; the flow's own process stays small and outlives it. What
is cancelled in Prefect gets SIGTERM, and is waited for: training saves and ends with 143.

Limits: Prefect's runner kills a cancelled flow run after 30 s. A program that saves longer goes on without it, saves, and ends.
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

_STOPPED = {128 + signal.SIGTERM, 128 + signal.SIGINT, -signal.SIGTERM, -signal.SIGINT}  # 143 and 130: it was asked to


class ProcessError(UserError):
    """A program failed; the message is the last line that it wrote."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    status: int  # below 0: the signal that ended it
    last_line: str  # that was not empty


def process(name: str, command: Sequence[str]) -> "State[Any]":
    """Inside a flow: a task that runs the command; its state, for the flow to return.

    Completed; Failed with the last line of the output; Cancelled when the program was asked to stop (it ended with 143 or
    130), Crashed when another signal killed it. The same command goes on where a program left off that can.
    """

    @task(name=name, task_run_name=name, cache_policy=NO_CACHE)
    def run() -> "State[Any]":
        return as_state(run_logged(command, get_run_logger().info))

    ended = run(return_state=True)
    # A flow that returns a task's own state gets one that counts states, without the message: this is a flow's.
    data = ProcessError(ended.message or "") if ended.is_failed() else None
    return State(type=ended.type, name=ended.name, message=ended.message, data=data)


def run_logged(command: Sequence[str], say: Callable[[str], object]) -> Ended:
    """Run a command to its end and `say` every line of its output; an exception here (Prefect's, for SIGTERM) ends it first."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # Ctrl-C reaches the flow first, which then asks the program to stop
    )
    assert child.stdout is not None
    with child.stdout:
        try:
            last = _tell(child, say, "")
            return Ended(child.wait(), last)
        except BaseException:
            child.terminate()
            _tell(child, say, "")
            child.wait()
            raise


def as_state(ended: Ended) -> "State[Any]":
    """The state of a task whose process ended so."""
    status, last = ended.status, ended.last_line
    if status == 0:
        return Completed(message=last)
    if status in _STOPPED:
        return Cancelled(message=f"stopped with exit status {status}: {last}")
    if status < 0:
        name = signal.Signals(-status).name
        why = "; perhaps the machine's memory was full" if -status == signal.SIGKILL else ""
        return Crashed(message=f"killed by {name}{why}; run it again, it goes on from its last checkpoint. It said last: {last}")
    message = last or f"exit status {status}"
    return Failed(message=message, data=ProcessError(message))


def _tell(child: "subprocess.Popen[str]", say: Callable[[str], object], last: str) -> str:
    """Say all lines that are still to come; the last one that is not empty."""
    assert child.stdout is not None
    for line in child.stdout:
        if text := line.rstrip():
            say(text)
            last = text
    return last
