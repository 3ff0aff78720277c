"""What a build shows: kept units and gates on the console, one line with --quiet, JSON Lines, and a log file."""

import io
import json
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from expectations import gate
from flows.commands import main as cli
from flows.commands.corpora import listeners
from flows.commands.corpora.listeners import BuildConsole, JsonLines, LogFile
from pipelines.beam.claims import Claim
from pipelines.contract.errors import UserError

CHANGED = ["--set", "tokens.text_bytes_per_unit=1024"]
TAKEN_DOWN = ["--set", 'exclude.urls=["https://coast.example/lamp"]']


@pytest.fixture
def without_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = gate.GateResult("d", "", 7, "", cached=False)
    monkeypatch.setattr(gate, "check", lambda *_: passed)
    monkeypatch.setattr(gate, "check_report", lambda *_: passed)


@pytest.fixture
def build(tiny, tmp_path: Path, without_gates, capfd):
    """Build again in a copy of the tiny corpus; return the exit code and what was printed."""
    out = Path(shutil.copytree(tiny.out, tmp_path / "copy"))

    def run(*arguments: str):
        code = cli.main([*tiny.arguments, "--out", str(out), *arguments])
        return code, capfd.readouterr()

    return run


def test_quiet_is_one_line(build, tmp_path: Path) -> None:
    code, said = build("--quiet")
    out = tmp_path / "copy"
    assert code == 0 and said.err == ""
    tokens = json.loads((out / "report.json").read_text())["tokens"]["tiny"]["tokens"]
    number = sum(n["tokens"] for sources in tokens.values() for languages in sources.values() for n in languages.values())
    line = (
        rf"tiny: 14 documents, {number:,} tokens of tiny, in \d+\.\d s; published {out}/release.json, report {out}/report.html\n"
    )
    assert re.fullmatch(line, said.out)


