"""What tests/conftest.py promises of every test."""

import os
import subprocess
import sys
from pathlib import Path

import home
import pytest
from hypothesis import settings
from places import ROOT


def test_nothing_below_the_users_home_is_written() -> None:
    path = home.real() / ".cache" / "corpusmill" / "written by a test"
    for write in (path.write_text, lambda _: path.mkdir(), lambda _: Path(__file__).rename(path)):
        with pytest.raises(home.HomeWriteError, match="a test may not write below the user's home"):
            write("x")
    assert home.refused_writes() == [str(path)] * 3
    assert not path.exists()


def test_processes_have_the_tests_home_too() -> None:
    program = "from pipelines.contract.storage.cache import cache_folder; print(cache_folder())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{os.environ['HOME']}/.cache/corpusmill\n"
    assert Path.home() != home.real()


def test_every_run_draws_the_same_examples_without_a_deadline() -> None:
    quick = settings.get_profile("quick")
    assert (quick.derandomize, quick.database, quick.deadline) == (True, None, None)
    thorough = settings.get_profile("thorough")
    assert (thorough.derandomize, thorough.deadline) == (False, None)
    assert thorough.max_examples > 10 * quick.max_examples


def test_no_test_has_a_number_of_examples_of_its_own() -> None:
    """It would hold in `make test-thorough`, too; `examples.few` and `examples.many` follow the profile."""
    tests = set(Path(__file__).parent.rglob("test_*.py")) - {Path(__file__)}
    assert [path.name for path in tests if "max_examples=" in path.read_text() or "@settings(" in path.read_text()] == []


def test_every_cached_kernel_has_a_place_for_its_machine_code() -> None:
    """`kernels` of either package chooses it when it is imported; numba alone fails in a read-only checkout without a home."""
    modules = [path for package in ("pipelines", "training") for path in (ROOT / package).rglob("*.py")]
    cached = [path for path in modules if "cache=True, nogil=True" in path.read_text("utf-8") and path.name != "kernels.py"]
    assert [path for path in cached if "kernels import jit" not in path.read_text("utf-8")] == []
