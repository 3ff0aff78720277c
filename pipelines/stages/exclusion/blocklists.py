"""Block lists of hosts and addresses, in the form of the University of Toulouse (UT1) and of squidGuard.

A category is a folder with up to three files, plain or compressed (`domains.gz`; also bz2, xz, zst):

    blacklists/adult/domains        host names; each also names its subdomains
    blacklists/adult/urls           host and beginning of a path, without a scheme: "example.org/~mill" also names
                                    "https://www.example.org/~mill/wheel?page=2", but not "example.org/~miller"
    blacklists/adult/expressions    regular expressions (RE2), searched in the address in lower case and without its scheme

The lists are written once, to be mapped into the memory of every worker: `models/blocked-0123456789ab.arrow`, a record batch each
for domains and addresses (`hash`, ascending, `name`, and the number of the `category`), categories and expressions in its
metadata.

Limits: published lists have a few lines that are no names (of four million); they are passed over, but a file in which more than
one line of twenty is none is refused. Only the first 64 parts of an address are compared.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import ExcludeSection
from pipelines.contract import files
from pipelines.contract.batch import Batch, sift
from pipelines.contract.reasons import DropReason
from pipelines.stages.base import ForUnit, Model, Stage, for_every_unit
from pipelines.stages.exclusion import name_lists
from pipelines.stages.exclusion.name_lists import Hits, Names, TakedownError, compared_addresses, reading

VERSION = f"1/names-{name_lists.VERSION}"
NAME = "blocklists"
SETTING = "exclude.block_lists"

_FILES = ("domains", "urls", "expressions")
_ENDINGS = ("", ".gz", ".bz2", ".xz", ".zst")
_SCHEMA = pa.schema([("hash", pa.uint64()), ("name", pa.large_string()), ("category", pa.uint16())])
_UNUSABLE_SHARE_LIMIT = 0.05
_FIRST_PARTS = r"^(?P<parts>[^/?&]*(?:[/?&][^/?&]*){0,63})"
_LAST_PART = r"[/?&][^/?&]*$"
_WHAT = {"domains": "host names", "urls": "addresses without a scheme, such as example.org/path"}


@dataclass(frozen=True, slots=True)
class Listed:
    """The names in the files of one kind, and the number of each one's category."""

    names: Names
    categories: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class BlockLists:
    """All categories."""

    categories: Sequence[str]  # in the order of the config; a name in two of them counts for the first
    domains: Listed
    urls: Listed
    expressions: Sequence[tuple[int, str]]  # the number of a category, and the expression

    def find(self, addresses: pa.Array) -> dict[int, str]:
        """Return what blocks an address, by row: "adult: host example.org", "adult: url …" or "adult: expression …"."""
        compared = compared_addresses(addresses)
        found: dict[int, str] = {}
        for row, number, pattern in self._by_expression(compared):
            found.setdefault(row, f"{self.categories[number]}: expression {pattern}")
        for listed, shown, (rows, places) in (
            (self.urls, "url", _by_beginning(self.urls.names, compared)),
            (self.domains, "host", name_lists.by_host(self.domains.names, addresses)),
        ):
            names = listed.names.names.take(pa.array(places)).to_pylist()
            numbers = listed.categories[places].tolist()
            hits = zip(rows.tolist(), numbers, names, strict=True)
            # Backwards: the first hit of a row counts, and a host before an address before an expression.
            found |= {row: f"{self.categories[number]}: {shown} {name}" for row, number, name in reversed(list(hits))}
        return found

    def _by_expression(self, compared: pa.Array) -> Iterator[tuple[int, int, str]]:
        for number, pattern in self.expressions:
            matches = pc.fill_null(pc.match_substring_regex(compared, pattern, ignore_case=True), False)
            for row in np.flatnonzero(matches.to_numpy(zero_copy_only=False)).tolist():
                yield row, number, pattern


def _by_beginning(listed: Names, compared: pa.Array) -> Hits:
    """Return which addresses are listed, or begin with a listed one and a "/", "?" or "&": the longest such name first."""
    if not len(listed.hashes):
        return name_lists.NO_HITS
    parts: Any = pc.extract_regex(compared, _FIRST_PARTS)
    names: pa.Array = pc.struct_field(parts, "parts")
    numbers, hits = np.arange(len(names)), []  # of addresses that have parts left
    while len(numbers):
        rows, places = name_lists.hits(listed.find(names))
        hits.append((numbers[rows], places))
        more = pc.fill_null(pc.match_substring_regex(names, "[/?&]"), False)
        numbers, names = numbers[more.to_numpy(zero_copy_only=False)], names.filter(more)
        names = pc.replace_substring_regex(names, _LAST_PART, "")
    return name_lists.joined(hits) if hits else name_lists.NO_HITS


# The stage


def stage(section: ExcludeSection, stored: Model | None = None) -> Stage:
    """Sift BLOCKED; the detail names the category and what matched, such as "adult: host example.org".

    `stored` is the file of `store`: workers map it; without it, they read the lists again.
    """
    return Stage({NAME: VERSION}, partial(_open, section, stored), {NAME: settings(section)}, runs=bool(section.block_lists))


def _open(section: ExcludeSection, stored: Model | None) -> ForUnit:
    return for_every_unit(partial(_run, collect(section) if stored is None else load(stored.local())))


