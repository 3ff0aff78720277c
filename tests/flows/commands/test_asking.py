"""`corpusmill ask`: refusals of the command; tests/training/search has the answers."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")


def test_a_reader_that_is_not_there_is_refused(
    command: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    done = command("ask", str(tmp_path), "Where is it?", "--reader", str(tmp_path / "none"))
    assert done.returncode == 1 and str(tmp_path / "none") in done.stderr and len(done.stderr.splitlines()) == 1
