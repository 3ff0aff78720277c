"""The command line as a separate process of this installation."""

import sys


def corpusmill(*words: str) -> list[str]:
    """Return the command `corpusmill WORDS`. No folder named like one of our packages in the current folder shadows it (-P)."""
    return [sys.executable, "-P", "-m", "flows.commands.main", *words]
