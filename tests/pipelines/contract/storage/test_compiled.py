"""Machine code is compiled anew when a module that its source imports has changed."""

import os
import subprocess
import sys
from pathlib import Path

from places import ROOT

from pipelines.contract.storage.compiled import digest

KERNEL = """
from pipelines.text.kernels import jit
from own.numbers import ONE
from own import (
    others,
)

@jit
def value():
    return ONE * 100 + others.TWO
"""
PROGRAM = "from own.kernel import value; print(value(), value.stats.cache_hits.total())"


def _value(folder: Path) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True)
    return done.stdout.split()


def test_constants_of_other_modules_are_not_stale(tmp_path: Path) -> None:
    package = tmp_path / "own"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "kernel.py").write_text(KERNEL)
    (package / "numbers.py").write_text("ONE = 1\n")
    (package / "others.py").write_text("from own.deeper import TWO\n")
    (package / "deeper.py").write_text("TWO = 2\n")
    assert _value(tmp_path) == ["102", "0"]
    assert _value(tmp_path) == ["102", "1"], "compiled once"
    (package / "numbers.py").write_text("ONE = 7\n")
    assert _value(tmp_path) == ["702", "0"]
    (package / "deeper.py").write_text("TWO = 5\n")
    assert _value(tmp_path) == ["705", "0"]


def test_files_outside_the_packages_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text("import os\nfrom numpy import zeros\n")
    first = digest(str(tmp_path / "alone.py"))
    (tmp_path / "other.py").write_text("")
    assert digest(str(tmp_path / "alone.py")) == first
