"""Finds a document in a published build: where it lies, what became of it, which one it is a copy of.

Only the columns that are asked for are read of each part, a row group at a time, then the one row group that holds the row:
no text is read before its place is known.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import Manifest
from pipelines.contract.schema import CLUSTERS, is_validation
from pipelines.release import published_folders, read_release
from pipelines.text.copies import urls
from pipelines.units.spill import id_pairs

MIN_DIGITS = 6  # of an id's prefix: 1 in 16 million
PLACES = 1000  # of one key that are remembered; more are counted
_TEXT_CHANGES_AFTER = ("repeats", "decontaminate")  # stages of the corpus that cut text


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row lies."""

    dataset: str
    table: str
    uri: str  # of the part
    group: int  # row group of the part
    index: int  # row of the row group
    row: int  # row of the part


@dataclass(frozen=True, slots=True)
class Document:
    """A row of documents or of drops, wherever it lies; ids are hexadecimal."""

    place: Place
    columns: Mapping[str, Any]  # of schema.DOCUMENTS or DROPS

    @property
    def id(self) -> str:
        """The document's id."""
        return str(self.columns["id"])

    @property
    def is_dropped(self) -> bool:
        """Whether it is a row of drops."""
        return self.place.table == "drops"

    @property
    def text(self) -> str:
        """Its text, as it was when it was published or dropped."""
        return str(self.columns["text"])


@dataclass(slots=True)
class Match:
    """What is known of one key."""

    key: str
    how: str = ""  # "id", "work", "url", "origin", …: what the key is
    places: list[Place] = field(default_factory=list[Place])
    ids: list[str] = field(default_factory=list[str])  # of the places
    count: int = 0  # places, those that are not remembered included
    near: list[str] = field(default_factory=list[str])  # ids beside an id that is not there


@dataclass(frozen=True, slots=True)
class Removal:
    """A row of clusters; ids are hexadecimal."""

    id: str
    cluster: str
    survivor: str
    similarity: float
    grain: str
    corpus: str | None
    others: int = 0  # further documents that were removed from the same cluster


class Build:
    """A published build, to be searched."""

    def __init__(self, out: str) -> None:
        """Read the release and its manifests. Raises OutputError when nothing is published there."""
        self.out = out
        self.name = str(read_release(out)["corpus_name"])
        self._folders = published_folders(out)
        self._manifests: dict[str, Manifest] = {}

    def manifest(self, dataset: str) -> Manifest | None:
        """The manifest of a dataset of the release; None when it is not in it."""
        if dataset not in self._folders:
            return None
        if dataset not in self._manifests:
            self._manifests[dataset] = manifest.read(self._folders[dataset])
        return self._manifests[dataset]

    def parts(self, dataset: str, table: str) -> list[tuple[str, str, str]]:
        """Dataset, table and URI of each part of a table; none when the dataset is not in the release."""
        made = self.manifest(dataset)
        return [(dataset, table, files.join(self._folders[dataset], part.path)) for part in made.of(table)] if made else []

    def everything(self) -> list[tuple[str, str, str]]:
        """The parts that hold every document once: the corpus with all drops, and what the token shards dropped."""
        tokens = [name for name in self._folders if name.startswith("tokens/")]
        shards = [part for name in tokens for part in self.parts(name, "drops")]
        return [*self.parts("corpus", "documents"), *self.parts("corpus", "drops"), *shards]

    def find(self, keys: Sequence[str]) -> list[Match]:
        """Each key among the documents and drops: an id or work (hexadecimal, or a unique prefix), a URL, an origin.

        Raises ValueError for an id of fewer than MIN_DIGITS digits.
        """
        searches = [_search(key) for key in keys]
        for level in range(max(len(search.levels) for search in searches)):
            pending = [search for search in searches if search.is_open(level)]
            columns = sorted({"id", *(_COLUMNS[how] for search in pending for how in search.levels[level])})
            for place, rows in _scan_all(self.everything() if pending else (), columns):
                for search in pending:
                    search.offer(level, place, rows)
        return [search.match() for search in searches]

    def by_id(self, ids: Iterable[str]) -> dict[str, Place]:
        """The places of whole ids, those in the corpus before those among the drops; what is not there is left out."""
        return by_id(self.everything(), ids)

    def removals(self, *, removed: Iterable[str] = (), survivors: Iterable[str] = ()) -> list[Removal]:
        """The rows of clusters of removed documents, and of all that were removed for some survivors, most similar first."""
        parts = self.parts("clusters", "clusters")
        wanted, kept = _binary(removed), _binary(survivors)
        rows: list[dict[str, Any]] = []
        for _, batch in _scan_all(parts, CLUSTERS.names):
            mask = pc.or_(pc.is_in(batch["id"], value_set=wanted), pc.is_in(batch["survivor"], value_set=kept))
            rows += pa.Table.from_batches([batch]).filter(mask).to_pylist()
        clusters = pa.array({row["cluster"] for row in rows}, pa.binary(16))
        sizes: Counter[bytes] = Counter()
        for _, batch in _scan_all(parts if rows else (), ["cluster"]):
            chosen = batch["cluster"].filter(pc.is_in(batch["cluster"], value_set=clusters))
            sizes.update({entry["values"]: entry["counts"] for entry in pc.value_counts(chosen).to_pylist()})
        return sorted((_removal(row, sizes[row["cluster"]]) for row in rows), key=lambda r: (-r.similarity, r.id))

    def before_cuts(self, document: Document) -> str | None:
        """The text before stages of the corpus cut lines or words out of it; None when none did, or it is not known."""
        source = str(document.columns["source"])
        made = self.manifest("corpus")
        ledger = made.ledgers.get(source) if made else None
        cut = ledger is not None and any(ledger.lines[s].characters_removed for s in _TEXT_CHANGES_AFTER if s in ledger.lines)
        places = by_id(self.parts(f"documents/{source}", "documents"), [document.id]) if cut else {}
        if document.id not in places:
            return None
        before = str(row_at(places[document.id], ["text"])["text"])
        return before if before != document.text else None

    def relative(self, place: Place) -> str:
        """The part's path below the output folder."""
        return place.uri.removeprefix(self.out.rstrip("/") + "/")

    def split(self, document: Document) -> str:
        """Which split its work belongs to: "train" or "validation"."""
        made = self.manifest("corpus")
        share = float(made.config["corpus"]["validation_share"]) if made else 0.0
        return "validation" if is_validation(_binary([str(document.columns["work"])]), share)[0] else "train"

    def index_fingerprint(self) -> str:
        """As a corpus is named by it beside others of the same name; empty without an index."""
        made = self.manifest("index")
        return made.fingerprint[: manifest.FINGERPRINT_CHARACTERS] if made else ""

    def quality_threshold(self) -> float | None:
        """What the classifier asks for; None while it is off."""
        made = self.manifest("classifier")
        threshold = made.facts.get("threshold") if made else None
        return None if threshold is None else float(threshold)


