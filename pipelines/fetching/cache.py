"""The folder in which downloads are kept from build to build."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache folder: $CORPUSMILL_CACHE, else $XDG_CACHE_HOME/corpusmill, else ~/.cache/corpusmill."""
    if own := os.environ.get("CORPUSMILL_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "corpusmill"
