"""Cells of the page that compares runs."""

from collections.abc import Sequence

from flows.pages.elements import text
from flows.pages.runs.loading import Run

NOTHING = "·"
_COLOURS = 10  # in runs.css; further runs repeat them, dashed


def colour(number: int) -> str:
    """Return the classes of runs.css for the run of this number."""
    return f"r{number % _COLOURS}" + (" dashed" if number >= _COLOURS else "")


def named(number: int, run: Run) -> str:
    """Return the run's name with its colour."""
    swatch = '<svg viewBox="0 0 22 8"><line class="line" x2="22" y1="4" y2="4"/></svg>'
    return f'<span class="run {colour(number)}">{swatch}{text(run.name)}</span>'


def names(runs: Sequence[Run]) -> list[str]:
    """Return the names of all runs, for the head of a table."""
    return [named(number, run) for number, run in enumerate(runs)]


def fingerprint(run: Run) -> str | None:
    """Return the fingerprint of the tokens that the run was trained on."""
    return run.state.get("identity", {}).get("tokens dataset") or (run.card and run.card.fingerprint)


def count(value: int | None) -> str:
    """Return the number with thousands separators."""
    return NOTHING if value is None else f"{value:,}"


def decimal(value: float | None, digits: int) -> str:
    """Return the number with this many decimals."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def share(value: float | None) -> str:
    """Return the share in percent."""
    return NOTHING if value is None else f"{value:.1%}"


def megabytes(value: int | None) -> str:
    """Return a number of bytes in MB or GB."""
    return NOTHING if value is None else f"{value / 1e6:,.2f} MB" if value < 1e9 else f"{value / 1e9:,.2f} GB"
