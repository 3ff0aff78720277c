"""What a person sees of a build: a progress line while it runs, the closing table at the end."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipelines.beam.claims import Claim
from pipelines.contract import files


def plain_console() -> Console:
    """Standard output; where that is no terminal, wide enough that no table and no path is broken."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=160)


class BuildConsole:
    """Takes a build's events; shows a bar on a terminal and a line a dataset elsewhere. A context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or plain_console()
        self.seconds: dict[str, float] = {}  # by dataset that was built in this run
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[documents]:>10,} documents  {task.fields[rate]:>6.1f} MB/s of text"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID | None = None
        self._started = 0.0

    def __enter__(self) -> "BuildConsole":
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def on_event(self, name: str, facts: Mapping[str, Any]) -> None:
        """One event of pipelines.build.Context."""
        if name == "dataset_found":
            self.console.print(f"{facts['dataset']:<22} found, not built again: {facts['uri']}")
        elif name == "dataset_started":
            self._started = time.monotonic()
            self._task = self._progress.add_task(facts["dataset"], total=None, documents=0, rate=0.0)
        elif name == "units" and self._task is not None:
            self._progress.update(self._task, total=facts["bytes"] or None)
        elif name == "gate_passed":
            again = ", as before" if facts["cached"] else ""
            self.console.print(f"  gate: {facts['expectations']} expectations hold{again}")
        elif name == "progress" and self._task is not None:
            self._show(facts["claims"])
        elif name == "dataset_finished":
            self.seconds[facts["dataset"]] = facts["seconds"]
            if self._task is not None:
                self._progress.remove_task(self._task)
                self._task = None
            self.console.print(f"{facts['dataset']:<22} {facts['seconds']:8.1f} s  {facts['uri']}")

    def _show(self, claims: Sequence[Claim]) -> None:
        assert self._task is not None
        text = sum(claim.text_bytes for claim in claims)
        self._progress.update(
            self._task,
            completed=sum(claim.stored_bytes for claim in claims),
            documents=sum(claim.documents for claim in claims),
            rate=text / 1e6 / max(1e-3, time.monotonic() - self._started),
        )


def closing_tables(report: Mapping[str, Any], seconds: Mapping[str, float], out: str) -> list[Table | str]:
    """The funnel, the tokens, the seconds, and where everything lies."""
    return [
        _funnel_table(report),
        _tokens_table(report),
        _notes(report),
        _seconds(seconds),
        f"published  {files.join(out, 'release.json')}\nreport     {files.join(out, 'report.json')}\n"
        f"gates      {files.join(out, 'gates')}",
    ]


def _funnel_table(report: Mapping[str, Any]) -> Table:
    """A row a stage and reason, a column a source, in documents; the last row in characters too."""
    funnel: Mapping[str, Sequence[Mapping[str, Any]]] = report["funnel"]
    sources = list(funnel)
    table = Table(title=f"{report['corpus']}: the funnel (documents)", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("stage", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    for name in [*sources, "all"]:
        table.add_column(name, justify="right")
    first = {source: lines[0] for source, lines in funnel.items() if lines}
    skipped: Mapping[str, Mapping[str, int]] = report["skipped"]
    for reason in sorted({reason for counts in skipped.values() for reason in counts}):
        _add_row(table, "", f"skipped: {reason}", [skipped[source].get(reason, 0) for source in sources])
    _add_row(table, "read", "documents found", [first[s]["documents_in"] if s in first else 0 for s in sources])
    for stage in _stages(funnel):
        lines = {source: next((x for x in funnel[source] if x["stage"] == stage), None) for source in sources}
        pieces = [line["documents_split"] if line else 0 for line in lines.values()]
        if any(pieces):
            _add_row(table, stage, "pieces added", pieces)
        for reason in sorted({reason for line in lines.values() if line for reason in line["documents_dropped"]}):
            dropped = [line["documents_dropped"].get(reason, 0) if line else 0 for line in lines.values()]
            _add_row(table, stage, f"- {reason}", dropped)
    last = {source: lines[-1] for source, lines in funnel.items() if lines}
    table.add_section()
    _add_row(table, "corpus", "documents", [last[s]["documents_out"] if s in last else 0 for s in sources])
    _add_row(table, "corpus", "characters", [last[s]["characters_out"] if s in last else 0 for s in sources])
    return table


def _stages(funnel: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """All stages, in the order in which they act."""
    return list(dict.fromkeys(line["stage"] for lines in funnel.values() for line in lines))


def _add_row(table: Table, stage: str, reason: str, counts: Sequence[int]) -> None:
    table.add_row(stage, reason, *(f"{count:,}" if count else "·" for count in counts), f"{sum(counts):,}")


def _tokens_table(report: Mapping[str, Any]) -> Table | str:
    tokens: Mapping[str, Any] = report["tokens"]
    if not tokens:
        return "no vocabulary is configured, so there are no token shards"
    table = Table(title="tokens", title_justify="left", box=SIMPLE_HEAD)
    for name in ("vocabulary", "split", "source", "documents", "tokens", "bytes a token"):
        table.add_column(name, justify="left" if name in ("vocabulary", "split", "source") else "right")
    for vocabulary, facts in tokens.items():
        for split, by_source in facts["tokens"].items():
            for source, by_language in by_source.items():
                rows, count, size = (sum(f[key] for f in by_language.values()) for key in ("rows", "tokens", "utf8_bytes"))
                table.add_row(vocabulary, split, source, f"{rows:,}", f"{count:,}", f"{size / max(1, count):.2f}")
    return table


def _notes(report: Mapping[str, Any]) -> str:
    classifier = report["classifier"]
    if not classifier.get("on"):
        return f"quality classifier: off ({classifier.get('why', 'not configured')})"
    held_out = classifier["held_out"]
    return (
        f"quality classifier: threshold {classifier['threshold']:.3f},"
        f" held-out precision {held_out['precision']:.3f}, recall {held_out['recall']:.3f},"
        f" area under the curve {held_out['area_under_curve']:.3f}"
    )


def _seconds(seconds: Mapping[str, float]) -> str:
    if not seconds:
        return "nothing had to be built: every dataset was there"
    return "seconds: " + "  ".join(f"{name} {value:.1f}" for name, value in seconds.items())
