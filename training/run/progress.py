"""The reports of a run: files of metrics and samples for programs, a progress line for people; and the signals that stop it."""

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Self, TextIO

from pipelines.contract import files

METRICS = "metrics.jsonl"  # in the run's folder
SAMPLES = "samples.jsonl"
TENSORBOARD = "tensorboard"
_NUMBERS = ("tokens", "bytes", "loss", "validation_loss", "validation_bits_per_byte")  # never null in a line of METRICS
REPORT = "report.json"  # written when the run is finished
WARNINGS = (signal.SIGHUP, signal.SIGUSR1)  # a terminal that closes; a cluster's notice before its time is up (Slurm)
SIGNALS = (signal.SIGTERM, signal.SIGINT, *WARNINGS)


class Metrics:
    """A file of JSON lines with at most one line per step, however often the run was killed and resumed."""

    def __init__(self, path: Path, step: int | None) -> None:
        """Continue the file after this step (None: start it): lines of later steps and torn lines are cut off.

        A file with a torn line before its last is first copied to `<name>.damaged`, as its lines may mean something to a person.
        """
        lines, damaged = _read_lines(path)
        if damaged:
            copy = path.with_name(path.name + ".damaged")
            copy.write_bytes(path.read_bytes())
            print(f"{path}: line {damaged[0]} is damaged ({len(damaged)} in all); a copy is {copy.name}", file=sys.stderr)
        kept = [] if step is None else [line for line in lines if line["step"] <= step]
        self.last = kept[-1]["step"] if kept else None  # the step of the last line that was kept
        files.write_text(str(path), "".join(_line(metrics) for metrics in kept))
        self._stream = path.open("a", encoding="utf-8")

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Append the line of a step; it survives the death of this process."""
        self._stream.write(_line(metrics))
        self._stream.flush()

    def sync(self) -> None:
        """Flush what was written to the disk."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Tensorboard:
    """The same numbers and texts for TensorBoard: `tensorboard --logdir RUN`."""

    def __init__(self, folder: Path, step: int | None) -> None:
        """Continue after this step (None: start): TensorBoard hides what was written for later steps."""
        from torch.utils.tensorboard import SummaryWriter  # its import takes a quarter of a second

        self._writer = SummaryWriter(str(folder), purge_step=0 if step is None else step + 1)

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Write every number of a step under its name."""
        for name, value in metrics.items():
            if name != "step" and isinstance(value, int | float):
                self._writer.add_scalar(name, value, metrics["step"])

    def write_sample(self, step: int, text: str) -> None:
        """Write the model's text after this step."""
        self._writer.add_text("sample", text, step)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class Record:
    """All files that a run writes as it goes, by its first process: metrics, samples, TensorBoard's."""

    def __init__(self, folder: Path, step: int | None, *, tensorboard: bool = True, on: bool = True) -> None:
        """Continue after this step; None: start, even if a run that was killed before its first save got further.

        With on=False nothing is opened or written.
        """
        self._metrics = Metrics(folder / METRICS, step) if on else None
        if self._metrics and step is not None and (self._metrics.last or 0) < step:
            first = 0 if self._metrics.last is None else self._metrics.last + 1
            print(f"{folder / METRICS}: has no lines of the steps {first:,} to {step:,}; their metrics are lost", file=sys.stderr)
        self._samples = Metrics(folder / SAMPLES, step) if on else None
        self._tensorboard = Tensorboard(folder / TENSORBOARD, step) if on and tensorboard else None

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics of a step."""
        for stream in (self._metrics, self._tensorboard):
            if stream:
                stream.write(metrics)

    def write_sample(self, step: int, prompt: str, text: str) -> None:
        """Write the model's text after this step."""
        if self._samples:
            self._samples.write({"step": step, "prompt": prompt, "text": text})
        if self._tensorboard:
            self._tensorboard.write_sample(step, text)

    def sync(self) -> None:
        """Flush metrics and samples to the disk."""
        for stream in (self._metrics, self._samples):
            if stream:
                stream.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._metrics, self._samples, self._tensorboard):
            if stream:
                stream.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a metrics.jsonl; none if there is no file."""
    return _read_lines(path)[0]


def _read_lines(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the whole lines, and the numbers (from 1) of the damaged ones; the last may be torn, as a process was killed."""
    if not path.exists():
        return [], []
    lines, damaged = list[dict[str, Any]](), list[int]()
    texts = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, text in enumerate(texts[:-1], start=1):  # after the last line end there is nothing, or a torn line
        try:
            line = dict(json.loads(text))
            if not _is_whole(line):
                raise TypeError("a value is no number")
            lines.append(line)
        except (ValueError, TypeError, KeyError):
            damaged.append(number)
    return lines, damaged


