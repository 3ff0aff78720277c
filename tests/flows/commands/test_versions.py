"""`corpusmill --version` names what is installed, imports nothing of it, and needs none of the extras."""

import platform
import subprocess
import sys
from importlib import metadata

import pytest

from flows.commands import main as cli
from flows.commands import versions
from flows.program import corpusmill


def test_the_program_python_and_the_packages_are_named() -> None:
    done = subprocess.run(corpusmill("--version"), capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == f"corpusmill {metadata.version('corpusmill')}"
    assert lines[1].startswith(f"Python {platform.python_version()}, ")
    assert f"apache-beam {metadata.version('apache-beam')}" in lines
    assert done.stderr == ""


def test_no_heavy_package_is_imported() -> None:
    code = (
        "import sys\nfrom flows.commands.main import main\n"
        "try: main(['--version'])\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'apache_beam', 'torch', 'numba', 'pyarrow', 'prefect', 'great_expectations', 'pandas', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    version = metadata.version

    def without_torch(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(versions.metadata, "version", without_torch)
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert not ended.value.code
    said = capfd.readouterr().out
    assert "torch" not in said and "apache-beam" in said
