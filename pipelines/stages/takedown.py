"""The lists of `[exclude]`: ids, addresses and hosts, from the config and from files of millions of lines.

Names are brought into one form, hashed and sorted, so that a batch is compared with all of them in a few binary searches; a
hit is confirmed by the name itself. Lists from files are written once, to be mapped into the memory of every worker:

    models/takedown-0123456789ab.arrow      a record batch each for ids, urls and hosts: `hash`, ascending, and `name`

A file has one name a line, in UTF-8, plain or compressed (gzip, bzip2, xz, zstd). Blank lines count for nothing, nor does "#" at
the start of a line or after white space, with what follows it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import ExcludeSection
from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.storage.compressed import BrokenStreamError, pieces
from pipelines.text.copies import urls
from pipelines.text.copies.shingles import hashes

VERSION = f"2/urls-{urls.VERSION}"
KINDS = ("ids", "urls", "hosts")
SHOWN_UNMATCHED = 1000  # names of each kind in a manifest

_Value = TypeVar("_Value")

Hits = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows, and the places of names in their list; a row may have several

_SCHEMA = pa.schema([("hash", pa.uint64()), ("name", pa.large_string())])
_LINES_AT_ONCE = 2**20
_BOM = b"\xef\xbb\xbf"
# A scheme, a user and a password, then the host; then a port, a path or nothing. "//host/…" and "host/…" match as well.
_HOST = r"^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://)?(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^:/?#\s]+)"
_LABEL = r"(?:[a-z0-9_-]|[^\x00-\x7F\s])+"
_HOST_NAME = rf"^(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])$"
_USER = r"^((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)[^/?#@]*@"  # who asks for a page, not which
_WITHOUT_SCHEME = r"^(?://)?([^\s/?#:@]+\.[^\s/?#:@]+(?::[0-9]+)?(?:[/?#].*)?)$"
# A scheme, or a host with a dot, or at least one word; and no second address in the line.
_ADDRESS = rf"^(?:[A-Za-z][A-Za-z0-9+.-]*:.+|\S+)$|{_WITHOUT_SCHEME}"
_SECOND_ADDRESS = r"\s(?i:https?)://"
_FIXES = {
    "ids": "is not a document id; write the 32 hexadecimal digits that `corpusmill explain` prints",
    "urls": "is not an address; write one a line, with its scheme, such as https://example.org/page",
    "hosts": "is not a host name; write it without scheme, port and path, such as example.org (an address belongs into urls)",
}
_HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)


class TakedownError(UserError):
    """A list of `[exclude]` cannot be used; the message names the file and the line, or the field."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one kind, distinct."""

    hashes: NDArray[np.uint64]  # ascending
    names: pa.Array  # of large strings, in the same order

    def find(self, names: pa.Array) -> NDArray[np.int64]:
        """Return the place of each name in the list, or -1; null is in no list."""
        wanted = hashes(names)
        places = np.searchsorted(self.hashes, wanted)
        result = np.full(len(names), -1, np.int64)
        open_rows = np.arange(len(names))
        while len(open_rows):  # once, but for different names of one hash
            at = places[open_rows]
            inside = at < len(self.hashes)
            open_rows, at = open_rows[inside], at[inside]
            same_hash = self.hashes[at] == wanted[open_rows]
            open_rows, at = open_rows[same_hash], at[same_hash]
            equal = pc.equal(self.names.take(pa.array(at)), names.take(pa.array(open_rows)).cast(pa.large_string()))
            is_equal = pc.fill_null(equal, False).to_numpy(zero_copy_only=False)
            result[open_rows[is_equal]] = at[is_equal]
            open_rows = open_rows[~is_equal]
            places[open_rows] += 1
        return result


