"""The lists of `[exclude]`: ids, addresses and hosts, from the config and from files of millions of lines.

Lists from files are written once, to be mapped into the memory of every worker:

    models/takedown-0123456789ab.arrow      a record batch each for ids, urls and hosts: `hash`, ascending, and `name`

`pipelines/stages/exclusion/name_lists.py` says what a file holds and how names are compared.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import ExcludeSection
from pipelines.contract import files
from pipelines.stages.exclusion import name_lists
from pipelines.stages.exclusion.name_lists import (
    NO_HITS,
    NO_NAMES,
    WITHOUT_SCHEME,
    Hits,
    Names,
    TakedownError,
    compared_addresses,
    compared_hosts,
    hits,
    if_matching,
    joined,
    reading,
)

VERSION = name_lists.VERSION
KINDS = ("ids", "urls", "hosts")
SHOWN_UNMATCHED = 1000  # names of each kind in a manifest

_SCHEMA = pa.schema([("hash", pa.uint64()), ("name", pa.large_string())])
_LINES_AT_ONCE = 2**20
# A scheme, or a host with a dot, or at least one word; and no second address in the line.
_ADDRESS = rf"^(?:[A-Za-z][A-Za-z0-9+.-]*:.+|\S+)$|{WITHOUT_SCHEME}"
_SECOND_ADDRESS = r"\s(?i:https?)://"
_FIXES = {
    "ids": "is not a document id; write the 32 hexadecimal digits that `corpusmill explain` prints",
    "urls": "is not an address; write one a line, with its scheme, such as https://example.org/page",
    "hosts": "is not a host name; write it without scheme, port and path, such as example.org (an address belongs into urls)",
}
_HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)


@dataclass(frozen=True, slots=True)
class Takedown:
    """All lists."""

    by_kind: Mapping[str, Names]

    def of_ids(self) -> "Takedown":
        """Return the ids alone."""
        return Takedown({kind: names if kind == "ids" else NO_NAMES for kind, names in self.by_kind.items()})

    def find(self, documents: pa.RecordBatch) -> dict[str, Hits]:
        """Return which rows (with columns id, work and url) are named by which names, by kind.

        Hits of a row are in the order in which they count: its id before its work's, its host before the domain above.
        """
        return {
            "ids": self._by_id(documents),
            "urls": self._by_url(documents),
            "hosts": name_lists.by_host(self.by_kind["hosts"], documents["url"]),
        }

    def _by_id(self, documents: pa.RecordBatch) -> Hits:
        listed = self.by_kind["ids"]
        if not len(listed.hashes):
            return NO_HITS
        return joined(hits(listed.find(_digits(documents[name]))) for name in ("id", "work"))

    def _by_url(self, documents: pa.RecordBatch) -> Hits:
        listed = self.by_kind["urls"]
        return hits(listed.find(compared_addresses(documents["url"]))) if len(listed.hashes) else NO_HITS


# How names are compared


def _digits(ids: pa.Array) -> pa.Array:
    """Return ids, binary(16), in hexadecimal."""
    data = np.frombuffer(b"".join(ids.to_pylist()), np.uint8)
    buffers = [None, pa.py_buffer(np.arange(len(ids) + 1, dtype=np.int32) * 32), pa.py_buffer(_HEX[data])]
    return pa.Array.from_buffers(pa.string(), len(ids), buffers)


def _listed_ids(written: pa.Array) -> pa.Array:
    return if_matching(pc.ascii_lower(written), "^[0-9a-f]{32}$")


def _listed_urls(written: pa.Array) -> pa.Array:
    is_one = pc.and_(pc.match_substring_regex(written, _ADDRESS), pc.invert(pc.match_substring_regex(written, _SECOND_ADDRESS)))
    return pc.if_else(is_one, if_matching(compared_addresses(written), "."), pa.scalar(None, pa.string()))


_LISTED = {"ids": _listed_ids, "urls": _listed_urls, "hosts": compared_hosts}


# The lists


def has_files(section: ExcludeSection) -> bool:
    """Return whether any list is in a file."""
    return any(_files(section, kind) for kind in KINDS)


def settings(section: ExcludeSection) -> dict[str, Any]:
    """Return everything that determines the lists: the config's own, and the sha256 of the files."""
    return {
        kind: {
            "names": list(getattr(section, kind)),
            "files": sorted(reading(f"exclude.{kind}_files", path, files.sha256) for path in _files(section, kind)),
        }
        for kind in KINDS
    }


