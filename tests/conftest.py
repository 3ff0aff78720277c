"""Rules for every test: a home of the tests' own, one thread per library, hypothesis's profiles;
and the tiny corpus (tests/data/tiny.toml), which is built once by the real command line.
"""

import gc
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import home
import pytest
from hypothesis import HealthCheck, settings
from objects import S3, s3_server
from once import built_once
from places import ROOT

from flows.program import corpusmill
from pipelines.fetching.download import FetchError
from pipelines.fetching.language_model import lid_model

home.enter()  # before Prefect and others look for their settings

# One thread per library: tests run side by side, and their inputs are small. Set before NumPy and torch are imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

_SHARED = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])  # kernels compile at first
# The same examples in every run and on every machine. What a random search found is kept in the tests as an @example.
settings.register_profile("quick", _SHARED, max_examples=100, derandomize=True, database=None)
# make test-thorough: new examples in every run.
settings.register_profile("thorough", _SHARED, max_examples=2000, derandomize=False)
settings.load_profile("quick")  # --hypothesis-profile=thorough replaces it


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their parameter: what is compressed holds the time, and all workers must collect the same names."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking through the modules and tests, which stay until the end."""
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the tests' home at the end; it belongs to the controller of pytest-xdist, not to its workers."""
    if not hasattr(config, "workerinput"):
        home.leave()


@pytest.fixture(autouse=True)
def _real_home_stays_as_it_is() -> Iterator[None]:
    """Fail a test that tried to write below the user's home: a library may swallow the error that the guard raised."""
    yield
    refused = home.refused_writes()
    assert not refused, f"a test may not write below the user's home: {refused}"


# --- an object store -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def s3_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def s3(s3_process: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A real S3 server (moto's), to which this process and those that it starts are led by the environment."""
    for name, value in s3_process.environment.items():
        monkeypatch.setenv(name, value)
    s3_process.fail(0)
    return s3_process


# --- the tiny corpus ------------------------------------------------------------------------------------------------

TINY = ROOT / "tests" / "data" / "tiny.toml"
_SHARED_MODEL = ROOT / ".." / "shared" / "data" / "langid" / "lid.176.ftz"
# What may differ between two builds of the same: seconds and the page that shows them, the gate's pages, who held the lock.
_OUTSIDE = ("timings.jsonl", "report.html", "gates/", ".lock")

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


# --- runs of ours that judge texts ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The run of a function of judges.py, which trains it: "educational", "waters" or "persons"."""

    def run(name: str) -> str:
        import judges  # it imports torch

        return f"{built_once(tmp_path_factory, f'judge-{name}', getattr(judges, name))}/run"

    return run


@pytest.fixture(scope="session")
def command() -> Run:
    """Run `corpusmill ARGUMENTS` in a process of its own."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            corpusmill(*arguments),
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=500,
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
