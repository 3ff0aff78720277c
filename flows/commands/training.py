"""Commands that train a model and use it: `pretrain`, `compare`, `generate`."""

import argparse

from flows.commands.arguments import Commands, need_torch
from training.arguments import add_compare, add_generate, add_pretrain


def add_commands(commands: Commands) -> None:
    """Add `pretrain`, `compare` and `generate`."""
    pretrain = commands.add_parser("pretrain", help="pretrain a model on token shards")
    add_pretrain(pretrain)
    pretrain.set_defaults(run=_pretrain)

    compare = commands.add_parser("compare", help="pretrain several models on the same number of bytes and compare them")
    add_compare(compare)
    compare.set_defaults(run=_compare)

    generate = commands.add_parser("generate", help="let a model continue a text, fill its masks or restore it")
    add_generate(generate)
    generate.set_defaults(run=_generate)


def _pretrain(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.run.pretrain import run

    return run(arguments)


def _compare(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.evaluation.compare import run

    return run(arguments)


def _generate(arguments: argparse.Namespace) -> int:
    need_torch()
    from training.generation.answers import run

    return run(arguments)
