"""A build that is killed, interrupted and terminated, in one process and with workers: it goes on to the same bytes.

One output folder lives through all of it: each stop begins where the one before left the folder.
"""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from places import ROOT

REPOSITORY = ROOT

# The command line, which sends itself a signal at an exact moment: before the second file is renamed to such a name.
# Gates take 20 s and are not the matter here; two processes start however small the input is.
PROGRAM = """
import os, re, signal, sys
from expectations import gate
from flows.commands import main as cli
from pipelines.beam import runners

gate.check = lambda uri, *_: gate.GateResult(uri, "", 0, "", cached=True)
gate.check_report = lambda *_: gate.GateResult("report", "", 0, "", cached=True)
runners.IN_PROCESS_BYTES = 1
number, moment, arguments = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
left = 2

def stop(event, facts):
    global left
    if number and event == "os.rename" and re.search(moment, os.fspath(facts[1])):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)

sys.addaudithook(stop)
sys.exit(cli.main(arguments))
"""


@dataclass
class Stop:
    """One run that was stopped: how it ended, and what lay in the folder then."""

    code: int
    stdout: str
    stderr: str
    processes_left: list[int]
    files: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])  # time and inode of what was there

    def names(self, pattern: str) -> list[str]:
        return [name for name in self.files if re.fullmatch(pattern, name)]


class Story:
    """Runs the program over one output folder again and again."""

    def __init__(self, out: Path, arguments: list[str]) -> None:
        self.out, self._arguments = out, [*arguments, "--out", str(out)]

    def run_until(self, number: int, moment: str, workers: int = 1) -> Stop:
        """In one process the program stops itself; with workers it is stopped when another such file is there."""
        by_itself = number if workers == 1 else 0
        mark = f"{self.out}-{time.monotonic_ns()}"
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(by_itself), moment, *self._arguments, "--workers", str(workers)],
            cwd=REPOSITORY,
            env=os.environ | {"CORPUSMILL_TEST_MARK": mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if number and not by_itself:
            self._wait_for_another(moment, child)
            child.send_signal(number)
        stdout, stderr = child.communicate(timeout=300)
        return Stop(child.returncode, stdout, stderr, processes_with(mark, wait_seconds=10), self._stamps())

    def _wait_for_another(self, moment: str, child: "subprocess.Popen[str]") -> None:
        before = self._count(moment)
        while self._count(moment) == before:
            assert child.poll() is None, "the build ended before it could be stopped"
            time.sleep(0.01)

    def _count(self, moment: str) -> int:
        return sum(re.search(moment, str(path)) is not None and path.suffix == ".json" for path in self.out.rglob("*"))

    def _stamps(self) -> dict[str, tuple[int, int]]:
        return {
            path.relative_to(self.out).as_posix(): (path.stat().st_mtime_ns, path.stat().st_ino)
            for path in sorted(self.out.rglob("*"))
            if path.is_file()
        }


def processes_with(mark: str, wait_seconds: float) -> list[int]:
    """Processes that were started by a run and still live some seconds after its end (Linux; elsewhere nothing is seen)."""
    deadline = time.monotonic() + wait_seconds
    while (alive := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive


def _marked(mark: str) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has ended, or is another user's
    return found


@pytest.fixture(scope="module")
def story(tiny_arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stop]:
    tale = Story(tmp_path_factory.mktemp("story") / "out", tiny_arguments)
    return {
        "killed": tale.run_until(signal.SIGKILL, r"documents/tinywiki/.*/units/"),
        "terminated with workers": tale.run_until(signal.SIGTERM, r"documents/crawl/.*/units/", workers=2),
        "interrupted": tale.run_until(signal.SIGINT, r"tokens/.*/units/"),
        "killed with workers": tale.run_until(signal.SIGKILL, r"tokens/.*/units/", workers=2),
        "done": tale.run_until(0, ""),
        "out": Stop(0, str(tale.out), "", []),
    }


STOPS = ["killed", "terminated with workers", "interrupted", "killed with workers"]
MESSAGE = "corpusmill: stopped; finished work is kept, and the same command resumes from there\n"


@pytest.mark.parametrize(
    ("name", "code", "stderr"),
    [
        ("killed", -signal.SIGKILL, ""),
        ("terminated with workers", 143, MESSAGE),
        ("interrupted", 130, MESSAGE),
        ("killed with workers", -signal.SIGKILL, ""),
        ("done", 0, ""),
    ],
)
def test_each_ends_as_it_should_and_leaves_no_process_behind(story, name, code, stderr) -> None:
    stop = story[name]
    assert (stop.code, stop.stderr, stop.processes_left) == (code, stderr, [])


def test_each_stopped_inside_a_dataset_with_nothing_published(story) -> None:
    unit, manifest = r"/[0-9a-f]+/units/[^/.][^/]*", r"/[0-9a-f]+/manifest.json"
    for name, dataset in zip(STOPS, ["documents/tinywiki", "documents/crawl", "tokens/tiny", "tokens/tiny"], strict=True):
        assert story[name].names(dataset + unit), name
        assert not story[name].names(dataset + manifest), name
        assert not story[name].names(r"release\.json"), name
    assert story["killed"].names(r"documents/tinywiki/.*\.tmp")  # what a kill -9 leaves
    assert not story["interrupted"].names(r".*\.tmp")


def test_what_was_finished_is_not_done_again(story) -> None:
    finished = r".*/units/[^/.][^/]*|.*/(?:documents|drops|signatures|clusters|tokens)/.*\.(?:parquet|arrow)|.*/manifest\.json"
    for name in STOPS:
        kept = story[name].names(finished)
        units = {Path(path).stem for path in story[name].names(r".*/units/[^/.][^/]*")}
        for path in kept:
            if path.endswith("manifest.json") or Path(path).stem in units:
                assert story["done"].files[path] == story[name].files[path], f"{path} was written again after: {name}"
    assert "documents/tinywiki     found, not built again" in story["interrupted"].stdout


def test_the_end_is_the_same_bytes_as_of_a_build_that_nobody_stopped(story, tiny, digests) -> None:
    assert digests(Path(story["out"].stdout)) == tiny.digests()
