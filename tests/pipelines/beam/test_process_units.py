import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.beam import runners
from pipelines.beam.claims import is_alive
from pipelines.beam.process_units import process_units
from pipelines.beam.runners import InputError, PipelineError, WorkerError, balanced
from pipelines.config import CorpusConfig
from pipelines.units.context import Context, RunnerOptions
from pipelines.units.descriptor import Unit, unit_name

ROOT = str(Path(__file__).parents[3])
HELPERS = Path(__file__).parent / "helpers"
sys.path.insert(0, str(HELPERS))

from beam_jobs import LinesJob, outside_every_unit  # noqa: E402

SOURCE = {"name": "lines", "kind": "books", "root": ".", "snapshot": "1"}
CONFIG = CorpusConfig.model_validate({"corpus": {"name": "test"}, "sources": [SOURCE]})


@pytest.fixture(autouse=True)
def _workers_can_import_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HELPERS), ROOT]))
    monkeypatch.setattr(runners, "IN_PROCESS_BYTES", 0)  # a few lines are worth worker processes here


def write_units(root: Path, **files: str) -> list[Unit]:
    root.mkdir(exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text)
    return [
        Unit(name=unit_name(name), source="lines", uri=name, root=str(root), bytes=len(text), identity=text)
        for name, text in sorted(files.items())
    ]


def context(tmp_path: Path, workers: int = 1) -> Context:
    return Context(CONFIG, str(tmp_path), RunnerOptions(workers=workers))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _wait_until_gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_every_worker_count_writes_the_same_bytes(tmp_path: Path) -> None:
    units = write_units(tmp_path / "in", a="one\ntwo\nthree", b="four", c="five\nsix", d="seven")
    one = process_units(context(tmp_path), str(tmp_path / "one"), LinesJob(), units)
    two = process_units(context(tmp_path, workers=2), str(tmp_path / "two"), LinesJob(), units)
    assert [s.ledger.documents_out for s in one] == [3, 1, 2, 1]
    assert one == two
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert len(digests(tmp_path / "one")) == 8  # a part and a sidecar for each unit, and nothing else


def test_columnar_work_is_done_in_threads_with_the_same_bytes(tmp_path: Path) -> None:
    units = write_units(tmp_path / "in", a="one\ntwo\nthree", b="four\nsleep 0.5", c="five\nsix\nsleep 0.5", d="seven")
    trace = tmp_path / "trace"
    trace.mkdir()
    one = process_units(context(tmp_path), str(tmp_path / "one"), LinesJob(), units)
    two = process_units(context(tmp_path, workers=2), str(tmp_path / "two"), LinesJob(str(trace)), units, columnar=True)
    assert one == two
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert {path.name.split(".")[-2] for path in trace.iterdir()} == {str(os.getpid())}


def test_an_error_in_a_thread_names_its_unit(tmp_path: Path) -> None:
    units = write_units(tmp_path / "in", bad="x\nfail", good="one", other="two")
    with pytest.raises(PipelineError, match=f"unit {units[0].name}: ValueError: this line says so"):
        process_units(context(tmp_path, workers=2), str(tmp_path / "out"), LinesJob(), units, columnar=True)


