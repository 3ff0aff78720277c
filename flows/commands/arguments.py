"""What the commands share: types of arguments, and the check that an extra is installed."""

import argparse
import importlib.util
import os
from typing import TypeAlias

from pipelines.contract.errors import UserError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]


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
