"""A unit of input: the element that Beam distributes. Its name is a function of what it is, never an ordinal."""

import hashlib
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Unit(BaseModel):
    """A file, a range of a file, or a group of upstream parts that one worker turns into parts of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str  # unique in its dataset, safe in file names
    source: str
    uri: str  # relative to `root`: it goes into names, origins and fingerprints
    root: str  # where this machine finds it; part of no name and no fingerprint
    bytes: int  # stored size, to balance the work
    identity: str  # content hash or etag
    paths: tuple[str, ...] = ()  # upstream parts (relative to `root`), for units that group them
    parameters: dict[str, Any] = Field(default_factory=dict)  # e.g. the byte range


def unit_name(uri: str, *qualifiers: object) -> str:
    """A readable, collision-free name.

    >>> unit_name("en/Emma (1815).txt")
    'Emma-1815-.txt-7f9e8732b826'
    """
    whole = "\0".join([uri, *map(str, qualifiers)])
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", uri.rsplit("/", 1)[-1]).strip("-.")[:48]
    return f"{stem}-{hashlib.blake2b(whole.encode(), digest_size=6).hexdigest()}"
