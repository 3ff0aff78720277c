"""Examples in docstrings print what they show."""

import doctest
from importlib import import_module

import pytest
from places import ROOT

FOLDERS = ("pipelines", "expectations", "training", "flows")
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("module", MODULES)
def test_a_docstring_prints_what_it_shows(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    results = doctest.testmod(import_module(module))
    assert results.attempted
    assert not results.failed, capsys.readouterr().out
