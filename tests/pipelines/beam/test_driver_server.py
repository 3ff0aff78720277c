import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.beam import driver_server
from pipelines.beam.claims import Claims, is_alive
from pipelines.beam.driver_server import LOST, DriverServer
from pipelines.config import SourceSection
from pipelines.units.context import RunnerOptions

ROOT = str(Path(__file__).parents[3])
HELPERS = Path(__file__).parent / "helpers"
sys.path.insert(0, str(HELPERS))

from beam_jobs import waits  # noqa: E402


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HELPERS), ROOT]))
    server = DriverServer()
    yield server
    server.close()


def specification(folder: Path, name: str, construct: object) -> Path:
    claims = folder / f"{name}-claims"
    claims.mkdir()
    path = folder / name
    path.write_bytes(pickle.dumps((1, construct, Claims(str(claims)))))
    return path


def until_gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


def test_drivers_of_one_server_run_at_once_and_report_their_ends(server, tmp_path) -> None:
    log = tmp_path / "log"
    first = server.fork(specification(tmp_path, "first", waits), log)
    second = server.fork(specification(tmp_path, "second", waits), tmp_path / "other log")
    assert first != second
    assert (server.status(first), server.status(second)) == (None, None)
    os.killpg(first, signal.SIGKILL)
    assert server.wait(first) == -signal.SIGKILL
    assert server.status(second) is None
    os.killpg(second, signal.SIGTERM)
    assert server.wait(second) == -signal.SIGTERM


def test_a_driver_has_the_callers_folder_and_writes_to_its_log(server, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    pid = server.fork(tmp_path / "none there", tmp_path / "log")
    assert server.wait(pid) == 1
    assert "none there" in (tmp_path / "log").read_text()


@pytest.mark.timeout(60)
def test_drivers_end_with_a_server_that_is_killed(server, tmp_path) -> None:
    pid = server.fork(specification(tmp_path, "first", waits), tmp_path / "log")
    server._process.kill()
    assert server.wait(pid) == LOST
    assert until_gone(pid)
    with pytest.raises(RuntimeError, match="the process that starts workers has ended"):
        server.fork(tmp_path / "second", tmp_path / "log")
    assert not server.is_usable()


def test_the_server_ends_with_a_build_that_is_killed() -> None:
    script = (
        "from pipelines.beam import driver_server\n"
        "print(driver_server.start()._process.pid, flush=True)\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    build = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": ROOT}
    )
    assert build.returncode == -signal.SIGKILL
    assert until_gone(int(build.stdout))


def test_one_server_is_used_until_the_environment_changes(monkeypatch) -> None:
    monkeypatch.setattr(driver_server, "_server", None)
    first = driver_server.start()
    assert driver_server.start() is first
    monkeypatch.setenv("CORPUSMILL_TEST", "1")
    second = driver_server.start()
    assert second is not first
    assert first._process.poll() is not None
    second.close()


def test_a_server_that_cannot_start_says_why(monkeypatch, tmp_path) -> None:
    (tmp_path / "apache_beam.py").write_text("raise ImportError('a broken Beam')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), ROOT]))
    server = DriverServer()
    with pytest.raises(RuntimeError, match="a broken Beam"):
        server.fork(tmp_path / "specification", tmp_path / "log")
    server.close()


def test_it_starts_early_for_input_that_is_worth_workers_only(monkeypatch, tmp_path) -> None:
    started: list[int] = []
    monkeypatch.setattr(driver_server, "start", lambda: started.append(1))
    source = SourceSection.model_validate({"name": "pages", "kind": "common_crawl", "root": str(tmp_path), "snapshot": "1"})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "small.warc").write_bytes(b"x")
    driver_server.start_early(RunnerOptions(workers=2), [source])
    assert not started
    with (tmp_path / "a" / "large.warc").open("wb") as sparse:
        sparse.truncate(driver_server.IN_PROCESS_BYTES)
    driver_server.start_early(RunnerOptions(workers=1), [source])
    driver_server.start_early(RunnerOptions(runner="DataflowRunner", workers=2), [source])
    assert not started
    driver_server.start_early(RunnerOptions(workers=2), [source])
    assert started == [1]
