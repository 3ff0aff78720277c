"""The tables of commands: each module that one names is there and has a `run`, and none is imported for the help."""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from flows.commands import asking, evaluation, small, training
from flows.commands.arguments import Command

NAMED = [
    command for subject in (training, asking, small, evaluation) for command in subject._COMMANDS if isinstance(command.run, str)
]


@pytest.mark.parametrize("command", NAMED, ids=lambda command: command.name)
def test_the_module_of_a_command_has_a_run_that_takes_the_arguments(command: Command) -> None:
    assert isinstance(command.run, str)
    found = find_spec(command.run)
    assert found is not None and found.origin is not None, command.run
    functions = [node for node in ast.parse(Path(found.origin).read_text()).body if isinstance(node, ast.FunctionDef)]
    (run,) = [node for node in functions if node.name == "run"]
    assert len(run.args.args) - len(run.args.defaults) == 1 and ast.unparse(run.returns or run.args) == "int"


def test_help_imports_no_heavy_package() -> None:
    program = "import sys; from flows.commands.main import _parser; _parser().format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    heavy = {"torch", "numpy", "pyarrow", "pydantic", "rich", "prefect", "optuna", "great_expectations"}
    assert not imported & {*heavy, *(command.run for command in NAMED)}