def collect(section: ExcludeSection) -> Takedown:
    """Return all lists. Raise TakedownError with the file and the line of a name that is none."""
    return Takedown({kind: name_lists.named(_of_kind(section, kind))[0] for kind in KINDS})


def store(section: ExcludeSection, folder: str) -> str:
    """Write the lists into a file of the folder, named by what determines them, unless it is there; return its URI."""
    return name_lists.store(folder, "takedown", [VERSION, settings(section)], lambda: _batches(collect(section)))


def _batches(lists: Takedown) -> list[pa.RecordBatch]:
    named = (lists.by_kind[kind] for kind in KINDS)
    return [pa.record_batch([pa.array(names.hashes), names.names], schema=_SCHEMA) for names in named]


def load(path: str) -> Takedown:
    """Map the lists of a local file into memory."""
    reader = pa.ipc.open_file(pa.memory_map(path))
    batches = {kind: reader.get_batch(number) for number, kind in enumerate(KINDS)}
    return Takedown({kind: Names(batch["hash"].to_numpy(), batch["name"]) for kind, batch in batches.items()})


def matched(lists: Takedown, documents: Iterable[pa.RecordBatch]) -> dict[str, dict[str, Any]]:
    """Return how many names of each kind name one of these documents (columns id, work, url), and those that name none."""
    used = {kind: np.zeros(len(lists.by_kind[kind].hashes), np.bool_) for kind in KINDS}
    for rows in documents:
        for kind, (_, places) in lists.find(rows).items():
            used[kind][places] = True
    return {kind: _counted(lists.by_kind[kind].names, flags) for kind, flags in used.items() if len(flags)}


def _counted(names: pa.Array, used: NDArray[np.bool_]) -> dict[str, Any]:
    unmatched = names.filter(pa.array(~used))
    first = pc.array_sort_indices(unmatched)[:SHOWN_UNMATCHED]
    return {"names": len(names), "matched": int(used.sum()), "unmatched": unmatched.take(first).to_pylist()}


def _files(section: ExcludeSection, kind: str) -> tuple[str, ...]:
    return getattr(section, f"{kind}_files")


def _of_kind(section: ExcludeSection, kind: str) -> Iterator[pa.Array]:
    """Yield the names of each list, as they are compared."""
    written = pa.array([name.strip() for name in getattr(section, kind)], pa.string())
    names = _LISTED[kind](written)
    if names.null_count:
        raise TakedownError(f"exclude.{kind}: {written[_first_null(names)].as_py()!r} {_FIXES[kind]}")
    yield names
    for path in _files(section, kind):
        lines, numbers = name_lists.lines(path, reading(f"exclude.{kind}_files", path, name_lists.content))
        for first in range(0, len(lines), _LINES_AT_ONCE):
            some = lines.slice(first, _LINES_AT_ONCE).cast(pa.string())
            names = _LISTED[kind](some)
            if names.null_count:
                bad = _first_null(names)
                place = f"exclude.{kind}_files: {path}:{numbers[first + bad]}"
                raise TakedownError(f"{place}: {some[bad].as_py()!r} {_FIXES[kind]}")
            yield names


def _first_null(names: pa.Array) -> int:
    return int(np.flatnonzero(pc.is_null(names).to_numpy(zero_copy_only=False))[0])