def _is_whole(line: Mapping[str, Any]) -> bool:
    """Return whether the step is a whole number, and what else a run has in all its lines is numbers."""
    numbers = [line[name] for name in (*_NUMBERS, "step") if name in line]
    return type(line["step"]) is int and all(type(value) in (int, float) for value in numbers)


def _line(metrics: Mapping[str, Any]) -> str:
    return json.dumps(dict(metrics), allow_nan=True) + "\n"


class ProgressLine:
    """A line updated in place on a terminal; elsewhere a new line every `every` steps."""

    def __init__(self, steps: int, every: int, stream: TextIO | None = None) -> None:
        self._steps, self._every = steps, every
        self._stream = stream or sys.stderr
        self._in_place = self._stream.isatty()

    def show(self, metrics: Mapping[str, Any], seconds_left: float) -> None:
        """Show a finished step."""
        step = metrics["step"]
        if not self._in_place and step % self._every and step != self._steps and "skipped" not in metrics:
            return
        text = "  ".join(_parts(metrics, self._steps, seconds_left))
        self._write(f"\r\x1b[2K{text}" if self._in_place else text + "\n")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._write(f"\r\x1b[2K{text}\n" if self._in_place else text + "\n")

    def close(self) -> None:
        """End the line that is updated in place."""
        if self._in_place:
            self._write("\n")

    def _write(self, text: str) -> None:
        """Write to the terminal or the log; a terminal that was closed must not end the run before it is saved."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EPIPE):
                raise


def _parts(metrics: Mapping[str, Any], steps: int, seconds_left: float) -> list[str]:
    parts = [
        f"step {metrics['step']:>{len(str(steps))}}/{steps}",
        f"loss {metrics['loss']:.4f}",
        f"{metrics['tokens_per_second']:,.0f} tokens/s",
        f"MFU {metrics['mfu']:.0%}" if "mfu" in metrics else "",
        f"lr {metrics['learning_rate']:.2e}",
        f"grad norm {metrics['gradient_norm']:.2f}",
        f"{clock(seconds_left)} left",
        f"validation {metrics['validation_loss']:.4f}" if "validation_loss" in metrics else "",
        f"skipped ({metrics['skipped']})" if "skipped" in metrics else "",
    ]
    return [part for part in parts if part]


def clock(seconds: float) -> str:
    """Format seconds for people.

    >>> clock(59), clock(725), clock(11_220)
    ('59s', '12m05s', '3h07m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60:02}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02}m"


class StopRequest:
    """SIGTERM, SIGINT, SIGHUP and SIGUSR1 end the loop after the current step.

    A second SIGTERM or SIGINT ends the process at once. SIGHUP and SIGUSR1 are warnings, which others may follow while the run
    is saved: Slurm's SIGTERM, the terminal's second SIGHUP. A SIGHUP that is ignored, as under nohup, stays ignored.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python handles signals only there
            handled = [number for number in SIGNALS if not is_ignored(number)]
            self._before = {number: signal.signal(number, self._note) for number in handled}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore(SIGNALS)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = self.signal or number
        if number not in WARNINGS:
            self._restore((signal.SIGTERM, signal.SIGINT))

    def _restore(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if number in self._before:
                signal.signal(number, self._before.pop(number))


def is_ignored(number: int) -> bool:
    """Return whether this is a SIGHUP that the process has ignored from its start (nohup)."""
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
