"""`corpusmill completion SHELL`: a script that completes commands, options and files in bash, zsh or fish."""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

from flows.commands.arguments import Commands, need

SHELLS = ("bash", "zsh", "fish")
_DESCRIPTION = """\
print a script that completes commands, options and files. Load it once in each shell, or from its startup file:

  bash    eval "$(corpusmill completion bash)"
  zsh     corpusmill completion zsh > ~/.zfunc/_corpusmill    (with fpath+=~/.zfunc before compinit)
  fish    corpusmill completion fish > ~/.config/fish/completions/corpusmill.fish

It is written from this version's commands: write it again after an upgrade."""


def add_commands(commands: Commands, whole: Callable[[], argparse.ArgumentParser]) -> None:
    """Add `completion`; `whole` makes the parser of all commands."""
    completion = commands.add_parser(
        "completion",
        help="print a script that completes commands, options and files in a shell",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(run=partial(_completion, whole))


def _completion(whole: Callable[[], argparse.ArgumentParser], arguments: argparse.Namespace) -> int:
    need("shtab", "flows", "completion in a shell needs shtab")
    import shtab

    parser = whole()
    for action in _actions(parser):
        if _may_be_a_path(action):
            action.complete = shtab.FILE  # pyright: ignore[reportAttributeAccessIssue]
    print(shtab.complete(parser, arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments and options of a parser and of the commands below it."""
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage]
        yield action
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
            for below in cast("dict[str, argparse.ArgumentParser]", action.choices).values():
                yield from _actions(below)


def _may_be_a_path(action: argparse.Action) -> bool:
    """Return whether the value is any text: a number, a choice and an option without a value are no paths."""
    return action.nargs != 0 and action.choices is None and action.type is None
