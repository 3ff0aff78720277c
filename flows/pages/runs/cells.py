"""Cells of the page that compares runs."""

from collections.abc import Sequence

from flows.pages.report import text
from flows.pages.runs.loading import Run

NOTHING = "·"
_COLOURS = 10  # of runs.css; then they come again, dashed


def colour(number: int) -> str:
    """The classes of runs.css for the run of this number."""
    return f"r{number % _COLOURS}" + (" dashed" if number >= _COLOURS else "")


def named(number: int, run: Run) -> str:
    """The run's name with its colour."""
    swatch = '<svg viewBox="0 0 22 8"><line class="line" x2="22" y1="4" y2="4"/></svg>'
    return f'<span class="run {colour(number)}">{swatch}{text(run.name)}</span>'


def names(runs: Sequence[Run]) -> list[str]:
    """Of all runs, for the head of a table."""
    return [named(number, run) for number, run in enumerate(runs)]


def fingerprint(run: Run) -> str | None:
    """Of the tokens that the run was trained on."""
    return run.state.get("identity", {}).get("tokens dataset") or run.card.fingerprint


def count(value: int | None) -> str:
    """With separators."""
    return NOTHING if value is None else f"{value:,}"


def decimal(value: float | None, digits: int) -> str:
    """With so many digits after the point."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def share(value: float | None) -> str:
    """In percent."""
    return NOTHING if value is None else f"{value:.1%}"


def megabytes(value: int | None) -> str:
    """Bytes, in MB or GB."""
    return NOTHING if value is None else f"{value / 1e6:,.2f} MB" if value < 1e9 else f"{value / 1e9:,.2f} GB"
