"""A machine that gives nothing: no entry in the list of users, no HOME, a checkout of another user, a terminal that knows ASCII.

The child has the number of a user that nobody has and may read everything (Python may lie in root's home) but write nowhere.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from places import ROOT

NUMBER = "1234567"
DROP = ["setpriv", "--reuid", NUMBER, "--regid", NUMBER, "--clear-groups"]
READ_ALL = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
BARE = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
ASCII = {"LANG": "C", "PYTHONIOENCODING": "ascii"}

Bare = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def nobody() -> list[str]:
    """Python, run by nobody."""
    command = [*DROP, *READ_ALL, sys.executable]
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become another user, with setpriv")
    writes = f"open({str(ROOT / 'written')!r}, 'w')"
    refused = subprocess.run([*command, "-c", writes], env={}, capture_output=True, text=True, check=False)
    if "PermissionError" not in refused.stderr:
        pytest.skip(f"a user without rights cannot run Python here, or can write the checkout: {refused.stderr}")
    return command


@pytest.fixture(scope="module")
def bare(nobody: list[str]) -> Bare:
    """Run `corpusmill ARGUMENTS` as nobody; keywords are its only environment variables."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        program = [*nobody, "-m", "flows.commands.main", *arguments]
        return subprocess.run(program, cwd=ROOT, env=BARE | environment, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.fixture
def cache(tmp_path: Path) -> str:
    """A folder that nobody can write; the folders above it, which pytest closes to others, are open to nobody's capability."""
    folder = tmp_path / "cache"
    folder.mkdir()
    os.chown(folder, int(NUMBER), int(NUMBER))
    return str(folder)


@pytest.mark.parametrize("command", [["--help"], ["build", "--help"], ["pretrain", "--help"], ["explain", "--help"]])
def test_help_needs_nothing(bare: Bare, command: list[str]) -> None:
    done = bare(*command, **ASCII)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("usage: ")


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({}, "~/.cache/corpusmill: this user has no home folder"),
        ({"HOME": "/"}, "/.cache/corpusmill/compiled: permission denied"),
        ({"HOME": "/nonexistent"}, "/nonexistent/.cache/corpusmill/compiled: permission denied"),
        ({"CORPUSMILL_CACHE": "/proc"}, "/proc/compiled: no such file or directory"),
    ],
)
def test_what_needs_a_place_names_the_variable(bare: Bare, tiny, environment: dict[str, str], where: str) -> None:
    done = bare("explain", str(tiny.out), "anything", **environment)
    assert done.stderr == f"corpusmill: {where}; set CORPUSMILL_CACHE to a folder that can be written\n"
    assert (done.returncode, done.stdout) == (1, "")


def test_verify_needs_no_place(bare: Bare, tiny) -> None:
    done = bare("verify", str(tiny.out))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_variable_is_all_that_a_command_needs(bare: Bare, tiny, cache: str) -> None:
    done = bare("build", *tiny.arguments[1:], "--out", f"{cache}/out", "--dry-run", CORPUSMILL_CACHE=cache, **ASCII)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"datasets, in order: documents/tinywiki \u2192 documents/novels" in done.stdout
    assert set(os.listdir(cache)) == {"compiled", "home", "sha256"}


def test_the_gates_library_finds_a_home(nobody: list[str], cache: str) -> None:
    """It asks for one when it is imported."""
    program = "from pipelines.contract.storage import cache; cache.lend_home(); import great_expectations"
    done = subprocess.run(
        [*nobody, "-c", program], env=BARE | {"CORPUSMILL_CACHE": cache}, cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