def test_a_killed_worker_ends_the_run_with_the_unit_named_and_a_rerun_does_only_the_rest(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.mkdir()
    units = write_units(tmp_path / "in", bad="x\n" * 9 + "die", good="one", other="two")
    job = LinesJob(str(trace))
    out = str(tmp_path / "out")
    start = time.monotonic()
    with pytest.raises(WorkerError, match=units[0].name) as caught:
        process_units(context(tmp_path, workers=2), out, job, units)
    assert time.monotonic() - start < 30 + 10, "the death must be noticed within 30 s of it, start-up aside"
    assert "was killed" in str(caught.value)

    (tmp_path / "in" / "bad").write_text("mended")
    for path in trace.iterdir():
        path.unlink()
    finished = {unit.name for unit in units if (tmp_path / "out" / "units" / f"{unit.name}.json").exists()}
    sidecars = process_units(context(tmp_path), out, job, units)
    assert [s.ledger.documents_out for s in sidecars] == [1, 1, 1]
    redone = {path.name.rsplit(".", 2)[0] for path in trace.iterdir()}
    assert redone == {unit.name for unit in units} - finished


def test_a_worker_that_is_killed_between_units_ends_the_run_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    units = write_units(tmp_path / "in", a=f"pid {pid}", b=f"sleep 3\nkill {pid}\nsleep 25")
    start = time.monotonic()
    with pytest.raises(WorkerError, match="a worker process died between two units"):
        process_units(context(tmp_path, workers=2), str(tmp_path / "out"), LinesJob(), units)
    assert time.monotonic() - start < 25
    assert (tmp_path / "out" / "units" / f"{units[0].name}.json").exists()


def test_no_worker_is_left_behind_after_a_failure(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.mkdir()
    units = write_units(tmp_path / "in", a="sleep 0.5\nfail", b="sleep 300")
    with pytest.raises(PipelineError, match="ValueError: this line says so"):
        process_units(context(tmp_path, workers=2), str(tmp_path / "out"), LinesJob(str(trace)), units)
    pids = {int(path.name.rsplit(".", 2)[1]) for path in trace.iterdir()}
    assert pids
    assert all(_wait_until_gone(pid, seconds=5) for pid in pids if pid != os.getpid())


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's command line from /proc")
def test_a_worker_is_forked_from_the_driver_with_everything_imported(tmp_path: Path) -> None:
    program = tmp_path / "program"
    units = write_units(tmp_path / "in", a=f"program {program}", b="one")
    process_units(context(tmp_path, workers=2), str(tmp_path / "out"), LinesJob(), units)
    assert b"pipelines.beam.driver_server" in program.read_bytes()  # a program of Beam's is sdk_worker_main


def test_workers_end_with_a_driver_that_never_starts_its_pipeline(tmp_path: Path) -> None:
    script = (
        "from pipelines.beam import forked_workers\n"
        "print(*(worker.pid for worker in forked_workers.fork(2)), flush=True)\n"
        "import os; os._exit(3)"
    )
    driver = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": ROOT}
    )
    pids = [int(pid) for pid in driver.stdout.split()]
    assert (driver.returncode, len(pids)) == (3, 2)
    assert all(_wait_until_gone(pid, seconds=5) for pid in pids)


def test_an_error_in_process_names_the_unit(tmp_path: Path) -> None:
    units = write_units(tmp_path / "in", a="fail")
    with pytest.raises(PipelineError, match=rf"unit {units[0].name}: ValueError: this line says so") as caught:
        process_units(context(tmp_path), str(tmp_path / "out"), LinesJob(), units)
    assert "in _obey" in caught.value.__notes__[0], "the traceback in the worker"
    assert not list((tmp_path / "out").rglob("*.json")), "a failed unit has no sidecar"


def test_a_users_mistake_in_a_unit_keeps_its_message(tmp_path: Path) -> None:
    """Wherever its class is defined: here, in a test's helper."""
    units = write_units(tmp_path / "in", a="mistake")
    with pytest.raises(InputError, match=r"^a: line 1 is wrong; correct it$"):
        process_units(context(tmp_path), str(tmp_path / "out"), LinesJob(), units)


def test_a_full_disk_is_no_bug(tmp_path: Path) -> None:
    units = write_units(tmp_path / "in", a="full")
    with pytest.raises(WorkerError, match=rf"unit {units[0].name}: OSError: \[Errno 28\] No space left"):
        process_units(context(tmp_path), str(tmp_path / "out"), LinesJob(), units)


def test_a_part_that_has_lost_bytes_is_written_again(tmp_path: Path) -> None:
    units = write_units(tmp_path / "in", a="one")
    out = tmp_path / "out"
    before = process_units(context(tmp_path), str(out), LinesJob(), units)
    part = out / before[0].parts[0].path
    part.write_bytes(part.read_bytes()[:-1])
    assert process_units(context(tmp_path), str(out), LinesJob(), units) == before
    assert part.stat().st_size == before[0].parts[0].bytes


def test_progress_reaches_the_caller(tmp_path: Path) -> None:
    events: list[tuple[str, int]] = []

    def on_event(name: str, facts: dict) -> None:  # type: ignore[type-arg]
        if name == "progress":
            events.append((name, sum(claim.documents for claim in facts["claims"])))

    units = write_units(tmp_path / "in", a="one\ntwo", b="three")
    process_units(Context(CONFIG, str(tmp_path), on_event=on_event), str(tmp_path / "out"), LinesJob(), units)
    assert events[-1] == ("progress", 3)


def test_the_static_assignment_is_balanced() -> None:
    weights = [7, 1, 9, 3, 8, 2, 6, 4]
    order = balanced(weights, 2)
    assert sorted(order) == list(range(8))
    assert sum(weights[i] for i in order[0::2]) == sum(weights[i] for i in order[1::2]) == 20


@pytest.mark.timeout(60)
def test_an_error_outside_every_unit_ends_the_run_and_its_workers() -> None:
    """Nobody claimed what failed, so the driver's own end has to tell."""
    with pytest.raises(PipelineError, match=r"the driver ended with status 1(.|\n)*not of a unit"):
        runners.run(RunnerOptions(workers=2), outside_every_unit, stored_bytes=1, on_progress=lambda _: None)