def _run(lists: BlockLists, batch: Batch) -> Batch:
    found = lists.find(batch.documents["url"])
    details = pa.array([found.get(row) for row in range(batch.documents.num_rows)], pa.string())
    reasons = pc.if_else(pc.is_valid(details), DropReason.BLOCKED.value, pa.scalar(None, pa.string()))
    return sift(batch, NAME, reasons, details)


# The lists


def settings(section: ExcludeSection) -> list[dict[str, str]]:
    """Return everything that determines the lists: the name of each category, and the sha256 of its files."""
    return [
        {"category": _category(folder), **{kind: reading(SETTING, path, files.sha256) for kind, path in _paths(folder).items()}}
        for folder in section.block_lists
    ]


def collect(section: ExcludeSection) -> BlockLists:
    """Return all lists. Raise TakedownError with the folder, or the file and the line, that cannot be used."""
    paths = [_paths(folder) for folder in section.block_lists]
    return BlockLists(
        [_category(folder) for folder in section.block_lists],
        _listed("domains", paths),
        _listed("urls", paths),
        [(number, pattern) for number, some in enumerate(paths) for pattern in _expressions(some.get("expressions"))],
    )


def store(section: ExcludeSection, folder: str) -> str:
    """Write the lists into a file of the folder, named by what determines them, unless it is there; return its URI."""
    return name_lists.store(folder, "blocked", [VERSION, settings(section)], lambda: _batches(collect(section)))


def _batches(lists: BlockLists) -> list[pa.RecordBatch]:
    metadata = {"categories": json.dumps(lists.categories), "expressions": json.dumps(lists.expressions)}
    schema = _SCHEMA.with_metadata(metadata)
    return [
        pa.record_batch([pa.array(listed.names.hashes), listed.names.names, pa.array(listed.categories)], schema=schema)
        for listed in (lists.domains, lists.urls)
    ]


def load(path: str) -> BlockLists:
    """Map the lists of a local file into memory."""
    reader = pa.ipc.open_file(pa.memory_map(path))
    metadata = {key.decode(): json.loads(value) for key, value in reader.schema.metadata.items()}
    domains, urls = (
        Listed(Names(batch["hash"].to_numpy(), batch["name"]), batch["category"].to_numpy())
        for batch in (reader.get_batch(0), reader.get_batch(1))
    )
    return BlockLists(metadata["categories"], domains, urls, [(number, pattern) for number, pattern in metadata["expressions"]])


def _category(folder: str) -> str:
    return folder.rstrip("/").rsplit("/", 1)[-1]


def _paths(folder: str) -> dict[str, str]:
    """Return the files of a category by kind."""
    paths: dict[str, str] = {}
    for kind in _FILES:
        there = [uri for uri in (files.join(folder, f"{kind}{ending}") for ending in _ENDINGS) if files.exists(uri)]
        if len(there) > 1:
            raise TakedownError(f"{SETTING}: {there[0]} and {there[1]} hold the same list; remove one")
        if there:
            paths[kind] = there[0]
    if paths:
        return paths
    if not files.exists(folder):
        raise TakedownError(f"{SETTING}: {folder}: No such folder; correct the path in the config")
    raise TakedownError(
        f"{SETTING}: {folder}: has no file domains, urls or expressions; name the folder of a category,"
        f" such as {files.join(folder, 'adult')}"
    )


def _listed(kind: str, paths: Sequence[Mapping[str, str]]) -> Listed:
    """Return the names of all categories, each with the first category that has it."""
    lists = [_names(kind, some[kind]) if kind in some else pa.array([], pa.string()) for some in paths]
    names, first = name_lists.named(lists)
    ends = np.cumsum([len(part) for part in lists])
    return Listed(names, np.searchsorted(ends, first, side="right").astype(np.uint16))


def _names(kind: str, path: str) -> pa.Array:
    """Return the names in a file, as they are compared."""
    content = reading(SETTING, path, name_lists.content).decode("utf-8", "replace").encode()
    lines, numbers = name_lists.lines(path, content)
    written = lines.cast(pa.string())
    compared = name_lists.compared_hosts(written) if kind == "domains" else _beginnings(written)
    if compared.null_count > _UNUSABLE_SHARE_LIMIT * len(compared):
        bad = int(np.flatnonzero(pc.is_null(compared).to_numpy(zero_copy_only=False))[0])
        raise TakedownError(
            f"{SETTING}: {path}:{numbers[bad]}: {written[bad].as_py()!r} and {compared.null_count - 1:,} other lines of"
            f" {len(compared):,} are not {_WHAT[kind]}; remove the file or fetch it again"
        )
    return compared.drop_null()


def _beginnings(written: pa.Array) -> pa.Array:
    return name_lists.if_matching(compared_addresses(name_lists.if_matching(written, name_lists.WITHOUT_SCHEME)), ".")


def _expressions(path: str | None) -> list[str]:
    if path is None:
        return []
    content = reading(SETTING, path, name_lists.content).decode("utf-8", "replace")
    patterns = [(number, line.strip()) for number, line in enumerate(content.splitlines(), 1)]
    for number, pattern in patterns:
        try:
            pc.match_substring_regex(pa.array([""]), pattern)
        except pa.ArrowInvalid as error:
            raise TakedownError(f"{SETTING}: {path}:{number}: {pattern!r} is no regular expression ({error})") from None
    return [pattern for _, pattern in patterns if pattern and not pattern.startswith("#")]