def read(place: Place) -> Document:
    """The whole row of a document or drop."""
    return Document(place, row_at(place, None))


def read_without_text(places: Sequence[Place]) -> list[Document]:
    """Rows of documents or drops without their texts, in this order."""
    return [Document(place, row_at(place, ["id", "source", "origin", "url", "title", *_drop_columns(place)])) for place in places]


# The search for one key


_COLUMNS = {"id": "id", "work": "work", "url": "url", "address": "url", "origin": "origin", "file": "origin"}


@dataclass(slots=True)
class _Search:
    """Takes the rows of all parts, once a level, and of the first level at which something fits what it prefers."""

    key: str
    levels: tuple[tuple[str, ...], ...]  # what the key may be: the likely first, so that few columns are read
    hits: dict[str, Match] = field(default_factory=dict[str, Match])
    below: bytes = b""  # the ids beside the key in the order of all ids
    above: bytes = b""

    def is_open(self, level: int) -> bool:
        return level < len(self.levels) and not self.hits

    def offer(self, level: int, place: Place, rows: pa.RecordBatch) -> None:
        for how in self.levels[level]:
            for index in _true(self._mask(how, rows)):
                hit = self.hits.setdefault(how, Match(self.key, how))
                hit.count += 1
                if len(hit.places) < PLACES:
                    hit.places.append(_at(place, index))
                    hit.ids.append(_hex(rows["id"][index].as_py()))
        if self.levels[level] == ("id",):
            self._note_neighbours(rows["id"])

    def match(self) -> Match:
        for how in (how for level in self.levels for how in level):
            if how in self.hits:
                return self.hits[how]
        near = [value.hex() for value in (self.below, self.above) if value]
        return Match(self.key, near=near)

    def _mask(self, how: str, rows: pa.RecordBatch) -> Any:
        if how in ("id", "work"):
            return _has_prefix(rows[how], self.key.lower())
        if how == "url":
            return pc.fill_null(pc.equal(rows["url"], self.key), False)
        if how == "address":
            return _same_address(rows["url"], self.key)
        if how == "origin":
            return pc.equal(rows["origin"], self.key)
        return pc.starts_with(rows["origin"], self.key + "#")

    def _note_neighbours(self, ids: pa.Array) -> None:
        """Sorted, ids that start alike stand side by side."""
        asked = self.key.lower().ljust(32, "0")
        words = id_pairs(ids)
        first, second = np.uint64(int(asked[:16], 16)), np.uint64(int(asked[16:], 16))
        is_below = (words[:, 0] < first) | ((words[:, 0] == first) & (words[:, 1] < second))
        if is_below.any():
            self.below = max(self.below, _extreme(words[is_below], np.max))
        if not is_below.all():
            least = _extreme(words[~is_below], np.min)
            self.above = min(self.above, least) if self.above else least


