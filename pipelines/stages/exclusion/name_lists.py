"""Lists of names, as `[exclude]` has them: read from files, in the form in which they are compared, hashed, and found.

Names are brought into one form, hashed and sorted, so that a batch is compared with all of them in a few binary searches; a
hit is confirmed by the name itself.

A file has one name a line, in UTF-8, plain or compressed (gzip, bzip2, xz, zstd). Blank lines count for nothing, nor does "#" at
the start of a line or after white space, with what follows it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.storage.compressed import BrokenStreamError, pieces
from pipelines.text.copies import urls
from pipelines.text.copies.shingles import hashes

VERSION = f"2/urls-{urls.VERSION}"

_Value = TypeVar("_Value")

Hits = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows, and the places of names in their list; a row may have several

_BOM = b"\xef\xbb\xbf"
# A scheme, a user and a password, then the host; then a port, a path or nothing. "//host/…" and "host/…" match as well.
_HOST = r"^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://)?(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^:/?#\s]+)"
_LABEL = r"(?:[a-z0-9_-]|[^\x00-\x7F\s])+"
_HOST_NAME = rf"^(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])$"
_USER = r"^((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)[^/?#@]*@"  # who fetches a page, not which
WITHOUT_SCHEME = r"^(?://)?([^\s/?#:@]+\.[^\s/?#:@]+(?::[0-9]+)?(?:[/?#].*)?)$"


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


def by_host(listed: Names, addresses: pa.Array) -> Hits:
    """Return which addresses have a host that is listed or below a listed domain; a host before the domain above it."""
    if not len(listed.hashes):
        return NO_HITS
    parts: Any = pc.extract_regex(addresses, _HOST)
    hosts = urls.ascii_hosts(pc.struct_field(parts, "host")).dictionary_encode()
    codes = pc.fill_null(hosts.indices, -1).to_numpy(zero_copy_only=False)
    return joined(
        hits(np.append(places, -1)[codes])  # -1, the last one, is that of rows without a host
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


def hits(places: NDArray[np.int64]) -> Hits:
    """Return the rows that have a place in a list, and the places."""
    rows = np.flatnonzero(places >= 0)
    return rows, places[rows]


def joined(parts: Iterable[Hits]) -> Hits:
    """Return all hits, in order."""
    rows, places = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(places)


NO_NAMES = Names(np.zeros(0, np.uint64), pa.array([], pa.large_string()))
NO_HITS: Hits = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def compared_addresses(written: pa.Array) -> pa.Array:
    """Return addresses in canonical form, without a user and an empty query; one that begins with a host is an http address."""
    trimmed = pc.replace_substring_regex(pc.utf8_trim_whitespace(written), _USER, r"\1")
    absolute = pc.replace_substring_regex(trimmed, WITHOUT_SCHEME, r"http://\1")
    return urls.canonical(pc.replace_substring_regex(absolute, r"\?(#.*)?$", r"\1"))


def compared_hosts(written: pa.Array) -> pa.Array:
    """Return host names in lower case and Punycode, without "*." or "." before them; null for what is no host name."""
    return if_matching(urls.ascii_hosts(pc.replace_substring_regex(written, r"^(?:\*?\.)", "")), _HOST_NAME)


def if_matching(names: pa.Array, pattern: str) -> pa.Array:
    """Return the names that match; null for the others."""
    return pc.if_else(pc.match_substring_regex(names, pattern), names, pa.scalar(None, names.type))


def lines(path: str, data: bytes) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the names in the content of a file and their lines, counted from 1. Raise TakedownError if it is not UTF-8."""
    view = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(view == ord("\n")) + 1
    offsets = np.concatenate([[0], ends, [len(data)]]).astype(np.int64)
    offsets[0] = len(_BOM) if data.startswith(_BOM) else 0
    stored = pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    try:
        stored.validate(full=True)
    except pa.ArrowInvalid:
        raise TakedownError(f"{path}:{_undecodable(data)}: the line is not UTF-8; save the list as UTF-8") from None
    commented = pc.match_substring(stored, "#")
    rest = pc.replace_substring_regex(stored.filter(commented), r"(?:^|\s)#.*", "")
    names = pc.utf8_trim_whitespace(pc.replace_with_mask(stored, commented, rest))
    filled = pc.not_equal(names, "")
    return names.filter(filled), np.flatnonzero(filled.to_numpy(zero_copy_only=False)) + 1


def _undecodable(data: bytes) -> int:
    """Return the number of the first line that is not UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1
    raise AssertionError("the lines are UTF-8")


def content(path: str) -> bytes:
    """Return a file's content, decompressed. Raise TakedownError if it is damaged."""
    with files.reading(path) as stream:
        try:
            return b"".join(pieces(stream.read))
        except BrokenStreamError as error:
            raise TakedownError(f"{path}: breaks off or is damaged ({error}); fetch it again") from None


def reading(setting: str, path: str, read: Callable[[str], _Value]) -> _Value:
    """Return what `read` makes of a file. Raise TakedownError with the setting if the file cannot be read."""
    try:
        return read(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise TakedownError(f"{setting}: {path}: {reason}; correct the path in the config") from None


def store(folder: str, prefix: str, determined_by: object, batches: Callable[[], Sequence[pa.RecordBatch]]) -> str:
    """Write lists into a file of the folder, named by what determines them, unless it is there; return its URI."""
    digest = hashlib.sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()[:12]
    uri = files.join(folder, f"{prefix}-{digest}.arrow")
    if not files.exists(uri):
        made = batches()
        with files.writing(uri) as out, pa.ipc.new_file(pa.PythonFile(out, mode="w"), made[0].schema) as writer:
            for batch in made:
                writer.write_batch(batch)
    return uri


def named(lists: Iterable[pa.Array]) -> tuple[Names, NDArray[np.int64]]:
    """Return the distinct names of several arrays, and the first place of each in all of them together."""
    encoded = pa.chunked_array(list(lists), pa.string()).cast(pa.large_string()).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    distinct = encoded.dictionary
    first = np.unique(encoded.indices.to_numpy(), return_index=True)[1]
    hashed = hashes(distinct)
    order = np.argsort(hashed, kind="stable")
    return Names(hashed[order], distinct.take(pa.array(order))), first[order]
