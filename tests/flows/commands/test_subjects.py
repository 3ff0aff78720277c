"""The help lists each command once, below a subject; its example is a command line that the parser accepts."""

import argparse
import re
import shlex

import pytest

from flows.commands.main import _parser
from flows.commands.subjects import SUBJECTS

EXAMPLES = {name: example for examples in SUBJECTS.values() for name, example in examples.items()}


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = [action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(action.choices)


def test_each_command_stands_once_below_a_subject() -> None:
    assert sorted(name for examples in SUBJECTS.values() for name in examples) == sorted(commands())
    text = _parser().format_help()
    assert re.findall(r"^  ([a-z][a-z ]+):$", text, re.MULTILINE) == list(SUBJECTS)
    listed = re.findall(r"^    ([a-z][a-z-]+)(?:  |$)", text, re.MULTILINE)
    assert listed == list(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_line_of_its_commands_help_that_the_parser_accepts(name: str) -> None:
    example = EXAMPLES[name]
    words = shlex.split(example.removeprefix('eval "$(').removesuffix(')"'))
    assert words[:2] == ["corpusmill", name]
    _parser().parse_args(words[1:])
    assert name == "completion" or f"\nexample: {example}\n" in commands()[name].format_help()
