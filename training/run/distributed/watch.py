"""The watch over processes that wait for each other: it names the one that is missing, and lets a signal end the wait.

A collective (a sum over processes, the exchange of gradients) returns when every process has entered it. Until then the main
thread is inside torch, where Python runs no handler of a signal. So a thread of its own publishes where its process is in the
store that torchrun started, looks where the others are once nothing has moved for a while, and reads signals from a socket.
"""

import json
import os
import select
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

NAMED_AFTER = 30.0  # seconds without progress before the missing processes are named
GRACE = 20.0  # seconds after a signal that a process which still answers is waited for; Slurm and torchrun kill after 30
STORE_TIMEOUT = 5.0  # seconds
SAVING = "saving"  # the beginning of the place of a process that saves
_HOST = socket.gethostname()
_TICK = 1.0  # seconds between two reports of where a process is
_STOPS = (signal.SIGTERM, signal.SIGINT)
_SILENT = 8.0  # seconds without such a report after which a process does not answer


@dataclass(slots=True)
class _Other:
    """What is known of another process."""

    line: str = ""
    number: int = -1
    ends: bool = False  # it answers, and saves or got a signal itself: it will come
    changed: float = 0.0  # when its report last changed, by this process's clock


class Watch:
    """A thread that watches this process and the others."""

    def __init__(self, store: Any, rank: int, size: int) -> None:
        """Publish through a connection of its own: the main thread may be waiting in another."""
        self._store: Any = store.clone()  # a Store of torch.distributed, whose types are private
        self._store.set_timeout(timedelta(seconds=STORE_TIMEOUT))
        self._rank, self._size = rank, size
        self._number, self._place, self._since = 0, "starting", time.monotonic()
        self._others = {other: _Other(f"process {other}") for other in range(size) if other != rank}
        self._beat, self._named = 0, -1
        self._signal: tuple[int, float] | None = None
        self._stops = 0
        self._ours, self._theirs = socket.socketpair()
        self._before = -1
        self._answered, self._lines = time.monotonic(), dict[int, str]()
        self._done = threading.Event()
        self._reports = threading.Thread(target=self._exchange, name="watch's reports", daemon=True)
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._theirs.setblocking(False)
        self._in_main = threading.current_thread() is threading.main_thread()
        if self._in_main:
            self._before = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        self._reports.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._theirs.send(b"\0")  # wakes the thread
        self._thread.join(2 * STORE_TIMEOUT)
        self._reports.join(STORE_TIMEOUT)
        if self._in_main:
            signal.set_wakeup_fd(self._before)
        self._ours.close()
        self._theirs.close()

    def enter(self, place: str) -> None:
        """Note that the process enters a collective; all processes enter the same ones in the same order."""
        self._number, self._place, self._since = self._number + 1, place, time.monotonic()

    def leave(self) -> None:
        """Note that the process left it."""
        self.note(f"after {self._place}")

    def note(self, place: str) -> None:
        """Note where the process is."""
        self._place, self._since = place, time.monotonic()

    def _watch(self) -> None:
        while not self._done.is_set():
            self._read_signals()
            reached = time.monotonic() - self._answered < _SILENT
            waited = time.monotonic() - self._since
            if waited < min(NAMED_AFTER, GRACE) / 3 and self._signal is None:
                continue
            missing = self._missing() if reached else ["the host of the first process, which does not answer"]
            if missing and waited > NAMED_AFTER and self._named != self._number:
                self._named = self._number
                self._say(f"has waited {waited:.0f} s at {self._place} for {'; '.join(missing)}")
            if self._signal is not None and missing and not self._done.is_set():
                self._end(waited, missing, *self._signal)

    def _read_signals(self) -> None:
        """Wait a tick for signals; a second one while the main thread is inside a collective ends the process at once."""
        if not select.select([self._ours], [], [], _TICK)[0]:
            return
        for number in self._ours.recv(64):
            if number not in (*_STOPS, signal.SIGHUP, signal.SIGUSR1):
                continue
            self._stops += number in _STOPS
            if self._stops > 1 and time.monotonic() - self._since > _TICK:
                os._exit(128 + number)
            if self._signal is None:
                self._signal = (number, time.monotonic())

    def _exchange(self) -> None:
        """Publish and read reports, in a thread of its own: a store whose host is gone answers late or never."""
        while not self._done.wait(_TICK):
            if not self._publish():
                continue
            try:
                if time.monotonic() - self._since > min(NAMED_AFTER, GRACE) / 6 or self._signal is not None:
                    for rank in self._others:
                        known = self._store.check([f"watch {rank}"])
                        self._lines[rank] = self._store.get(f"watch {rank}").decode() if known else ""
                else:
                    self._store.check([f"watch {self._rank}"])
            except RuntimeError:
                continue
            self._answered = time.monotonic()

    def _publish(self) -> bool:
        """Tell the others where this process is; return whether the store answers."""
        self._beat += 1
        report: dict[str, Any] = {"beat": self._beat, "number": self._number, "place": self._place, "host": _HOST}
        report["stops"] = self._signal is not None
        try:
            self._store.set(f"watch {self._rank}", json.dumps(report))
        except RuntimeError:
            return False
        return True

    def _missing(self) -> list[str]:
        """Describe the processes that have entered fewer collectives, or do not answer."""
        now, missing = time.monotonic(), list[str]()
        for rank, other in self._others.items():
            line = self._lines.get(rank, "")
            if line != other.line or not other.changed:
                other.line, other.changed = line, now
            known: dict[str, Any] = (
                json.loads(line) if line else {"number": -1, "place": "nowhere yet", "host": "an unknown host"}
            )
            other.number, other.ends = known["number"], False
            silent = now - other.changed > _SILENT
            if silent or other.number < self._number:
                other.ends = not silent and (known.get("stops", False) or known["place"].startswith(SAVING))
                state = "does not answer; it was" if silent else "is"
                missing.append(f"process {rank} on {known['host']}, which {state} at {known['place']}")
        return missing

    def _end(self, waited: float, missing: list[str], number: int, since: float) -> None:
        """End the process after a signal, if it cannot leave the collective by itself."""
        if any(other.ends for other in self._others.values()):
            return
        answers = all("does not answer" not in line for line in missing)
        if waited < _SILENT or time.monotonic() - max(since, self._since) < (GRACE if answers else _SILENT):
            return
        name = signal.Signals(number).name
        self._say(
            f"ends by {name} without a save, as it waits for {'; '.join(missing)}; "
            "the same command resumes from the last checkpoint"
        )
        os._exit(128 + number)

    def _say(self, text: str) -> None:
        print(f"process {self._rank} of {self._size} on {_HOST} {text}", file=sys.stderr, flush=True)
