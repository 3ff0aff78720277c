"""Commands that make models smaller: `compress`."""

import argparse

from flows.commands.arguments import Commands, need_torch
from training.arguments import add_compress


def add_commands(commands: Commands) -> None:
    """Add `compress`."""
    compress = commands.add_parser(
        "compress", help="store a model's weights in 8 or 4 bits or take out heads, and compare the two"
    )
    add_compress(compress)
    compress.set_defaults(run=_compress)


def _compress(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.compression.quantize import run

    return run(arguments)
