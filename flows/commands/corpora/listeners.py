"""Who listens to a build: a console with a progress bar, a quiet one, JSON Lines on standard output, a log file.

The events are those of pipelines.units.context.Context, of a build (flows/drive.py) and of its datasets.
"""

import json
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from flows.commands.corpora.console import closing_line, closing_tables, plain_console
from flows.commands.versions import versions
from pipelines.beam.claims import Claim
from pipelines.contract.errors import UserError, as_user_error
from pipelines.release import Published

PROGRESS_SECONDS = 10.0  # between two lines of progress, as JSON or in a log


class Listener:
    """Listens to a build, and here shows nothing. A context manager around it."""

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def on_event(self, name: str, facts: Mapping[str, Any]) -> None:
        """Take note of one event."""

    def on_closing(self, published: Published, out: str) -> None:
        """Show what was built."""


class BuildConsole(Listener):
    """A progress bar on a terminal, a line for each dataset and gate, and the closing tables."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or plain_console()
        self.seconds: dict[str, float] = {}  # by dataset, of those built in this run; of the gates that read something
        self._progress = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[documents]:>9,} documents, {task.fields[dropped]:>7,} dropped"),
            TextColumn("{task.fields[rate]:>5.1f} MB/s of text"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID | None = None
        self._started = 0.0
        self._units: Mapping[str, int] | None = None

    def __enter__(self) -> "BuildConsole":
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def on_event(self, name: str, facts: Mapping[str, Any]) -> None:
        """Show one event."""
        if name == "dataset_found":
            self.console.print(f"{facts['dataset']:<22} found, not built again: {facts['uri']}")
        elif name == "dataset_started":
            self._started, self._units = time.monotonic(), None
            self._task = self._progress.add_task(facts["dataset"], total=None, documents=0, dropped=0, rate=0.0)
        elif name == "units" and self._task is not None:
            self._units = facts
            self._progress.update(self._task, total=facts["bytes"] or None)
        elif name == "gate_passed":
            self._show_gate(facts)
        elif name == "warning":
            self.console.print(f"  warning: {facts['text']}")
        elif name == "progress" and self._task is not None:
            self._progress.update(self._task, **self._rate(so_far(facts["claims"])))
        elif name == "dataset_finished":
            self._show_dataset(facts)

    def on_closing(self, published: Published, out: str) -> None:
        """Print the closing tables."""
        for table in closing_tables(published.report, self.seconds, out):
            self.console.print(table)

    def _rate(self, done: Mapping[str, int]) -> dict[str, Any]:
        rate = done["text_bytes"] / 1e6 / max(1e-3, time.monotonic() - self._started)
        return {"completed": done["stored_bytes"], "documents": done["documents"], "dropped": done["dropped"], "rate": rate}

    def _show_gate(self, facts: Mapping[str, Any]) -> None:
        again = " (checked before)" if facts["cached"] else ""
        self.console.print(f"  gate: {facts['expectations']} expectations hold{again}")
        if not facts["cached"]:
            self.seconds["gates"] = self.seconds.pop("gates", 0.0) + facts["seconds"]  # the last of them

    def _show_dataset(self, facts: Mapping[str, Any]) -> None:
        self.seconds[facts["dataset"]] = facts["seconds"]
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        self.console.print(f"{facts['dataset']:<22} {facts['seconds']:8.1f} s  {facts['uri']}")
        if self._units is not None and (units := kept_units(self._units)):
            self.console.print(f"  {units}")
        self._units = None


class Quiet(Listener):
    """Shows one line at the end."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def on_closing(self, published: Published, out: str) -> None:
        """Print the line."""
        print(closing_line(published.report, time.monotonic() - self._started, out))


class _Throttled(Listener, ABC):
    """Takes note of every event as facts of JSON; of progress at most every PROGRESS_SECONDS."""

    def __init__(self) -> None:
        self._dataset = ""
        self._last = time.monotonic()

    @abstractmethod
    def note(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write one event."""

    def on_event(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write one event, unless it is progress and the last was a moment ago."""
        if name == "dataset_started":
            self._dataset = facts["dataset"]
        if name == "progress":
            if time.monotonic() - self._last < PROGRESS_SECONDS:
                return
            self._last, facts = time.monotonic(), so_far(facts["claims"])
        self.note(name, {**({"dataset": self._dataset} if name in ("progress", "units") else {}), **facts})


class JsonLines(_Throttled):
    """Writes a JSON object for each event on standard output: `event`, `time` (UTC), and the event's facts."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self.note(*_end_of(error))

    def note(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write one line."""
        sys.stdout.write(json.dumps({"event": name, "time": _now(), **facts}, ensure_ascii=False) + "\n")
        sys.stdout.flush()


class LogFile(_Throttled):
    """Appends a line for each event to a file, first the versions, and at last the traceback of an error that is a bug."""

    def __init__(self, path: str, out: str) -> None:
        """`out`: the output folder; a new one must be empty, so the log may not lie in it."""
        super().__init__()
        if Path(path).resolve().is_relative_to(Path(out).resolve()):
            raise UserError(f"--log {path}: lies in the output folder; name a file beside it, such as {out.rstrip('/')}.log")
        Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 (closed at the end of the build)
        self.note("build", {"into": out, "by": "; ".join(versions())})

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self.note(*_end_of(error))
            if as_user_error(error) is None and isinstance(error, Exception):
                self._file.write("".join(traceback.format_exception(error)))
        self._file.close()

    def note(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write one line; a fact that is a text of several lines has them indented."""
        shown = ", ".join(f"{key} {value}".strip() for key, value in facts.items()).replace("\n", "\n  ")
        self._file.write(f"{_now()} {name.replace('_', ' ')}: {shown}\n")
        self._file.flush()


def all_of(listeners: Sequence[Listener]) -> Callable[[str, Mapping[str, Any]], None]:
    """Return a function that lets every listener know of an event."""

    def on_event(name: str, facts: Mapping[str, Any]) -> None:
        for listener in listeners:
            listener.on_event(name, facts)

    return on_event


def so_far(claims: Sequence[Claim]) -> dict[str, int]:
    """Return what the units of a dataset have done so far."""
    names = ("documents", "dropped", "text_bytes", "stored_bytes")
    return {name: sum(getattr(claim, name) for claim in claims) for name in names}


def kept_units(units: Mapping[str, int]) -> str:
    """Return how many units were there before, "" if none."""
    kept, resumed = units["kept"], units["finished"] - units["kept"]
    parts = [f"kept {kept:,} of {units['total']:,} units of earlier builds"] if kept else []
    parts += [f"{resumed:,} of {units['total']:,} units were finished when this build was stopped"] if resumed else []
    return "; ".join(parts)


def _end_of(error: BaseException) -> tuple[str, dict[str, str]]:
    """Return the last event of a build that fails or is stopped."""
    if not isinstance(error, Exception):
        return "stopped", {"error": type(error).__name__}
    mistake = as_user_error(error)
    return "failed", {"error": str(mistake) if mistake is not None else f"{type(error).__name__}: {error}"}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