@dataclass(frozen=True, slots=True)
class Takedown:
    """All lists."""

    by_kind: Mapping[str, Names]

    def of_ids(self) -> "Takedown":
        """Return the ids alone."""
        return Takedown({kind: names if kind == "ids" else _NO_NAMES for kind, names in self.by_kind.items()})

    def find(self, documents: pa.RecordBatch) -> dict[str, Hits]:
        """Return which rows (with columns id, work and url) are named by which names, by kind.

        Hits of a row are in the order in which they count: its id before its work's, its host before the domain above.
        """
        return {"ids": self._by_id(documents), "urls": self._by_url(documents), "hosts": self._by_host(documents)}

    def _by_id(self, documents: pa.RecordBatch) -> Hits:
        listed = self.by_kind["ids"]
        if not len(listed.hashes):
            return _NONE
        return _joined(_hits(listed.find(_digits(documents[name]))) for name in ("id", "work"))

    def _by_url(self, documents: pa.RecordBatch) -> Hits:
        listed = self.by_kind["urls"]
        return _hits(listed.find(_addresses(documents["url"]))) if len(listed.hashes) else _NONE

    def _by_host(self, documents: pa.RecordBatch) -> Hits:
        listed = self.by_kind["hosts"]
        if not len(listed.hashes):
            return _NONE
        parts: Any = pc.extract_regex(documents["url"], _HOST)
        hosts = urls.ascii_hosts(pc.struct_field(parts, "host")).dictionary_encode()
        codes = pc.fill_null(hosts.indices, -1).to_numpy(zero_copy_only=False)
        return _joined(
            _hits(np.append(places, -1)[codes])  # -1, the last one, is that of rows without a host
            for places in _up_the_domains(listed, hosts.dictionary)
        )


def _up_the_domains(listed: Names, hosts: pa.Array) -> Iterator[NDArray[np.int64]]:
    """Yield the place of every host in the list, then of the domain above it, and so on up to the last label."""
    numbers, names = np.arange(len(hosts)), hosts  # of hosts that have labels left
    while True:
        places = np.full(len(hosts), -1, np.int64)
        places[numbers] = listed.find(names)
        yield places
        below = pc.match_substring(names, ".")
        numbers, names = numbers[below.to_numpy(zero_copy_only=False)], names.filter(below)
        if not len(numbers):
            return
        names = pc.replace_substring_regex(names, r"^[^.]*\.", "")


def _hits(places: NDArray[np.int64]) -> Hits:
    rows = np.flatnonzero(places >= 0)
    return rows, places[rows]


def _joined(hits: Iterable[Hits]) -> Hits:
    rows, places = zip(*hits, strict=True)
    return np.concatenate(rows), np.concatenate(places)


_NO_NAMES = Names(np.zeros(0, np.uint64), pa.array([], pa.large_string()))
_NONE: Hits = (np.zeros(0, np.int64), np.zeros(0, np.int64))


# How names are compared


def _digits(ids: pa.Array) -> pa.Array:
    """Return ids, binary(16), in hexadecimal."""
    data = np.frombuffer(b"".join(ids.to_pylist()), np.uint8)
    buffers = [None, pa.py_buffer(np.arange(len(ids) + 1, dtype=np.int32) * 32), pa.py_buffer(_HEX[data])]
    return pa.Array.from_buffers(pa.string(), len(ids), buffers)


def _addresses(addresses: pa.Array) -> pa.Array:
    """Return addresses in canonical form, without a user and an empty query; one that begins with a host is an http address."""
    trimmed = pc.replace_substring_regex(pc.utf8_trim_whitespace(addresses), _USER, r"\1")
    absolute = pc.replace_substring_regex(trimmed, _WITHOUT_SCHEME, r"http://\1")
    return urls.canonical(pc.replace_substring_regex(absolute, r"\?(#.*)?$", r"\1"))


def _listed_ids(written: pa.Array) -> pa.Array:
    return _if_matching(pc.ascii_lower(written), "^[0-9a-f]{32}$")


