"""The import rules of pyproject.toml bind: import-linter refuses each breach that is planted in a copy of the sources.

A breach is one import in one module; it breaks its own contract and no other.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from places import ROOT

PACKAGES = ("pipelines", "expectations", "training", "flows")

# contract, module that the line is planted in, the line
BREACHES = [
    ("layers-pipelines", "pipelines/text/tokenization/shares.py", "from pipelines.fetching import download"),
    ("layers-pipelines", "pipelines/stages/split.py", "from pipelines.sources import kinds"),  # siblings, too
    ("layers-training", "training/objectives/sequences.py", "from training.models import loss"),
    ("layers-training", "training/convert/rules.py", "from training.evaluation import blimp"),
    ("layers-flows", "flows/pages/shown.py", "from flows import lock"),
    ("layers-text", "pipelines/text/judgement/languages/identify.py", "from pipelines.text.copies import lsh"),
    ("no-circles", "pipelines/contract/ledger.py", "def late() -> None:\n    from pipelines.contract import verify"),
    ("flows-on-top", "pipelines/lookup/find.py", "from flows import lock"),
    ("contract-only", "training/data/ahead.py", "from pipelines.text.copies import lsh"),
    ("contract-only", "expectations/columns.py", "from pipelines import release"),
    ("training-expectations", "expectations/columns.py", "from training.data import ahead"),
    ("beam", "pipelines/lookup/find.py", "import apache_beam"),
    ("beam", "flows/lock.py", "from apache_beam import Pipeline"),
    ("prefect", "flows/drive.py", "import prefect"),
    ("great-expectations", "expectations/columns.py", "import great_expectations"),
    ("torch", "training/data/ahead.py", "import torch"),
    ("torch", "training/objectives/sequences.py", "def late() -> None:\n    import torch"),
    ("torch", "flows/lock.py", "import torch"),
    ("contract-light", "pipelines/contract/schema.py", "import numba"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def broken(folder: Path) -> set[str]:
    """Ids of the contracts that import-linter reports as broken."""
    contracts = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    by_name = {contract["name"]: contract["id"] for contract in contracts}
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--cache-dir", str(folder / ".cache")]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )
    names = re.findall(r"^(.+) (KEPT|BROKEN)", done.stdout, re.MULTILINE)
    assert {name for name, _ in names} == set(by_name), done.stdout + done.stderr
    return {by_name[name] for name, state in names if state == "BROKEN"}


def test_every_contract_has_a_breach() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {contract["id"] for contract in contracts} == {contract for contract, _, _ in BREACHES}


def test_no_rule_is_broken(copy: Path) -> None:
    assert broken(copy) == set()


@pytest.mark.parametrize(("contract", "module", "line"), BREACHES)
def test_a_breach_breaks_its_contract(copy: Path, contract: str, module: str, line: str) -> None:
    path = copy / module
    source = path.read_text()
    path.write_text(f"{source}\n\n{line}\n")
    try:
        assert broken(copy) == {contract}
    finally:
        path.write_text(source)


@pytest.mark.parametrize("package", ["pipelines", "training", "flows"])
def test_a_room_without_a_place_is_refused(copy: Path, package: str) -> None:
    room = copy / package / "attic"
    room.mkdir()
    (room / "__init__.py").write_text("")
    try:
        assert broken(copy) == {f"layers-{package}"}
    finally:
        shutil.rmtree(room)
