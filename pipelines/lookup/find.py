"""Find a document in a published build: its place, whether it was kept or dropped, and the document that it is a copy of.

The search reads only the columns it needs, one row group at a time. The text is read last, from the row group with the row.
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
from pipelines.contract.schema import CLUSTERS, CUTS, MASKS, is_validation
from pipelines.release import published_folders, read_release
from pipelines.text.copies import urls
from pipelines.units.spill import id_pairs

MIN_DIGITS = 6  # of an id's prefix: 1 in 16 million
PLACES = 1000  # of one key that are kept; more are only counted
_TEXT_CHANGES_AFTER = ("repeats", "decontaminate", "private")  # stages of the corpus that cut or mask text


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a row."""

    dataset: str
    table: str
    uri: str  # of the part
    group: int  # row group of the part
    index: int  # row of the row group
    row: int  # row of the part


@dataclass(frozen=True, slots=True)
class Document:
    """A row of documents or drops; ids are hexadecimal."""

    place: Place
    columns: Mapping[str, Any]  # of schema.DOCUMENTS or DROPS

    @property
    def id(self) -> str:
        """Return the document's id."""
        return str(self.columns["id"])

    @property
    def is_dropped(self) -> bool:
        """Return whether it is a row of drops."""
        return self.place.table == "drops"

    @property
    def text(self) -> str:
        """Return its text as it was when it was published or dropped."""
        return str(self.columns["text"])


@dataclass(slots=True)
class Match:
    """The rows that a key matches."""

    key: str
    how: str = ""  # "id", "work", "url", "origin", …: what the key is
    places: list[Place] = field(default_factory=list[Place])
    ids: list[str] = field(default_factory=list[str])  # of the places
    count: int = 0  # of all places, including those not kept
    near: list[str] = field(default_factory=list[str])  # the ids next to an id that was not found


@dataclass(frozen=True, slots=True)
class Removal:
    """A row of clusters; ids are hexadecimal."""

    id: str
    cluster: str
    survivor: str
    similarity: float
    grain: str
    corpus: str | None
    others: int = 0  # other documents removed from the same cluster


@dataclass(frozen=True, slots=True)
class Mask:
    """A row of masks: private data that a token replaces in a published text. Places are in characters."""

    type: str
    kind: str
    start: int
    start_before: int  # in the text before it was masked
    characters: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A row of cuts: a stretch that a stage cut out of a text."""

    stage: str
    change: str  # why
    start: int  # character of the text before this cut
    text: str
    detail: str | None = None  # the benchmark's item


class Build:
    """A published build to search."""

    def __init__(self, out: str) -> None:
        """Read the release and its manifests. Raise OutputError if nothing is published there."""
        self.out = out
        self.name = str(read_release(out)["corpus_name"])
        self._folders = published_folders(out)
        self._manifests: dict[str, Manifest] = {}

    def manifest(self, dataset: str) -> Manifest | None:
        """Return the manifest of a dataset; None if the release does not have it."""
        if dataset not in self._folders:
            return None
        if dataset not in self._manifests:
            self._manifests[dataset] = manifest.read(self._folders[dataset])
        return self._manifests[dataset]

    def parts(self, dataset: str, table: str) -> list[tuple[str, str, str]]:
        """Return dataset, table and URI of each part of a table; an empty list if the release does not have the dataset."""
        made = self.manifest(dataset)
        return [(dataset, table, files.join(self._folders[dataset], part.path)) for part in made.of(table)] if made else []

    def everything(self) -> list[tuple[str, str, str]]:
        """Return the parts that together hold every document once: the corpus, its drops and the drops of the token shards."""
        tokens = [name for name in self._folders if name.startswith("tokens/")]
        shards = [part for name in tokens for part in self.parts(name, "drops")]
        return [*self.parts("corpus", "documents"), *self.parts("corpus", "drops"), *shards]

    def find(self, keys: Sequence[str]) -> list[Match]:
        """Find each key among documents and drops: an id or work (hexadecimal, or a unique prefix), a URL or an origin.

        Raise UserError for an id of fewer than MIN_DIGITS digits.
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
        """Return the places of whole ids, the corpus before drops; ids that do not exist are left out."""
        return by_id(self.everything(), ids)

    def removals(self, *, removed: Iterable[str] = (), survivors: Iterable[str] = ()) -> list[Removal]:
        """Return the removals of these documents and those in favour of these survivors, the most similar first."""
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
        """Return the text before the corpus stages cut lines or words; None if they did not, or if it is not retained."""
        source = str(document.columns["source"])
        made = self.manifest("corpus")
        ledger = made.ledgers.get(source) if made else None
        cut = ledger is not None and any(ledger.lines[s].characters_removed for s in _TEXT_CHANGES_AFTER if s in ledger.lines)
        places = by_id(self.parts(f"documents/{source}", "documents"), [document.id]) if cut else {}
        if document.id not in places:
            return None
        before = str(row_at(places[document.id], ["text"])["text"])
        return before if before != document.text else None

    def masks(self, document: Document) -> list[Mask]:
        """Return the masks of a document, in order."""
        wanted = pa.scalar(bytes.fromhex(document.id), pa.binary(16))
        rows: list[dict[str, Any]] = []
        for _, batch in _scan_all(self.parts("corpus", "masks"), MASKS.names):
            rows += batch.filter(pc.equal(batch["id"], wanted)).to_pylist()
        fields = ("type", "kind", "start", "start_before", "characters")
        return [Mask(*(row[name] for name in fields)) for row in rows]

    def cuts(self, document: Document) -> list[Cut]:
        """Return what was cut out of a document, in the order of the stages; that before its corpus, if it is retained."""
        ids = _binary([document.id, str(document.columns["work"])])
        parts = [*self.parts(f"documents/{document.columns['source']}", "cuts"), *self.parts("corpus", "cuts")]
        rows: list[dict[str, Any]] = []
        for _, batch in _scan_all(parts, CUTS.names):
            rows += batch.filter(pc.is_in(batch["id"], value_set=ids)).to_pylist()
        # An earlier corpus has no details.
        return [Cut(row["stage"], row["change"], row["start"], row["text"], row.get("detail")) for row in rows]

    def settings(self, section: str) -> dict[str, Any]:
        """Return a section of the config that made the corpus."""
        made = self.manifest("corpus")
        return dict(made.config[section]) if made else {}

    def relative(self, place: Place) -> str:
        """Return the part's path below the output folder."""
        return place.uri.removeprefix(self.out.rstrip("/") + "/")

    def split(self, document: Document) -> str:
        """Return the split of the document's work: "train" or "validation"."""
        made = self.manifest("corpus")
        share = float(made.config["corpus"]["validation_share"]) if made else 0.0
        return "validation" if is_validation(_binary([str(document.columns["work"])]), share)[0] else "train"

    def index_fingerprint(self) -> str:
        """Return the fingerprint that tells corpora of the same name apart; empty without an index."""
        made = self.manifest("index")
        return made.fingerprint[: manifest.FINGERPRINT_CHARACTERS] if made else ""

    def quality_threshold(self) -> float | None:
        """Return the classifier's threshold; None if it is off."""
        made = self.manifest("classifier")
        threshold = made.facts.get("threshold") if made else None
        return None if threshold is None else float(threshold)