def test_json_is_a_line_for_each_event(build, tmp_path: Path) -> None:
    code, said = build("--json", *CHANGED)
    assert code == 0 and said.err == ""
    events = [json.loads(line) for line in said.out.splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", event["time"]) for event in events)
    made = [event["dataset"] for event in events if event["event"] == "dataset_finished"]
    assert "tokens/tiny" in made and "documents/crawl" not in made
    assert "documents/crawl" in [event["dataset"] for event in events if event["event"] == "dataset_found"]
    (units,) = [event for event in events if event["event"] == "units" and event["dataset"] == "tokens/tiny"]
    assert units["total"] >= 1 and units["kept"] == 0
    gates = [event for event in events if event["event"] == "gate_passed"]
    assert all(event["expectations"] == 7 and event["seconds"] >= 0 for event in gates)
    out = tmp_path / "copy"
    assert {k: v for k, v in events[-1].items() if k != "time"} == {
        "event": "published",
        "uri": f"{out}/release.json",
        "report": f"{out}/report.json",
        "page": f"{out}/report.html",
    }


def test_an_error_is_the_last_line_of_json_and_of_the_log(build, tmp_path: Path, monkeypatch) -> None:
    def fails(uri: str, *_: object) -> None:
        raise gate.GateError("corpus", uri, ["a column is wrong"], 3, "page")

    monkeypatch.setattr(gate, "check", fails)
    log = tmp_path / "logs" / "build.log"
    code, said = build("--json", "--log", str(log))
    last = json.loads(said.out.splitlines()[-1])
    assert code == 1 and last["event"] == "failed" and "1 of 3 expectations failed:\n  a column is wrong" in last["error"]
    assert said.err.startswith("corpusmill: gate corpus (")
    assert "failed: error gate corpus (" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_log_goes_on_and_has_the_traceback_of_a_bug(build, tmp_path: Path, monkeypatch) -> None:
    log = tmp_path / "build.log"
    code, said = build("--log", str(log))
    assert code == 0 and "nothing had to be built" not in said.out  # the gates read something
    first = log.read_text()
    assert re.match(rf"\S+ build: into {tmp_path / 'copy'}, by corpusmill \d\S*; Python 3", first)
    assert " dataset found: dataset documents/tinywiki, uri " in first
    assert first.splitlines()[-1].partition(" ")[2].startswith("published: uri ")

    def breaks(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(gate, "check", breaks)
    code, said = build("--log", str(log), "--quiet")
    assert code == cli.BUG and said.out == ""
    assert log.read_text().startswith(first)
    assert "failed: error KeyError: 'a bug'\nTraceback (most recent call last):" in log.read_text()


def test_a_log_in_the_output_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x/build\.log: lies in the output folder; name a file beside it, such as .*x\.log"):
        LogFile(str(tmp_path / "x" / "build.log"), str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_kept_units_are_shown(build) -> None:
    code, said = build(*TAKEN_DOWN)
    assert code == 0
    lines = said.out.splitlines()
    wiki = next(number for number, line in enumerate(lines) if line.startswith("documents/tinywiki "))
    assert lines[wiki + 1] == "  kept 2 of 2 units of earlier builds"


def test_progress_counts_what_a_real_build_has_dropped(build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "PROGRESS_SECONDS", 0.0)
    code, said = build("--json", *TAKEN_DOWN)
    events = [json.loads(line) for line in said.out.splitlines()]
    dropped = [event["dropped"] for event in events if event["event"] == "progress" and event["dataset"] == "documents/crawl"]
    assert code == 0 and dropped[-1] >= 1


@pytest.mark.parametrize(
    ("finished", "kept", "line"),
    [
        (99, 99, "kept 99 of 1,000 units of earlier builds"),
        (5, 0, "5 of 1,000 units were finished when this build was stopped"),
        (6, 4, "kept 4 of 1,000 units of earlier builds; 2 of 1,000 units were finished when this build was stopped"),
        (0, 0, ""),
    ],
)
def test_units_that_were_there_before(finished: int, kept: int, line: str) -> None:
    assert listeners.kept_units({"total": 1000, "finished": finished, "kept": kept}) == line


def test_the_gates_have_their_time_in_the_closing_table() -> None:
    console = BuildConsole(Console(file=io.StringIO(), width=160))
    passed = {"dataset": "d", "expectations": 3, "cached": False, "seconds": 2.0}
    console.on_event("gate_passed", passed)
    console.on_event("dataset_finished", {"dataset": "corpus", "uri": "u", "seconds": 1.0})
    console.on_event("gate_passed", {**passed, "seconds": 0.5})
    console.on_event("gate_passed", {**passed, "seconds": 9.0, "cached": True})
    assert list(console.seconds.items()) == [("corpus", 1.0), ("gates", 2.5)]


def test_a_terminal_shows_documents_drops_and_rate_while_a_dataset_is_built() -> None:
    screen = io.StringIO()
    with BuildConsole(Console(file=screen, width=140, force_terminal=True, legacy_windows=False)) as console:
        console.on_event("dataset_started", {"dataset": "documents/web", "uri": "u"})
        console.on_event("units", {"total": 2, "finished": 0, "kept": 0, "bytes": 1000})
        claims = [Claim("a", 1, 1200, 34, 10**6, 500), Claim("b", 1, 34, 1, 10**6, 250)]
        console.on_event("progress", {"claims": claims})
        console._progress.refresh()
        console.on_event("dataset_finished", {"dataset": "documents/web", "uri": "u", "seconds": 1.0})
    assert re.search(r"documents/web .*1,234 documents, +35 dropped .*MB/s of text .*left", screen.getvalue())


def test_progress_is_written_now_and_then(capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    events = JsonLines()
    events.on_event("dataset_started", {"dataset": "documents/web", "uri": "u"})
    claims = [Claim("a", 1, 1200, 34, 10**6, 500)]
    events.on_event("progress", {"claims": claims})
    monkeypatch.setattr(listeners, "PROGRESS_SECONDS", 0.0)
    events.on_event("progress", {"claims": claims})
    started, progress = map(json.loads, capfd.readouterr().out.splitlines())
    assert started["event"] == "dataset_started"
    assert {k: v for k, v in progress.items() if k != "time"} == {
        "event": "progress",
        "dataset": "documents/web",
        "documents": 1200,
        "dropped": 34,
        "text_bytes": 1000000,
        "stored_bytes": 500,
    }


def test_one_way_of_showing_at_a_time(capfd) -> None:
    with pytest.raises(SystemExit):
        cli.main(["build", "c.toml", "--out", "o", "--quiet", "--json"])
    assert "not allowed with argument" in capfd.readouterr().err
