"""The speed of a run, and its share of what the machine could compute."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple


class Speed(NamedTuple):
    """Speed, smoothed over about ten steps."""

    tokens_per_second: float  # read
    mfu: float | None  # model FLOPs utilisation: share of the devices' peak, by run/resources/flops.py; None if unknown

    def as_metrics(self) -> dict[str, float]:
        """Return the numbers for metrics.jsonl."""
        known = {"tokens_per_second": round(self.tokens_per_second, 1)}
        return known if self.mfu is None else known | {"mfu": round(self.mfu, 4)}


class Pace:
    """Tokens per second and the time left; evaluations and saves do not count as training."""

    def __init__(self, steps: int, flops_per_row: float | None = None, peak: float | None = None) -> None:
        self._steps = steps
        self._share_per_row = None if flops_per_row is None or peak is None else flops_per_row / peak
        self._began = self._at = time.monotonic()
        self._done = 0
        self._seconds = self._tokens = self._rows = 0.0  # smoothed

    def step(self, tokens: int, rows: int) -> Speed:
        """Note a finished step over these tokens and rows of all processes; return the speed."""
        seconds, self._at = time.monotonic() - self._at, time.monotonic()
        keep = 0.9 if self._done > 1 else 0.0  # the first step allocates and compiles, so it is left out
        self._seconds = keep * self._seconds + (1 - keep) * max(seconds, 1e-9)
        self._tokens = keep * self._tokens + (1 - keep) * tokens
        self._rows = keep * self._rows + (1 - keep) * rows
        self._done += 1
        return Speed(self._tokens / self._seconds, self._mfu())

    def _mfu(self) -> float | None:
        """Return the share of the peak; None above 1: the peak is wrong then (a CPU that was busy while it was measured)."""
        share = None if self._share_per_row is None else self._share_per_row * self._rows / self._seconds
        return None if share is None or share > 1 else share

    def left(self, step: int) -> float:
        """Estimate the seconds to the last step, including evaluations and saves, from the pace so far."""
        return (time.monotonic() - self._began) / max(1, self._done) * (self._steps - step)

    @contextmanager
    def paused(self) -> Generator[None]:
        """Exclude what happens inside from the next step's time."""
        yield
        self._at = time.monotonic()
