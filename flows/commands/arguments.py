"""What the commands share: the table of a subject, types of arguments, and the check that an extra is installed."""

import argparse
import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import NamedTuple, TypeAlias

from pipelines.contract.errors import UserError

KINDS = ("page", "common_crawl", "wikipedia", "books", "records")  # of any_file, which takes a second to import
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]


class Command(NamedTuple):
    """A row of a table of commands."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: str | Callable[[argparse.Namespace], int]
    """A function; or a module that needs PyTorch, imported when the command runs: its `run` takes the arguments."""


def add_all(commands: Commands, table: Sequence[Command]) -> None:
    """Add the commands of a table."""
    for command in table:
        parser = commands.add_parser(command.name, help=command.help)
        command.add_arguments(parser)
        parser.set_defaults(run=partial(_run, command.run) if isinstance(command.run, str) else command.run)


def _run(module: str, arguments: argparse.Namespace) -> int:
    need_torch()
    return int(import_module(module).run(arguments))


class MissingExtraError(UserError):
    """The command needs packages that are not installed; the message names the extra of corpusmill that has them."""


def positive(text: str) -> int:
    """Parse a number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def output(out: str) -> str:
    """Return an output folder's URI as it is, or the absolute path of a local one."""
    from pipelines.contract import files

    out = files.plain(out)
    return out if "://" in out else os.path.abspath(out)


def need(package: str, extra: str, what: str) -> None:
    """Raise MissingExtraError if the package is not installed."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"{what}: install corpusmill with its extra `{extra}`")


def need_torch() -> None:
    """Raise MissingExtraError without PyTorch."""
    need("torch", "train", "models need PyTorch")
