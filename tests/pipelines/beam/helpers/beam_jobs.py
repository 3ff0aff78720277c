"""Jobs for the tests of process_units, in a module that worker processes can import."""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam

from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.errors import UserError
from pipelines.contract.schema import document_id
from pipelines.units.descriptor import Unit


class _Mistake(UserError):
    pass


@dataclass(frozen=True)
class LinesJob:
    """Each line is a document; a line that is a command is also executed.

    `die` kills the worker, `fail`, `mistake` and `full` raise, `sleep N` waits, `kill FILE` kills the process whose number the
    file holds, `pid FILE` writes this process's number, `program FILE` writes its command line.
    """

    trace: str | None = None  # a folder: each unit leaves a file named by the unit and its process

    def open(self) -> Callable[[Unit], Iterator[Batch]]:
        def read(unit: Unit) -> Iterator[Batch]:
            if self.trace:
                (Path(self.trace) / f"{unit.name}.{os.getpid()}.{time.monotonic_ns()}").touch()
            lines = (Path(unit.root) / unit.uri).read_text().splitlines()
            for line in lines:
                _obey(line)
            ids = [document_id(unit.source, f"{unit.uri}#{i}") for i in range(len(lines))]
            yield born(
                "read",
                documents_from(
                    {
                        "id": ids,
                        "work": ids,
                        "source": [unit.source] * len(lines),
                        "snapshot": ["1"] * len(lines),
                        "origin": [f"{unit.uri}#{i}" for i in range(len(lines))],
                        "text": lines,
                    }
                ),
            )

        return read


def _obey(line: str) -> None:
    if line == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if line == "fail":
        raise ValueError("this line says so")
    if line == "mistake":
        raise _Mistake("a: line 1 is wrong; correct it")
    if line == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    command, _, argument = line.partition(" ")
    if command == "sleep":
        time.sleep(float(argument))
    if command == "pid":
        Path(argument).write_text(str(os.getpid()))
    if command == "program":
        Path(argument).write_bytes(Path("/proc/self/cmdline").read_bytes())
    if command == "kill":
        os.kill(int(Path(argument).read_text()), signal.SIGKILL)


def outside_every_unit(pipeline: beam.Pipeline, _claims: object) -> None:
    """Add a step that fails in a worker without a claim: what Beam itself finds wrong."""
    _ = pipeline | beam.Create([1, 2, 3]) | beam.Reshuffle() | beam.Map(_fails)


def _fails(_element: int) -> None:
    raise ValueError("not of a unit")


def waits(pipeline: beam.Pipeline, _claims: object) -> None:
    """Add a step that takes minutes."""
    _ = pipeline | beam.Create([300]) | beam.Map(time.sleep)
