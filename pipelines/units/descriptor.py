"""A unit of input, the element that Beam distributes. Its name is derived from its content, never from its position."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Unit(BaseModel):
    """A file, a range of a file, or a group of upstream parts, which one worker turns into parts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str  # unique in its dataset, safe in file names
    source: str
    uri: str  # relative to `root`: it goes into names, origins and fingerprints
    root: str  # its place on this machine; not part of names and fingerprints
    bytes: int  # stored size, to balance the work
    identity: str  # content hash or etag
    paths: tuple[str, ...] = ()  # upstream parts (relative to `root`), for units that group them
    parameters: dict[str, Any] = Field(default_factory=dict)  # e.g. the byte range


def unit_name(uri: str, *qualifiers: object) -> str:
    """Return a readable, collision-free name.

    >>> unit_name("en/Emma (1815).txt")
    'Emma-1815-.txt-7f9e8732b826'
    """
    whole = "\0".join([uri, *map(str, qualifiers)])
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", uri.rsplit("/", 1)[-1]).strip("-.")[:48]
    return f"{stem}-{hashlib.blake2b(whole.encode(), digest_size=6).hexdigest()}"


def grouped(source: str, root: str, identity: str, items: Sequence[tuple[str, int]], bytes_per_unit: int) -> list[Unit]:
    """Return units of neighbouring items, each of about `bytes_per_unit`; `items` are (path, bytes), sorted by path.

    The groups depend only on the items, which may be empty. `identity` is that of the dataset with the items.
    """
    groups: list[list[tuple[str, int]]] = []
    filled = 0
    for path, size in items:
        if not groups or (filled and filled + size > bytes_per_unit):
            groups.append([])
            filled = 0
        groups[-1].append((path, size))
        filled += size
    return [
        Unit(
            name=unit_name(f"{source}/{group[0][0]}", *(path for path, _ in group)),
            source=source,
            uri=group[0][0],
            root=root,
            bytes=sum(size for _, size in group),
            identity=identity,
            paths=tuple(path for path, _ in group),
        )
        for group in groups
    ]
