"""The process around trafilatura: what a page can do to it. A stand-in for trafilatura does what a page says."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.text.extraction.pages.extract import ExtractionError
from pipelines.text.extraction.trafilatura.process import Worker

STAND_IN = """
import os, signal
calls = 0
def extract(markup):
    global calls
    calls += 1
    if markup == "nothing": return None
    if markup == "print": print("noise on standard output")
    if markup == "memory": return "x" * 2**30 * 4
    if markup == "lines": return chr(10).join(str(i) for i in range(300_000))
    if markup == "raise": raise ValueError("a bug")
    if markup == "exit": os._exit(7)
    if markup == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    if markup == "killed": os.kill(os.getpid(), signal.SIGKILL)
    while markup == "loop": pass
    return f"{calls} {markup}"
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    (tmp_path / "trafilatura.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with Worker(memory_bytes=2**30, cpu_seconds=1) as worker:
        yield worker


def test_pages_of_any_characters_and_sizes_pass_through_one_process(worker: Worker) -> None:
    assert worker.extract("a\0\ud800 東京\r\n") == "1 a\0\ud800 東京\r\n"
    long = "p" * 5_000_000
    assert worker.extract(long) == f"2 {long}"
    assert worker.extract("") == "3 "
    assert worker.extract("nothing") == ""
    assert worker.extract("print") == "5 print"
    assert worker.extract("lines").endswith("\n299999")


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("memory", "trafilatura: more memory than its limit"),
        ("raise", "trafilatura: ValueError: a bug"),
        ("loop", "trafilatura: more than 1 s of CPU time"),
        ("exit", "trafilatura: its process ended with exit status 7"),
        ("crash", "trafilatura: its process ended with SIGSEGV"),
    ],
)
def test_a_page_beyond_a_limit_is_refused_and_the_next_one_has_a_new_process(worker: Worker, page: str, message: str) -> None:
    assert worker.extract("before") == "1 before"
    with pytest.raises(ExtractionError) as refused:
        worker.extract(page)
    assert str(refused.value) == message
    assert worker.extract("after") == "1 after"


def test_a_process_that_the_system_kills_is_no_result_of_a_page(worker: Worker) -> None:
    with pytest.raises(RuntimeError, match="use fewer workers"):
        worker.extract("killed")
    assert worker.extract("again") == "1 again"


def test_a_closed_worker_leaves_no_process(worker: Worker) -> None:
    with worker:
        worker.extract("one")
        process = worker._process
        assert process is not None and process.poll() is None
    assert process.poll() is not None


def test_without_trafilatura_the_worker_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trafilatura.py").write_text("raise ImportError('no lxml')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Worker() as worker, pytest.raises(RuntimeError, match="trafilatura does not start: no lxml"):
        worker.extract("page")


def test_trafilatura_itself() -> None:
    pytest.importorskip("trafilatura", reason="trafilatura is not installed (the extra bench)")
    prose = "The old bridge over the river was closed on Monday for repairs that take a year. "
    with Worker() as worker:
        text = worker.extract(f"<html><body><nav>Menu</nav><article><p>{prose * 5}</p><p>{prose * 4}</p></article></body></html>")
    assert text.split("\n")[0] == (prose * 5).strip()
    assert "Menu" not in text
