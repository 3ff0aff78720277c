"""`corpusmill deployments`: serve the Prefect deployments."""

import argparse

from flows.commands.arguments import Commands, need


def add_commands(commands: Commands) -> None:
    """Add `deployments`."""
    deployments = commands.add_parser("deployments", help="serve the Prefect deployments of prefect.yaml from this machine")
    deployments.set_defaults(run=_serve)


def _serve(_arguments: argparse.Namespace) -> int:
    need("prefect", "flows", "deployments need Prefect")
    from flows.deployments.serve import run

    return run()