def _extreme(words: NDArray[np.uint64], choose: Callable[[NDArray[np.uint64]], np.uint64]) -> bytes:
    """The least or greatest id."""
    high = choose(words[:, 0])
    return np.array([high, choose(words[words[:, 0] == high, 1])], ">u8").tobytes()


def _search(key: str) -> _Search:
    if not key:
        raise UserError("an empty id: give an id (hexadecimal), a URL or an origin")
    if len(key) <= 32 and set(key.lower()) <= set("0123456789abcdef"):
        if len(key) < MIN_DIGITS:
            raise UserError(f"{key}: give at least {MIN_DIGITS} digits of the id, or a URL, or an origin")
        return _Search(key, (("id",), ("work", "origin")))
    return _Search(key, (("url", "origin"), ("address", "file")))


def _same_address(addresses: pa.Array, key: str) -> NDArray[np.bool_]:
    """Which addresses are the key in another form (urls.canonical); only those that have its host are looked at."""
    wanted = urls.canonical(pa.array([key]))[0]
    host = re.split("[/?]", wanted.as_py() or "", maxsplit=1)[0]
    mask = np.zeros(len(addresses), np.bool_)
    candidates = _true(pc.fill_null(pc.match_substring(addresses, host, ignore_case=True), False)) if host else []
    if candidates:
        same = pc.equal(urls.canonical(addresses.take(pa.array(candidates))), wanted)
        mask[np.array(candidates)[_true(pc.fill_null(same, False))]] = True
    return mask


def _has_prefix(ids: pa.Array, digits: str) -> NDArray[np.bool_]:
    """Which ids start with these hexadecimal digits."""
    words = id_pairs(ids)
    mask = np.ones(len(words), np.bool_)
    for column, part in ((0, digits[:16]), (1, digits[16:])):
        if part:
            mask &= words[:, column] >> np.uint64(64 - 4 * len(part)) == np.uint64(int(part, 16))
    return mask


# Rows


def _scan(part: tuple[str, str, str], columns: Sequence[str]) -> Iterator[tuple[Place, pa.RecordBatch]]:
    """These columns of a part, a row group at a time, each with the place of its first row."""
    dataset, table, uri = part
    with files.reading(uri) as stream:
        parquet = pq.ParquetFile(stream)
        row = 0
        for group in range(parquet.num_row_groups):
            rows = parquet.read_row_group(group, columns=list(columns), use_threads=False).combine_chunks()
            for batch in rows.to_batches():
                yield Place(dataset, table, uri, group, 0, row), batch
            row += rows.num_rows


def _scan_all(parts: Iterable[tuple[str, str, str]], columns: Sequence[str]) -> Iterator[tuple[Place, pa.RecordBatch]]:
    for part in parts:
        yield from _scan(part, columns)


def _at(first: Place, index: int) -> Place:
    return Place(first.dataset, first.table, first.uri, first.group, index, first.row + index)


def row_at(place: Place, columns: Sequence[str] | None) -> dict[str, Any]:
    """These columns (None: all) of one row; binary values in hexadecimal."""
    with files.reading(place.uri) as stream:
        rows = pq.ParquetFile(stream).read_row_group(place.group, columns=columns, use_threads=False)
    row = rows.slice(place.index, 1).to_pylist()[0]
    return {name: _hex(value) if isinstance(value, bytes) else value for name, value in row.items()}


def _drop_columns(place: Place) -> list[str]:
    return ["stage", "reason"] if place.table == "drops" else []


def by_id(parts: Iterable[tuple[str, str, str]], ids: Iterable[str]) -> dict[str, Place]:
    """The first place of each id (hexadecimal) in parts (dataset, table, URI of each)."""
    wanted = _binary(ids)
    found: dict[str, Place] = {}
    if len(wanted):
        for place, rows in _scan_all(parts, ["id"]):
            for index in _true(pc.is_in(rows["id"], value_set=wanted)):
                found.setdefault(_hex(rows["id"][index].as_py()), _at(place, index))
    return found


def _removal(row: Mapping[str, Any], removed: int) -> Removal:
    return Removal(
        id=_hex(row["id"]),
        cluster=_hex(row["cluster"]),
        survivor=_hex(row["survivor"]),
        similarity=float(row["similarity"]),
        grain=row["grain"],
        corpus=row["corpus"],
        others=removed - 1,
    )


def _binary(ids: Iterable[str]) -> pa.Array:
    return pa.array(sorted({bytes.fromhex(value) for value in ids}), pa.binary(16))


def _true(mask: Any) -> list[int]:
    return np.flatnonzero(np.asarray(mask)).tolist()


def _hex(value: bytes) -> str:
    return value.hex()