def _listed_urls(written: pa.Array) -> pa.Array:
    is_one = pc.and_(pc.match_substring_regex(written, _ADDRESS), pc.invert(pc.match_substring_regex(written, _SECOND_ADDRESS)))
    return pc.if_else(is_one, _if_matching(_addresses(written), "."), pa.scalar(None, pa.string()))


def _listed_hosts(written: pa.Array) -> pa.Array:
    return _if_matching(urls.ascii_hosts(pc.replace_substring_regex(written, r"^(?:\*?\.)", "")), _HOST_NAME)


def _if_matching(names: pa.Array, pattern: str) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(names, pattern), names, pa.scalar(None, names.type))


_LISTED = {"ids": _listed_ids, "urls": _listed_urls, "hosts": _listed_hosts}


# The lists


def has_files(section: ExcludeSection) -> bool:
    """Return whether any list is in a file."""
    return any(_files(section, kind) for kind in KINDS)


def settings(section: ExcludeSection) -> dict[str, Any]:
    """Return everything that determines the lists: the config's own, and the sha256 of the files."""
    return {
        kind: {
            "names": list(getattr(section, kind)),
            "files": sorted(_reading(kind, path, files.sha256) for path in _files(section, kind)),
        }
        for kind in KINDS
    }


def collect(section: ExcludeSection) -> Takedown:
    """Return all lists. Raise TakedownError with the file and the line of a name that is none."""
    return Takedown({kind: _names(_of_kind(section, kind)) for kind in KINDS})


def store(section: ExcludeSection, folder: str) -> str:
    """Write the lists into a file of the folder, named by what determines them, unless it is there; return its URI."""
    determined_by = json.dumps([VERSION, settings(section)], sort_keys=True)
    uri = files.join(folder, f"takedown-{hashlib.sha256(determined_by.encode()).hexdigest()[:12]}.arrow")
    if not files.exists(uri):
        lists = collect(section)
        with files.writing(uri) as out, pa.ipc.new_file(pa.PythonFile(out, mode="w"), _SCHEMA) as writer:
            for kind in KINDS:
                names = lists.by_kind[kind]
                writer.write_batch(pa.record_batch([pa.array(names.hashes), names.names], schema=_SCHEMA))
    return uri


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
        lines, numbers = _lines(path, _reading(kind, path, _content))
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


def _names(lists: Iterable[pa.Array]) -> Names:
    distinct = pa.chunked_array(list(lists), pa.string()).cast(pa.large_string()).unique()
    hashed = hashes(distinct)
    order = np.argsort(hashed, kind="stable")
    return Names(hashed[order], distinct.take(pa.array(order)))


def _lines(path: str, data: bytes) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the names in a file and their lines, counted from 1."""
    view = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(view == ord("\n")) + 1
    offsets = np.concatenate([[0], ends, [len(data)]]).astype(np.int64)
    offsets[0] = len(_BOM) if data.startswith(_BOM) else 0
    lines = pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        raise TakedownError(f"{path}:{_undecodable(data)}: the line is not UTF-8; save the list as UTF-8") from None
    commented = pc.match_substring(lines, "#")
    rest = pc.replace_substring_regex(lines.filter(commented), r"(?:^|\s)#.*", "")
    names = pc.utf8_trim_whitespace(pc.replace_with_mask(lines, commented, rest))
    filled = pc.not_equal(names, "")
    return names.filter(filled), np.flatnonzero(filled.to_numpy(zero_copy_only=False)) + 1


def _undecodable(data: bytes) -> int:
    """Return the number of the first line that is not UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1
    raise AssertionError("the lines are UTF-8")


def _content(path: str) -> bytes:
    with files.reading(path) as stream:
        try:
            return b"".join(pieces(stream.read))
        except BrokenStreamError as error:
            raise TakedownError(f"{path}: breaks off or is damaged ({error}); fetch it again") from None


def _reading(kind: str, path: str, read: Callable[[str], _Value]) -> _Value:
    try:
        return read(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise TakedownError(f"exclude.{kind}_files: {path}: {reason}; correct the path in the config") from None
