"""The tiny corpus (tests/data/tiny.toml), built once with the real command line, and ways to run that again."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from once import built_once
from places import ROOT
from prefect.testing.utilities import prefect_test_harness

from pipelines.fetching.cache import FetchError, lid_model

REPOSITORY = ROOT
TINY = REPOSITORY / "tests" / "data" / "tiny.toml"
_SHARED_MODEL = REPOSITORY / ".." / "shared" / "data" / "langid" / "lid.176.ftz"
# What may differ between two builds of the same: seconds, the gate's pages (they name the folder), who held the lock.
_OUTSIDE = ("timings.jsonl", "gates/", ".lock")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Tiny:
    """A finished build."""

    out: Path
    stdout: str
    stderr: str
    arguments: list[str] = field(default_factory=list[str])  # of the command line, but for --out

    def digests(self) -> dict[str, str]:
        return digests_of(self.out)


def digests_of(out: Path) -> dict[str, str]:
    """sha256 by path of everything that has to be the same in every build."""
    paths = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items() if not name.startswith(_OUTSIDE)}


@pytest.fixture(scope="session")
def digests() -> Callable[[Path], dict[str, str]]:
    return digests_of


@pytest.fixture(scope="session")
def language_model() -> str:
    """lid.176.ftz: beside the repository, else from the cache or the network."""
    if _SHARED_MODEL.is_file():
        return str(_SHARED_MODEL.resolve())
    try:
        return str(lid_model())
    except FetchError as error:
        pytest.skip(f"needs lid.176.ftz: {error}")


@pytest.fixture(scope="session")
def command() -> Run:
    """Run `corpusmill ARGUMENTS` in a process of its own."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "flows.commands.main", *arguments],
            cwd=REPOSITORY,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def tiny_arguments(language_model: str) -> list[str]:
    """`build tiny.toml …`, without --out."""
    return ["build", str(TINY), "--workers", "1", "--set", f"language.model={language_model}"]


@pytest.fixture(scope="session")
def tiny(command: Run, tiny_arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny corpus, built by the command line in one process. Read it, and copy it before changing anything."""

    def build(folder: Path) -> None:
        done = command(*tiny_arguments, "--out", str(folder / "out"))
        assert done.returncode == 0, done.stderr
        (folder / "stdout").write_text(done.stdout)
        (folder / "stderr").write_text(done.stderr)

    folder = built_once(tmp_path_factory, "tiny", build)
    return Tiny(folder / "out", (folder / "stdout").read_text(), (folder / "stderr").read_text(), tiny_arguments)


@pytest.fixture(scope="session")
def server() -> Iterator[None]:
    """A real Prefect server with a database of its own, for all flows of the tests."""
    with prefect_test_harness(server_startup_timeout=300):
        yield


TINY_RUN = """
[data]
tokens = "named by the flow"
batch_rows = 8
[rows]
length = 16
[model]
family = "gpt"
layers = 1
heads = 2
width = 16
[train]
steps = 6
learning_rate = 1e-2
eval_every = 3
eval_rows = 16
save_every = 3
log_every = 1
threads = 1
device = "cpu"
tensorboard = false
[run]
out = "named by the flow"
[sample]
tokens = 0
"""


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config that trains in a moment; a flow says of what and where."""
    path = tmp_path_factory.mktemp("configs") / "gpt.toml"
    path.write_text(TINY_RUN)
    return path
