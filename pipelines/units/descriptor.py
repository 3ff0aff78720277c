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
    made_from: dict[str, str] = Field(default_factory=dict)  # as in the sidecar; a unit without it is made for its dataset alone


_LONGEST_GROUP = 4  # times the wanted bytes


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

    A group ends after an item whose path says so, so that an item more or less changes its own group and at most the one before.
    `identity` is that of the dataset with the items. There may be none.
    """
    groups: list[list[tuple[str, int]]] = []
    filled, is_open = 0, False
    for path, size in items:
        if not is_open or filled + size > _LONGEST_GROUP * bytes_per_unit:
            groups.append([])
            filled = 0
        groups[-1].append((path, size))
        filled += size
        is_open = not ends_group(path, size / bytes_per_unit)
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


def ends_group(path: str, share: float) -> bool:
    """Return whether a group ends after this item; the chance is its share of a group, so that the average group is full."""
    draw = int.from_bytes(hashlib.blake2b(path.encode(), digest_size=6).digest(), "big")
    return draw < share * 2**48