def read(place: Place) -> Document:
    """Read the whole row of a document or drop."""
    return Document(place, row_at(place, None))


def read_without_text(places: Sequence[Place]) -> list[Document]:
    """Read rows of documents or drops, in this order, without their texts."""
    return [Document(place, row_at(place, ["id", "source", "origin", "url", "title", *_drop_columns(place)])) for place in places]


# The search for one key


_COLUMNS = {"id": "id", "work": "work", "url": "url", "address": "url", "origin": "origin", "file": "origin"}


@dataclass(slots=True)
class _Search:
    """The search for one key: all parts are read once per level, and the first level with a hit ends it."""

    key: str
    levels: tuple[tuple[str, ...], ...]  # what the key may be, the likely first, so that few columns are read
    hits: dict[str, Match] = field(default_factory=dict[str, Match])
    below: bytes = b""  # the neighbours of the key in the order of ids
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
        """Keep the ids before and after the key in sorted order: they share its first digits."""
        digits = self.key.lower().ljust(32, "0")
        words = id_pairs(ids)
        first, second = np.uint64(int(digits[:16], 16)), np.uint64(int(digits[16:], 16))
        is_below = (words[:, 0] < first) | ((words[:, 0] == first) & (words[:, 1] < second))
        if is_below.any():
            self.below = max(self.below, _extreme(words[is_below], np.max))
        if not is_below.all():
            least = _extreme(words[~is_below], np.min)
            self.above = min(self.above, least) if self.above else least


def _extreme(words: NDArray[np.uint64], choose: Callable[[NDArray[np.uint64]], np.uint64]) -> bytes:
    """Return the least or greatest id."""
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
    """Mark the addresses that equal the key in canonical form (urls.canonical); only those with its host are compared."""
    wanted = urls.canonical(pa.array([key]))[0]
    host = re.split("[/?]", wanted.as_py() or "", maxsplit=1)[0]
    mask = np.zeros(len(addresses), np.bool_)
    likely = pc.match_substring(addresses, host, ignore_case=True)
    if "xn--" in host:  # an address may spell it in its own script
        likely = pc.or_(likely, pc.invert(pc.string_is_ascii(addresses)))
    candidates = _true(pc.fill_null(likely, False)) if host else []
    if candidates:
        same = pc.equal(urls.canonical(addresses.take(pa.array(candidates))), wanted)
        mask[np.array(candidates)[_true(pc.fill_null(same, False))]] = True
    return mask


def _has_prefix(ids: pa.Array, digits: str) -> NDArray[np.bool_]:
    """Mark the ids that start with these hexadecimal digits."""
    words = id_pairs(ids)
    mask = np.ones(len(words), np.bool_)
    for column, part in ((0, digits[:16]), (1, digits[16:])):
        if part:
            mask &= words[:, column] >> np.uint64(64 - 4 * len(part)) == np.uint64(int(part, 16))
    return mask


# Rows


def _scan(part: tuple[str, str, str], columns: Sequence[str]) -> Iterator[tuple[Place, pa.RecordBatch]]:
    """Yield these columns of a part, a row group at a time, with the place of the first row."""
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
    """Return these columns (None: all) of one row; binary values in hexadecimal."""
    with files.reading(place.uri) as stream:
        rows = pq.ParquetFile(stream).read_row_group(place.group, columns=columns, use_threads=False)
    row = rows.slice(place.index, 1).to_pylist()[0]
    return {name: _hex(value) if isinstance(value, bytes) else value for name, value in row.items()}


def _drop_columns(place: Place) -> list[str]:
    return ["stage", "reason"] if place.table == "drops" else []


def by_id(parts: Iterable[tuple[str, str, str]], ids: Iterable[str]) -> dict[str, Place]:
    """Return the first place of each id (hexadecimal) in parts, each given as dataset, table and URI."""
    wanted = _binary(ids)
    places: dict[str, Place] = {}
    if len(wanted):
        for place, rows in _scan_all(parts, ["id"]):
            for index in _true(pc.is_in(rows["id"], value_set=wanted)):
                places.setdefault(_hex(rows["id"][index].as_py()), _at(place, index))
    return places


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
