"""`corpusmill --version`: the versions that decide what a build or a training writes."""

import argparse
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

PACKAGES = (  # of each extra; those that are not installed are left out
    *("apache-beam", "pyarrow", "numpy", "numba", "fasttext-community", "sentencepiece", "tokenizers"),
    *("great-expectations", "prefect", "torch", "transformers"),
)


def versions() -> list[str]:
    """Return a line for the program, for Python and for each of PACKAGES that is installed; nothing is imported."""
    lines = [f"corpusmill {metadata.version('corpusmill')}", f"Python {platform.python_version()}, {platform.platform()}"]
    for name in PACKAGES:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return lines


class ShowVersions(argparse.Action):
    """Prints the versions and ends the program; unlike argparse's own action, it looks them up only then."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print them."""
        print("\n".join(versions()))
        parser.exit()
