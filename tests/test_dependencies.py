"""Dependencies by use: each import is declared where its package needs it, and a worker runs on the base alone."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from places import FIXTURES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"pipelines", "expectations", "training", "flows"}
# Which extras a folder may import from, beside the base.
EXTRAS = {
    "pipelines": (),
    "pipelines/lookup": ("flows",),  # in functions only
    "pipelines/page_model": ("bench",),  # in functions only: a worker imports the modules without them
    "expectations": ("flows",),
    "flows": ("flows",),
    "training": ("train",),
    "training/compression": ("train", "export"),
    "training/serving": ("train", "serve"),
    "training/tasks": ("train", "sweep"),
    "benchmarks": ("flows", "train", "serve", "dev", "bench"),
    "tests": ("flows", "train", "serve", "dev", "bench", "perplexity"),
}
# Files that others import by their name alone: scripts beside them.
SCRIPTS = {path.stem for folder in ("benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")}
UNDECLARED = {
    "tensorflow",  # tests/data/tensor_bundle/make.py wrote its fixture with it, once
    "score-extraction",  # a script beside a checkout, ../shared; its test skips without it
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines}


def modules_of(path: Path) -> set[str]:
    """Top-level names of what a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def distributions_of(folder: Path) -> dict[str, Path]:
    """Third-party distributions that a folder imports, each with a file that does so."""
    provided = packages_distributions()
    found: dict[str, Path] = {}
    apart = [ROOT / other for other in EXTRAS if ROOT / other != folder]
    for path in folder.rglob("*.py"):
        if any(other in path.parents and folder in other.parents for other in apart):
            continue
        for module in modules_of(path) - OURS - SCRIPTS - sys.stdlib_module_names:
            candidates = {normal(name) for name in provided.get(module, [module])}
            found |= dict.fromkeys(candidates - UNDECLARED, path)
    return found


@pytest.mark.parametrize("folder", EXTRAS)
def test_what_a_folder_imports_is_declared_for_it(folder: str) -> None:
    imported = distributions_of(ROOT / folder)
    assert imported
    missing = {name: str(path.relative_to(ROOT)) for name, path in imported.items() if name not in declared(*EXTRAS[folder])}
    assert not missing


def test_what_is_declared_for_running_is_imported() -> None:
    imported = {name for folder in (*OURS, "training/tasks", "pipelines/lookup") for name in distributions_of(ROOT / folder)}
    # Prefect imports fastapi, which is held back for it; torch.utils.tensorboard imports tensorboard.
    assert declared("flows", "train") - imported == {"fastapi", "tensorboard"}


WORKER = """
import pkgutil, sys
from importlib import import_module
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(f"{{name}} is not installed on a worker")

sys.meta_path.insert(0, Refuse())
import pipelines
for module in pkgutil.walk_packages(pipelines.__path__, "pipelines."):
    import_module(module.name)

from pipelines.config import CorpusConfig
from pipelines.datasets import documents
from pipelines.units.context import Context

config = CorpusConfig.model_validate({{
    "corpus": {{"name": "worker"}},
    "sources": [{{"name": "novels", "kind": "books", "root": sys.argv[1], "snapshot": "1", "paths": ["*.txt"]}}],
    "language": {{"enabled": False}},
}})
print(documents.build(Context(config, sys.argv[2]), config.sources[0]).manifest.rows("documents"))
"""


def test_a_worker_needs_the_base_alone(tmp_path: Path) -> None:
    """It imports every module of pipelines and processes units where no library of an extra can be imported."""
    extras = {
        "lightgbm",
        "rapidfuzz",
        "prefect",
        "great_expectations",
        "fastapi",
        "pandas",
        "torch",
        "safetensors",
        "tensorboard",
        "datasketch",
        "kenlm",
    }
    program = [sys.executable, "-c", WORKER.format(blocked=extras), str(FIXTURES / "tiny" / "books"), str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
